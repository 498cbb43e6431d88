# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Adding, finding and removing images."""

from __future__ import annotations

import os
import sys

import pytest
from store_archives import INSECURE, PINNED, SIGNED, archive

from _rocket.audit import chain
from _rocket.errors import Ambiguous, Busy, NotFound, StoreError
from _rocket.spec.image_name import ImageName
from _rocket.store import record as records
from _rocket.store.record import bytes_digest, new_record
from _rocket.store.store import Store


def test_an_image_is_kept_as_distributed_under_its_id(store, imports, paths, leftovers):
    data = archive()
    record = imports(data)
    directory = f"{paths.images}/{record.id}"
    assert sorted(os.listdir(directory)) == ["aci", "aci.asc", "cache", "manifest", "record.json"]
    with open(f"{directory}/aci", "rb") as file:
        assert file.read() == data
    assert record.file_digest == bytes_digest(data) and record.id != record.file_digest
    assert record.verdict == SIGNED and record.labels == (("version", "1.0"),)
    assert store.images() == [record] == [store.find_id(record.id)]
    assert leftovers() == []


def test_nothing_of_the_store_is_readable_for_others(store, imports, paths):
    record = imports()
    store.tree(record.id)
    for path in (paths.images, paths.trees, paths.staging, paths.garbage, paths.locks):
        assert os.stat(path).st_mode & 0o777 == 0o700, path
    os.chmod(paths.trees, 0o755)
    store.open_for_writing()
    assert os.stat(paths.trees).st_mode & 0o777 == 0o700


def test_names_are_found_by_labels_and_the_newest_import_wins(store, imports, monkeypatch):
    monkeypatch.setattr(records.time, "time", lambda: 1000)
    first = imports(version="1.0")
    second = imports(version="2.0")
    imports(name="example.com/app2")
    assert store.find(ImageName.parse("example.com/app")).id == second.id, "two imports in one second have an order"
    assert store.resolve("example.com/app:1.0").id == first.id
    with pytest.raises(NotFound):
        store.resolve("example.com/app:3.0")
    with pytest.raises(NotFound):
        store.resolve("example.com/app:1.0,os=linux")
    monkeypatch.setattr(records.time, "time", lambda: 2000)
    imports(version="1.0")
    assert store.resolve("example.com/app").id == first.id
    assert len(store.images()) == 3


def test_an_id_may_be_shortened_until_it_fits_several(store, imports):
    records = [imports(version=str(number)) for number in range(20)]
    assert store.resolve(records[3].id[:30]).id == records[3].id
    with pytest.raises(Ambiguous):
        store.resolve("sha512-")
    with pytest.raises(NotFound):
        store.find_id("sha512-" + "0" * 128)
    with pytest.raises(NotFound):
        store.find_id("../images")


def test_a_good_cache_means_no_json(store, imports, paths, monkeypatch):
    record = imports()
    monkeypatch.setitem(sys.modules, "json", None)
    assert Store(paths).resolve("example.com/app:1.0") == record
    os.unlink(f"{paths.images}/{record.id}/cache")
    with pytest.raises(ImportError):
        Store(paths).resolve("example.com/app:1.0")


@pytest.mark.parametrize("damage", ["gone", "flipped", "empty", "stale", "other version"])
def test_a_bad_cache_is_made_anew(store, imports, paths, damage, monkeypatch):
    record = imports()
    path = f"{paths.images}/{record.id}/cache"
    with open(path, "rb") as file:
        good = file.read()
    if damage == "gone":
        os.unlink(path)
    elif damage == "stale":
        os.utime(f"{paths.images}/{record.id}/record.json", ns=(1, 1))
    else:
        bad = {"flipped": good[:-9] + bytes([good[-9] ^ 1]) + good[-8:], "empty": b"", "other version": b"rocket cache 9\n" + good[15:]}
        with open(path, "wb") as file:
            file.write(bad[damage])
    assert store.find_id(record.id) == record
    monkeypatch.setitem(sys.modules, "json", None)
    assert store.find_id(record.id) == record


def test_a_stale_cache_does_not_answer_for_a_new_record(store, imports):
    record = imports(verdict=INSECURE, signature=None)
    assert store.confirm(record.id, PINNED).verdict == PINNED
    store.confirm(record.id, PINNED, max_age=7)
    # A verdict that is the same is no event.
    told = [(event["action"], event["facts"]["verdict"]["kind"]) for event in chain.events(chain.files(store.paths))]
    assert told == [("fetch", record.verdict.kind), ("verdict", PINNED.kind)]
    assert store.find_id(record.id).verdict == PINNED


@pytest.mark.parametrize("name", ["record.json", "manifest"])
@pytest.mark.parametrize("damage", ["flipped", "empty", "gone", "link"])
def test_a_damaged_image_is_named_spoils_no_other_and_heals(store, imports, paths, name, damage):
    data = archive()
    record, other = imports(data), imports(name="example.com/other")
    path = f"{paths.images}/{record.id}/{name}"
    with open(path, "rb") as file:
        good = file.read()
    os.unlink(path)
    if damage == "link":
        os.symlink(f"{paths.images}/{other.id}/{name}", path)
    elif damage != "gone":
        with open(path, "wb") as file:
            file.write(b"" if damage == "empty" else good[:70] + bytes([good[70] ^ 1]) + good[71:])
    with pytest.raises(StoreError, match="fetch the image again") as caught:
        store.find_id(record.id)
    assert caught.value.code == "damaged"
    assert [error.facts["image_id"] for error in store.damaged()] == [record.id]
    assert store.images() == [other]
    with pytest.raises(NotFound, match="1 damaged"):
        store.resolve("example.com/app")
    imports(data)
    assert store.find_id(record.id).verdict == SIGNED and store.damaged() == []


