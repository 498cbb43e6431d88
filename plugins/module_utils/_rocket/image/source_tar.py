# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A tar as what an image is made from: of a root file system, or an image whose manifest is then the base.

It is read once, by the strict reader; what files hold goes to a nameless temporary file, and the entries come out in the
order of an image, in the form that the same tree has as a directory. Nothing is unpacked: owners, devices and attributes
need no privileges and no file system that could hold them.

Refused: a name that is there twice, a path through a symbolic link, and what tar.py refuses (sparse files among it).
"""

from __future__ import annotations

import os

from ..errors import ArchiveError, RocketError
from ..record import replace
from .compression import decompressed
from .layout import MANIFEST, ROOTFS, parts_of
from .limits import DEFAULT
from .pax import refused
from .stream import CHUNK, file_stream, over_limit
from .tar import Entry, Reader, shown
from .xattrs import travels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Any

    from .limits import Limits

    Parts = tuple[bytes, ...]
    Piece = tuple[Entry, Iterable[bytes]]

_ROOM = "/var/tmp"


class _Inode:
    """What one or several names of an archive stand for; `start` is the place of its content, `first` its first name in the image."""

    __slots__ = ("entry", "first", "start")

    def __init__(self, entry: Entry, start: int) -> None:
        self.entry = entry
        self.start = start
        self.first = b""


class TarSource:
    """A tar file, plain or compressed.

    Args:
        path: of the file.
        progress: told bytes read and bytes of the file.
        limits: bounds on what is read.

    Attributes:
        manifest: the image manifest as it stands in the archive; empty for one that is no image.

    Raises:
        ArchiveError: not a tar, damaged, hostile, over a limit; there is no room for what its files hold.
    """

    def __init__(self, path: str, progress: Callable[[int, int], None] | None = None, limits: Limits = DEFAULT) -> None:
        self._limits = limits
        self._inodes: dict[Parts, _Inode] = {}
        self._spool = _temporary_file()
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            try:
                self._read(_told(file_stream(fd, limits.bytes), os.fstat(fd).st_size, progress))
            finally:
                os.close(fd)
            self.manifest = self._image_manifest()
            self._add_missing_directories()
        except RocketError as error:
            self._spool.close()
            error.where = f"{path}: {error.where}" if error.where else path
            raise
        except OSError as error:
            self._spool.close()
            raise ArchiveError(f"cannot be read ({error.strerror})", where=path, hint="name a directory or a tar") from error

    def __enter__(self) -> TarSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._spool.close()

    def contains(self, path: str) -> bool:
        """Return whether the file `path` is part of the tree, which here it is never: the tar was read before."""
        return False

    def entries(self) -> Iterator[Piece]:
        """Yield each entry, named from ``rootfs/`` on, with its content."""
        for inode in self._inodes.values():
            inode.first = b""
        for parts in sorted(self._inodes):
            inode = self._inodes[parts]
            entry = replace(inode.entry, name=b"/".join((b"rootfs", *parts)) + (b"/" if inode.entry.kind == "directory" else b""))
            if entry.kind == "file" and inode.first:
                yield replace(entry, kind="hardlink", link=inode.first, size=0, xattrs=()), ()
                continue
            inode.first = entry.name
            yield entry, self._content(inode.start, entry.size)

    def _read(self, stream: Iterator[bytes]) -> None:
        reader = Reader(decompressed(stream, self._limits), self._limits)
        end = 0
        # The names of directories come again with each file below them, and all names are kept.
        known: dict[bytes, bytes] = {}
        for entry in reader.entries():
            try:
                parts = parts_of(entry.name, entry.kind == "directory", self._limits)
                self._place(tuple(known.setdefault(part, part) for part in parts), entry, end)
            except ArchiveError as error:
                error.where = error.where or shown(entry.name)
                raise
            end += entry.size
            for piece in reader.data(entry):
                self._keep(piece)

    def _place(self, parts: Parts, entry: Entry, start: int) -> None:
        if parts in self._inodes:
            raise refused("this name is in the archive twice (A2)")
        if not parts and entry.kind != "directory":
            raise refused(f"the root is a {entry.kind}")
        if entry.kind != "hardlink":
            self._inodes[parts] = _Inode(_normal(entry), start)
            return
        target = self._inodes.get(parts_of(entry.link, False, self._limits))
        if target is None or target.entry.kind == "directory":
            raise refused("a hard link leads to nothing that stands before it in the archive, or to a directory")
        self._inodes[parts] = target

    def _keep(self, piece: memoryview) -> None:
        try:
            while piece:
                piece = piece[os.write(self._spool.fileno(), piece) :]
        except OSError as error:
            raise ArchiveError(
                f"there is no room for what the files of the archive hold ({error.strerror})",
                hint=f"set TMPDIR to a directory with room, instead of {_room()}",
            ) from error

    def _content(self, start: int, size: int) -> Iterator[bytes]:
        while size:
            piece = os.pread(self._spool.fileno(), min(size, CHUNK), start)
            if not piece:
                raise ArchiveError("the temporary file became shorter", hint="look at its file system")
            start += len(piece)
            size -= len(piece)
            yield piece

    def _image_manifest(self) -> bytes:
        """Return the manifest of an image, whose root file system then becomes the tree; nothing for another archive."""
        manifest, rootfs = self._inodes.get(MANIFEST), self._inodes.get(ROOTFS)
        if manifest is None or rootfs is None or manifest.entry.kind != "file" or rootfs.entry.kind != "directory":
            return b""
        del self._inodes[MANIFEST]
        self._inodes.pop((), None)
        for parts, inode in self._inodes.items():
            if parts[:1] != ROOTFS:
                raise refused(f"an image holds 'manifest' and 'rootfs' alone (A3), and not {shown(b'/'.join(parts))}")
            if inode is manifest:
                raise refused("a hard link leads out of 'rootfs'")
        if manifest.entry.size > self._limits.metadata:
            raise over_limit(f"the manifest is longer than {self._limits.metadata} bytes")
        self._inodes = {parts[1:]: inode for parts, inode in self._inodes.items()}
        return b"".join(self._content(manifest.start, manifest.entry.size))

    def _add_missing_directories(self) -> None:
        """Add the directories that names lead through and that have no entry, as unpacking makes them."""
        for parts in [*self._inodes, ()]:
            above = parts[:-1] if parts else parts
            while above not in self._inodes:
                self._inodes[above] = _Inode(Entry(name=b"", kind="directory", mode=0o755), 0)
                above = above[:-1]
            if self._inodes[above].entry.kind != "directory":
                raise refused(f"{shown(b'/'.join(parts))} leads through a {self._inodes[above].entry.kind}: pack it under its real name")


def _normal(entry: Entry) -> Entry:
    """Return the entry as a directory tree would show it, without its name: it may get others."""
    kept = tuple(pair for pair in entry.xattrs if travels(pair[0], capabilities=True))
    return replace(
        entry,
        name=b"",
        mode=0o777 if entry.kind == "symlink" else entry.mode,
        xattrs=kept if entry.kind in ("file", "directory") else (),
    )


def _told(stream: Iterator[bytes], size: int, progress: Callable[[int, int], None] | None) -> Iterator[bytes]:
    done = 0
    for chunk in stream:
        done += len(chunk)
        if progress is not None:
            progress(done, size)
        yield chunk


def _room() -> str:
    import tempfile

    return os.environ.get("TMPDIR") or (_ROOM if os.path.isdir(_ROOM) else tempfile.gettempdir())


def _temporary_file() -> Any:
    """Return an open file without a name; /tmp is memory on many hosts, and what an image holds is large."""
    import tempfile

    try:
        return tempfile.TemporaryFile(dir=_room(), buffering=0)
    except OSError as error:
        raise ArchiveError(f"no temporary file can be made ({error.strerror})", where=_room(), hint="set TMPDIR") from error
