# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What the supervisor writes into the pod's directory for other processes to read.

``apps/<app>/status`` and ``ended`` are canonical JSON, ``supervisor`` has one line ``pid starttime`` for the supervisor and
one for the pod's first process, ``apps/<app>/enter`` (marshal) is what enter.py needs. Each appears whole, by rename; they
tell about the life of processes, so a crash of the machine may take them.
"""

from __future__ import annotations

import marshal
import os
import time

from ...errors import PodError
from ...spec import canonical
from ...store.files import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def place(path: str, data: bytes) -> None:
    """Put `data` at `path` by rename, mode 0600.

    Raises:
        PodError: the pod's directory cannot be written.
    """
    try:
        fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, data)
        finally:
            os.close(fd)
        os.rename(f"{path}.new", path)
    except OSError as error:
        raise PodError(f"cannot write: {error.strerror}", where=path, hint="check the file system of the pods") from error


def start_time(pid: int) -> int:
    """Return when process `pid` started, in clock ticks since boot; with the pid it names a process for ever.

    Raises:
        ProcessLookupError: there is no such process.
    """
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ProcessLookupError(pid) from error
    try:
        text = os.read(fd, 4096)
    finally:
        os.close(fd)
    return int(text[text.rindex(b")") + 2 :].split()[19])


class Status:
    """The state of one app; write() publishes it.

    Attributes:
        state: ``starting``, ``running`` or ``exited``.
        pid: of main, in the host's PID namespace; 0 before it runs.
        exit_status: of main, 128 + n for signal n.
        started: seconds since the epoch when main was executed.
        exited: seconds since the epoch when main had ended.
        pre_start: exit status of the event handler.
        post_stop: the same.
        isolators: outcome of each limit (cgroup/base.py).
        warnings: for the operator.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.state = "starting"
        self.pid = 0
        self.exit_status: int | None = None
        self.started: int | None = None
        self.exited: int | None = None
        self.pre_start: int | None = None
        self.post_stop: int | None = None
        self.isolators: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    def write(self) -> None:
        """Publish the state."""
        members = {name: value for name, value in self.__dict__.items() if name != "_path"}
        place(self._path, canonical.dumps(members) + b"\n")


def write_supervisor(directory: str, init: int) -> None:
    """Write who supervises and who is the pod's first process."""
    lines = [f"{pid} {start_time(pid)}\n" for pid in (os.getpid(), init)]
    place(f"{directory}/supervisor", "".join(lines).encode("ascii"))


def write_ended(directory: str, exit_status: int, reason: str) -> None:
    """Write how the pod ended."""
    ended = {"exit_status": exit_status, "reason": reason, "at": int(time.time())}
    place(f"{directory}/ended", canonical.dumps(ended) + b"\n")


def write_enter(path: str, mounts: int, groups: int, joins: list[str], identity: dict[str, Any]) -> None:
    """Write what enter.py needs: the supervisor's descriptors of the app's namespaces, the cgroup files, who it runs as."""
    place(path, marshal.dumps({"mounts": mounts, "groups": groups, "joins": joins, "identity": identity}))
