# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Bytes on the disk: what trees of files take, and what their removal sets free.

A file with several names is there once, and free when the last of them is gone: rendered trees share files by hard links.
Trees are walked by descriptor, one open at a time, because one may be deeper than a path may be long. What cannot be looked
at, or is gone meanwhile, counts nothing. Not handled here: blocks that several files share (reflinks).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# st_blocks counts these, whatever the block size of the file system.
_BLOCK = 512
_KIND, _IS_DIRECTORY = 0o170000, 0o040000


class Tally:
    """Adds up what paths take or set free; each path is given once."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, int], int] = {}

    def taken(self, *paths: str) -> int:
        """Return the bytes of all at and below the paths that no path before had a name of."""
        total = 0
        for found in _all(paths):
            if _shared(found) and self._seen(found) > 1:
                continue
            total += found.st_blocks * _BLOCK
        return total

    def freed(self, *paths: str) -> int:
        """Return the bytes that are free when these paths are gone as well as all that were given before."""
        total = 0
        for found in _all(paths):
            if _shared(found) and self._seen(found) < found.st_nlink:
                continue
            total += found.st_blocks * _BLOCK
        return total

    def _seen(self, found: os.stat_result) -> int:
        key = (found.st_dev, found.st_ino)
        self._names[key] = self._names.get(key, 0) + 1
        return self._names[key]


def _shared(found: os.stat_result) -> bool:
    return found.st_nlink > 1 and found.st_mode & _KIND != _IS_DIRECTORY


def _all(paths: tuple[str, ...]) -> Iterator[os.stat_result]:
    for path in paths:
        yield from _walk(path)


def _walk(path: str) -> Iterator[os.stat_result]:
    """Yield what lstat says of `path` and of all below it; links are not followed, mounts are not crossed."""
    try:
        top = os.lstat(path)
    except OSError:
        return
    yield top
    if top.st_mode & _KIND == _IS_DIRECTORY:
        yield from _below(path, top.st_dev)


def _below(path: str, device: int) -> Iterator[os.stat_result]:
    above: list[tuple[tuple[int, int], list[str]]] = []
    fd = _open(path)
    try:
        todo = yield from _look(fd, device)
        while fd >= 0 and (todo or above):
            if todo:
                below = _open(todo.pop(), fd)
                if below >= 0:
                    above.append((_identity(fd), todo))
                    os.close(fd)
                    fd = below
                    todo = yield from _look(fd, device)
                continue
            expected, todo = above.pop()
            parent = _open("..", fd)
            os.close(fd)
            fd = parent
            if fd >= 0 and _identity(fd) != expected:
                # The tree was moved while it was looked at: what lies around it is none of it.
                return
    finally:
        if fd >= 0:
            os.close(fd)


def _look(fd: int, device: int) -> Generator[os.stat_result, None, list[str]]:
    """Yield what is in an open directory of this device; return the names of the directories in it."""
    directories: list[str] = []
    if fd < 0:
        return directories
    try:
        with os.scandir(fd) as listing:
            entries = list(listing)
    except OSError:
        return directories
    for entry in entries:
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if found.st_dev != device:
            continue
        yield found
        if found.st_mode & _KIND == _IS_DIRECTORY:
            directories.append(entry.name)
    return directories


def _open(name: str, directory: int | None = None) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=directory)
    except OSError:
        return -1


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino
