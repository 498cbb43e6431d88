# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Locks that die with their holder: flock on regular files, never a process ID in a file.

A lock file may be removed by who holds it exclusively (garbage collection does): after locking, the inode of the
descriptor is compared with that of the path, and the lock is taken again where they differ.

Not handled here: locks across hosts; flock on a network file system is what that file system makes of it.
"""

from __future__ import annotations

import errno
import fcntl
import os

from ..errors import Busy, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


class Lock:
    """A held lock; released by `close`, by the end of a ``with`` block, or by the death of the process.

    Attributes:
        fd: the locked descriptor, closed on exec. A child of fork shares the lock until it ends.
        path: the locked file.
    """

    def __init__(self, fd: int, path: str, transient: bool = False) -> None:
        self.fd = fd
        self.path = path
        self._transient = transient

    def close(self) -> None:
        """Release the lock; a second call does nothing."""
        if self.fd < 0:
            return
        fd, self.fd = self.fd, -1
        try:
            if self._transient:
                os.unlink(self.path)
        except FileNotFoundError:
            pass
        finally:
            os.close(fd)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def same_file(fd: int, path: str) -> bool:
    """Return whether `path` still names the file that `fd` has open."""
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    opened = os.fstat(fd)
    return (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)


def lock_fd(fd: int, path: str, operation: int, wait: bool) -> None:
    """Lock an open descriptor.

    Raises:
        Busy: another holds it and `wait` is false.
        StoreError: the file system has no locks.
    """
    try:
        fcntl.flock(fd, operation if wait else operation | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise Busy("another process holds it", where=path, hint="wait for it to end, then repeat") from error
        raise StoreError(f"cannot lock: {error.strerror}", where=path, hint="use a file system that has flock") from error


def _take(path: str, operation: int, wait: bool, transient: bool) -> Lock:
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"cannot open the lock file: {error.strerror}", where=path, hint="run as the owner of the store") from error
        try:
            lock_fd(fd, path, operation, wait)
            current = same_file(fd, path)
        except BaseException:
            os.close(fd)
            raise
        if current:
            return Lock(fd, path, transient)
        os.close(fd)


def exclusive(path: str, wait: bool = True, transient: bool = False) -> Lock:
    """Lock the file at `path`, made if missing, for one holder; a transient lock file is removed at release.

    Raises:
        Busy: another holds it, shared or exclusively, and `wait` is false.
        StoreError: it cannot be opened.
    """
    return _take(path, fcntl.LOCK_EX, wait, transient)


def shared(path: str, wait: bool = True) -> Lock:
    """Lock the file at `path`, made if missing, together with other shared holders; on a read-only file system as far as that goes.

    Raises:
        Busy: another holds it exclusively and `wait` is false.
        StoreError: it cannot be opened.
    """
    try:
        return _take(path, fcntl.LOCK_SH, wait, False)
    except StoreError as error:
        if getattr(error.__cause__, "errno", 0) != errno.EROFS:
            raise
    return _read_only(path, wait)


def _read_only(path: str, wait: bool) -> Lock:
    """Lock a file that cannot be written to, which somebody else may see writable; its directory where it is not there."""
    for place in (path, os.path.dirname(path)):
        try:
            fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreError(f"cannot open the lock file: {error.strerror}", where=place, hint="run as the owner of the store") from error
        try:
            lock_fd(fd, place, fcntl.LOCK_SH, wait)
        except BaseException:
            os.close(fd)
            raise
        return Lock(fd, place)
    raise StoreError("there are no locks of a store", where=os.path.dirname(path), hint="is it the directory of a store?")


def is_locked(path: str) -> bool:
    """Return whether a live process holds the file or directory at `path` exclusively; a missing one is not held.

    Raises:
        StoreError: it cannot be opened.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"cannot open the lock file: {error.strerror}", where=path, hint="run as the owner of the store") from error
    try:
        lock_fd(fd, path, fcntl.LOCK_SH, wait=False)
    except Busy:
        return True
    finally:
        os.close(fd)
    return False
