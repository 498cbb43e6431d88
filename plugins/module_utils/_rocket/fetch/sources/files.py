# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The files of a layout or archive of this host: by name, each a part of a file on the disk. Nothing is unpacked.

A tar is read once from end to end by the strict reader (image/tar.py); a compressed one is first uncompressed into the
store's unfinished work. Links in it lead to other files of it, as ``docker save`` once wrote them for equal layers.
"""

from __future__ import annotations

import os
import stat

from ...errors import ArchiveError, FetchError, printable
from ...image.compression import SNIFF, decompressed, sniff
from ...image.limits import DEFAULT
from ...image.stream import file_stream
from ...image.tar import Reader, split_name
from ...store.files import raise_disk_error, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...store.store import Store

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MOST_LINKS = 8


class Place:
    """Where a file lies: `size` bytes from `offset` on of the file at `path`."""

    __slots__ = ("offset", "path", "size")

    def __init__(self, path: str, offset: int, size: int) -> None:
        self.path, self.offset, self.size = path, offset, size


class Files:
    """Files by their names, which are relative paths without ``..``."""

    def locate(self, name: str) -> Place:
        """Return where a file lies.

        Raises:
            FetchError: code ``file-unreadable``; there is none, or it is no regular file.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give back what is open."""

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a file.

        Raises:
            FetchError: as locate(); ``body-too-large`` where it has more than `limit` bytes.
        """
        place = self.locate(name)
        if place.size > limit:
            raise FetchError(f"has more than {limit} bytes", where=printable(f"{place.path}: {name}"), code="body-too-large")
        try:
            fd = os.open(place.path, _OPEN)
            try:
                data = os.pread(fd, place.size, place.offset)
            finally:
                os.close(fd)
        except OSError as error:
            raise _unreadable(place.path, name, error.strerror or "unreadable") from error
        return data


class DirectoryFiles(Files):
    """The files below a directory."""

    def __init__(self, path: str) -> None:
        self._path = path
        if not os.path.isdir(path):
            raise _unreadable(path, "", "no such directory")

    def locate(self, name: str) -> Place:
        path = f"{self._path}/{name}"
        try:
            found = os.stat(path)
        except OSError as error:
            raise _unreadable(self._path, name, error.strerror or "unreadable") from error
        if not stat.S_ISREG(found.st_mode):
            raise _unreadable(self._path, name, "not a regular file")
        return Place(os.path.realpath(path), 0, found.st_size)


class TarFiles(Files):
    """The files in a tar, plain or compressed.

    Args:
        path: of the tar.
        store: where a compressed one is uncompressed to.

    Raises:
        FetchError: it cannot be read.
        ArchiveError: it is no tar, damaged or hostile.
    """

    def __init__(self, path: str, store: Store) -> None:
        self._path = path
        self._store = store
        self._spool: tuple[int, str] | None = None
        self._found: dict[tuple[bytes, ...], Place | tuple[bytes, ...]] = {}
        try:
            fd = os.open(path, _OPEN)
        except OSError as error:
            raise _unreadable(path, "", error.strerror or "unreadable") from error
        try:
            self._index(fd)
        except ArchiveError as error:
            self.close()
            error.where = f"{path}: {error.where}" if error.where else path
            raise
        except BaseException:
            self.close()
            raise
        finally:
            os.close(fd)

    def close(self) -> None:
        if self._spool is not None:
            fd, path = self._spool
            self._spool = None
            self._store.discard(path)
            os.close(fd)

    def locate(self, name: str) -> Place:
        parts = split_name(name.encode("utf-8", "surrogateescape"))
        for _turn in range(_MOST_LINKS):
            found = self._found.get(parts)
            if isinstance(found, Place):
                return found
            if found is None:
                break
            parts = found
        raise _unreadable(self._path, name, "no such file in it")

    def _index(self, fd: int) -> None:
        path = self._path
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _unreadable(path, "", "not a regular file")
        if sniff(os.pread(fd, SNIFF, 0)) != "none":
            fd, path = self._uncompress(fd)
        reader = Reader(file_stream(fd, DEFAULT.bytes))
        for entry in reader.entries():
            parts = split_name(entry.name)
            if entry.kind == "file":
                # The last of several with one name counts, as for who unpacks it.
                self._found[parts] = Place(path, reader.position, entry.size)
            elif entry.kind == "hardlink":
                self._found[parts] = split_name(entry.link)
            elif entry.kind == "symlink":
                self._found[parts] = _target(parts[:-1], entry.link)
            else:
                self._found.pop(parts, None)

    def _uncompress(self, fd: int) -> tuple[int, str]:
        self._spool = spool, path = self._store.staging_file()
        try:
            for piece in decompressed(file_stream(fd, DEFAULT.bytes), DEFAULT):
                write_all(spool, piece)
        except OSError as error:
            raise_disk_error(error, path)
        return spool, path


def _target(directory: tuple[bytes, ...], link: bytes) -> tuple[bytes, ...]:
    """Return the name that a symbolic link in a directory leads to, none where it leads out."""
    found = [] if link.startswith(b"/") else list(directory)
    for part in link.split(b"/"):
        if part == b"..":
            if not found:
                return ()
            found.pop()
        elif part not in (b"", b"."):
            found.append(part)
    return tuple(found)


def _unreadable(path: str, name: str, why: str) -> FetchError:
    where = printable(f"{path}: {name}" if name else path)
    return FetchError(f"cannot be read ({printable(why)})", where=where, hint="check the path and its permissions", code="file-unreadable")
