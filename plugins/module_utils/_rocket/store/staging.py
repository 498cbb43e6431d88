# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Unfinished work: an entry of ``staging/`` lives as long as a process holds the lock on the entry itself.

An entry is locked right after it is made. Garbage collection may come between the two: the maker then finds that its
name is gone and makes another.
"""

from __future__ import annotations

import fcntl
import os

from ..errors import Busy
from .files import make_directory, make_private_directory, raise_disk_error, unique_name
from .locks import is_locked, lock_fd, same_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..paths import Paths


def prepare_directories(paths: Paths) -> None:
    """Make the store's directories, readable for their owner alone.

    Raises:
        StoreError: one cannot be made.
    """
    make_directory(paths.data)
    for path in (paths.images, paths.trees, paths.staging, paths.garbage, paths.locks):
        make_private_directory(path)


def staging_file(paths: Paths) -> tuple[int, str]:
    """Return the descriptor (read and write, locked) and path of a new empty file of mode 0600.

    Raises:
        StoreError: it cannot be made.
    """
    while True:
        path = f"{paths.staging}/{unique_name()}.aci"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise_disk_error(error, path)
        if _keep(fd, path):
            return fd, path


def staging_directory(paths: Paths) -> tuple[int, str]:
    """Return the descriptor (locked) and path of a new empty directory of mode 0700.

    Raises:
        StoreError: it cannot be made.
    """
    while True:
        path = f"{paths.staging}/{unique_name()}"
        try:
            os.mkdir(path, 0o700)
        except OSError as error:
            raise_disk_error(error, path)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            discard(path)
            raise_disk_error(error, path)
        if _keep(fd, path):
            return fd, path


def named_directory(paths: Paths, name: str) -> tuple[int, str] | None:
    """Return the descriptor (locked) and path of the directory `name`, new or left by a dead process; None if it is held.

    Raises:
        StoreError: it cannot be made or opened.
    """
    path = f"{paths.staging}/{name}"
    while True:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        except OSError as error:
            raise_disk_error(error, path)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise_disk_error(error, path)
        if _keep(fd, path):
            return fd, path
        if is_locked(path):
            return None


def _keep(fd: int, path: str) -> bool:
    try:
        lock_fd(fd, path, fcntl.LOCK_EX, wait=False)
        if same_file(fd, path):
            return True
    except Busy:
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return False


def abandoned(path: str) -> int | None:
    """Return a locked descriptor of what nobody holds, else None; the caller removes it, then closes.

    Raises:
        StoreError: it cannot be opened.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise_disk_error(error, path)
    return fd if _keep(fd, path) else None


def discard(path: str) -> None:
    """Remove a staged file or directory; nothing if it is gone, which it is after a rename into place.

    Raises:
        StoreError: it cannot be removed.
    """
    from ..image.remove import remove_tree

    try:
        if os.path.isdir(path) and not os.path.islink(path):
            remove_tree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise_disk_error(error, path)
