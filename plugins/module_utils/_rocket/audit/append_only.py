# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The attribute of a file that lets it grow and nothing else (chattr +a): kept over rotation where an operator has set it."""

from __future__ import annotations

import errno
import fcntl
import os

# linux/fs.h: _IOR('f', 1, long) and _IOW('f', 2, long) of a 64-bit kernel, and the flag.
_GET, _SET = 0x80086601, 0x40086602
_APPEND = 0x20
_NONE = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def _flags(fd: int) -> int:
    return int.from_bytes(fcntl.ioctl(fd, _GET, bytes(8))[:4], "little")


def is_append_only(fd: int) -> bool:
    """Return whether the file can only grow; False on file systems without such an attribute.

    Raises:
        OSError: the kernel refuses to tell.
    """
    try:
        return bool(_flags(fd) & _APPEND)
    except OSError as error:
        if error.errno in _NONE:
            return False
        raise


def set_append_only(fd: int, wanted: bool) -> None:
    """Set or clear the attribute.

    Raises:
        OSError: without CAP_LINUX_IMMUTABLE, or the file system has no such attribute.
    """
    flags = _flags(fd)
    fcntl.ioctl(fd, _SET, ((flags | _APPEND) if wanted else (flags & ~_APPEND)).to_bytes(8, "little"))


def freed(path: str) -> bool:
    """Let the file at `path` be renamed or removed; return whether it could only grow before.

    Raises:
        OSError: it cannot be opened, or the kernel refuses.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = is_append_only(fd)
        if found:
            set_append_only(fd, False)
        return found
    finally:
        os.close(fd)
