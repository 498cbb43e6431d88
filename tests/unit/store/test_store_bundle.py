# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Writing bundles: what is gathered, in which order, and that nothing but whole images are in one."""

from __future__ import annotations

import json
import os
import tarfile

import pytest
from store_archives import Imports, archive

from _rocket.errors import NotFound, StoreError, UsageError
from _rocket.store.bundle import Gathered
from _rocket.store.store import Store


@pytest.fixture
def store(paths):
    return Store(paths)


@pytest.fixture
def add(store, monkeypatch):
    """Add an image that is called by a letter, one second after the last one."""
    from _rocket.store import record

    add, clock = Imports(store), iter(range(1000, 2000))
    monkeypatch.setattr(record.time, "time", lambda: next(clock))

    def make(letter, *needs, version="1.0", signature=b"sig"):
        wanted = [need if isinstance(need, dict) else {"imageName": f"example.com/{need}"} for need in needs]
        data = archive(f"example.com/{letter}", version, files={f"rootfs/{letter}{version}": b"x"}, dependencies=wanted)
        return add(data, signature=signature)

    return make


def gathered(store, *records):
    return [(record.name[-1] + record.manifest.labels[0].value[0]) for record in Gathered(store, records).records]


def test_each_image_is_there_once_after_what_it_depends_on(store, add):
    add("d")
    add("b", "d")
    add("c", "d")
    top = add("a", "c", "b")
    assert gathered(store, top, top) == ["d1", "b1", "c1", "a1"]
    # Fetched anew: now younger than what stands on it.
    add("d")
    assert gathered(store, top) == ["d1", "b1", "c1", "a1"]


def test_the_newest_of_a_name_is_the_last_so_that_it_is_the_newest_on_the_other_side_too(store, add):
    top = add("a", "b")
    older, newer = add("b", version="1.0"), add("b", version="2.0")
    assert gathered(store, top, older) == ["b1", "b2", "a1"]
    other = add("c", {"imageName": "example.com/b", "labels": [{"name": "version", "value": "1.0"}]})
    assert gathered(store, other, top) == ["b1", "b2", "a1", "c1"]
    add("b", version="1.0")
    assert gathered(store, top, newer) == ["b2", "b1", "a1"]


def test_images_of_one_second_are_told_apart_as_for_who_looks_them_up(store, add, monkeypatch):
    from _rocket.store import record

    monkeypatch.setattr(record.time, "time", lambda: 1000)
    found = [add("b", version=f"{number}.0") for number in range(1, 6)]
    for number, each in enumerate((found[3], found[0], found[4], found[1], found[2])):
        path = f"{store.paths.images}/{each.id}/record.json"
        os.utime(path, ns=(10**18 + number, 10**18 + number))
    assert gathered(store, *found) == ["b4", "b1", "b5", "b2", "b3"]
    from _rocket.spec.image_name import ImageName

    assert store.find(ImageName("example.com/b")).id == found[2].id


def test_what_an_image_depends_on_is_for_the_same_hosts(store, monkeypatch):
    """Whichever host writes the bundle, and whichever came last."""
    add, found = Imports(store), {}
    for arch in ("amd64", "aarch64", "amd64"):
        for name, needs in (("b", []), ("a", [{"imageName": "example.com/b"}])):
            labels = [{"name": "version", "value": "1"}, {"name": "os", "value": "linux"}, {"name": "arch", "value": arch}]
            found[name, arch] = add(archive(f"example.com/{name}", labels=labels, dependencies=needs))
    for arch in ("amd64", "aarch64"):
        for host in ("linux/amd64", "linux/aarch64"):
            monkeypatch.setattr("_rocket.store.catalogue.this_host", lambda host=host: host)
            made = Gathered(store, [found["a", arch]])
            assert [record.id for record in made.records] == [found["b", arch].id, found["a", arch].id]


def test_what_is_missing_or_not_as_it_has_to_be_is_refused(store, add):
    top = add("a", "b")
    with pytest.raises(NotFound, match=r"example\.com/b is not in the store"):
        Gathered(store, [top])
    add("b")
    assert gathered(store, top) == ["b1", "a1"]
    with pytest.raises(StoreError, match="M16"):
        Gathered(store, [add("c", {"imageName": "example.com/b", "size": 1})])


def test_the_file_holds_what_was_published_and_says_what_is_in_it(store, add, tmp_path):
    base, top = add("b", signature=None), add("a", "b")
    path, told = tmp_path / "x.bundle", []
    made = Gathered(store, [top])
    assert made.write(str(path), False, lambda done, total: told.append((done, total))) == path.stat().st_size
    assert told[-1] == (base.file_size + top.file_size,) * 2
    with tarfile.open(path) as found:
        assert found.getnames() == ["bundle.json", "001.aci", "002.aci.asc", "002.aci"]
        assert {(each.mtime, each.uid, each.gid, each.mode, each.uname) for each in found} == {(0, 0, 0, 0o644, "")}
        content = {name: found.extractfile(name).read() for name in found.getnames()}
    for record, name in ((base, "001.aci"), (top, "002.aci")):
        with open(f"{store.paths.images}/{record.id}/aci", "rb") as blob:
            assert content[name] == blob.read()
    assert content["002.aci.asc"] == b"sig"
    said = json.loads(content["bundle.json"])
    assert (said["rktKind"], said["rktVersion"]) == ("bundle", "v1")
    assert said["images"][0] == {
        "id": base.id,
        "name": "example.com/b",
        "labels": {"version": "1.0"},
        "file": "001.aci",
        "size": base.file_size,
        "signatureSize": 0,
        "named": False,
    }
    assert (said["images"][1]["named"], said["images"][1]["signatureSize"]) == (True, 3)


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_image_is_not_written(store, add, tmp_path, damage):
    base, top = add("b"), add("a", "b")
    path, blob = tmp_path / "x.bundle", f"{store.paths.images}/{base.id}/aci"
    path.write_bytes(b"mine")
    if damage == "gone":
        os.unlink(blob)
    else:
        with open(blob, "r+b") as file:
            file.seek(30)
            file.write(b"!") if damage == "flipped" else file.truncate(100)
    with pytest.raises(StoreError) as caught:
        Gathered(store, [top]).write(str(path), True)
    assert caught.value.code == "damaged" and path.read_bytes() == b"mine"
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_another_file_is_replaced_only_where_that_is_said(store, add, tmp_path):
    made, path = Gathered(store, [add("a")]), str(tmp_path / "x.bundle")
    made.write(path, False)
    with pytest.raises(UsageError, match="exists"):
        made.write(path, False)
    made.write(path, True)


def test_a_full_disk_is_said_and_leaves_nothing(store, add, tmp_path, monkeypatch):
    import errno

    from _rocket.image import compress

    def full(*_values):
        raise OSError(errno.ENOSPC, "no space")

    made = Gathered(store, [add("a")])
    monkeypatch.setattr(compress.os, "write", full)
    with pytest.raises(StoreError) as caught:
        made.write(str(tmp_path / "x.bundle"), False)
    assert caught.value.code == "disk-full"
    assert not [name for name in os.listdir(tmp_path) if "x.bundle" in name]


def test_more_images_than_a_reader_takes_are_refused(store, add, monkeypatch):
    monkeypatch.setattr("_rocket.spec.bundle.MOST_IMAGES", 2)
    images = [add(letter) for letter in "abc"]
    assert len(Gathered(store, images[:2]).records) == 2
    with pytest.raises(UsageError, match="3 images are more"):
        Gathered(store, images)
