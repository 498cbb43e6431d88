# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal

import pytest

from _rocket.errors import Ambiguous, Busy, NotFound, PodError, SpecError
from _rocket.paths import POD_STATES
from _rocket.run.pod_directory import MOVES, PodDirectory, is_uuid, new_uuid
from _rocket.run.pods import Pods
from _rocket.run.process import Process, read_processes
from _rocket.run.stop import stop


@pytest.fixture
def other(paths):
    """Another process that locks a pod and holds it until it is killed."""
    children = []

    def hold(uuid, move="", supervisor="", ignore=()):
        ready, tells = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                for number in (signal.SIGTERM, signal.SIGQUIT):  # a shell ignores SIGQUIT in what it starts in the background
                    signal.signal(number, signal.SIG_DFL)
                for number in ignore:
                    signal.signal(number, signal.SIG_IGN)
                pod = PodDirectory(paths, uuid).lock()
                if move:
                    pod.move(move)
                own = Process.of(os.getpid())
                with open(f"{pod.location}/supervisor", "w") as file:
                    file.write(supervisor or f"{own.pid} {own.start}\n")
                os.write(tells, b"x")
                while True:
                    signal.pause()
            finally:
                os._exit(1)
        os.close(tells)
        children.append(pid)
        assert os.read(ready, 1) == b"x"
        os.close(ready)
        return pid

    yield hold
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def prepared(paths):
    with PodDirectory.create(paths) as pod:
        pod.move("prepared")
    return pod


