# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Control groups of a pod: what both versions of the kernel's interface offer the launcher (I1, I2, L39, L40).

A pod has one group and each app one below it, in ``rocket/<uuid>/<app>``; nothing is ever written outside that.
Not handled here: block devices, network.
"""

from __future__ import annotations

import errno
import os
import time

from ...errors import LaunchError, printable
from ...record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..linux.kernel import Kernel

NAMES = ("memory_limit", "memory_request", "cpu_limit", "cpu_request", "cpu_shares", "pids")
CONTROLLER = {
    "memory_limit": "memory", "memory_request": "memory", "cpu_limit": "cpu", "cpu_request": "cpu", "cpu_shares": "cpu", "pids": "pids",
}  # fmt: skip
PERIOD = 100_000  # microseconds
REMOVAL_TIME = 5.0  # seconds until a group whose processes were killed has to be empty


class Outcome(Record):
    """What became of one limit (I2).

    Attributes:
        name: member of LIMITS (docs/architecture.md).
        outcome: enforced, modified or ignored.
        effective: what the kernel says is in force; empty when ignored.
        reason: why it is not what was asked for.
    """

    name: str
    outcome: str
    effective: str = ""
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the outcome for the status of the app."""
        return dict(self.__dict__)


class Cgroups:
    """The groups of one pod; a subclass knows one version of the interface."""

    controllers: tuple[str, ...] = ()
    """Hierarchies of version 1 that every app has a group in; empty for the unified one."""

    def make_room(self) -> None:
        """Move this process where the pod's groups do not need it; to be called while it has no children, which are born beside it.

        Raises:
            LaunchError: the kernel refuses.
        """

    def create(self, limits: dict[str, int | None], apps: dict[str, dict[str, int | None]]) -> dict[str, list[Outcome]]:
        """Make the groups and set their limits; return the outcome of each limit by app name, the pod's under ``""``.

        Raises:
            LaunchError: a group cannot be made, or the kernel refuses a limit.
        """
        raise NotImplementedError

    def paths(self, app: str) -> list[str]:
        """Return the directories of the groups of `app`, or of the pod for ``""``."""
        raise NotImplementedError

    def joins(self, app: str) -> list[str]:
        """Return the files through which a process joins the groups of `app` by writing 0."""
        raise NotImplementedError

    def join(self, app: str) -> None:
        """Move this process into the groups of `app`."""
        for path in self.joins(app):
            write(path, "0")

    def kill(self, kernel: Kernel, app: str) -> None:
        """Kill every process in the groups of `app`; return when they are told, not when they are gone."""
        raise NotImplementedError

    def processes(self, app: str) -> list[int]:
        """Return the processes in the groups of `app`, as this PID namespace numbers them."""
        return [int(line) for line in read(f"{self.paths(app)[0]}/cgroup.procs").split()]

    def stats(self, app: str) -> dict[str, int]:
        """Return what the kernel counts for `app`: ``memory_bytes``, ``memory_peak_bytes``, ``cpu_usec``, ``pids``, where it does."""
        raise NotImplementedError

    def remove(self, apps: list[str]) -> None:
        """Remove the groups of `apps` and the pod; their processes must have been killed.

        Raises:
            LaunchError: processes that do not end within REMOVAL_TIME.
        """
        for path in [path for app in [*apps, ""] for path in self.paths(app)]:
            remove_directory(path)
            parent = os.path.dirname(path)
            if os.path.basename(parent) == "rocket":
                _remove_unless_used(parent)


def remove_directory(path: str) -> None:
    """Remove one group, waiting for killed processes to leave it; a missing one is fine."""
    deadline = time.monotonic() + REMOVAL_TIME
    while True:
        try:
            os.rmdir(path)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise LaunchError(
                    f"cannot remove the control group: {error.strerror}", where=path, hint="look for its processes"
                ) from error
        time.sleep(0.002)


def _remove_unless_used(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY, errno.ENOENT):
            raise LaunchError(f"cannot remove the control group: {error.strerror}", where=path) from error


def make_directory(path: str) -> None:
    """Make one group with its parents; another pod may remove an empty parent at any time."""
    for _attempt in range(100):
        try:
            os.makedirs(path, 0o755, exist_ok=True)
            return
        except FileNotFoundError:
            continue
        except OSError as error:
            raise LaunchError(
                f"cannot make a control group: {error.strerror}", where=path, hint="rocket needs write access to it"
            ) from error
    raise LaunchError("cannot make a control group: its parent vanishes", where=path)


def read(path: str) -> str:
    """Return the text of a group's file, empty where the kernel has no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        chunks = []
        while chunk := os.read(fd, 65536):
            chunks.append(chunk)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return ""
    finally:
        os.close(fd)
    return b"".join(chunks).decode("ascii", "replace").strip()


def write(path: str, text: str) -> None:
    """Write one value to a group's file.

    Raises:
        LaunchError: the kernel refuses it.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode("ascii"))
        finally:
            os.close(fd)
    except OSError as error:
        raise LaunchError(f"cannot write {printable(text)}: {error.strerror}", where=path, errno=error.errno) from error


def kill_members(kernel: Kernel, path: str) -> None:
    """Kill the processes listed in a group that the kernel cannot kill as a whole, each only while it is a member (L40)."""
    listed = read(f"{path}/cgroup.procs").split()
    for _round in range(1000):
        if not listed:
            return
        for text in listed:
            try:
                process = kernel.pidfd_open(int(text))
            except LaunchError as error:
                if error.facts.get("errno") != errno.ESRCH:
                    raise
                continue
            try:
                # The number could have been given anew between reading and opening; from here on it is pinned.
                if text in read(f"{path}/cgroup.procs").split():
                    kernel.pidfd_send_signal(process, 9)
            except LaunchError as error:
                if error.facts.get("errno") != errno.ESRCH:
                    raise
            finally:
                os.close(process)
        time.sleep(0.001)
        listed = read(f"{path}/cgroup.procs").split()


def check_bound(name: str, value: int, pod: dict[str, int | None]) -> tuple[int, str]:
    """Return the part of an app's limit that the pod's leaves (I1), with the reason when it is less."""
    whole = pod.get(name)
    if whole is not None and name in ("memory_limit", "cpu_limit", "pids") and value > whole:
        return whole, "bounded by the pod's own limit (I1)"
    return value, ""
