# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Above the high mark what nothing needs goes, least recently used first, down to the low one, and nothing else ever."""

from __future__ import annotations

import os

import pytest
from store_archives import INSECURE, archive

from _rocket.errors import UsageError
from _rocket.record import replace
from _rocket.store import collect
from _rocket.store.collect import plan_gc
from _rocket.store.record import new_record
from _rocket.store.store import Store
from _rocket.store.usage import Tally
from _rocket.store.watermarks import Level, Watermarks, parse_watermarks

NOW = 2_000_000_000
KEPT = 10**10
MIB = 1 << 20
ALL = Watermarks(1, 0)


def taken(paths):
    return Tally().taken(*(getattr(paths, part) for part in ("images", "trees", "blobs", "staging", "garbage")))


def subjects(plan):
    return [step.subject for step in plan.steps]


@pytest.fixture
def put(store, imports):
    """Put an image of about a mebibyte into the store, last used at a time; return its record."""

    def make(name, used, size=MIB, layers=(), **members):
        data = archive(name=f"example.com/{name}", files={"rootfs/x": os.urandom(size)}, **members)
        fd, path, inspection = imports.stage(data)
        record = replace(new_record(inspection, INSECURE, "file"), imported_at=used, checked_at=used, layers=layers)
        try:
            store.add(path, record, inspection.manifest_bytes)
        finally:
            os.close(fd)
        os.utime(f"{store.paths.images}/{record.id}/aci", (used, used))
        return record

    return make


def gc(store, in_use=(), marks=ALL, grace=KEPT, **more):
    return plan_gc(store, in_use, grace, NOW, marks, **more)


