# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Tar archives, read strictly: ustar, PAX and GNU long names, every header checked, every kind known.

``tarfile`` is not used: it takes damaged, cut and ambiguous archives for good ones (docs/security-model.md, archives).

Refused: sparse files in every form, multi-volume archives, data behind links and directories, numbers that are negative
or do not fit, an archive without its end marker, anything but zeros after it. Not handled here: what a name may be in an
App Container Image (layout.py), where it lands in a tree (resolve.py).
"""

from __future__ import annotations

from ..errors import ArchiveError, printable
from ..record import Record
from . import fields, pax
from .limits import DEFAULT
from .pax import refused
from .stream import over_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .limits import Limits

BLOCK = 512
ZEROS = bytes(BLOCK)
MAX_NAME = 4095
MAX_PART = 255
MAX_SIZE = (1 << 63) - 1
KINDS = {
    b"0": "file",
    b"\0": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "char",
    b"4": "block",
    b"5": "directory",
    b"6": "fifo",
}
_EXTENSIONS = (b"x", b"g", b"L", b"K")
_POSIX = b"ustar\x0000"
_GNU = b"ustar  \x00"


class Entry(Record):
    """One member of an archive.

    Attributes:
        name: as it stands in the archive, raw bytes; see split_name.
        kind: file, directory, symlink, hardlink, fifo, char or block.
        mode: permission bits with setuid, setgid and sticky; no type bits.
        uid: number of the owner, 0 to fields.MAX_ID; names of owners are ignored.
        gid: number of the group.
        size: bytes of content; 0 unless a file.
        mtime_ns: nanoseconds since the epoch, clamped to what file systems can hold.
        link: target of a symlink or hardlink, else empty.
        xattrs: (name, value) pairs.
        device: major and minor number of a device.
    """

    name: bytes
    kind: str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    link: bytes = b""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    device: tuple[int, int] = (0, 0)


def shown(name: bytes) -> str:
    """Return the name of an entry for a message."""
    return f"entry {printable(name.decode('utf-8', 'backslashreplace'))}"


def split_name(name: bytes, limits: Limits = DEFAULT) -> tuple[bytes, ...]:
    """Return the parts of a path in an archive; empty and ``.`` parts are dropped, the root is the empty tuple.

    Raises:
        ArchiveError: empty, NUL, ``..``, a part over MAX_PART bytes, more than MAX_NAME bytes; over `limits.depth` parts.
    """
    if not name:
        raise refused("a name is empty")
    if b"\0" in name:
        raise refused("a name contains NUL")
    if len(name) > MAX_NAME:
        raise refused(f"a name is longer than {MAX_NAME} bytes")
    parts = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
    if b".." in parts:
        raise refused("a name contains '..'")
    if len(parts) > limits.depth:
        raise over_limit(f"a name has more than {limits.depth} parts")
    if any(len(part) > MAX_PART for part in parts):
        raise refused(f"a part of a name is longer than {MAX_PART} bytes")
    return parts


def entries(stream: Iterator[bytes], limits: Limits = DEFAULT) -> Iterator[Entry]:
    """Yield the members of an uncompressed tar, content skipped; raises ArchiveError as Reader does."""
    return Reader(stream, limits).entries()


class Reader:
    """The members of an uncompressed tar, and the content of the one that was yielded last."""

    def __init__(self, stream: Iterator[bytes], limits: Limits = DEFAULT) -> None:
        self._stream = stream
        self._limits = limits
        self._chunk = memoryview(b"")
        self._at = 0
        self._before = 0
        self._entry: Entry | None = None
        self._unread = 0
        self._padding = 0
        self._ended = False
        self.count = 0

    @property
    def position(self) -> int:
        """Bytes of the tar that were read: at an entry, where its content begins."""
        return self._before + self._at

    def entries(self) -> Iterator[Entry]:
        """Yield each member, in order.

        Raises:
            ArchiveError: anything that the strict format does not know (security.md 2.2); more than `limits.entries`.
        """
        pending: dict[bytes, Any] = {}
        while True:
            self._finish_entry()
            block = self._exactly(BLOCK)
            if block == ZEROS:
                self._end(pending)
                return
            flag = _check_header(block)
            if flag in _EXTENSIONS:
                self._extension(flag, block, pending)
                continue
            self._count()
            entry = _entry(block, flag, pending)
            pending = {}
            self._entry = entry
            self._unread = entry.size
            self._padding = -entry.size % BLOCK
            yield entry

    def data(self, entry: Entry) -> Iterator[memoryview]:
        """Yield the content of `entry`, which is the one that was yielded last, once.

        Raises:
            ArchiveError: the archive ends in it.
            ValueError: `entry` is not the current one.
        """
        if entry is not self._entry:
            raise ValueError("only the content of the current entry can be read")
        while self._unread:
            piece = self._some(self._unread)
            self._unread -= len(piece)
            yield piece

    def _count(self) -> None:
        self.count += 1
        if self.count > self._limits.entries:
            raise over_limit(f"the archive has more than {self._limits.entries} entries")

    def _extension(self, flag: bytes, block: bytes, pending: dict[bytes, Any]) -> None:
        size = fields.number(block[124:136], "size of a header record")
        if size > self._limits.metadata:
            raise over_limit(f"a header record is longer than {self._limits.metadata} bytes")
        if flag in pending or (flag == b"g" and pending):
            raise refused("header records are repeated or out of order")
        data = self._exactly(size)
        self._exactly(-size % BLOCK)
        if flag == b"g":
            self._count()
            pax.parse_global(data)
        elif flag == b"x":
            pending[flag] = pax.parse(data)
        else:
            pending[flag] = data[:-1] if data.endswith(b"\0") else data

    def _finish_entry(self) -> None:
        if self._entry is not None:
            for _piece in self.data(self._entry):
                pass
            self._exactly(self._padding)
            self._entry = None

    def _end(self, pending: dict[bytes, Any]) -> None:
        if pending:
            raise refused("the archive ends after a header record")
        if self._exactly(BLOCK) != ZEROS:
            raise refused("the end marker of the archive is incomplete")
        while not self._ended:
            rest = self._chunk[self._at :]
            if rest != bytes(len(rest)):
                raise refused("there is data after the end marker of the archive")
            self._next_chunk()

    def _next_chunk(self) -> None:
        chunk = next(self._stream, b"")
        self._before += len(self._chunk)
        self._chunk = memoryview(chunk)
        self._at = 0
        self._ended = not chunk

    def _some(self, size: int) -> memoryview:
        """Return at least one and at most `size` bytes."""
        if self._at == len(self._chunk):
            self._next_chunk()
            if self._ended:
                raise refused("the archive ends early")
        piece = self._chunk[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def _exactly(self, size: int) -> bytes:
        if self._at + size <= len(self._chunk):
            piece = self._chunk[self._at : self._at + size]
            self._at += size
            return bytes(piece)
        pieces = []
        while size:
            pieces.append(bytes(self._some(size)))
            size -= len(pieces[-1])
        return b"".join(pieces)


def _check_header(block: bytes) -> bytes:
    """Return the type of a header whose checksum and magic are right."""
    if fields.number(block[148:156], "checksum") != sum(block) - sum(block[148:156]) + 8 * 32:
        raise refused("the checksum of a header is wrong")
    magic = block[257:265]
    if magic not in (_POSIX, _GNU):
        raise refused("a header is neither POSIX nor GNU tar")
    # What other programs keep there (times, parts of a sparse file, a prefix), some readers take for a part of the name.
    if (block[345:] if magic == _GNU else block[500:]).strip(b"\0"):
        raise refused("the end of a header is in use, which readers understand differently")
    flag = block[156:157]
    if flag not in KINDS and flag not in _EXTENSIONS:
        raise refused(f"the entry type {printable(flag.decode('latin-1'))} is not supported (sparse files are written as plain ones)")
    return flag


def _entry(block: bytes, flag: bytes, pending: dict[bytes, Any]) -> Entry:
    """Return the entry of a header and the records before it; an error names the entry."""
    records = pending.get(b"x", {})
    name = _name(block, records, pending)
    try:
        kind = KINDS[flag]
        size = pax.decimal(records[b"size"], "size") if b"size" in records else fields.number(block[124:136], "size")
        if size > MAX_SIZE:
            raise refused("the size is larger than a file can be")
        if size and kind != "file":
            raise refused(f"a {kind} has content")
        if kind != "directory" and name.endswith(b"/"):
            raise refused(f"the name of a {kind} ends in '/'")
        return Entry(
            name=name,
            kind=kind,
            mode=fields.number(block[100:108], "mode") & 0o7777,
            uid=fields.owner(records.get(b"uid"), block[108:116], "uid"),
            gid=fields.owner(records.get(b"gid"), block[116:124], "gid"),
            size=size,
            mtime_ns=fields.mtime(records.get(b"mtime"), block[136:148]),
            link=_link(block, records, pending) if kind in ("symlink", "hardlink") else b"",
            xattrs=tuple((key[len(pax.XATTR) :], value) for key, value in records.items() if key.startswith(pax.XATTR)),
            device=(fields.device(block[329:337]), fields.device(block[337:345])) if kind in ("char", "block") else (0, 0),
        )
    except ArchiveError as error:
        error.where = shown(name)
        raise


def _name(block: bytes, records: dict[bytes, bytes], pending: dict[bytes, Any]) -> bytes:
    if b"path" in records and b"L" in pending:
        raise refused("an entry has two long names")
    name: bytes | None = records.get(b"path", pending.get(b"L"))
    if name is None:
        name = fields.text(block[0:100])
        prefix = fields.text(block[345:500]) if block[257:265] == _POSIX else b""
        name = prefix + b"/" + name if prefix else name
    if not name:
        raise refused("a name is empty")
    if b"\0" in name:
        raise refused("a name contains NUL")
    return name


def _link(block: bytes, records: dict[bytes, bytes], pending: dict[bytes, Any]) -> bytes:
    if b"linkpath" in records and b"K" in pending:
        raise refused("an entry has two long link targets")
    link: bytes | None = records.get(b"linkpath", pending.get(b"K"))
    if link is None:
        link = fields.text(block[157:257])
    if not link or b"\0" in link or len(link) > MAX_NAME:
        raise refused("the target of a link is empty, too long or contains NUL")
    return link
