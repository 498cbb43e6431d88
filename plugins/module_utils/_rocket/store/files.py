# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Files that are complete or absent: bounded reads, atomic writes, and the syncs that make a rename last.

The order of these calls is the protocol of docs/store.md. Not handled here: locks (locks.py), trees of files
(image/remove.py).
"""

from __future__ import annotations

import errno
import os

from ..errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_SPACE = (errno.ENOSPC, errno.EDQUOT)
_EXCHANGE = 2
_AT_FDCWD = -100
RECORD_LIMIT = 4 << 20


def unique_name() -> str:
    """Return a name that no other process makes: 128 random bits in hex."""
    return os.urandom(16).hex()


def raise_disk_error(error: OSError, path: str, need: int = 0) -> NoReturn:
    """Raise the StoreError for an OSError at `path`; `need` is the number of bytes that had to fit, 0 if unknown.

    Raises:
        StoreError: code ``disk-full`` when space or quota ran out, else ``store-io``.
    """
    if error.errno in _SPACE:
        wanted = f" for {need} bytes" if need else ""
        raise StoreError(
            f"no space left on the file system{wanted}",
            where=path,
            hint="free space there or run `rocket gc`, then repeat; nothing was changed",
            code="disk-full",
            path=path,
            need=need,
        ) from error
    reason = error.strerror or str(error)
    raise StoreError(
        f"the file system refused the operation: {reason}",
        where=path,
        hint="check the disk, the mount and the permissions",
        code="store-io",
    ) from error


def make_directory(path: str, mode: int = 0o755) -> None:
    """Create the directory with `mode`, and its parents with 0755 whatever the umask; an existing one is left as it is.

    os.makedirs gives parents what the umask leaves of 0777: whoever may write there can put another tree in the place of ours.

    Raises:
        StoreError: it cannot be made.
    """
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path.rstrip("/"))
    if parent and not os.path.isdir(parent):
        make_directory(parent)
    try:
        os.mkdir(path, mode)
    except FileExistsError as error:
        if not os.path.isdir(path):
            raise_disk_error(error, path)
    except OSError as error:
        raise_disk_error(error, path)


def make_private_directory(path: str) -> None:
    """Create the directory with mode 0700, and take it back from group and others when it exists.

    Raises:
        StoreError: it cannot be made, or is not a directory of ours.
    """
    try:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            found = os.lstat(path)
            if found.st_mode & 0o170000 != 0o040000 or found.st_uid != os.geteuid():
                raise StoreError(
                    "not a directory of this user", where=path, hint="move it away; the store makes its own", code="store-layout"
                ) from None
            if found.st_mode & 0o077:
                os.chmod(path, 0o700)
    except OSError as error:
        raise_disk_error(error, path)


def read_limited(path: str, limit: int = RECORD_LIMIT) -> bytes:
    """Return the content of the regular file at `path`; the last part of the path is not followed.

    Raises:
        OSError: it cannot be opened or read.
        StoreError: it is not a regular file, or holds more than `limit` bytes.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if found.st_mode & 0o170000 != 0o100000:
            raise StoreError("not a regular file", where=path, code="damaged")
        if found.st_size > limit:
            raise StoreError(f"holds more than {limit} bytes", where=path, code="damaged")
        parts = []
        left = limit + 1
        while left > 0:
            part = os.read(fd, min(left, 1 << 20))
            if not part:
                break
            parts.append(part)
            left -= len(part)
    finally:
        os.close(fd)
    if left <= 0:
        raise StoreError(f"holds more than {limit} bytes", where=path, code="damaged")
    return b"".join(parts)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of `data`; os.write may stop short on a nearly full disk.

    Raises:
        OSError: as os.write.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_new(path: str, data: bytes, mode: int = 0o600) -> None:
    """Create the file at `path` with `data` and sync it; for a directory that is renamed into place later.

    Raises:
        StoreError: it exists or cannot be written; names path and need when the disk is full.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise_disk_error(error, path, len(data))


def write_atomic(path: str, data: bytes, mode: int = 0o600) -> None:
    """Replace the file at `path` so that any reader, and a power cut, finds the old content or all of the new.

    Raises:
        StoreError: it cannot be written; the old file is then untouched and nothing is left behind.
    """
    staged = f"{path}.{unique_name()}.new"
    try:
        write_new(staged, data, mode)
        try:
            os.rename(staged, path)
        except OSError as error:
            raise_disk_error(error, path, len(data))
    except StoreError:
        try:
            os.unlink(staged)
        except FileNotFoundError:
            pass
        raise
    fsync_directory(os.path.dirname(path))


def fsync_directory(path: str) -> None:
    """Make the names in the directory `path` last over a power cut.

    Raises:
        StoreError: it cannot be opened or synced.
    """
    try:
        fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise_disk_error(error, path)


def sync_file_system(path: str) -> None:
    """Write out everything of the file system that holds `path`: one call for a tree of any size.

    Raises:
        StoreError: the kernel reports that data was lost.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syncfs"):
        os.sync()
        return
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if libc.syncfs(fd) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        finally:
            os.close(fd)
    except OSError as error:
        raise_disk_error(error, path)


def exchange(first: str, second: str) -> bool:
    """Swap two existing paths of one file system in one step; return False where the kernel or file system cannot.

    Raises:
        OSError: any other failure.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    result = libc.renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), ctypes.c_uint(_EXCHANGE))
    if result == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), first)
