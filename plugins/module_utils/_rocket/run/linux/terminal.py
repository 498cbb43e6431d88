# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Terminals: a program that enters a pod gets a pseudo-terminal of the pod's own, never the caller's (L13, L30).

The one in the pod opens it and keeps the slave; the one outside takes the master from it (pidfd_getfd) and relays.
"""

from __future__ import annotations

import os

from . import constants as c
from . import report
from .confine import STATUS_FD
from .rootfs import check_filesystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .kernel import Kernel


def pseudo_terminal(kernel: Kernel) -> int:
    """Return the slave of a new pseudo-terminal of this root's /dev/pts; the master stays open until the caller has taken it.

    Reports ``terminal`` with the master's number; the caller waits for the other side before it goes on.
    """
    check_filesystem(kernel, "/dev/pts", c.DEVPTS_SUPER_MAGIC)
    master = kernel.openat2(c.AT_FDCWD, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY, c.RESOLVE_NO_SYMLINKS)
    kernel.ioctl(master, c.TIOCSPTLCK, bytes(4), "pseudo-terminal")
    slave = kernel.ioctl(master, c.TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC, "pseudo-terminal")
    report.send(STATUS_FD, "terminal", master=master)
    return slave


def take_master(kernel: Kernel, pid: int, number: int) -> int:
    """Return descriptor `number` of the child `pid`, the master of its pseudo-terminal."""
    process = kernel.pidfd_open(pid)
    try:
        return kernel.pidfd_getfd(process, number)
    finally:
        os.close(process)


def copy_size(kernel: Kernel, source: int, target: int) -> None:
    """Give the terminal `target` the size of the terminal `source`."""
    size = kernel.buffer(8)
    kernel.ioctl(source, c.TIOCGWINSZ, size, "terminal")
    kernel.ioctl(target, c.TIOCSWINSZ, size, "terminal")


class Raw:
    """The caller's terminal passes every key on while this context lasts; nothing happens to what is no terminal."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._before: list[Any] | None = None

    def __enter__(self) -> Raw:
        if os.isatty(self._fd):
            import termios

            self._before = termios.tcgetattr(self._fd)
            raw = termios.tcgetattr(self._fd)
            raw[0] &= ~(termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP)
            raw[0] &= ~(termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON)
            raw[1] &= ~termios.OPOST
            raw[2] = raw[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
            raw[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
            termios.tcsetattr(self._fd, termios.TCSAFLUSH, raw)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._before is not None:
            import termios

            termios.tcsetattr(self._fd, termios.TCSAFLUSH, self._before)
