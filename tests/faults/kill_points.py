# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Work in a process that is killed, with all that it started, right before the n-th of its calls that change a file system.

A kill after one call and a kill before the next leave the same file system, so that n from 1 on covers every state.
"""

from __future__ import annotations

import itertools
import mmap
import os
import signal
import struct
import sys

# All by which the product changes files; those with O_CREAT alone of `open`. What goes through ctypes is named below.
CALLS = (
    "write pwrite fsync fdatasync ftruncate truncate rename replace link symlink mkdir rmdir unlink remove chmod fchmod chown fchown "
    "lchown utime mknod mkfifo setxattr removexattr sendfile copy_file_range posix_fallocate"
).split()
LONGEST = 60  # seconds for one piece of work
DONE = "done"


class _Killer:
    """Counts calls of this process and of those that it forks."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.shared = mmap.mmap(-1, 8)

    @property
    def count(self) -> int:
        return struct.unpack("q", self.shared[:8])[0]

    def step(self) -> None:
        self.shared[:8] = struct.pack("q", self.count + 1)
        if self.count >= self.at:
            os.killpg(0, signal.SIGKILL)

    def around(self, real, counts=lambda values: True):
        def call(*values, **named):
            if counts(values):
                self.step()
            return real(*values, **named)

        return call

    def install(self) -> None:
        for name in CALLS:
            setattr(os, name, self.around(getattr(os, name)))
        os.open = self.around(os.open, lambda values: len(values) > 1 and values[1] & os.O_CREAT)
        from _rocket.store import publish, render

        publish.exchange = self.around(publish.exchange)
        render.sync_file_system = self.around(render.sync_file_system)


def killed_at(at: int, work) -> tuple[str, int]:
    """Do `work` in a process of its own, killed before call `at`; return ``killed`` or ``done``, and how many calls it made.

    Raises:
        AssertionError: it ended in another way; what it wrote is on standard error.
    """
    killer = _Killer(at)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setsid()
            signal.alarm(LONGEST)
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            killer.install()
            work()
            status = 0
        except BaseException as error:  # noqa: BLE001  the parent asserts on the status
            sys.stderr.write(f"{error!r}\n")
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, f"call {at}: ended by signal {os.WTERMSIG(status)}"
        return "killed", killer.count
    assert os.WEXITSTATUS(status) == 0, f"call {at}: status {os.WEXITSTATUS(status)}"
    return DONE, killer.count


def points(every: int, shift: int):
    """Yield numbers that are `every` apart, and 1 too, without an end: the caller stops when the work is done."""
    first = 1 + shift % every
    if first > 1:
        yield 1
    yield from itertools.count(first, every)