@pytest.mark.spec("T8")
def test_only_a_canonical_uuid_names_a_directory(paths):
    assert is_uuid(new_uuid()) and new_uuid() != new_uuid()
    for text in ("../../etc", "", new_uuid().upper(), new_uuid() + "/..", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(SpecError):
            PodDirectory(paths, text)


def test_every_state_is_directory_and_lock(paths):
    expected = {
        "embryo": ("embryo", "embryo"),
        "prepare": ("preparing", "aborted-prepare"),
        "prepared": ("prepared", "prepared"),
        "run": ("running", "exited"),
        "exited-garbage": ("exited-deleting", "exited-garbage"),
        "garbage": ("deleting", "garbage"),
    }
    for state in POD_STATES:
        pod = PodDirectory.create(paths)
        os.rename(pod.location, pod.path(state)) if state != "prepare" else None
        watcher = PodDirectory(paths, pod.uuid)
        locked = watcher.state()
        pod.unlock()
        assert (locked, watcher.state()) == expected[state]


def test_moves_are_forward_and_need_the_lock(paths):
    for here, targets in MOVES.items():
        assert all(POD_STATES.index(target) > POD_STATES.index(here) for target in targets)
    pod = PodDirectory.create(paths)
    with pytest.raises(PodError, match="does not go from"):
        pod.move("embryo")
    pod.move("prepared")
    with pytest.raises(PodError, match="does not go from"):
        pod.move("exited-garbage")
    pod.unlock()
    with pytest.raises(PodError, match="not locked"):
        pod.move("run")


def test_a_second_rocket_is_told_which_process_holds_the_pod(paths, other):
    uuid = prepared(paths).uuid
    pid = other(uuid, move="run")
    with pytest.raises(Busy) as caught:
        PodDirectory(paths, uuid).lock()
    assert f"process {pid}" in str(caught.value) and caught.value.facts["pid"] == pid
    assert PodDirectory(paths, uuid).state() == "running"


def test_the_kernel_ends_running_when_the_holder_is_killed(paths, other):
    uuid = prepared(paths).uuid
    pid = other(uuid, move="run")
    pod = PodDirectory(paths, uuid)
    assert pod.wait(0) is False
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert pod.wait() is True and pod.state() == "exited"


def test_a_look_does_not_keep_a_taker_out(paths):
    import fcntl
    import threading

    pod = prepared(paths)
    fd = os.open(f"{pod.location}/lock", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    looking = threading.Timer(0.05, os.close, (fd,))
    looking.start()
    with PodDirectory(paths, pod.uuid).lock() as taken:
        assert taken.held
    looking.join()


def test_the_lock_does_not_leak_into_programs(paths):
    pod = PodDirectory.create(paths)
    assert not os.get_inheritable(pod.lock_fd)
    assert os.path.isfile(f"{pod.location}/lock") and not os.path.islink(f"{pod.location}/lock")


def test_a_lock_on_a_removed_pod_is_no_lock(paths):
    pod = prepared(paths)
    os.unlink(f"{pod.location}/lock")
    with pytest.raises(PodError, match="lost its lock"):
        PodDirectory(paths, pod.uuid).lock()
    os.rmdir(pod.location)
    with pytest.raises(NotFound):
        PodDirectory(paths, pod.uuid).lock()


def test_a_lock_on_a_file_that_was_replaced_meanwhile_is_taken_again(paths, monkeypatch):
    from _rocket.run import pod_directory

    pod = prepared(paths)
    real, replaced = pod_directory.fcntl.flock, []

    def flock(fd, operation):
        if not replaced:
            replaced.append(True)
            os.rename(f"{pod.location}/lock", f"{pod.location}/old")
            open(f"{pod.location}/lock", "w").close()
        real(fd, operation)

    monkeypatch.setattr(pod_directory.fcntl, "flock", flock)
    with PodDirectory(paths, pod.uuid).lock() as taken:
        assert os.path.samestat(os.fstat(taken.lock_fd), os.stat(f"{taken.location}/lock"))


def test_a_lock_file_that_is_a_link_is_not_followed(paths, tmp_path):
    pod = prepared(paths)
    os.unlink(f"{pod.location}/lock")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    os.symlink(victim, f"{pod.location}/lock")
    with pytest.raises(OSError):
        PodDirectory(paths, pod.uuid).lock()
    assert victim.read_text() == "precious"


def test_processes_of_an_earlier_boot_or_a_damaged_file_are_nobody(tmp_path):
    file = tmp_path / "supervisor"
    own = Process.of(os.getpid())
    file.write_text(f"{own.pid} {own.start}\n")
    assert read_processes(str(file)) == (own,)
    os.utime(file, (1, 1))
    assert read_processes(str(file)) == ()
    for text in ("x 1", "12", "-1 5", f"1 {own.start}"):
        file.write_text(text)
        assert read_processes(str(file)) == ()


def test_a_number_used_again_is_another_process():
    own = Process.of(os.getpid())
    stranger = Process(own.pid, own.start + 1)
    assert own.alive and not stranger.alive
    assert stranger.send(signal.SIGKILL) is False


def test_pods_are_found_by_the_beginning_of_their_uuid(paths):
    one, two = PodDirectory.create(paths, f"aaaa{new_uuid()[4:]}"), PodDirectory.create(paths, f"aaab{new_uuid()[4:]}")
    pods = Pods(paths)
    assert pods.find("aaaa").uuid == one.uuid
    with pytest.raises(Ambiguous):
        pods.find("aaa")
    for text in ("a", "bbbb", "../" + two.uuid):
        with pytest.raises(NotFound):
            pods.find(text)
    assert [pod.state for pod in pods.list()] == ["preparing", "preparing"]


def test_stop_asks_and_waits_for_the_lock(paths, other):
    uuid = prepared(paths).uuid
    pid = other(uuid, move="run")
    assert stop(PodDirectory(paths, uuid), timeout=30) is True
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGTERM
    assert stop(PodDirectory(paths, uuid), timeout=30) is False


def test_force_is_another_signal(paths, other):
    uuid = prepared(paths).uuid
    pid = other(uuid, move="run")
    stop(PodDirectory(paths, uuid), timeout=30, force=True)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGQUIT


def test_who_does_not_listen_is_killed_in_the_end(paths, other):
    uuid = prepared(paths).uuid
    pid = other(uuid, move="run", ignore=(signal.SIGTERM,))
    assert stop(PodDirectory(paths, uuid), timeout=0, margin=0.1) is True
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


def test_a_stale_supervisor_file_kills_nobody(paths, other):
    uuid = prepared(paths).uuid
    own = Process.of(os.getpid())
    holder = other(uuid, move="run", supervisor=f"{own.pid} {own.start + 1} {own.pid} {own.start + 1}\n")
    assert stop(PodDirectory(paths, uuid), timeout=0, margin=0.3) in (True, False)
    assert os.waitpid(holder, os.WNOHANG) is not None
