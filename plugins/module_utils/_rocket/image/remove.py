# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Remove a tree of any depth, by descriptor: links are not followed, mounts are not crossed.

``shutil.rmtree`` recurses and dies on deep trees. Here one directory is open at a time; the way up is ``..``, checked to
be where the walk came from.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

from ..errors import StoreError, printable
from .resolve import enter, kernel_openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_GET_FLAGS = 2 << 30 | struct.calcsize("l") << 16 | ord("f") << 8 | 1
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20


def remove_tree(path: str) -> None:
    """Remove `path` and all below it; nothing happens where it is gone already.

    Raises:
        StoreError: something is mounted in it (code ``mounted``), is immutable (code ``immutable``), or refuses; a part
            may be gone then.
    """
    parent, name = os.path.split(os.path.abspath(path))
    try:
        fd = os.open(parent, _DIRECTORY)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"cannot be removed ({error.strerror})", where=path, hint="look at the directory above it") from error
    try:
        remove_at(fd, name, parent)
    finally:
        os.close(fd)


def remove_at(directory: int, name: str, where: str = "") -> None:
    """Remove `name` in the open `directory`, with all below it; `where` is the directory's path for messages.

    Raises:
        StoreError: as remove_tree().
    """
    try:
        if not _unlink(directory, name):
            _Walk(directory, name).remove()
    except _Refusal as refusal:
        raise refusal.explained(where) from refusal.error


class _Refusal(Exception):
    """The kernel refused something at `parts` below the directory where the removal began."""

    def __init__(self, error: OSError, directory: int, parts: list[str]) -> None:
        self.error = error
        self.fixed = error.errno == errno.EPERM and _is_fixed(directory, parts[-1])
        self.parts = parts
        super().__init__(str(error))

    def explained(self, where: str) -> StoreError:
        path = printable("/".join([where, *self.parts]), 400)
        if self.error.errno in (errno.EXDEV, errno.EBUSY):
            return StoreError(
                "something is mounted in the tree, nothing behind it was touched", where=path, code="mounted", hint="unmount it"
            )
        if self.fixed:
            return StoreError(
                "is immutable or append-only, or its directory is", where=path, code="immutable", hint="clear that with: chattr -ia"
            )
        return StoreError(f"cannot be removed ({self.error.strerror})", where=path, hint="see who uses it, then try again")


class _Walk:
    """The removal of one directory: `levels` is the way down, one directory is open."""

    def __init__(self, directory: int, name: str) -> None:
        self._top = directory
        self._openat2: Any = kernel_openat2()
        self._levels: list[tuple[str, tuple[int, int], list[str]]] = []
        self._fd = directory
        self._todo = [name]

    def remove(self) -> None:
        try:
            while self._todo or self._levels:
                if self._todo:
                    self._down(self._todo.pop())
                else:
                    self._up()
        finally:
            self._move(self._top)

    def _down(self, name: str) -> None:
        try:
            fd = self._enter(name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._refusal(error, name) from error
        self._levels.append((name, _identity(self._fd), self._todo))
        self._move(fd)
        self._todo = []
        with os.scandir(fd) as listing:
            names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in listing]
        for child, is_directory in names:
            if is_directory or not self._unlink(child):
                self._todo.append(child)

    def _up(self) -> None:
        name, identity, self._todo = self._levels.pop()
        try:
            self._move(os.open("..", _DIRECTORY, dir_fd=self._fd) if self._levels else self._top)
            if _identity(self._fd) != identity:
                raise OSError(errno.ESTALE, "the tree was moved while it was removed")
            os.rmdir(name, dir_fd=self._fd)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._refusal(error, name) from error

    def _unlink(self, name: str) -> bool:
        try:
            return _unlink(self._fd, name)
        except _Refusal as refusal:
            raise self._refusal(refusal.error, name) from refusal.error

    def _enter(self, name: str) -> int:
        if os.geteuid() == 0:
            return enter(self._fd, os.fsencode(name), self._openat2)
        # An owner without privileges may have locked itself out; O_PATH needs no permission on the directory.
        path = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._fd)
        try:
            if stat.S_IMODE(os.fstat(path).st_mode) & 0o700 != 0o700:
                os.chmod(f"/proc/self/fd/{path}", 0o700)
        finally:
            os.close(path)
        return enter(self._fd, os.fsencode(name), self._openat2)

    def _move(self, fd: int) -> None:
        if self._fd != self._top:
            os.close(self._fd)
        self._fd = fd

    def _refusal(self, error: OSError, name: str) -> _Refusal:
        return _Refusal(error, self._fd, [*(level[0] for level in self._levels), name])


def _unlink(directory: int, name: str) -> bool:
    """Return False where `name` is a directory, which unlink(2) does not remove."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return False
    except OSError as error:
        raise _Refusal(error, directory, [name]) from error
    return True


def _identity(fd: int) -> tuple[int, int]:
    info = os.fstat(fd)
    return info.st_dev, info.st_ino


def _is_fixed(directory: int, name: str) -> bool:
    """Return whether a flag of the file system forbids the removal: on the file, or on its directory."""
    if _flags(directory) & (_IMMUTABLE | _APPEND_ONLY):
        return True
    mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return False
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        return bool(_flags(fd) & (_IMMUTABLE | _APPEND_ONLY))
    finally:
        os.close(fd)


def _flags(fd: int) -> int:
    """Return the attributes that chattr(1) sets; none where the file system has no such thing."""
    try:
        answer = fcntl.ioctl(fd, _GET_FLAGS, bytes(struct.calcsize("l")))
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.ENOTSUP):
            return 0
        raise
    return int(struct.unpack("l", answer)[0])
