# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The child that reads archives: what it holds, what bounds it, and that it always ends."""

from __future__ import annotations

import os
import resource
import signal
import time

import pytest

from _rocket.errors import ArchiveError, NotFound, SpecError, StoreError
from _rocket.image import sandbox
from _rocket.image.limits import Limits


def test_the_child_holds_no_descriptor_of_its_parent(tmp_path):
    """A lock of the parent must not live on in it; a directory of the host must not be at hand."""
    extra = [os.dup(0) for _turn in range(20)]
    try:
        held = sandbox.run(lambda: {"fds": [int(name) for name in os.listdir("/proc/self/fd")]}, (extra[7],), Limits())["fds"]
    finally:
        for fd in extra:
            os.close(fd)
    assert extra[7] in held
    assert len(set(held) - {0, 1, 2, extra[7]}) == 2  # the pipe and the listing
    assert not set(extra[:7] + extra[8:]) & set(held) - {max(held), min(set(held) - {0, 1, 2})}


def test_it_has_a_mount_namespace_of_its_own(root):
    if not sandbox._may_mount():
        pytest.skip("missing ability: CAP_SYS_ADMIN")

    def work():
        with open("/proc/self/mountinfo") as mounts:
            return {"namespace": os.readlink("/proc/self/ns/mnt"), "shared": "shared:" in mounts.read()}

    own = sandbox.run(work, (), Limits())
    assert own["namespace"] != os.readlink("/proc/self/ns/mnt")
    assert not own["shared"]


def test_bounds():
    def work():
        names = ("RLIMIT_FSIZE", "RLIMIT_CPU", "RLIMIT_CORE", "RLIMIT_AS")
        return {name: resource.getrlimit(getattr(resource, name))[0] for name in names}

    found = sandbox.run(work, (), Limits(bytes=12345, seconds=7, working_memory=1 << 28))
    address_space = found.pop("RLIMIT_AS")
    assert found == {"RLIMIT_FSIZE": 12345, "RLIMIT_CPU": 7, "RLIMIT_CORE": 0}
    assert 1 << 28 < address_space < 1 << 36


def test_memory_is_bounded():
    def work():
        try:
            return {"got": len(bytearray(1 << 30))}
        except MemoryError:
            return {"got": 0}

    assert sandbox.run(work, (), Limits(working_memory=1 << 28)) == {"got": 0}


def test_an_unexpected_error_is_told():
    with pytest.raises(ArchiveError, match="ZeroDivisionError"):
        sandbox.run(lambda: {"x": 1 // 0}, (), Limits())


@pytest.mark.parametrize(
    "error",
    [
        ArchiveError("damaged", where="x.aci", hint="get it again", code="archive-limit"),
        StoreError("full", where="/x", code="disk-full", need=5),
        SpecError("a name was expected", path="apps[0].name", value="A", rule="T2", hint="write it small"),
        NotFound("nowhere"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_ours_comes_back_as_it_was(error):
    def work():
        raise error

    with pytest.raises(type(error)) as caught:
        sandbox.run(work, (), Limits())
    assert (str(caught.value), caught.value.to_json()) == (str(error), error.to_json())


def test_a_killed_child_is_told():
    with pytest.raises(ArchiveError, match="signal 9"):
        sandbox.run(lambda: os.kill(os.getpid(), signal.SIGKILL) or {}, (), Limits())


def test_a_silent_child_is_told():
    with pytest.raises(ArchiveError, match="without a result"):
        sandbox.run(lambda: os._exit(0), (), Limits())


def test_an_endless_report_is_cut():
    with pytest.raises(ArchiveError, match="too much"):
        sandbox.run(lambda: {"x": "y" * (9 << 20)}, (), Limits())
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("trouble", ["no JSON", "pipe closed"])
def test_the_child_never_runs_code_of_its_callers(tmp_path, trouble):
    """Whatever goes wrong in it, it ends: an exception must not climb into the frames that it copied."""

    def work():
        if trouble == "no JSON":
            return {"x": object()}
        os.closerange(3, 64)
        return {}

    parent = os.getpid()
    with pytest.raises(ArchiveError):
        try:
            sandbox.run(work, (), Limits())
        finally:
            if os.getpid() != parent:
                (tmp_path / "escaped").touch()
                os._exit(0)
    assert not (tmp_path / "escaped").exists()


def test_an_interrupted_parent_leaves_no_child(monkeypatch):
    def interrupted(fd):
        raise KeyboardInterrupt

    monkeypatch.setattr(sandbox, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sandbox.run(lambda: time.sleep(600) or {}, (), Limits())
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_the_child_ends_with_its_parent():
    """The parent is killed; the child's end of a pipe closes only when the child is gone."""
    reader, writer = os.pipe()

    def work():
        os.write(writer, b"x")
        time.sleep(600)

    pid = os.fork()
    if pid == 0:
        try:
            sandbox.run(work, (writer,), Limits())
        finally:
            os._exit(1)
    os.close(writer)
    try:
        assert os.read(reader, 1) == b"x"
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)