def test_every_bit_of_the_verdict_is_guarded(store, imports, paths):
    record = imports(verdict=INSECURE, signature=None)
    path = f"{paths.images}/{record.id}/record.json"
    with open(path, "rb") as file:
        text = file.read()
    assert b'"insecure"' in text
    with open(path, "wb") as file:
        file.write(text.replace(b'"kind":"insecure"', b'"kind":"signed"'))
    with pytest.raises(StoreError, match="digest"):
        store.find_id(record.id)


def test_the_same_image_again_never_duplicates_and_verdicts_only_get_better(store, imports, paths):
    data = archive()
    imports(data, INSECURE, "https://a.example/app.aci", None)
    assert imports(data, SIGNED, "https://b.example/app.aci", b"signature").verdict == SIGNED
    kept = imports(data, INSECURE, "https://c.example/app.aci", None)
    assert (kept.verdict, kept.source) == (SIGNED, "https://b.example/app.aci")
    with open(f"{paths.images}/{kept.id}/aci.asc", "rb") as file:
        assert file.read() == b"signature"
    assert imports(data, PINNED, "https://d.example/app.aci", None).verdict == PINNED
    assert len(store.images()) == 1


def test_another_file_of_the_same_image_keeps_verdict_and_file_together(store, imports, paths):
    import gzip

    packed = archive()
    plain = gzip.decompress(packed)
    record = imports(packed, SIGNED)
    again = imports(plain, INSECURE, signature=None)
    assert again.id == record.id and again.file_digest == record.file_digest == bytes_digest(packed)
    store.verify(record.id)
    with open(f"{paths.images}/{record.id}/aci", "r+b") as file:
        file.write(b"\0")
    weaker = imports(plain, INSECURE, signature=None)
    assert weaker.verdict == INSECURE, "the verdict was about a file that is gone"
    store.verify(record.id)
    assert imports(packed, SIGNED).file_digest == bytes_digest(packed)


@pytest.mark.parametrize("damage", ["flipped", "emptied", "removed", "a directory"])
def test_a_damaged_blob_is_found_and_healed_by_adding_it_again(store, imports, paths, damage):
    data = archive()
    record = imports(data)
    path = f"{paths.images}/{record.id}/aci"
    if damage == "flipped":
        with open(path, "r+b") as file:
            file.seek(len(data) // 2)
            file.write(bytes([data[len(data) // 2] ^ 1]))
    else:
        os.unlink(path)
        if damage == "emptied":
            open(path, "wb").close()
        elif damage == "a directory":
            os.mkdir(path)
    for use in (store.verify, store.tree):
        with pytest.raises(StoreError, match="fetch the image again") as caught:
            use(record.id)
        assert caught.value.code == "damaged" and path in str(caught.value)
    assert not os.path.exists(f"{paths.trees}/{record.id}")
    imports(data)
    store.verify(record.id)
    assert os.path.exists(f"{store.tree(record.id)}/hello")


def test_a_good_archive_of_another_image_in_its_place_is_found_at_render(store, imports, paths):
    mine, other = (archive(compression="", files={"rootfs/hello": text}) for text in (b"hello\n", b"HELLO\n"))
    record = imports(mine)
    with open(f"{paths.images}/{record.id}/aci", "wb") as file:
        file.write(other)
    with pytest.raises(StoreError, match="image ID") as caught:
        store.tree(record.id)
    assert caught.value.code == "damaged" and os.listdir(paths.trees) == []


def test_a_staged_file_that_grew_is_refused(store, imports, leftovers):
    fd, path, inspection = imports.stage(archive())
    os.write(fd, b"more")
    with pytest.raises(StoreError, match="changed"):
        store.add(path, new_record(inspection, SIGNED, "x"), inspection.manifest_bytes, b"s")
    os.close(fd)
    assert store.images() == [] and leftovers() == []


def test_an_image_in_use_is_not_removed(store, imports, paths, leftovers):
    record = imports()
    store.tree(record.id)
    with pytest.raises(Busy):
        store.remove(record.id, {record.id})
    assert os.path.isdir(f"{paths.images}/{record.id}") and os.path.isdir(f"{paths.trees}/{record.id}/rootfs")
    store.remove(record.id, {"sha512-" + "0" * 128})
    assert os.listdir(paths.images) == os.listdir(paths.trees) == leftovers() == []
    with pytest.raises(NotFound):
        store.remove(record.id)


def test_a_newer_store_is_refused(store, imports, paths):
    imports()
    with open(f"{paths.data}/version") as file:
        assert file.read() == "1\n"
    with open(f"{paths.data}/version", "w") as file:
        file.write("2\n")
    with pytest.raises(StoreError, match="version 2") as caught:
        Store(paths)
    assert caught.value.code == "version"


def test_looking_into_a_store_that_is_not_there_makes_nothing(store, paths):
    assert store.images() == []
    with pytest.raises(NotFound):
        store.resolve("example.com/app")
    assert not os.path.exists(paths.data)


def test_a_tree_is_rendered_once(store, imports, paths, leftovers):
    record = imports()
    rootfs = store.tree(record.id)
    inode = os.stat(rootfs).st_ino
    with open(f"{rootfs}/hello") as file:
        assert file.read() == "hello\n"
    assert store.tree(record.id) == rootfs and os.stat(rootfs).st_ino == inode
    assert leftovers() == []
    os.unlink(f"{paths.trees}/{record.id}/record.json")
    assert os.stat(store.tree(record.id)).st_ino != inode, "a tree without its record is not taken for whole"
