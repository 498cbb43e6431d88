# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Layers in the store: got once, kept while an image names them or somebody uses them, collected after."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading

import pytest
from store_archives import INSECURE, archive

from _rocket.errors import FetchError, StoreError
from _rocket.image.check import inspect
from _rocket.record import replace
from _rocket.spec.image_name import ImageName
from _rocket.store.blobs import Blobs
from _rocket.store.collect import collect, plan_gc
from _rocket.store.record import new_record
from _rocket.store.store import Store
from _rocket.store.verdict import Verdict

DATA = b"a layer"
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()
OTHER = "sha512:" + hashlib.sha512(DATA).hexdigest()


@pytest.fixture
def store(paths):
    return Store(paths)


@pytest.fixture
def blobs(store):
    return Blobs(store)


def writing(data=DATA, calls=None):
    def get(partial):
        if calls is not None:
            calls.append(partial.path)
        os.write(partial.fd, data)

    return get


def read(blob):
    with open(blob.path, "rb") as file:
        return file.read()


def age(blobs, digest, seconds):
    info = os.stat(blobs.path(digest))
    os.utime(blobs.path(digest), (info.st_atime, info.st_mtime - seconds))


def test_a_layer_is_got_once(blobs):
    calls = []
    for turn in range(3):
        with blobs.obtain(DIGEST, len(DATA), writing(calls=calls)) as blob:
            assert (read(blob), blob.new) == (DATA, turn == 0)
    assert len(calls) == 1
    assert blobs.names() == [DIGEST]


def test_nobody_else_can_read_it(blobs, paths):
    blobs.obtain(DIGEST, len(DATA), writing()).close()
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in (paths.blobs, f"{paths.blobs}/sha256", blobs.path(DIGEST))] == [
        0o700,
        0o700,
        0o600,
    ]


def test_a_download_that_fails_leaves_nothing(blobs, paths):
    def fails(partial):
        os.write(partial.fd, DATA)
        raise FetchError("cut")

    with pytest.raises(FetchError):
        blobs.obtain(DIGEST, len(DATA), fails)
    assert blobs.names() == []
    assert os.listdir(paths.staging) == []
    with blobs.obtain(DIGEST, len(DATA), writing()) as blob:
        assert read(blob) == DATA


def test_a_full_disk_names_the_place_and_leaves_nothing(blobs, paths):
    def fails(partial):
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(StoreError) as caught:
        blobs.obtain(DIGEST, len(DATA), fails)
    assert caught.value.code == "disk-full"
    assert os.listdir(paths.staging) == []


@pytest.mark.parametrize("damage", [b"", b"a laye", b"a layer and more"])
def test_one_of_another_length_is_got_again(blobs, damage):
    blobs.obtain(DIGEST, len(DATA), writing()).close()
    with open(blobs.path(DIGEST), "wb") as file:
        file.write(damage)
    with blobs.obtain(DIGEST, len(DATA), writing()) as blob:
        assert read(blob) == DATA


def test_a_link_in_its_place_is_refused(blobs, paths, tmp_path):
    blobs.obtain(DIGEST, len(DATA), writing()).close()
    os.unlink(blobs.path(DIGEST))
    (tmp_path / "elsewhere").write_bytes(DATA)
    os.symlink(tmp_path / "elsewhere", blobs.path(DIGEST))
    with pytest.raises(StoreError):
        blobs.find(DIGEST, len(DATA))


