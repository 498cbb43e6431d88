# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Control groups version 1: one hierarchy a controller. Only the hierarchies that a limit needs are used, and pids always.

A process joins by its thread's number in ``tasks``: moving a whole process through ``cgroup.procs`` waits for the kernel's
grace period, which is most of a launch.
"""

from __future__ import annotations

import os

from ...errors import LaunchError
from .base import CONTROLLER, NAMES, PERIOD, Cgroups, Outcome, check_bound, kill_members, make_directory, read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..linux.kernel import Kernel


def settings(name: str, value: int) -> list[tuple[str, str]]:
    """Return the files to write, in order, for one limit; the first one tells what is in force."""
    if name == "memory_limit":
        return [("memory.limit_in_bytes", str(value)), ("memory.memsw.limit_in_bytes", str(value))]
    if name == "memory_request":
        return [("memory.soft_limit_in_bytes", str(value))]
    if name == "cpu_limit":
        return [("cpu.cfs_quota_us", str(max(1000, value * PERIOD // 1000))), ("cpu.cfs_period_us", str(PERIOD))]
    if name == "cpu_request":
        return [("cpu.shares", str(min(262144, max(2, value * 1024 // 1000))))]
    if name == "cpu_shares":
        return [("cpu.shares", str(value))]
    return [("pids.max", str(value))]


class V1(Cgroups):
    """The groups of a pod in the hierarchies of `hierarchies`.

    Args:
        hierarchies: controller to the directory of the caller's own group there.
        uuid: of the pod.
    """

    def __init__(self, hierarchies: dict[str, str], uuid: str) -> None:
        self._hierarchies = hierarchies
        self._uuid = uuid
        identity = [name for name in ("pids", "memory", "cpu") if name in hierarchies]
        if not identity:
            raise LaunchError(
                "the host has no hierarchy of control groups", where="/proc/self/mountinfo", hint="mount pids, memory and cpu"
            )
        self.controllers = (identity[0],)

    def create(self, limits: dict[str, int | None], apps: dict[str, dict[str, int | None]]) -> dict[str, list[Outcome]]:
        """See Cgroups.create."""
        wanted = {CONTROLLER[name] for group in (limits, *apps.values()) for name in NAMES if group.get(name) is not None}
        more = [name for name in ("pids", "memory", "cpu") if name in wanted and name in self._hierarchies]
        self.controllers = tuple(dict.fromkeys([*self.controllers, *more]))
        outcomes = {}
        for app, group in {"": limits, **apps}.items():
            for path in self.paths(app):
                make_directory(path)
            bound = limits if app else {}
            outcomes[app] = [self._limit(app, name, value, bound) for name in NAMES if (value := group.get(name)) is not None]
        return outcomes

    def _limit(self, app: str, name: str, value: int, pod: dict[str, int | None]) -> Outcome:
        controller = CONTROLLER[name]
        if controller not in self.controllers:
            return Outcome(name, "ignored", "", f"this host has no {controller} controller")
        value, reason = check_bound(name, value, pod)
        directory = self._path(controller, app)
        wanted = settings(name, value)
        for file, text in wanted:
            if file == "memory.memsw.limit_in_bytes" and not os.path.exists(f"{directory}/{file}"):
                continue  # no swap accounting: the kernel was built or booted without it
            write(f"{directory}/{file}", text)
        return Outcome(name, "modified" if reason else "enforced", read(f"{directory}/{wanted[0][0]}"), reason)

    def _path(self, controller: str, app: str) -> str:
        pod = f"{self._hierarchies[controller]}/rocket/{self._uuid}"
        return f"{pod}/{app}" if app else pod

    def paths(self, app: str) -> list[str]:
        """See Cgroups.paths."""
        return [self._path(controller, app) for controller in self.controllers]

    def joins(self, app: str) -> list[str]:
        """See Cgroups.joins."""
        return [f"{path}/tasks" for path in self.paths(app)]

    def kill(self, kernel: Kernel, app: str) -> None:
        """See Cgroups.kill."""
        path = self.paths(app)[0]
        if not read(f"{path}/cgroup.procs"):
            return
        ceiling = read(f"{path}/pids.max")
        if ceiling:
            write(f"{path}/pids.max", "0")  # or a fork bomb is faster than the loop below
        kill_members(kernel, path)
        if ceiling:
            write(f"{path}/pids.max", ceiling)

    def stats(self, app: str) -> dict[str, int]:
        """See Cgroups.stats."""
        files = {
            "memory_bytes": ("memory", "memory.usage_in_bytes"),
            "memory_peak_bytes": ("memory", "memory.max_usage_in_bytes"),
            "pids": ("pids", "pids.current"),
        }
        found = {}
        for name, (controller, file) in files.items():
            text = read(f"{self._path(controller, app)}/{file}") if controller in self.controllers else ""
            if text:
                found[name] = int(text)
        return found
