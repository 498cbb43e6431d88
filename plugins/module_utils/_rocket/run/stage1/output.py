# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What apps write: from pipes into one log file an app (P21), in the foreground also to our own standard streams.

A log gets every byte that the disk takes; how many it did not is written there as soon as there is room again, because a full
disk must not end the pods of a host. A terminal that does not take its copy first slows the apps down, as it would without us, and is
given up after STALL seconds without progress, so that it cannot hold them for ever.

Not handled here: rotation, the journal.
"""

from __future__ import annotations

import os
import select
import stat
import time

from ...errors import LaunchError

CHUNK = 65536
BACKLOG = 1 << 20  # bytes kept for a slow terminal before its apps are slowed down
LONGEST_LINE = 8192
STALL = 10.0


class Sink:
    """One of our own standard streams, written without ever blocking."""

    def __init__(self, fd: int) -> None:
        self.pending = bytearray()
        self.given_up = False
        self._progress = time.monotonic()
        self._limit = CHUNK
        mode = os.fstat(fd).st_mode
        self.fd = fd
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            # A description of our own: O_NONBLOCK on the inherited one would reach every process that shares it.
            try:
                self.fd = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
                return
            except OSError:
                self._limit = select.PIPE_BUF  # not ours to open again; so little never blocks once poll says yes
        elif stat.S_ISSOCK(mode):
            self._limit = select.PIPE_BUF

    @property
    def full(self) -> bool:
        """Whether the apps have to wait for this stream."""
        return len(self.pending) >= BACKLOG and not self.given_up

    def add(self, data: bytes) -> None:
        """Take `data` to be written."""
        if self.given_up:
            return
        if not self.pending:
            self._progress = time.monotonic()
        self.pending += data
        self.flush()

    def flush(self) -> None:
        """Write what can be written now."""
        while self.pending:
            if not select.select([], [self.fd], [], 0)[1]:
                break
            try:
                count = os.write(self.fd, self.pending[: self._limit])
            except BlockingIOError:
                break
            except OSError:  # a terminal that hung up or a reader that left; the log has everything
                self._give_up()
                return
            del self.pending[:count]
            self._progress = time.monotonic()
        if self.pending and time.monotonic() - self._progress > STALL:
            self._give_up()

    def _give_up(self) -> None:
        self.given_up = True
        self.pending.clear()


class Stream:
    """One output stream of one app: a pipe whose write end stays open for event handlers."""

    def __init__(self, log: int, sink: Sink | None, prefix: bytes) -> None:
        self.read, self.write = os.pipe()
        os.set_blocking(self.read, False)
        self._log = log
        self._sink = sink
        self._prefix = prefix
        self._line = b""
        self._lost = 0

    @property
    def waits(self) -> bool:
        """Whether its terminal has to catch up first."""
        return self._sink is not None and self._sink.full

    def pump(self) -> bool:
        """Move what is there, at most CHUNK bytes; return whether there was any."""
        try:
            data = os.read(self.read, CHUNK)
        except BlockingIOError:
            return False
        if self._log >= 0:
            self._record(data)
        if self._sink is not None:
            self._sink.add(self._lines(data) if self._prefix else data)
        return bool(data)

    def _record(self, data: bytes) -> None:
        """Append to the log; what the disk does not take is counted and told in the log itself."""
        view = memoryview(data)
        try:
            if self._lost:
                os.write(self._log, b"\nrocket: %d bytes are missing here: the disk did not take them\n" % self._lost)
                self._lost = 0
            while view:
                view = view[os.write(self._log, view) :]
        except OSError:  # counted: the pod goes on, as its apps' work is worth more than what they say of it
            self._lost += len(view)

    def _lines(self, data: bytes) -> bytes:
        """Return the complete lines with the app's name before each; the rest waits for its end."""
        parts = (self._line + data).split(b"\n")
        self._line = parts.pop()
        if len(self._line) > LONGEST_LINE:
            parts.append(self._line)
            self._line = b""
        return b"".join(self._prefix + part + b"\n" for part in parts)

    def end(self) -> None:
        """Move all that is left; no process of the app lives any more."""
        while self.pump():
            pass
        if self._line and self._sink is not None:
            self._sink.add(self._prefix + self._line + b"\n")
            self._line = b""


class Output:
    """The output of all apps of a pod.

    Args:
        apps: their names.
        directory: where ``<app>.log`` files go, made 0700 when missing; empty for none.
        foreground: whether our own standard output and error get a copy.

    Raises:
        LaunchError: a log cannot be opened.
    """

    def __init__(self, apps: list[str], directory: str, foreground: bool) -> None:
        self.sinks = [Sink(1), Sink(2)] if foreground else []
        self.streams: dict[str, tuple[Stream, Stream]] = {}
        for name in apps:
            log = _open_log(directory, name) if directory else -1
            prefix = f"{name}: ".encode() if len(apps) > 1 else b""
            out, err = self.sinks or (None, None)
            self.streams[name] = (Stream(log, out, prefix), Stream(log, err, prefix))
        self._by_fd = {stream.read: stream for pair in self.streams.values() for stream in pair}

    def writers(self, app: str) -> tuple[int, int]:
        """Return the descriptors that an app's process gets as standard output and error."""
        out, err = self.streams[app]
        return out.write, err.write

    def wanted(self) -> tuple[list[int], list[int]]:
        """Return the descriptors to wait for: to read, to write."""
        reading = [fd for fd, stream in self._by_fd.items() if not stream.waits]
        return reading, [sink.fd for sink in self.sinks if sink.pending]

    def move(self, readable: list[int]) -> None:
        """Move what is there."""
        for fd in readable:
            if fd in self._by_fd:
                self._by_fd[fd].pump()
        for sink in self.sinks:
            sink.flush()

    def end(self) -> None:
        """Move everything that is left; returns when the logs have it and the terminals took it or were given up."""
        for stream in self._by_fd.values():
            stream.end()
        for sink in self.sinks:
            while sink.pending:
                select.select([], [sink.fd], [], 0.1)
                sink.flush()


def _open_log(directory: str, name: str) -> int:
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(f"{directory}/{name}.log", flags, 0o600)
    except OSError as error:
        where = f"{directory}/{name}.log"
        raise LaunchError(f"cannot open a log: {error.strerror}", where=where, hint="check the log directory") from error
