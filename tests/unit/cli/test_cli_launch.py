# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""How systemd learns that a pod runs: from the supervisor itself, since it believes the unit's main process alone."""

from __future__ import annotations

import os
import socket
import struct
from types import SimpleNamespace

import pytest

from _rocket.cli import launch
from _rocket.errors import HostError, LaunchError, PodError
from _rocket.run import supervise


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """The receiving end of NOTIFY_SOCKET, which tells who sent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        channel.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield channel


def heard(channel):
    """Return what came and the process that it came from."""
    data, ancillary, _flags, _address = channel.recvmsg(4096, socket.CMSG_SPACE(12))
    return data, struct.unpack("3i", ancillary[0][2])[0]


def supervisor(fd, failure=None):
    """Return a supervisor that waits for nothing."""
    options = supervise.SuperviseOptions(ready_fd=fd, systemd=True)
    return supervise._Supervisor("/pod", options, -1, SimpleNamespace(failure=failure), None, None)


def test_the_word_comes_from_this_process_and_no_other_is_made(systemd, monkeypatch):
    """A process beside the supervisor keeps the unit's group busy, so that no controller can be handed down from it."""
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"))
    fd = launch.systemd_socket()
    assert not os.get_inheritable(fd)
    assert "NOTIFY_SOCKET" not in os.environ
    made = supervisor(fd)
    made._announce(supervise.READY)
    assert heard(systemd) == (b"READY=1", os.getpid())
    made._announce(supervise.READY)
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(1)


def test_a_failure_is_a_status_and_never_readiness(systemd):
    supervisor(launch.systemd_socket())._announce("app web: ok\\nREADY=1")
    assert heard(systemd)[0] == b"STATUS=app web: ok\\nREADY=1"


def test_an_abstract_socket(monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(f"\0rocket-test-{os.getpid()}")
        channel.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@rocket-test-{os.getpid()}")
        os.write(fd := launch.systemd_socket(), b"x")
        os.close(fd)
        assert channel.recv(10) == b"x"


@pytest.mark.parametrize("value", ["", "relative", None])
def test_nobody_asked(monkeypatch, value):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if value is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", value)
    assert launch.systemd_socket() == -1


def test_a_socket_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    with pytest.raises(HostError, match="none: cannot reach systemd: No such file"):
        launch.systemd_socket()


def test_a_systemd_that_went_away_ends_the_start_and_hides_no_failure(systemd):
    fd = launch.systemd_socket()
    systemd.close()
    with pytest.raises(PodError, match="cannot tell systemd"):
        supervisor(fd)._announce(supervise.READY)
    with pytest.raises(LaunchError, match="the reason"):
        supervisor(fd, LaunchError("the reason"))._announce("the reason")
    os.close(fd)


def test_a_pod_that_ended_before_it_ran_says_so(tmp_path):
    """An app that fails while another is still built: whoever waits heard nothing but the end of the pipe."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    life = SimpleNamespace(
        start=lambda: None, over=True, kill=lambda: None, ended=None, failure=None, result=2, reason="app a ended with 2"
    )
    stage1 = SimpleNamespace(init=os.getpid(), settle=lambda: None, destroy=lambda _ended: None)
    made = supervise._Supervisor(
        str(tmp_path), supervise.SuperviseOptions(ready_fd=writer), -1, life, stage1, SimpleNamespace(end=lambda: None)
    )
    assert made.run() == 2
    assert os.read(reader, 100) == b"app a ended with 2\n"
    os.close(reader)
