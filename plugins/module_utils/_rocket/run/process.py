# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Processes named so that a number used again by another process is never mistaken for the one that was meant.

A process is its number and its start time in clock ticks since boot; a number alone is worth nothing once it is on disk.
"""

from __future__ import annotations

import os

from ..record import Record


class Process(Record):
    """One process of this boot.

    Attributes:
        pid: its number in the caller's PID namespace.
        start: clock ticks since boot at which it started (field 22 of ``/proc/PID/stat``).
    """

    pid: int
    start: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return the process that has number `pid` now, or None; a zombie has ended and is None too."""
        try:
            fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            # The second field is the program's own choice of name and may hold spaces and brackets.
            fields = os.read(fd, 4096).rpartition(b")")[2].split()
        except ProcessLookupError:
            return None
        finally:
            os.close(fd)
        if len(fields) < 20 or fields[0] in (b"Z", b"X", b"x"):
            return None
        return cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Process.of(self.pid) == self

    def send(self, number: int) -> bool:
        """Send signal `number` to this very process; False when it has ended.

        Raises:
            PermissionError: the process belongs to somebody else.
        """
        import signal

        fd = self.pidfd()
        try:
            if not self.alive:
                return False
            if fd is not None and hasattr(signal, "pidfd_send_signal"):
                signal.pidfd_send_signal(fd, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        finally:
            if fd is not None:
                os.close(fd)
        return True

    def pidfd(self) -> int | None:
        """Return a descriptor that becomes readable when the process ends; None where the kernel has none (before 5.3) or it has ended.

        The caller checks `alive` after it holds the descriptor: from then on the number cannot change hands under it.
        """
        if not hasattr(os, "pidfd_open"):
            return None
        try:
            return os.pidfd_open(self.pid)
        except OSError:
            return None


def read_processes(path: str) -> tuple[Process, ...]:
    """Return the processes written to `path` as ``pid start`` pairs; nothing for a missing or damaged file, or one of an earlier boot.

    Start times count from boot, so that a file left by an earlier boot could name an innocent process of this one.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return ()
    try:
        words = os.read(fd, 4096).split()
        if os.fstat(fd).st_mtime < boot_time():
            return ()
    finally:
        os.close(fd)
    if len(words) % 2 or not all(word.isdigit() for word in words):
        return ()
    numbers = [int(word) for word in words]
    return tuple(Process(pid, start) for pid, start in zip(numbers[::2], numbers[1::2]) if pid > 1)


def boot_time() -> float:
    """Return when this kernel started, in seconds since the epoch, rounded down; 0 where it does not say."""
    try:
        with open("/proc/stat", "rb") as lines:
            for line in lines:
                if line.startswith(b"btime "):
                    return float(line.split()[1])
    except FileNotFoundError:
        return 0.0
    return 0.0
