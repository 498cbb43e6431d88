# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Control groups version 2: one tree. Below a delegated group (systemd's Delegate=) the supervisor moves into a leaf of it,
since a group with processes cannot hand controllers to its children.
"""

from __future__ import annotations

import os

from ...errors import LaunchError
from .base import CONTROLLER, NAMES, PERIOD, Cgroups, Outcome, check_bound, kill_members, make_directory, read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..linux.kernel import Kernel


def weight(shares: int) -> int:
    """Return the cpu.weight (1 to 10000) of cpu-shares (2 to 262144)."""
    return 1 + (shares - 2) * 9999 // 262142


def settings(name: str, value: int) -> list[tuple[str, str]]:
    """Return the files to write for one limit; the first one tells what is in force."""
    if name == "memory_limit":
        return [("memory.max", str(value)), ("memory.swap.max", "0")]
    if name == "memory_request":
        return [("memory.low", str(value))]
    if name == "cpu_limit":
        return [("cpu.max", f"{max(1000, value * PERIOD // 1000)} {PERIOD}")]
    if name == "cpu_request":
        return [("cpu.weight", str(weight(min(262144, max(2, value * 1024 // 1000)))))]
    if name == "cpu_shares":
        return [("cpu.weight", str(weight(value)))]
    return [("pids.max", str(value))]


class V2(Cgroups):
    """The groups of a pod in the unified tree.

    Args:
        base: directory below which ``rocket/<uuid>`` is made.
        uuid: of the pod.
        delegated: whether `base` is the caller's to arrange.
    """

    controllers = ()

    def __init__(self, base: str, uuid: str, delegated: bool) -> None:
        self._base = base
        self._pod = f"{base}/rocket/{uuid}"
        self._delegated = delegated

    def make_room(self) -> None:
        """See Cgroups.make_room: a delegated group becomes one that may have groups below it."""
        if self._delegated:
            make_directory(f"{self._base}/supervisor")
            write(f"{self._base}/supervisor/cgroup.procs", "0")

    def create(self, limits: dict[str, int | None], apps: dict[str, dict[str, int | None]]) -> dict[str, list[Outcome]]:
        """See Cgroups.create."""
        wanted = {CONTROLLER[name] for group in (limits, *apps.values()) for name in NAMES if group.get(name) is not None}
        if self._delegated:
            _require_empty(self._base)
            enable(self._base, wanted)
        make_directory(self._pod)
        enable(os.path.dirname(self._pod), wanted)
        outcomes = {"": self._limits(self._pod, limits, {})}
        if apps:
            enable(self._pod, wanted)
        for app, group in apps.items():
            make_directory(f"{self._pod}/{app}")
            outcomes[app] = self._limits(f"{self._pod}/{app}", group, limits)
        return outcomes

    def _limits(self, directory: str, group: dict[str, int | None], pod: dict[str, int | None]) -> list[Outcome]:
        present = set(read(f"{directory}/cgroup.controllers").split())
        outcomes = []
        for name in NAMES:
            value = group.get(name)
            if value is None:
                continue
            controller = CONTROLLER[name]
            if controller not in present:
                outcomes.append(Outcome(name, "ignored", "", f"the {controller} controller is not handed down to {self._base}"))
                continue
            value, reason = check_bound(name, value, pod)
            wanted = settings(name, value)
            for file, text in wanted:
                if file == "memory.swap.max" and not os.path.exists(f"{directory}/{file}"):
                    continue  # a kernel without swap has no such file
                write(f"{directory}/{file}", text)
            outcomes.append(Outcome(name, "modified" if reason else "enforced", read(f"{directory}/{wanted[0][0]}"), reason))
        return outcomes

    def paths(self, app: str) -> list[str]:
        """See Cgroups.paths."""
        return [f"{self._pod}/{app}" if app else self._pod]

    def joins(self, app: str) -> list[str]:
        """See Cgroups.joins."""
        return [f"{path}/cgroup.procs" for path in self.paths(app)]

    def kill(self, kernel: Kernel, app: str) -> None:
        """See Cgroups.kill."""
        path = self.paths(app)[0]
        if os.path.exists(f"{path}/cgroup.kill"):
            write(f"{path}/cgroup.kill", "1")
        else:
            kill_members(kernel, path)

    def stats(self, app: str) -> dict[str, int]:
        """See Cgroups.stats."""
        path = self.paths(app)[0]
        files = {"memory_bytes": "memory.current", "memory_peak_bytes": "memory.peak", "pids": "pids.current"}
        found = {name: int(text) for name, file in files.items() if (text := read(f"{path}/{file}"))}
        for line in read(f"{path}/cpu.stat").splitlines():
            if line.startswith("usage_usec "):
                found["cpu_usec"] = int(line.split()[1])
        return found


def _require_empty(directory: str) -> None:
    """Refuse a delegated group with processes: the kernel would hand no controller down from it, and not say why."""
    members = read(f"{directory}/cgroup.procs").split()
    if members:
        raise LaunchError(
            f"process {members[0]} is in the group that the pod's groups go below",
            where=directory,
            hint="have the unit start nothing but rocket, or let it move itself away",
        )


def enable(directory: str, wanted: set[str]) -> None:
    """Hand those of `wanted` that `directory` has down to its children."""
    have = set(read(f"{directory}/cgroup.controllers").split())
    given = set(read(f"{directory}/cgroup.subtree_control").split())
    missing = sorted((wanted & have) - given)
    if missing:
        write(f"{directory}/cgroup.subtree_control", " ".join(f"+{name}" for name in missing))
