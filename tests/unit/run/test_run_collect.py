# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import threading
import time

import pytest

from _rocket.errors import Busy, NotFound, PodError, SpecError
from _rocket.run import logs
from _rocket.run.collect import Grace, collect, plan_gc, remove_pod
from _rocket.run.names import Named, Names
from _rocket.run.pod_directory import PodDirectory, new_uuid
from _rocket.run.pods import Pods

NOW = Grace(garbage=0, prepared=0, logs=0)


def pod_in(paths, state, held=False):
    pod = PodDirectory.create(paths)
    if state == "exited-garbage":
        pod.move("run")
    if state not in ("embryo", "prepare"):
        pod.move(state)
    if state == "embryo":
        os.rename(pod.location, pod.path("embryo"))
    if not held:
        pod.unlock()
    return pod


def steps(plan):
    return [(step.action, step.subject) for step in plan.steps]


def test_an_exited_pod_is_marked_and_swept_when_its_grace_is_over(paths):
    pod = pod_in(paths, "run")
    plan = plan_gc(paths, Grace())
    assert steps(plan) == [("mark", pod.uuid)]
    assert PodDirectory(paths, pod.uuid).state() == "exited"
    assert len(collect(plan, paths)) == 1
    assert PodDirectory(paths, pod.uuid).state() == "exited-garbage"
    assert plan_gc(paths, Grace()).steps == ()
    assert steps(plan_gc(paths, Grace(), now=time.time() + 1801)) == [("sweep", pod.uuid)]
    assert plan_gc(paths, Grace(mark_only=True), now=time.time() + 1801).steps == ()


@pytest.mark.parametrize("state", ["prepare", "prepared", "run", "exited-garbage", "garbage"])
def test_without_grace_everything_that_is_over_goes_in_one_run(paths, state):
    pod_in(paths, state)
    released = []
    collect(plan_gc(paths, NOW), paths, release=released.append)
    assert Pods(paths).uuids() == () and len(released) == 1
    assert plan_gc(paths, NOW).steps == ()


@pytest.mark.parametrize("state", ["prepare", "run", "exited-garbage", "garbage"])
def test_what_is_held_is_left_alone_at_any_phase(paths, state):
    free = pod_in(paths, state)
    plan = plan_gc(paths, NOW)
    holder = PodDirectory(paths, free.uuid).lock()
    assert collect(plan, paths) == []
    assert PodDirectory(paths, free.uuid).directory() == state
    with pytest.raises(Busy):
        remove_pod(PodDirectory(paths, free.uuid))
    holder.unlock()


def test_an_embryo_gets_the_time_to_be_born(paths):
    pod = pod_in(paths, "embryo")
    assert plan_gc(paths, NOW).steps == ()
    os.unlink(f"{pod.path('embryo')}/lock")
    collect(plan_gc(paths, NOW, now=time.time() + 61), paths)
    assert Pods(paths).uuids() == ()


def test_a_half_deleted_pod_is_deleted_to_the_end(paths):
    pod = pod_in(paths, "garbage")
    os.unlink(f"{pod.path('garbage')}/lock")
    collect(plan_gc(paths, NOW), paths)
    assert Pods(paths).uuids() == ()


def test_a_prepared_pod_that_a_name_waits_for_does_not_expire(paths):
    current, staged, expired = (pod_in(paths, "prepared").uuid for _number in range(3))
    names = Names(paths)
    with names.lock("shop"):
        names.write(Named("shop", pod=current, staged_pod=staged))
    plan = plan_gc(paths, NOW)
    assert [subject for _action, subject in steps(plan)] == [expired, expired]
    collect(plan, paths)
    assert set(Pods(paths).uuids()) == {current, staged} and expired not in Pods(paths).uuids()


def test_a_pod_that_was_claimed_after_the_plan_is_left_alone(paths):
    pod = pod_in(paths, "prepared")
    plan = plan_gc(paths, NOW)
    names = Names(paths)
    with names.lock("shop"):
        names.write(Named("shop", pod=pod.uuid))
    assert collect(plan, paths) == []
    assert PodDirectory(paths, pod.uuid).state() == "prepared"


def test_cgroups_of_pods_that_do_not_run_are_released(paths):
    running, exited, gone = pod_in(paths, "run", held=True), pod_in(paths, "run"), new_uuid()
    released = []
    grace = Grace(mark_only=False)
    collect(plan_gc(paths, grace, cgroups=[running.uuid, exited.uuid, gone]), paths, release=released.append)
    assert set(released) == {exited.uuid, gone}
    running.unlock()


def test_logs_outlive_the_pod_and_then_go(paths):
    uuid = new_uuid()
    os.makedirs(f"{paths.logs}/{uuid}")
    open(f"{paths.logs}/{uuid}/web.log", "w").close()
    assert plan_gc(paths, Grace()).steps == ()
    collect(plan_gc(paths, Grace(logs=0)), paths)
    assert os.listdir(paths.logs) == []


def test_logs_of_a_pod_that_is_there_stay(paths):
    pod = pod_in(paths, "prepared")
    os.makedirs(f"{paths.logs}/{pod.uuid}")
    assert plan_gc(paths, Grace(logs=0)).steps == ()


def test_deleting_does_not_follow_links_out_of_the_pod(paths, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    pod = pod_in(paths, "run")
    os.symlink(tmp_path / "precious", f"{pod.path('run')}/volumes")
    remove_pod(PodDirectory(paths, pod.uuid))
    assert (tmp_path / "precious" / "file").exists()
    assert Pods(paths).uuids() == ()


def write_log(paths, uuid, text, app="web", mode="wb"):
    os.makedirs(f"{paths.logs}/{uuid}", exist_ok=True)
    with open(f"{paths.logs}/{uuid}/{app}.log", mode) as file:
        file.write(text)


@pytest.mark.parametrize(
    ("text", "tail", "expected"),
    [
        (b"a\nb\nc\n", None, [b"a", b"b", b"c"]),
        (b"a\nb\nc\n", 2, [b"b", b"c"]),
        (b"a\nb\nc", 2, [b"b", b"c"]),
        (b"a\nb\nc\n", 9, [b"a", b"b", b"c"]),
        (b"a\nb\n", 0, []),
        (b"", 3, []),
        (b"\n\n", 1, [b""]),
        (b"x" * 70000 + b"\n" + b"y" * 140000 + b"\nz\n", 2, [b"y" * 140000, b"z"]),
    ],
)
def test_reading_a_log_and_its_end(paths, text, tail, expected):
    uuid = new_uuid()
    write_log(paths, uuid, text)
    assert [line.text for line in logs.read(paths, uuid, "web", tail)] == expected


def test_logs_are_found_by_app_and_hostile_names_are_not(paths):
    uuid = new_uuid()
    write_log(paths, uuid, b"one\n", "one")
    write_log(paths, uuid, b"two\n", "two")
    assert [(line.app, line.text) for line in logs.read(paths, uuid)] == [("one", b"one"), ("two", b"two")]
    with pytest.raises(NotFound, match="did you mean two"):
        list(logs.read(paths, uuid, "twoo"))
    for text in ("../../etc", uuid + "/.."):
        with pytest.raises(SpecError):
            list(logs.read(paths, text))
    with pytest.raises(SpecError):
        list(logs.read(paths, uuid, "../one"))
    with pytest.raises(NotFound):
        list(logs.read(paths, new_uuid()))


def test_a_log_that_is_a_link_or_a_pipe_is_not_read(paths, tmp_path):
    uuid = new_uuid()
    os.makedirs(f"{paths.logs}/{uuid}")
    os.mkfifo(f"{paths.logs}/{uuid}/web.log")
    with pytest.raises(PodError, match="regular"):
        list(logs.read(paths, uuid))
    os.unlink(f"{paths.logs}/{uuid}/web.log")
    os.symlink("/etc/passwd", f"{paths.logs}/{uuid}/web.log")
    with pytest.raises(OSError):
        list(logs.read(paths, uuid))


def test_following_ends_with_the_pod_and_misses_nothing(paths):
    pod = pod_in(paths, "run", held=True)
    write_log(paths, pod.uuid, b"old\nfirst\n")
    seen, waiting = [], threading.Event()

    def follow():
        for line in logs.follow(PodDirectory(paths, pod.uuid), ["web", "late"], tail=1):
            seen.append((line.app, line.text))
            waiting.set()

    thread = threading.Thread(target=follow)
    thread.start()
    assert waiting.wait(20)
    write_log(paths, pod.uuid, b"part", mode="ab")
    write_log(paths, pod.uuid, b"here\n", "late")
    write_log(paths, pod.uuid, b"ial\nlast words", mode="ab")
    pod.unlock()
    thread.join(20)
    assert not thread.is_alive()
    assert sorted(seen) == [("late", b"here"), ("web", b"first"), ("web", b"last words"), ("web", b"partial")]


def test_a_line_without_an_end_does_not_fill_the_memory(paths):
    uuid = new_uuid()
    write_log(paths, uuid, b"x" * (5 << 20))
    lines = list(logs.read(paths, uuid))
    assert max(len(line.text) for line in lines) < 2 << 20 and sum(len(line.text) for line in lines) == 5 << 20