def test_many_at_once_get_it_once(blobs):
    calls, found = [], []

    def work():
        with blobs.obtain(DIGEST, len(DATA), writing(calls=calls)) as blob:
            found.append(read(blob))

    threads = [threading.Thread(target=work) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [DATA] * 8
    assert len(calls) == 1


def test_names_are_digests_alone(blobs, paths):
    blobs.obtain(DIGEST, len(DATA), writing()).close()
    blobs.obtain(OTHER, len(DATA), writing()).close()
    for name in ("x", "a" * 63, "A" * 64):
        open(f"{paths.blobs}/sha256/{name}", "wb").close()
    assert blobs.names() == [DIGEST, OTHER]


def steps(store, **options):
    return {step.subject: step.reason for step in plan_gc(store, **options).steps}


def test_a_layer_of_no_image_goes_after_the_time_of_grace(store, blobs):
    blobs.obtain(DIGEST, len(DATA), writing()).close()
    assert steps(store, grace=3600) == {}
    age(blobs, DIGEST, 3601)
    assert steps(store, grace=3600) == {DIGEST: "a layer of no image"}
    assert [step.subject for step in collect(plan_gc(store, grace=3600))] == [DIGEST]
    assert blobs.names() == []


def test_using_it_again_begins_the_time_of_grace_anew(store, blobs):
    blobs.obtain(DIGEST, len(DATA), writing()).close()
    age(blobs, DIGEST, 7200)
    blobs.find(DIGEST, len(DATA)).close()
    assert steps(store, grace=3600) == {}


def test_a_layer_that_somebody_uses_stays(store, blobs):
    with blobs.obtain(DIGEST, len(DATA), writing()):
        assert steps(store, grace=0, now=1 << 40) == {}
    plan = plan_gc(store, grace=0, now=1 << 40)
    with blobs.find(DIGEST, len(DATA)):
        assert collect(plan) == []
    assert blobs.names() == [DIGEST]


def stored(store, name="example.com/app", layers=(DIGEST,), digests=("sha256:" + "b" * 64,)):
    fd, staged = store.staging_file()
    os.write(fd, archive(name))
    try:
        found = inspect(fd)
        record = replace(new_record(found, INSECURE, "docker://example.com/app"), digests=digests, layers=layers)
        return store.add(staged, record, found.manifest_bytes)
    finally:
        os.close(fd)


def test_a_layer_of_an_image_stays_with_it_and_goes_with_it(store, blobs):
    record = stored(store)
    blobs.obtain(DIGEST, len(DATA), writing()).close()
    age(blobs, DIGEST, 7200)
    assert steps(store, grace=3600) == {}
    assert steps(store, in_use=(record.id,), grace=0, now=1 << 40) == {}
    plan = plan_gc(store, grace=0, now=1 << 40)
    assert {step.subject for step in plan.steps} >= {record.id, DIGEST}
    assert {step.subject for step in collect(plan)} == {step.subject for step in plan.steps}
    assert blobs.names() == []


def test_a_layer_that_an_image_named_since_the_plan_stays(store, blobs):
    blobs.obtain(DIGEST, len(DATA), writing()).close()
    plan = plan_gc(store, grace=0, now=1 << 40)
    assert [step.subject for step in plan.steps] == [DIGEST]
    stored(store)
    assert collect(plan) == []
    assert blobs.names() == [DIGEST]


def test_a_layer_of_two_images_stays_while_one_does(store, blobs):
    kept, gone = stored(store), stored(store, name="example.com/other")
    blobs.obtain(DIGEST, len(DATA), writing()).close()
    assert DIGEST not in steps(store, in_use=(kept.id,), grace=0, now=1 << 40)
    store.remove(gone.id)
    assert steps(store, in_use=(kept.id,), grace=0, now=1 << 40) == {}


def test_the_record_keeps_digests_and_layers(store):
    record = stored(store)
    again = Store(store.paths).find_id(record.id)
    assert (again.digests, again.layers) == (record.digests, record.layers) == (("sha256:" + "b" * 64,), (DIGEST,))
    os.unlink(f"{store.paths.images}/{record.id}/cache")
    assert Store(store.paths).find_id(record.id) == again
    more = stored(store, digests=("sha256:" + "c" * 64,))
    assert more.digests == ("sha256:" + "c" * 64, "sha256:" + "b" * 64)


def test_images_are_found_by_the_digest_of_what_they_were_made_of(store):
    record = stored(store)
    name = ImageName("example.com/app")
    assert [found.id for found in store.converted(name, "sha256:" + "b" * 64)] == [record.id]
    assert store.converted(name, "sha256:" + "c" * 64) == []
    assert store.converted(ImageName("example.com/other")) == []
    assert stored(store, name="example.com/plain", digests=()).digests == ()
    assert store.converted(ImageName("example.com/plain")) == []


def test_a_pinned_digest_is_part_of_the_verdict():
    verdict = Verdict("pinned", digest=DIGEST)
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert "digest" not in Verdict("pinned").to_json()
