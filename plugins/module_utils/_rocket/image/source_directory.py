# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A directory as what an image is made from: its entries in the order of an image, read by descriptor, links not followed.

Kept are the extended attributes that travel (xattrs.py) and hard links; sockets are refused.

Not handled here: owners and times that the builder sets (build.py).
"""

from __future__ import annotations

import os
import stat

from ..errors import ArchiveError, printable
from ..record import replace
from .stream import CHUNK
from .tar import Entry
from .xattrs import travels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    Piece = tuple[Entry, Iterable[bytes]]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}


class DirectorySource:
    """A directory that is the root file system.

    Args:
        path: of the directory.

    Raises:
        ArchiveError: it cannot be read.
    """

    manifest = b""

    def __init__(self, path: str) -> None:
        try:
            self._top = os.open(path, _DIRECTORY)
        except OSError as error:
            raise ArchiveError(f"the tree cannot be read ({error.strerror})", where=path, hint="name a directory or a tar") from error
        self._path = path
        self._links: dict[tuple[int, int], bytes] = {}

    def __enter__(self) -> DirectorySource:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._top)

    def contains(self, path: str) -> bool:
        """Return whether the file `path` lies, or would lie, in the tree."""
        top = os.path.realpath(self._path)
        return os.path.commonpath((os.path.realpath(os.path.dirname(os.path.abspath(path))), top)) == top

    def entries(self) -> Iterator[Piece]:
        """Yield each entry, named from ``rootfs/`` on, with its content, which has to be taken before the next one.

        Raises:
            ArchiveError: it changes meanwhile, or holds what an image cannot.
            OSError: it cannot be read.
        """
        self._links = {}
        yield from self._directory(self._top, b"rootfs/")

    def _directory(self, fd: int, name: bytes) -> Iterator[Piece]:
        """Yield the open directory `fd` as `name`, which ends in ``/``, and all below it."""
        yield _entry(name, os.fstat(fd), _xattrs(fd)), ()
        for child in sorted(map(os.fsencode, os.listdir(fd))):
            info = os.stat(child, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISREG(info.st_mode):
                yield from self._file(fd, child, name + child)
            elif not stat.S_ISDIR(info.st_mode):
                yield _node(fd, child, name + child, info), ()
            else:
                below = os.open(child, _DIRECTORY, dir_fd=fd)
                try:
                    yield from self._directory(below, name + child + b"/")
                finally:
                    os.close(below)

    def _file(self, directory: int, child: bytes, name: bytes) -> Iterator[Piece]:
        fd = os.open(child, _FILE, dir_fd=directory)
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise _changed(name)
            key = (info.st_dev, info.st_ino)
            if key in self._links:
                yield replace(_entry(name, info, ()), kind="hardlink", link=self._links[key]), ()
                return
            if info.st_nlink > 1:
                self._links[key] = name
            yield replace(_entry(name, info, _xattrs(fd)), size=info.st_size), _content(fd, info.st_size, name)
        finally:
            os.close(fd)


def _node(directory: int, child: bytes, name: bytes, info: os.stat_result) -> Entry:
    """Return the entry of a symbolic link, FIFO or device."""
    if stat.S_IFMT(info.st_mode) not in _KINDS:
        raise ArchiveError("a socket cannot be part of an image", where=_path(name), hint="remove it")
    entry = _entry(name, info, ())
    if entry.kind == "symlink":
        return replace(entry, mode=0o777, link=os.readlink(child, dir_fd=directory))
    return entry if entry.kind == "fifo" else replace(entry, device=(os.major(info.st_rdev), os.minor(info.st_rdev)))


def _entry(name: bytes, info: os.stat_result, xattrs: tuple[tuple[bytes, bytes], ...]) -> Entry:
    return Entry(
        name=name,
        kind=_KINDS[stat.S_IFMT(info.st_mode)],
        mode=stat.S_IMODE(info.st_mode),
        uid=info.st_uid,
        gid=info.st_gid,
        mtime_ns=info.st_mtime_ns,
        xattrs=xattrs,
    )


def _content(fd: int, size: int, name: bytes) -> Iterator[bytes]:
    left = size
    while left:
        piece = os.read(fd, min(left, CHUNK))
        if not piece:
            raise _changed(name)
        left -= len(piece)
        yield piece
    if os.read(fd, 1):
        raise _changed(name)


def _changed(name: bytes) -> ArchiveError:
    return ArchiveError("this changed while it was read", where=_path(name), hint="build from a tree that nobody writes to")


def _xattrs(fd: int) -> tuple[tuple[bytes, bytes], ...]:
    kept = []
    for text in sorted(os.listxattr(fd)):
        name = os.fsencode(text)
        if travels(name, capabilities=True):
            if b"=" in name:
                raise ArchiveError(f"the extended attribute {printable(text)} has '=' in its name", hint="PAX cannot hold it: remove it")
            kept.append((name, os.getxattr(fd, text)))
    return tuple(kept)


def _path(name: bytes) -> str:
    return printable(name.decode("utf-8", "backslashreplace"))
