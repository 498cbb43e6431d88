# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A fetch that renders: one pass for what came, the same tree as any other start makes, and nothing of it where the fetch fails."""

from __future__ import annotations

import errno
import os

import pytest
from fetch_site import archive, discovery_page, signed
from oci_images import Image
from oci_registry import LOWER, REFERENCE, push

from _rocket.errors import ArchiveError, FetchError, SpecError, StoreError, TrustError
from _rocket.fetch.fetcher import Fetcher
from _rocket.fetch.locking import Locking
from _rocket.image import check, extract
from _rocket.record import replace
from _rocket.store import staged_tree
from _rocket.store.store import Store
from _rocket.store.trees import LISTING, read_tree

FILES = {"rootfs/a": b"a" * 3_000_000, "rootfs/b": b"b"}


@pytest.fixture
def passes(monkeypatch):
    """Which passes over archives were made."""
    made = []

    def watched(name, real):
        def work(*values, **named):
            made.append(name)
            return real(*values, **named)

        return work

    monkeypatch.setattr(check, "inspect", watched("inspect", check.inspect))
    monkeypatch.setattr(extract, "extract", watched("extract", extract.extract))
    return made


@pytest.fixture
def trees(paths):
    """Return the names of the trees, and that nothing else is left."""

    def look():
        assert os.listdir(paths.staging) == []
        return sorted(os.listdir(paths.trees))

    return look


@pytest.mark.parametrize("compression", ["gz", ""])
def test_what_comes_is_read_once_and_its_tree_is_the_one_of_any_other_start(
    site, fetcher, store, verifier, options, paths, tmp_path, passes, trees, compression
):
    site.publish(archive(files=FILES, compression=compression))
    got = fetcher(render=True).get("example.com/app")
    assert passes == ["extract"] and trees() == [got.record.id]
    other = Store(replace(paths, data=str(tmp_path / "other")))
    plain = Fetcher(other, verifier, options).get("example.com/app").record
    changing = {"imported_at": 0, "checked_at": 0, "verdict": got.record.verdict}
    assert replace(plain, **changing) == replace(got.record, **changing), "the record is that of an inspection"
    passes.clear()
    root = store.tree(got.record.id)
    assert passes == [], "it is there"
    listings = [open(f"{os.path.dirname(place)}/{LISTING}", "rb").read() for place in (root, other.tree(plain.id))]
    assert listings[0] == listings[1] and listings[0].count(b"\n") == 3
    records = [replace(read_tree(f"{each.paths.trees}/{plain.id}"), rendered_at=0) for each in (store, other)]
    assert records[0] == records[1]
    with open(f"{root}/a", "rb") as file:
        assert file.read() == FILES["rootfs/a"]


def test_nothing_is_unpacked_before_it_is_known_who_vouches_for_it(site, fetcher, passes, trees, nothing_published):
    data = archive(files=FILES)
    site.publish(data, signature=b"no")
    with pytest.raises(TrustError):
        fetcher(render=True).get("example.com/app")
    assert passes == []
    # Without a name the manifest has to say whose key is needed: it is looked at, and unpacked when that is known.
    with pytest.raises(TrustError):
        fetcher(render=True).get("https://example.com/images/app.aci")
    assert passes == ["inspect"] and trees() == []
    nothing_published()
    site.publish(data)
    got = fetcher(render=True).get("https://example.com/images/app.aci")
    assert passes == ["inspect", "inspect", "extract"] and trees() == [got.record.id]


BAD = {
    "another name": (archive(name="example.com/other"), FetchError),
    "another version": (archive(labels=(("version", "2.0"),)), FetchError),
    "cut": (archive(files=FILES)[:-100], ArchiveError),
    "no manifest that is one": (archive(acVersion="x"), SpecError),
    "a way out": (archive(files={"rootfs/../../x": b""}), ArchiveError),
}


