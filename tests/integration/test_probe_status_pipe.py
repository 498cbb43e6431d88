# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The status pipe in the hands of a hostile program: between the two execves a process is as open to others of its user as any
(L4). Here the exec program leaves the pipe to the app, so that the race is always won."""

from __future__ import annotations

import os
import select
import signal

import pytest

pytestmark = pytest.mark.usefixtures("host")

CLOSE, KEEP = "ba01000000", "ba00000000"


def hand_over():
    """In the supervisor: have the exec program leave descriptor 3 open."""
    from _rocket.run.linux import programs

    machine = os.uname().machine
    if machine != "x86_64":
        pytest.skip("missing ability: x86_64")
    programs._EXEC = {machine: "".join(programs._EXEC[machine]).replace(CLOSE, KEEP, 1)}


def forged(**identity):
    """Return what the launcher's own child would write when it is built, with another identity."""
    from _rocket.run.linux import report

    reading, writing = os.pipe()
    report.send(writing, "built", identity={"uid": 0, "gid": 0, "groups": [], **identity}, warnings=[])
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read()


def test_an_app_cannot_tell_the_supervisor_who_it_is(pod_of, tree):
    (tree / "forged").write_bytes(forged())
    (tree / "tmp").chmod(0o1777)
    note = ["/bin/sh", "-c", "id -u >> /tmp/ids"]
    pod = pod_of("cat /forged >&3; sleep 1000", user="1000", group="1000", pre_start=note, post_stop=note)
    assert "out of turn" in pod.start(prepare=hand_over)
    assert pod.wait() == 254
    assert set((pod.directory / "apps/app/upper/tmp/ids").read_text().split()) == {"1000"}


def test_an_app_cannot_make_the_supervisor_unmarshal(pod_of, tree):
    import marshal

    data = marshal.dumps({"kind": "built", "identity": {"uid": 0, "gid": 0}, "warnings": []})
    (tree / "forged").write_bytes((0x80000000 | len(data)).to_bytes(4, "little") + data)
    pod = pod_of("cat /forged >&3; sleep 1000", user="1000", group="1000")
    assert "cannot be read" in pod.start(prepare=hand_over)
    assert pod.wait() == 254


def test_a_kept_pipe_does_not_stop_the_supervisor(pod_of):
    pod = pod_of("sleep 1000 & exit 3")
    pod.start(prepare=hand_over, ready=False)
    assert pod.wait() == 3


def test_a_kept_pipe_does_not_stop_who_enters(pod_of):
    from _rocket.run.enter import enter

    pod = pod_of("sleep 1000")
    assert pod.start() == "ok"
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            hand_over()
            status = enter(str(pod.directory), pod.record, "app", ["/bin/sh", "-c", "sleep 1000 & exit 5"], False)
        finally:
            os._exit(status)
    pidfd = os.pidfd_open(pid)
    in_time = bool(select.select([pidfd], [], [], 10)[0])
    os.close(pidfd)
    if not in_time:
        os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5


def test_the_exec_program_cannot_be_read():
    """The kernel hides a process that runs a program which its user cannot read."""
    from _rocket.run.linux import programs

    fd = programs.sealed("test", programs.exec_program(os.uname().machine))
    assert os.fstat(fd).st_mode & 0o777 == 0o111
    os.close(fd)
