# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A disk that is full: what the pods of a host, which share it, lose by that and what they keep (L39, G7)."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

import pytest
from launcher_pods import make_app, until, volume

pytestmark = pytest.mark.usefixtures("host")

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000


def small_disk(where, size):
    """In the supervisor: a file system of so many bytes at a place that only the pod and its supervisor see."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNS) == 0
    assert libc.mount(b"", b"/", None, MS_REC | MS_PRIVATE, None) == 0
    where.mkdir(parents=True, exist_ok=True)
    assert libc.mount(b"small", str(where).encode(), b"tmpfs", 0, b"size=%d" % size) == 0


def test_a_full_disk_of_logs_ends_no_pod_and_the_log_says_what_is_missing(pod_of, tmp_path):
    signals = tmp_path / "signals"
    signals.mkdir()
    script = "head -c 20000 /dev/zero; touch /s/full; while ! test -e /s/room; do sleep 0.05; done; echo back; sleep 1000"
    pod = pod_of(script, mounts=[volume(signals, "/s")])

    def prepare():
        small_disk(pod.logs, 1 << 16)
        (pod.logs / "others").write_bytes(bytes(60000 & ~4095))

    assert pod.start(prepare=prepare) == "ok"
    logs = Path(f"/proc/{pod.pid}/root{pod.logs}")
    until((signals / "full").exists)
    until(lambda: (logs / "app.log").stat().st_size, what="a part of the log")
    (logs / "others").unlink()
    (signals / "room").touch()
    until(lambda: (logs / "app.log").read_bytes().endswith(b"back\n"), what="the log after the disk was full")
    assert b"bytes are missing here" in (logs / "app.log").read_bytes()
    os.kill(pod.pid, signal.SIGTERM)
    pod.wait()


def test_a_full_disk_of_pods_leaves_no_control_group(pod_with, tree):
    fill = "head -c 1000000 /dev/zero > /fill; exit 3"
    pod = pod_with([make_app("a", tree, fill), make_app("b", tree, "sleep 1000")])

    def prepare():
        small_disk(pod.directory / "apps", 1 << 16)
        for name in ("upper", "work", "root"):
            for app in "ab":
                (pod.directory / "apps" / app / name).mkdir(parents=True)

    pod.start(prepare=prepare, ready=False)
    assert pod.wait() == 254
    assert "No space left" in pod.error
    assert not os.path.exists(pod.cgroup("pids"))
