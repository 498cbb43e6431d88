# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Garbage collection removes what is dead, keeps what lives, and says before what it will do."""

from __future__ import annotations

import fcntl
import os
import threading

import pytest
from store_archives import archive

from _rocket.errors import StoreError
from _rocket.store import collect, locks
from _rocket.store.collect import plan_gc
from _rocket.store.store import Store


def _subjects(plan):
    return sorted((dict(step.facts)["kind"], step.subject) for step in plan.steps)


def test_the_dry_run_is_the_run(store, imports, paths):
    old, used = imports(), imports(name="example.com/used")
    store.tree(old.id)
    store.tree(used.id)
    os.mkdir(f"{paths.garbage}/old")
    os.mkdir(f"{paths.staging}/dead")
    plan = plan_gc(store, {used.id}, grace=0)
    assert _subjects(plan) == [("garbage", f"{paths.garbage}/old"), ("image", old.id), ("staging", f"{paths.staging}/dead")]
    assert len(store.images()) == 2, "a plan changes nothing"
    assert collect.collect(plan) == list(plan.steps)
    assert store.images() == [used] and os.listdir(paths.trees) == [used.id]
    assert not plan_gc(store, {used.id}, grace=0).changed


def test_the_grace_counts_from_the_import(store, imports):
    record = imports()
    assert plan_gc(store, (), 100, now=record.imported_at + 99).steps == ()
    assert len(plan_gc(store, (), 100, now=record.imported_at + 100).steps) == 1
    assert plan_gc(store, (), 100, now=record.imported_at - 10**6).steps == (), "a clock that jumped back removes nothing"


def test_live_work_is_left_alone(store, imports, paths):
    fd, path, _inspection = imports.stage(archive())
    assert plan_gc(store).steps == ()
    os.close(fd)
    plan = plan_gc(store)
    assert _subjects(plan) == [("staging", path)]
    keeper = os.open(path, os.O_RDONLY)
    fcntl.flock(keeper, fcntl.LOCK_EX)
    assert collect.collect(plan) == [] and os.path.exists(path), "it came alive between plan and run"
    os.close(keeper)
    collect.collect(plan)
    assert not os.path.exists(path)


def test_an_image_that_came_into_use_after_the_plan_stays(store, imports):
    record = imports()
    plan = plan_gc(store, (), 0)
    assert collect.collect(plan, {record.id}) == []
    assert store.images() == [record]


def test_a_tree_outlives_its_image_only_while_it_is_used(store, imports, paths):
    record = imports()
    store.tree(record.id)
    store.give_up(f"{paths.images}/{record.id}")
    assert ("tree", record.id) not in _subjects(plan_gc(store, {record.id}, 0))
    plan = plan_gc(store, (), 0)
    assert ("tree", record.id) in _subjects(plan)
    collect.collect(plan)
    assert os.listdir(paths.trees) == []


def test_a_damaged_image_is_collected_by_its_age(store, imports, paths):
    record = imports()
    os.unlink(f"{paths.images}/{record.id}/record.json")
    assert plan_gc(store, (), 1000).steps == ()
    collect.collect(plan_gc(store, (), 0))
    assert os.listdir(paths.images) == []


def test_what_cannot_be_removed_is_named_and_does_not_keep_the_rest(store, imports, paths, monkeypatch):
    imports()
    os.mkdir(f"{paths.garbage}/stuck")
    os.mkdir(f"{paths.garbage}/well")
    plan = plan_gc(store, (), 0)
    real = collect.discard

    def discard(path):
        if path.endswith("stuck"):
            raise StoreError("cannot be removed", where=path)
        real(path)

    monkeypatch.setattr(collect, "discard", discard)
    with pytest.raises(StoreError, match="1 of 3") as caught:
        collect.collect(plan)
    assert "stuck" in str(caught.value)
    assert os.listdir(paths.garbage) == ["stuck"] and Store(paths).images() == []


def test_a_name_with_a_newline_in_the_store_is_no_image(store, imports, paths):
    imports()
    os.mkdir(f"{paths.images}/a\nb")
    assert len(store.images()) == 1 and plan_gc(store).steps == ()


def test_lock_files_of_dead_processes_go_and_held_ones_stay(store, imports, paths):
    record = imports()
    held, path = store.lock(record.id), f"{paths.locks}/{'sha512-' + '0' * 128}"
    store.lock("prepare", common=True).close()
    open(path, "w").close()
    open(f"{path}.text", "w").close()
    plan = plan_gc(store, {record.id}, 0)
    assert _subjects(plan) == [("lock", path), ("lock", f"{path}.text")]
    with locks.exclusive(path):
        assert collect.collect(plan) == [plan.steps[1]]
    assert collect.collect(plan_gc(store, {record.id}, 0)) == [plan.steps[0]]
    assert sorted(os.listdir(paths.locks)) == ["prepare", record.id]
    held.close()


def test_who_waits_for_a_lock_file_that_is_collected_gets_one_of_its_own(store, paths):
    store.open_for_writing()
    path = f"{paths.locks}/{'sha512-' + '0' * 128}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    got = []
    waiting = threading.Thread(target=lambda: got.append(locks.exclusive(path)))
    waiting.start()
    os.unlink(path)
    os.close(fd)
    waiting.join(20)
    assert locks.same_file(got[0].fd, path)
    got[0].close()
