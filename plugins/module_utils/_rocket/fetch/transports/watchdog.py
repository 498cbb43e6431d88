# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Ends connections that take too long: a socket's own timeout starts anew with every byte that a slow server sends.

The watchdog shuts the connection down and says so in a flag, because some HTTP libraries take a shut connection for
the end of the content. It acts on a duplicate of the descriptor, so that the TLS object of the reader stays whole.

Not handled here: the resolver of host names, whose time-out is the system's.
"""

from __future__ import annotations

import socket
import threading
import time

from ...errors import FetchError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_TICK = 0.2


class Watchdog:
    """Watches the connections of one request, in a thread of its own, from entering to leaving the ``with`` block.

    Args:
        end: time.monotonic() at which everything has to be over.
        minimum_rate: bytes a second.
        window: seconds over which the rate is measured.
    """

    def __init__(self, end: float, minimum_rate: int, window: float) -> None:
        self._end = end
        self._need = minimum_rate * window
        self._window = window
        self._count = 0
        self._cause = ""
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="rocket-watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        for connection in self._sockets:
            connection.close()

    def follow(self, connection: socket.socket) -> None:
        """Watch one more connection."""
        copy = connection.dup()
        with self._lock:
            self._sockets.append(copy)
            if self._cause:
                _shut(copy)

    def count(self, number: int) -> None:
        """Take note of `number` further bytes."""
        self._count += number

    def check(self, url: str) -> None:
        """Do nothing, or say why the connection was ended.

        Raises:
            FetchError: ``deadline`` or ``too-slow``.
        """
        if not self._cause and time.monotonic() >= self._end:
            self._cause = "deadline"
        if self._cause == "deadline":
            raise FetchError(
                "the time for the whole fetch is over",
                where=printable(url),
                hint="raise the deadline, or try a nearer source",
                code="deadline",
            )
        if self._cause:
            raise FetchError(
                f"less than {self._need:.0f} bytes came in {self._window:g} seconds",
                where=printable(url),
                hint="lower the minimum rate, or try a nearer source",
                code="too-slow",
            )

    def _watch(self) -> None:
        began, seen = time.monotonic(), 0
        while not self._stop.wait(min(_TICK, self._window / 4)):
            now = time.monotonic()
            if now >= self._end:
                self._bark("deadline")
                return
            if now - began >= self._window:
                count = self._count
                if count - seen < self._need:
                    self._bark("too-slow")
                    return
                began, seen = now, count

    def _bark(self, cause: str) -> None:
        with self._lock:
            self._cause = cause
            for connection in self._sockets:
                _shut(connection)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The other side was faster; the reader sees the end of it and finds the flag.
        pass
