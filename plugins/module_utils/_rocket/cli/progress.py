# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""How far long work is, in one line of the terminal: how much, how fast, how long it will take."""

from __future__ import annotations

import os
import sys
import time

from . import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_WIDTH = 72
# Seconds: of the time over which the rate is told, and between two lines.
_SPAN = 5.0
_PAUSE = 0.1


class Meter:
    """Shows bytes done, and of how many where that is not 0; call it as often as you like.

    Args:
        clock: seconds; for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: list[tuple[float, int]] = []
        self._shown = -_PAUSE

    def __call__(self, done: int, total: int) -> None:
        """Be told how far the work is."""
        now = self._clock()
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _SPAN:
            self._seen.pop(0)
        if done != total and now - self._shown < _PAUSE:
            return
        self._shown = now
        sys.stderr.write(f"\r{self.line(done, total):<{_WIDTH}}")
        sys.stderr.flush()

    def line(self, done: int, total: int) -> str:
        """Return what is shown."""
        parts = [f"{output.size(done)} of {output.size(total)} ({100 * done // total} %)" if total else output.size(done)]
        (began, first), (now, last) = self._seen[0], self._seen[-1]
        if last > first and now > began:
            rate = (last - first) / (now - began)
            parts.append(f"{output.size(int(rate))}/s")
            if total:
                parts.append(f"{duration((total - done) / rate)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a time for people: ``12 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def meter() -> Callable[[int, int], None] | None:
    """Return what shows the progress; None where standard error is no terminal."""
    return Meter() if os.isatty(2) else None


def clear() -> None:
    """Give the line of the terminal back."""
    sys.stderr.write("\r" + " " * _WIDTH + "\r")
    sys.stderr.flush()
