# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Garbage of a host: what the plan says is what is done, pods and what their end leaves unused in the store alike."""

from __future__ import annotations

import json
import os
import time

import pytest
from fetch_site import archive

from _rocket.errors import StoreError, UsageError
from _rocket.host import garbage
from _rocket.image.check import inspect
from _rocket.record import replace
from _rocket.run import last_had
from _rocket.run.collect import Grace
from _rocket.run.launch_record import VERSION, encode
from _rocket.run.names import Names
from _rocket.run.pod_directory import PodDirectory
from _rocket.store.record import new_record
from _rocket.store.store import Store
from _rocket.store.usage import Tally
from _rocket.store.verdict import Verdict
from _rocket.store.watermarks import Watermarks

NOW = garbage.Wanted(Grace(garbage=0, prepared=0, logs=0), 0)


@pytest.fixture
def put(paths):
    def make(name, imported=0):
        store = Store(paths)
        fd, path = store.staging_file()
        os.write(fd, archive(name=f"example.com/{name}", files={"rootfs/x": os.urandom(100_000)}))
        inspection = inspect(fd)
        record = new_record(inspection, Verdict("pinned"), "file")
        record = replace(record, imported_at=imported, checked_at=imported) if imported else record
        store.add(path, record, inspection.manifest_bytes)
        os.close(fd)
        if imported:
            os.utime(f"{paths.images}/{record.id}/aci", (imported, imported))
        store.tree(record.id)
        return record

    return make


@pytest.fixture
def pod_of(paths):
    """Make a pod of an image in a state, with so many bytes of its own."""

    def make(record, state, size=50_000):
        pod = PodDirectory.create(paths)
        app = {"name": "web", "image_id": record.id, "tree": f"{paths.trees}/{record.id}/rootfs"}
        with open(f"{pod.location}/launch", "wb") as file:
            file.write(encode({"version": VERSION, "apps": [app]}))
        with open(f"{pod.location}/pod", "w") as file:
            json.dump({"apps": [{"name": "web", "image": {"id": record.id}}]}, file)
        os.makedirs(f"{pod.location}/apps/web/upper")
        with open(f"{pod.location}/apps/web/upper/data", "wb") as file:
            file.write(os.urandom(size))
        for step in ("run", "exited-garbage") if state == "exited-garbage" else () if state == "prepare" else (state,):
            pod.move(step)
        pod.unlock()
        return pod

    return make


def seen(paths):
    return sorted((path, tuple(names), tuple(files)) for path, names, files in os.walk(paths.data))


@pytest.mark.parametrize("state", ["prepare", "prepared", "run", "exited-garbage", "garbage"])
def test_the_plan_counts_what_the_removal_of_pods_leaves_unused(paths, put, pod_of, state):
    record = put("app")
    pod = pod_of(record, state)
    before = seen(paths)
    plan = garbage.plan(paths, NOW)
    assert seen(paths) == before, "a plan changes nothing"
    assert record.id in [step.subject for step in plan.steps]
    assert sum(step.size or 0 for step in plan.steps if step.subject == pod.uuid) > 50_000
    used = Tally().taken(paths.images, paths.trees, paths.pods(state))
    done = garbage.collect(plan, paths)
    assert done.steps == plan.steps and done.to_diff() == plan.to_diff() and done.to_json() == plan.to_json()
    assert used - Tally().taken(paths.images, paths.trees, paths.pods(state)) == garbage.frees(done.steps) == garbage.told(done)["frees"]
    assert Store(paths).images() == [] and not garbage.plan(paths, NOW).changed


def test_a_pod_in_its_time_of_grace_keeps_its_image_and_a_prepared_one_that_expired_does_not(paths, put, pod_of):
    ended, expired = put("ended"), put("expired")
    pods = pod_of(ended, "run"), pod_of(expired, "prepared")
    wanted = garbage.Wanted(Grace(prepared=0), 0)
    plan = garbage.plan(paths, wanted)
    assert [(step.action, step.subject) for step in plan.steps] == [("mark", pod.uuid) for pod in pods] + [("remove", expired.id)]
    assert garbage.collect(plan, paths).steps == plan.steps
    assert [record.id for record in Store(paths).images()] == [ended.id]
    assert not garbage.plan(paths, wanted).changed


def test_a_pod_that_is_held_when_it_is_its_turn_keeps_its_image(paths, put, pod_of):
    record = put("app")
    pod = pod_of(record, "exited-garbage")
    plan = garbage.plan(paths, NOW)
    assert [step.action for step in plan.steps] == ["sweep", "remove"]
    with PodDirectory(paths, pod.uuid).lock():
        assert garbage.collect(plan, paths).steps == ()
    assert Store(paths).images() == [record]


def waits_for(inode):
    """Return whether a process waits for the lock on a file."""
    with open("/proc/locks") as file:
        return any("->" in line and f":{inode} " in line for line in file)