def test_least_recently_used_first_and_no_more_than_needed(store, put, paths):
    images = {name: put(name, NOW - age) for name, age in (("b", 50), ("a", 40), ("d", 30), ("c", 20))}
    full = taken(paths)
    plan = gc(store, marks=Watermarks(full - 1, full - MIB - MIB // 2))
    assert subjects(plan) == [images["b"].id, images["a"].id]
    assert gc(store, marks=Watermarks(full, full - 1)).steps == (), "at the mark is not above it"
    assert collect.collect(plan) == list(plan.steps)
    assert sorted(record.name for record in store.images()) == ["example.com/c", "example.com/d"]
    assert full - taken(paths) == sum(step.size for step in plan.steps) > 2 * MIB
    assert gc(store, marks=Watermarks(full - 1, full - MIB - MIB // 2)).steps == ()


def test_it_ends_exactly_at_the_low_mark(store, put, paths):
    first, second = put("a", NOW - 2), put("b", NOW - 1)
    full = taken(paths)
    size = gc(store).steps[0].size
    assert subjects(gc(store, marks=Watermarks(full - 1, full - size))) == [first.id]
    assert subjects(gc(store, marks=Watermarks(full - 1, full - size - 1))) == [first.id, second.id]


def test_what_is_in_use_stays_with_all_that_it_depends_on(store, put):
    base = put("base", NOW - 1000)
    top = put("top", NOW - 900, dependencies=[{"imageName": "example.com/base"}])
    other = put("other", NOW - 1)
    plan = gc(store, {top.id})
    assert subjects(plan) == [other.id]
    assert len(plan.drift) == 1 and "nothing else may go" in plan.drift[0]
    collect.collect(plan, {top.id})
    assert {record.id for record in store.images()} == {base.id, top.id}
    again = gc(store, {top.id})
    assert again.steps == () and again.drift, "the second run has nothing to do, and says why"


def test_what_depends_on_an_image_goes_before_it(store, put):
    base = put("base", NOW - 1000)
    top = put("top", NOW - 10, dependencies=[{"imageName": "example.com/base"}])
    middle = put("middle", NOW - 500)
    assert subjects(gc(store))[:3] == [middle.id, *(top.id, base.id)], "using the top is using the base"


def test_a_tie_is_broken_from_the_top_down(store, put):
    base = put("base", NOW - 10)
    top = put("top", NOW - 10, dependencies=[{"imageName": "example.com/base"}])
    assert subjects(gc(store)) == [top.id, base.id]


def test_the_last_use_by_a_pod_counts_and_so_does_that_of_one_that_is_to_go(store, put, paths):
    first, second, third = (put(name, NOW - age) for name, age in (("a", 30), ("b", 20), ("c", 10)))
    os.utime(f"{paths.images}/{first.id}/aci", (NOW - 5, NOW - 5))
    assert subjects(gc(store)) == [second.id, third.id, first.id]
    assert subjects(gc(store, going=(0, {second.id: NOW - 1}))) == [third.id, first.id, second.id]


def test_a_use_in_the_future_is_no_use_after_now(store, put, paths):
    first, second = put("a", NOW - 10), put("b", NOW)
    os.utime(f"{paths.images}/{first.id}/aci", (NOW + 10**6, NOW + 10**6))
    assert set(subjects(gc(store))) == {first.id, second.id}
    assert Store(paths).last_use(first.id) == NOW + 10**6
    assert subjects(gc(store)) == sorted((first.id, second.id)), "both were used just now"


def test_an_image_takes_its_trees_and_layers_along(store, put, paths):
    digest, shared = ("sha256:" + digit * 64 for digit in "ab")
    blobs = f"{paths.blobs}/sha256"
    base = put("base", NOW - 30, layers=(digest, shared))
    top = put("top", NOW - 30, dependencies=[{"imageName": "example.com/base"}], layers=(shared,))
    os.makedirs(blobs)
    for name in (digest, shared):
        with open(f"{blobs}/{name[7:]}", "wb") as file:
            file.write(os.urandom(5000))
    store.tree(top.id)
    composed = set(os.listdir(paths.trees)) - {base.id, top.id}
    assert len(composed) == 1
    before = taken(paths)
    plan = gc(store)
    assert subjects(plan) == [top.id, *composed, base.id, digest, shared]
    assert gc(store, {base.id}).steps[-1].subject in composed, "the layer that the base has too stays"
    assert collect.collect(plan) == list(plan.steps)
    assert before - taken(paths) == sum(step.size for step in plan.steps)
    assert os.listdir(paths.trees) == os.listdir(blobs) == []


def test_a_shared_file_counts_with_the_last_tree_that_has_it(store, put, paths):
    put("base", NOW - 30, size=4 * MIB)
    top = put("top", NOW - 30, size=100, dependencies=[{"imageName": "example.com/base"}])
    store.tree(top.id)
    sizes = {dict(step.facts)["kind"]: step.size for step in gc(store).steps if step.subject != top.id}
    assert sizes["tree"] < MIB < 8 * MIB <= sizes["image"]


def test_age_comes_first_and_counts(store, put, paths):
    old, young = put("old", NOW - 5000), put("young", NOW - 50)
    full = taken(paths)
    marks = Watermarks(full - MIB // 2, full - MIB // 2 - 1)
    assert subjects(gc(store, marks=marks, grace=1000)) == [old.id], "what age removes is enough"
    assert subjects(gc(store, marks=marks)) == [old.id]
    assert subjects(gc(store, grace=1000)) == [old.id, young.id]
    assert subjects(gc(store, marks=Watermarks(full - 1, full - 2), going=(full, {}))) == [old.id], "pods are no part of the store"


def test_what_a_dead_process_left_is_counted_once(store, put, paths):
    put("a", NOW - 10)
    os.mkdir(f"{paths.staging}/dead")
    assert subjects(gc(store)).count(f"{paths.staging}/dead") == 1


def test_an_old_image_takes_the_trees_that_are_made_of_it_along(store, put, paths):
    """A collection that leaves them has something to do a second time."""
    put("base", NOW - 30)
    top = put("top", NOW - 30, dependencies=[{"imageName": "example.com/base"}])
    store.tree(top.id)
    plan = plan_gc(store, (), 0, NOW)
    collect.collect(plan)
    assert os.listdir(paths.trees) == [] and not plan_gc(store, (), 0, NOW).changed


def test_a_cut_download_goes_in_its_turn_and_a_live_one_never(store, put, paths):
    image = put("a", NOW - 10)
    partial = store.partial("https://example.com/x")
    os.write(partial.fd, b"x" * 10000)
    with open(f"{os.path.dirname(partial.path)}/origin", "w") as file:
        file.write("{}")
    os.utime(partial.path, (NOW - 20, NOW - 20))
    assert subjects(gc(store)) == [image.id]
    os.close(partial._directory_fd)
    os.close(partial.fd)
    assert subjects(gc(store)) == [os.path.dirname(partial.path), image.id]


def test_what_came_again_since_the_plan_stays(store, put, paths, imports):
    data = archive(name="example.com/a")
    fd, path, inspection = imports.stage(data)
    os.close(fd)
    store.discard(path)
    imports(data)
    plan = gc(store)
    assert len(plan.steps) == 1
    fd, path, inspection = imports.stage(data)
    later = replace(new_record(inspection, INSECURE, "file"), imported_at=NOW + 1)
    store.add(path, later, inspection.manifest_bytes)
    os.close(fd)
    assert collect.collect(plan) == [] and len(store.images()) == 1
    assert collect.collect(gc(store)) != []


def test_what_came_into_use_since_the_plan_stays_with_its_tree(store, put, paths):
    put("base", NOW - 30)
    top = put("top", NOW - 30, dependencies=[{"imageName": "example.com/base"}])
    store.tree(top.id)
    trees = sorted(os.listdir(paths.trees))
    plan = gc(store)
    assert len(plan.steps) == 3
    assert collect.collect(plan, {top.id}) == []
    assert sorted(os.listdir(paths.trees)) == trees


def test_a_damaged_image_goes_first(store, put, paths):
    put("good", NOW - 10**6)
    bad = put("bad", NOW)
    os.unlink(f"{paths.images}/{bad.id}/record.json")
    assert subjects(gc(store))[0] == bad.id


def test_a_share_of_the_file_system(paths, monkeypatch, put, store):
    image = put("a", NOW - 10)

    class Found:
        f_blocks, f_bfree, f_bavail, f_frsize = 1100, 300, 200, 1 << 20

    monkeypatch.setattr(os, "statvfs", lambda _path: Found)
    level = Watermarks(80, 79, percent=True).level(paths)
    assert level == Level(used=800 * MIB, high=800 * MIB, low=790 * MIB, total=1000 * MIB), "as df counts"
    assert gc(store, marks=Watermarks(80, 1, True)).steps == ()
    assert subjects(gc(store, marks=Watermarks(79, 78, True))) == [image.id]
    assert gc(store, marks=Watermarks(79, 78, True), going=(20 * MIB, {})).steps == (), "pods are on it too"
    told = gc(store, marks=Watermarks(79, 1, True)).drift
    assert len(told) == 1 and "79." in told[0] and "1.0%" in told[0]


def test_a_store_that_is_not_there_is_empty(paths):
    for marks in (Watermarks(1, 0), Watermarks(1, 0, percent=True)):
        assert marks.level(paths).used == 0


@pytest.mark.parametrize(
    ("high", "low", "expected"),
    [
        ("20G", "15G", Watermarks(20 * 10**9, 15 * 10**9)),
        ("1Gi", "512Mi", Watermarks(1 << 30, 1 << 29)),
        ("85%", "70%", Watermarks(85, 70, True)),
        ("100%", "0%", Watermarks(100, 0, True)),
        ("1", "0", Watermarks(1, 0)),
        ("", "", None),
    ],
)
def test_marks(high, low, expected):
    assert parse_watermarks(high, low) == expected


@pytest.mark.parametrize(
    ("high", "low", "where", "says"),
    [
        ("20G", "", "--low-water", "--high-water"),
        ("", "20G", "--high-water", "--low-water"),
        ("20G", "70%", "--low-water", "another kind"),
        ("85%", "1G", "--low-water", "another kind"),
        ("70%", "85%", "--low-water", "below"),
        ("70%", "70%", "--low-water", "below"),
        ("1G", "1000M", "--low-water", "below"),
        ("101%", "70%", "--high-water", "85%"),
        ("8５%", "70%", "--high-water", "85%"),
        ("-5%", "1%", "--high-water", "85%"),
        ("%", "1%", "--high-water", "85%"),
        ("85.5%", "1%", "--high-water", "85%"),
        ("-1G", "1", "--high-water", "20G"),
        ("full", "1", "--high-water", "20G"),
        ("1G", "low", "--low-water", "20G"),
    ],
)
def test_marks_that_mean_nothing(high, low, where, says):
    with pytest.raises(UsageError) as caught:
        parse_watermarks(high, low)
    assert caught.value.where == where and says in str(caught.value) and "\n" not in str(caught.value)
