# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Volumes: sources opened on the host without links (P17, P19), attached in the app by descriptor (P14-P16, P18, L15, L16, L35).

Every target is looked up without leaving the app's own root mount: a target in /proc, /sys, /dev or in another volume,
where someone else could swap names, is refused by the kernel itself.
"""

from __future__ import annotations

import errno
import os
import stat

from ...errors import LaunchError, printable
from . import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .kernel import Kernel

_INSIDE = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_XDEV | c.RESOLVE_NO_MAGICLINKS


def open_source(kernel: Kernel, mount: dict[str, Any], pod_directory: str) -> int:
    """Return a detached, private, ``nosuid,nodev`` copy of the mount at the source, read-only throughout where asked.

    Raises:
        LaunchError: the source is missing (P17) or there is a link in its path (P19).
    """
    source, where = mount["source"], f"volume {mount['volume']}"
    own = source.startswith(f"{pod_directory}/")
    try:
        base = kernel.openat2(c.AT_FDCWD, pod_directory if own else "/", os.O_PATH | os.O_DIRECTORY, 0)
        path = source[len(pod_directory) :] if own else source
        fd = kernel.openat2(base, path.lstrip("/") or ".", os.O_PATH, c.RESOLVE_NO_SYMLINKS)
        os.close(base)
    except LaunchError as error:
        number = error.facts.get("errno")
        if number == errno.ENOENT:
            raise LaunchError(f"the source {printable(source)} does not exist (P17)", where=where, hint="create it on the host") from error
        if number == errno.ELOOP:
            raise LaunchError(
                f"the source {printable(source)} is reached through a link (P19)", where=where, hint="name the real path"
            ) from error
        raise
    depth = c.AT_RECURSIVE if mount["recursive"] else 0
    copy = kernel.open_tree(fd, "", c.AT_EMPTY_PATH | depth)
    os.close(fd)
    attributes = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | (c.MOUNT_ATTR_RDONLY if mount["read_only"] else 0)
    kernel.mount_setattr(copy, "", c.AT_EMPTY_PATH | c.AT_RECURSIVE, attributes, c.MS_PRIVATE)
    return copy


def attach(kernel: Kernel, root: int, mounts: list[dict[str, Any]], sources: list[int]) -> list[str]:
    """Attach each of `sources` at its target below `root`; return warnings (P15).

    Raises:
        LaunchError: a target is the root, lies in /proc, /sys, /dev or another volume, or holds one (P16).
    """
    warnings: list[str] = []
    taken: list[str] = []
    for mount, source in zip(mounts, sources):
        where = f"volume {mount['volume']} at {printable(mount['target'])}"
        directory = stat.S_ISDIR(os.fstat(source).st_mode)
        try:
            target = open_target(kernel, root, mount["target"], directory, where, warnings)
        except LaunchError as error:
            if error.facts.get("errno") != errno.EXDEV:
                raise
            what = "the target lies in /proc, /sys, /dev or another volume (P16)"
            raise LaunchError(what, where=where, hint="choose a target of the image's own", code="volume") from error
        found = os.readlink(f"/proc/self/fd/{target}")
        if found == "/" or any(path.startswith(f"{found}/") for path in (*taken, "/proc", "/sys", "/dev")):
            raise LaunchError("the target covers the root or another volume (P16)", where=where, hint="mount volumes side by side")
        taken.append(found)
        kernel.move_mount(source, target, where)
        os.close(target)
        os.close(source)
    return warnings


def open_target(kernel: Kernel, root: int, target: str, directory: bool, where: str, warnings: list[str]) -> int:
    """Return a descriptor of the target, made part by part where it is missing (P14: root:root 0755); the umask must be 0."""
    parts = [part for part in target.split("/") if part]
    if not parts or ".." in parts:
        raise LaunchError("a target names a place below the root", where=where, hint="remove ..", code="volume")
    current = kernel.openat2(root, ".", os.O_PATH | os.O_DIRECTORY, _INSIDE)
    path = ""
    for part in parts[:-1]:
        path = f"{path}/{part}"
        current = _step(kernel, root, current, path, where)
    name = parts[-1]
    try:
        fd = kernel.openat2(root, f"{path}/{name}", os.O_PATH, _INSIDE)
    except LaunchError as error:
        if error.facts.get("errno") != errno.ENOENT:
            raise
        _make(current, name, directory, where)
        fd = kernel.openat2(root, f"{path}/{name}", os.O_PATH, _INSIDE)
    mode = os.fstat(fd).st_mode
    if stat.S_ISDIR(mode) != directory:
        os.close(fd)
        _replace(current, name, stat.S_ISDIR(mode), where)
        warnings.append(f"{where}: the image's {'directory' if stat.S_ISDIR(mode) else 'file'} was replaced (P15)")
        fd = kernel.openat2(root, f"{path}/{name}", os.O_PATH, _INSIDE)
    elif directory and os.listdir(f"/proc/self/fd/{fd}"):
        warnings.append(f"{where}: the image's files there are hidden (P15)")
    os.close(current)
    return fd


def _step(kernel: Kernel, root: int, current: int, path: str, where: str) -> int:
    """Return a descriptor of the directory `path`, made in `current` when missing; closes `current`."""
    try:
        following = kernel.openat2(root, path, os.O_PATH | os.O_DIRECTORY, _INSIDE)
    except LaunchError as error:
        if error.facts.get("errno") != errno.ENOENT:
            raise
        _make(current, path.rsplit("/", 1)[1], True, where)
        following = kernel.openat2(root, path, os.O_PATH | os.O_DIRECTORY, _INSIDE)
    os.close(current)
    return following


def _make(parent: int, name: str, directory: bool, where: str) -> None:
    """Make a directory or an empty file; a link that leads nowhere is refused (L16)."""
    try:
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=parent))
    except FileExistsError as error:
        raise LaunchError(f"{printable(name)} of the image is a link that leads nowhere", where=where, code="volume") from error
    except OSError as error:
        raise LaunchError(f"cannot make {printable(name)}: {error.strerror}", where=where, code="volume") from error


def _replace(parent: int, name: str, was_directory: bool, where: str) -> None:
    """Put an empty file in the place of an empty directory, or a directory in that of a file (P15)."""
    try:
        if was_directory:
            os.rmdir(name, dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)
    except OSError as error:
        raise LaunchError(f"cannot replace {printable(name)}: {error.strerror}", where=where, code="volume") from error
    _make(parent, name, not was_directory, where)