def test_nobody_prepares_a_pod_while_images_go(paths, put):
    put("app")
    plan = garbage.plan(paths, NOW)
    held = Store(paths).lock("prepare", common=True)
    child = os.fork()
    if child == 0:
        os.close(held.fd)  # it is locked as long as one process has it open
        try:
            garbage.collect(plan, paths)
        finally:
            os._exit(0)
    inode = os.fstat(held.fd).st_ino
    deadline = time.monotonic() + 20
    while not waits_for(inode) and time.monotonic() < deadline:
        os.sched_yield()
    assert waits_for(inode) and len(Store(paths).images()) == 1
    held.close()
    assert os.waitpid(child, 0)[1] == 0 and Store(paths).images() == []


def test_marking_alone_marks_alone(paths, put, pod_of):
    pod = pod_of(put("app"), "run")
    put("unused")
    wanted = garbage.Wanted(Grace(garbage=0, mark_only=True), 0)
    assert [(step.action, step.subject) for step in garbage.collect(garbage.plan(paths, wanted), paths).steps] == [("mark", pod.uuid)]
    with pytest.raises(UsageError, match="mark"):
        garbage.plan(paths, garbage.Wanted(Grace(mark_only=True), 0, Watermarks(2, 1)))


def test_a_host_without_anything_stays_so(paths):
    assert not garbage.collect(garbage.plan(paths, NOW), paths).changed
    assert not os.path.exists(paths.data)


@pytest.mark.parametrize("apply", [False, True])
def test_a_store_of_a_later_version_is_refused_before_anything_goes(paths, put, pod_of, apply):
    pod_of(put("app"), "exited-garbage")
    plan = garbage.plan(paths, NOW)
    with open(f"{paths.data}/version", "w") as file:
        file.write("2\n")
    before = seen(paths)
    with pytest.raises(StoreError, match="version 2"):
        garbage.collect(plan, paths) if apply else garbage.plan(paths, NOW)
    assert seen(paths) == before


def ended(pod, moment):
    path = f"{pod.path(pod.directory())}/ended"
    with open(path, "w") as file:
        file.write("{}")
    os.utime(path, (moment, moment))


def test_marks_take_the_image_first_whose_last_pod_ended_first(paths, put, pod_of):
    """The order of imports is the other one. It is the same before and after the pods are gone."""
    late, early = put("late", 1000), put("early", 2000)
    for record, moment in ((late, 9000), (early, 8000)):
        ended(pod_of(record, "exited-garbage"), moment)
    wanted = garbage.Wanted(Grace(garbage=0), 10**10, Watermarks(2, 1))
    assert [step.subject for step in garbage.plan(paths, wanted).steps if step.action == "remove"] == [early.id, late.id]
    pods_alone = garbage.Wanted(Grace(garbage=0), 10**10)
    assert {step.action for step in garbage.collect(garbage.plan(paths, pods_alone), paths).steps} == {"sweep"}
    assert [step.subject for step in garbage.plan(paths, wanted).steps] == [early.id, late.id]


def test_a_pod_that_goes_writes_down_when_it_ended(paths, put, pod_of):
    record = put("app")
    os.utime(f"{paths.images}/{record.id}/aci", (500, 500))
    pod = pod_of(record, "exited-garbage")
    ended(pod, 7000)
    wanted = garbage.Wanted(Grace(garbage=0), 10**9)
    garbage.collect(garbage.plan(paths, wanted), paths)
    assert os.stat(f"{paths.images}/{record.id}/aci").st_mtime == 7000
    last_had.write_down(paths, {record.id: 6000.0, "sha512-" + "0" * 128: 1.0})
    assert os.stat(f"{paths.images}/{record.id}/aci").st_mtime == 7000, "a later use that is known stays"
    Store(paths).verify(record.id)


@pytest.mark.parametrize("damage", ["link", "directory", "noise"])
def test_a_pod_with_damaged_files_goes_all_the_same(paths, put, pod_of, damage):
    pod = pod_of(put("app"), "garbage")
    for name in ("pod", "launch"):
        path = f"{pod.path('garbage')}/{name}"
        os.unlink(path)
        if damage == "link":
            os.symlink("/etc/passwd", path)
        elif damage == "directory":
            os.mkdir(path)
        else:
            with open(path, "wb") as file:
                file.write(b"\xff" * 100)
    garbage.collect(garbage.plan(paths, NOW), paths)
    assert not os.path.exists(pod.path("garbage")) and Names(paths).images_in_use() == frozenset()


def test_names_of_a_hostile_pod_touch_nothing_outside_the_images(paths, put, tmp_path):
    put("app")
    victim = tmp_path / "victim" / "aci"
    victim.parent.mkdir()
    victim.write_text("x")
    os.utime(victim, (1, 1))
    pod = PodDirectory.create(paths)
    with open(f"{pod.location}/pod", "w") as file:
        json.dump({"apps": [{"name": "web", "image": {"id": "../../victim"}}]}, file)
    assert last_had.had(pod.location) == {}
    pod.move("garbage")
    pod.unlock()
    garbage.collect(garbage.plan(paths, NOW), paths)
    assert victim.stat().st_mtime == 1