@pytest.mark.parametrize("case", BAD)
def test_a_tree_of_what_is_refused_goes_with_it(site, fetcher, trees, nothing_published, case):
    data, kind = BAD[case]
    site.publish(data)
    with pytest.raises(kind):
        fetcher(render=True).get("example.com/app:1.0")
    assert trees() == []
    nothing_published()


def test_images_that_depend_on_each_other_are_all_rendered_or_none(serve, fetcher, store, trees, nothing_published, monkeypatch):
    serve("b")
    serve("a", "b")
    monkeypatch.setattr(staged_tree, "put_in_place", full_disk)
    with pytest.raises(StoreError):
        fetcher(render=True).get("example.com/a")
    nothing_published()
    assert trees() == []
    monkeypatch.undo()
    got = fetcher(render=True).get("example.com/a")
    assert len(trees()) == 3, "of both archives, and of both together"
    assert sorted(os.listdir(store.tree(got.record.id))) == ["a", "b"]


def full_disk(*_values):
    raise StoreError("no space", code="disk-full", errno=errno.ENOSPC)


@pytest.mark.parametrize("locked", [False, True])
def test_what_is_there_without_a_tree_is_planned_and_rendered(serve, fetcher, store, verifier, options, trees, locked):
    serve("b")
    serve("a", "b")
    lock = Locking(store, verifier, options).resolve(["example.com/a"], [options.host]) if locked else None
    record = fetcher(lock=lock).get("example.com/a").record
    assert not fetcher(lock=lock).plan("example.com/a").changed
    serve("b", version="2.0")
    fetcher(pull_policy="update").get("example.com/b")
    plan = fetcher(lock=lock, render=True).plan("example.com/a")
    assert [(step.action, step.subject) for step in plan.steps] == [("render", record.id)] and plan.before != plan.after
    assert trees() == []
    assert fetcher(lock=lock, render=True).get("example.com/a").place == "store"
    assert not fetcher(lock=lock, render=True).plan("example.com/a").changed
    composed = [read_tree(f"{store.paths.trees}/{name}") for name in trees()]
    (whole,) = (tree for tree in composed if len(tree.images) == 2)
    newer = store.resolve("example.com/b").id
    assert (newer in whole.images) is not locked


def test_an_image_of_a_registry_is_rendered_too(site, fetcher, trees):
    image = push(site, Image(LOWER))
    reference = f"{REFERENCE}@{image.digest}"
    assert fetcher(render=True).get(reference).record.id in trees()
    assert not fetcher(render=True).plan(reference).changed


def test_what_is_not_wanted_is_not_made(site, fetcher, paths, passes):
    site.publish(archive())
    fetcher().get("example.com/app")
    assert passes == ["inspect"] and os.listdir(paths.trees) == []


def test_a_tree_that_is_there_stays(site, fetcher, store, trees):
    site.publish(archive())
    record = fetcher().get("example.com/app").record
    before = os.stat(store.tree(record.id)).st_ino
    site.pages["/app?ac-discovery=1"] = discovery_page("example.com/app https://example.com/images/again.{ext}")
    data = archive()
    site.pages["/images/again.aci"], site.pages["/images/again.aci.asc"] = data, signed(data)
    assert fetcher(render=True, pull_policy="update").get("example.com/app").record.id == record.id
    assert os.stat(store.tree(record.id)).st_ino == before and trees() == [record.id]


def test_what_is_fetched_is_planned_as_a_fetch_alone(site, fetcher, trees):
    site.publish(archive())
    assert [step.action for step in fetcher(render=True).plan("example.com/app").steps] == ["fetch"]
    fetcher().get("example.com/app")
    site.publish(archive(files=FILES))
    assert [step.action for step in fetcher(render=True, pull_policy="update").plan("example.com/app", "latest").steps] == ["fetch"]


def test_an_image_that_was_removed_meanwhile_gets_no_tree(store, tmp_path, trees):
    (tmp_path / "a.aci").write_bytes(archive())
    staged = staged_tree.StagedTree(store)
    with open(tmp_path / "a.aci", "rb") as file:
        assert staged.fill(file.fileno()).image_id
    staged.enter()
    staged.close()
    assert trees() == []
