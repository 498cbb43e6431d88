# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading what apps wrote: ``logs/<uuid>/<app>.log``, whole, its end, or as it grows until the pod has ended.

Content is the app's own bytes and not to be trusted by a terminal. The logs of a pod outlive it until they are collected.
"""

from __future__ import annotations

import os
import time

from ..errors import NotFound, PodError
from ..record import Record
from ..spec.identifier import check_ac_name, check_uuid, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..paths import Paths
    from .pod_directory import PodDirectory

_BLOCK = 1 << 16
_PAUSE = 0.05
# A line without an end is passed on in parts: an app must not make a reader keep all that it writes.
_LONGEST = 1 << 20


class Line(Record):
    """One line that an app wrote, without its end.

    Attributes:
        app: the app's name.
        text: the bytes; at most 1 MiB, longer lines come in parts.
    """

    app: str
    text: bytes


class _Log:
    """One log file, read in order; what does not end in a newline yet waits for the rest."""

    def __init__(self, directory: str, app: str) -> None:
        self.app = app
        self.path = f"{directory}/{app}.log"
        self._fd = -1
        self._part = b""

    def open(self) -> bool:
        """Open the file if it is there; True when it is open."""
        if self._fd < 0:
            try:
                fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
            if os.fstat(fd).st_mode & 0o170000 != 0o100000:
                os.close(fd)
                raise PodError("the log is not a regular file", where=self.path, hint="remove it")
            self._fd = fd
        return True

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def skip(self, lines: int) -> None:
        """Move to where the last `lines` lines begin, reading backwards and never more than they need."""
        if not self.open():
            return
        position = os.fstat(self._fd).st_size
        missing = lines + (os.pread(self._fd, 1, max(0, position - 1)) == b"\n")
        while position and missing:
            start = max(0, position - _BLOCK)
            block = os.pread(self._fd, position - start, start)
            while missing and (found := block.rfind(b"\n")) >= 0:
                block, missing = block[:found], missing - 1
                position = start + found + 1
            if missing:
                position = start
        os.lseek(self._fd, position if lines else os.fstat(self._fd).st_size, os.SEEK_SET)

    def lines(self, last: bool) -> Iterator[Line]:
        """Return the lines that are complete by now; with `last` also what stands behind the last newline."""
        if not self.open():
            return
        while block := os.read(self._fd, _BLOCK):
            *complete, self._part = (self._part + block).split(b"\n")
            for text in complete:
                yield Line(self.app, text)
            if len(self._part) >= _LONGEST:
                yield Line(self.app, self._part)
                self._part = b""
        if last and self._part:
            yield Line(self.app, self._part)
            self._part = b""


def apps_with_logs(paths: Paths, uuid: str) -> list[str]:
    """Return the names of the apps that have a log, sorted."""
    try:
        found = os.listdir(f"{paths.logs}/{check_uuid(uuid, 'uuid')}")
    except FileNotFoundError:
        return []
    return sorted(name[:-4] for name in found if name.endswith(".log"))


def read(paths: Paths, uuid: str, app: str = "", tail: int | None = None) -> Iterator[Line]:
    """Return what the apps of a pod, or one app, wrote so far, app after app.

    Args:
        paths: where logs are.
        uuid: the pod's; it need not exist any more.
        app: an app's name; empty for all.
        tail: only the last so many lines of each app.

    Raises:
        NotFound: there are no logs, or none of this app.
    """
    for log in _open(paths, uuid, app, tail, apps_with_logs(paths, uuid)):
        try:
            yield from log.lines(last=True)
        finally:
            log.close()


def follow(pod: PodDirectory, apps: list[str], app: str = "", tail: int | None = None) -> Iterator[Line]:
    """Return what the apps wrote and go on as they write more, until the pod has ended and everything was read.

    Args:
        pod: the pod.
        apps: the names of its apps; their logs may not be there yet.
        app: only this app; empty for all.
        tail: begin with the last so many lines of each app.

    Raises:
        NotFound: the pod has no such app.
    """
    logs = _open(pod.paths, pod.uuid, app, tail, apps)
    try:
        while True:
            # Asked before reading: what was written before the end is then read after it.
            running = _waits_for_more(pod)
            before = time.monotonic()
            for log in logs:
                yield from log.lines(last=not running)
            if not running:
                return
            time.sleep(max(0.0, _PAUSE - (time.monotonic() - before)))
    finally:
        for log in logs:
            log.close()


def _waits_for_more(pod: PodDirectory) -> bool:
    try:
        return pod.state() in ("embryo", "preparing", "prepared", "running")
    except NotFound:
        return False


def _open(paths: Paths, uuid: str, app: str, tail: int | None, apps: list[str]) -> list[_Log]:
    directory = f"{paths.logs}/{check_uuid(uuid, 'uuid')}"
    if app and check_ac_name(app, "app") not in apps:
        near = nearest(app, apps)
        raise NotFound(
            f"the pod has no log of an app {app}",
            where=uuid,
            hint=f"did you mean {near}?" if near else f"its apps: {', '.join(apps) or 'none'}",
        )
    if not apps:
        raise NotFound("the pod has no logs", where=directory, hint="it may not have started, or its logs were collected")
    logs = [_Log(directory, name) for name in ([app] if app else apps)]
    for log in logs:
        if tail is not None:
            log.skip(tail)
    return logs
