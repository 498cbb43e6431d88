# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Directories by descriptor, resolved inside a root: nothing that lies in a tree can lead out of it.

The kernel does it with openat2(2), RESOLVE_IN_ROOT (Linux 5.6). Where it is absent or forbidden, a walk part by part
does the same; the walk is only safe while nobody else writes to the tree, as in a private staging directory.
"""

from __future__ import annotations

import errno
import os
import stat
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_OPENAT2 = 437
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 0x01, 0x02, 0x04, 0x08, 0x10
_PATH = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_REAL = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40
_ATTEMPTS = 64


def kernel_openat2() -> Callable[[int, bytes, int, int], int] | None:
    """Return openat2(directory fd, path, flags, resolve) -> fd, which raises OSError; None where the kernel has none."""
    import ctypes

    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long

    def openat2(directory: int, path: bytes, flags: int, resolve: int) -> int:
        how = struct.pack("=QQQ", flags, 0, resolve)
        fd: int = call(
            ctypes.c_long(_OPENAT2), ctypes.c_int(directory), ctypes.c_char_p(path), ctypes.c_char_p(how), ctypes.c_size_t(len(how))
        )
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
        return fd

    try:
        # Errors of its own kind (EAGAIN, ENOENT) do not matter here; ENOSYS and seccomp's EPERM do.
        os.close(openat2(-100, b"/", _PATH, _NO_MAGICLINKS))
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):
            return None
        raise
    return openat2


class Resolver:
    """Opens directories below one root.

    Args:
        root: descriptor of the root, borrowed.
        openat2: what kernel_openat2 returns; None walks part by part.
    """

    def __init__(self, root: int, openat2: Callable[[int, bytes, int, int], int] | None) -> None:
        self._root = root
        self._openat2 = openat2
        self._device = os.fstat(root).st_dev

    def directory(self, parts: tuple[bytes, ...]) -> int:
        """Return an O_PATH descriptor of a directory, links followed inside the root; the caller closes it.

        Raises:
            OSError: ENOENT, ENOTDIR, ELOOP; EXDEV where a mount is in the way.
        """
        if self._openat2 is None:
            return self._walk(parts)
        path = b"/".join(parts) or b"."
        for _attempt in range(_ATTEMPTS):
            try:
                return self._openat2(self._root, path, _PATH, _IN_ROOT | _NO_MAGICLINKS | _NO_XDEV)
            except OSError as error:
                # Any rename or mount on the host can interrupt a '..' of a link.
                if error.errno != errno.EAGAIN:
                    raise
        return self._walk(parts)

    def _walk(self, parts: tuple[bytes, ...]) -> int:
        stack = [os.open(b".", _PATH, dir_fd=self._root)]
        todo = list(reversed(parts))
        links = 0
        try:
            while todo:
                part = todo.pop()
                if part in (b"", b"."):
                    continue
                if part == b"..":
                    if len(stack) > 1:
                        os.close(stack.pop())
                    continue
                info = os.stat(part, dir_fd=stack[-1], follow_symlinks=False)
                if stat.S_ISLNK(info.st_mode):
                    links += 1
                    if links > _MAX_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), part)
                    target = os.readlink(part, dir_fd=stack[-1])
                    if target.startswith(b"/"):
                        while len(stack) > 1:
                            os.close(stack.pop())
                    todo.extend(reversed(target.split(b"/")))
                    continue
                if info.st_dev != self._device:
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), part)
                stack.append(os.open(part, _PATH | os.O_NOFOLLOW, dir_fd=stack[-1]))
            return stack.pop()
        finally:
            for fd in stack:
                os.close(fd)


def mount_id(fd: int) -> int:
    """Return the kernel's number of the mount that `fd` is on; tells bind mounts of one file system apart."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as lines:
        for line in lines:
            if line.startswith(b"mnt_id:"):
                return int(line.split()[1])
    raise OSError(errno.ENOTSUP, "the kernel does not tell mount ids")


def enter(directory: int, name: bytes, openat2: Any) -> int:
    """Return a readable descriptor of the real directory `name` in `directory`, on the same mount.

    Raises:
        OSError: ELOOP or ENOTDIR where it is no real directory; EXDEV where something is mounted there.
    """
    if openat2 is not None:
        fd: int = openat2(directory, name, _REAL, _BENEATH | _NO_SYMLINKS | _NO_XDEV)
        return fd
    fd = os.open(name, _REAL, dir_fd=directory)
    try:
        if mount_id(fd) != mount_id(directory):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
    except OSError:
        os.close(fd)
        raise
    return fd
