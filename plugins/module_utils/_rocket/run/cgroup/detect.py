# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Which control groups this host has, and where the caller is in them: from /proc/self/mountinfo and /proc/self/cgroup."""

from __future__ import annotations

import os

from ...errors import LaunchError
from .base import Cgroups, read

CONTROLLERS = ("pids", "memory", "cpu")


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def mounts(mountinfo: str) -> list[tuple[str, str, str, set[str]]]:
    """Return (type, root, mount point, options of the super block) of every mounted hierarchy."""
    found = []
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if separator and kinds[0] in ("cgroup", "cgroup2"):
            found.append((kinds[0], _unescape(fields[3]), _unescape(fields[4]), set(kinds[2].split(","))))
    return found


def own_groups(text: str) -> dict[str, str]:
    """Return the caller's group by controller, that of the unified tree under ``""``, from the text of /proc/self/cgroup."""
    groups = {}
    for line in text.splitlines():
        _number, names, path = line.split(":", 2)
        for name in names.split(","):
            groups[name] = path
    return groups


def directory(root: str, point: str, path: str) -> str:
    """Return where the group `path` of a hierarchy is seen whose part below `root` is mounted on `point`."""
    if root != "/" and (path == root or path.startswith(f"{root}/")):
        path = path[len(root) :]
    elif root != "/" or path.startswith("/.."):
        path = "/"
    return point if path in ("", "/") else f"{point}{path}"


def delegated(path: str) -> bool:
    """Whether systemd gave the group at `path` to its service to arrange (Delegate=)."""
    for name in ("trusted.delegate", "user.delegate"):
        try:
            if os.getxattr(path, name) == b"1":
                return True
        except OSError:
            continue  # absent, or a kernel without such attributes: then nobody delegated
    return False


def detect(uuid: str, mountinfo: str = "", own: str = "") -> Cgroups:
    """Return the groups of pod `uuid` on this host, not yet made.

    Args:
        uuid: checked by the caller; it becomes a path part.
        mountinfo: the text of /proc/self/mountinfo, read when empty.
        own: the text of /proc/self/cgroup, read when empty.

    Raises:
        LaunchError: no hierarchy is mounted.
    """
    groups = own_groups(own or read("/proc/self/cgroup"))
    hierarchies: dict[str, str] = {}
    unified: tuple[str, str] | None = None
    for kind, root, point, options in mounts(mountinfo or read("/proc/self/mountinfo")):
        if kind == "cgroup2":
            unified = unified or (point, directory(root, point, groups.get("", "/")))
            continue
        for name in CONTROLLERS:
            if name in options and name not in hierarchies:
                hierarchies[name] = directory(root, point, groups.get(name, "/"))
    if hierarchies:
        from .v1 import V1

        return V1(hierarchies, uuid)
    if unified is None:
        raise LaunchError("no control groups are mounted", where="/proc/self/mountinfo", hint="mount cgroup2 on /sys/fs/cgroup")
    from .v2 import V2

    point, here = unified
    return V2(here, uuid, True) if delegated(here) else V2(point, uuid, False)
