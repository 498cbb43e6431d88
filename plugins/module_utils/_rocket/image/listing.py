# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What a tree holds, as text: one line an entry, in the order of the tree. The SHA-512 of the text is the digest of the tree.

A line is ``path kind mode uid gid mtime`` and, of a file, ``size sha256``, of a symbolic link its target; then
``name=value`` for each extended attribute that travels (xattrs.py), the value in hex. Kinds: ``f`` file, ``d`` directory, ``i``
directory that no archive had an entry for, ``l`` symbolic link, ``p`` FIFO. Paths begin with ``/``; bytes that are not printable
ASCII, spaces, ``%`` and ``=`` are written ``%XX``. Directories stand before what is in them, names are sorted.

Contents are SHA-256, which most processors have instructions for: a third of the time of SHA-512 (docs/adr/0005-trees.md).

Not handled here: how a tree comes to be (unpack.py, compose.py), where the text is kept (store).
"""

from __future__ import annotations

import os
import stat

from ..errors import StoreError
from .stream import over_limit
from .tar import MAX_NAME, Entry
from .xattrs import travels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from .limits import Limits

    Content = Callable[[int, bytes, os.stat_result], bytes]

_LETTERS = {"file": b"f", "directory": b"d", "symlink": b"l", "fifo": b"p"}
_KINDS = {letter: kind for kind, letter in _LETTERS.items()}
IMPLIED = b"i"
_CONTENT = {b"f": ("size", "content"), b"l": ("target",)}
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PLAIN = bytes(byte for byte in range(0x21, 0x7F) if byte not in b"%=")
_BLOCK = 1 << 20


def escaped(raw: bytes) -> bytes:
    """Return `raw` as it stands in a line."""
    if not raw.translate(None, _PLAIN):
        return raw
    return b"".join(bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte for byte in raw)


def plain(text: bytes) -> bytes:
    """Return the bytes that `escaped` wrote."""
    first, *rest = text.split(b"%")
    return first + b"".join(bytes.fromhex(part[:2].decode("ascii")) + part[2:] for part in rest)


class Line:
    """One line, taken apart as far as it is needed.

    Attributes:
        path: escaped, beginning with ``/``.
        letter: the kind, one letter.
    """

    __slots__ = ("_rest", "letter", "path")

    def __init__(self, text: bytes) -> None:
        self.path, self.letter, self._rest = text.split(b" ", 2)

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory, with an entry of its own or without."""
        return self.letter in b"di"

    def text(self) -> bytes:
        """Return the line."""
        return b" ".join((self.path, self.letter, self._rest))

    def entry(self) -> Entry:
        """Return the entry that makes this again; its name is the last part of the path, the content is not in it."""
        mode, uid, gid, mtime, *fields = self._rest.split(b" ")
        kind = "directory" if self.letter == IMPLIED else _KINDS[self.letter]
        size = int(fields[0]) if kind == "file" else 0
        link = plain(fields[0]) if kind == "symlink" else b""
        pairs = (field.split(b"=") for field in fields[{"file": 2, "symlink": 1}.get(kind, 0) :])
        return Entry(
            name=plain(self.path.rpartition(b"/")[2]) or b".",
            kind=kind,
            mode=int(mode, 8),
            uid=int(uid),
            gid=int(gid),
            size=size,
            mtime_ns=int(mtime),
            link=link,
            xattrs=tuple((plain(name), bytes.fromhex(value.decode("ascii"))) for name, value in pairs),
        )


def digest(listing: bytes) -> str:
    """Return ``sha512-`` and 128 hex digits of a listing: the digest of the tree."""
    import hashlib

    return "sha512-" + hashlib.sha512(listing).hexdigest()


def take(root: int, content: Content, limits: Limits, implied: Collection[tuple[int, int]] = ()) -> Iterator[bytes]:
    """Yield the lines of the tree below the directory `root`, without line ends.

    Args:
        root: descriptor; nobody else writes to the tree.
        content: called with directory, name and lstat of a file; returns its SHA-256 in hex.
        limits: depth of the tree.
        implied: (device, inode) of directories without an entry of their own.

    Raises:
        ArchiveError: code ``archive-limit``, a path that is too deep or too long to be written down.
        StoreError: something that no image brings, such as a socket or a device.
        OSError: the tree cannot be read.
    """
    return _Walk(content, limits, implied).directory(root, b"", 0)


def content_digest(directory: int, name: bytes, _info: os.stat_result) -> bytes:
    """Return the SHA-256 of a file that is read now, in hex; a `content` of `take`.

    Raises:
        OSError: it cannot be read.
    """
    import hashlib

    found = hashlib.sha256()
    fd = os.open(name, _FILE, dir_fd=directory)
    try:
        while True:
            block = os.read(fd, _BLOCK)
            if not block:
                return found.hexdigest().encode("ascii")
            found.update(block)
    finally:
        os.close(fd)


class _Walk:
    def __init__(self, content: Content, limits: Limits, implied: Collection[tuple[int, int]]) -> None:
        self._content = content
        self._limits = limits
        self._implied = implied

    def directory(self, fd: int, path: bytes, depth: int) -> Iterator[bytes]:
        """Yield the open directory `fd` at the escaped `path`, and all below it."""
        if depth > self._limits.depth:
            raise over_limit(f"the tree is deeper than {self._limits.depth} directories")
        info = os.fstat(fd)
        letter = IMPLIED if (info.st_dev, info.st_ino) in self._implied else b"d"
        yield _line(path or b"/", letter, info, b"", _xattrs(fd, b"."))
        with os.scandir(fd) as listing:
            found_names = [(os.fsencode(found.name), found.stat(follow_symlinks=False)) for found in listing]
        names = sorted((escaped(name), name, found) for name, found in found_names)
        for text, name, found in names:
            below = b"/".join((path, text))
            if len(below) - 2 * below.count(b"%") > MAX_NAME:
                raise over_limit(f"a path of the tree is longer than {MAX_NAME} bytes")
            if stat.S_ISDIR(found.st_mode):
                child = os.open(name, _DIRECTORY, dir_fd=fd)
                try:
                    yield from self.directory(child, below, depth + 1)
                finally:
                    os.close(child)
            else:
                yield self._other(fd, name, below, found)

    def _other(self, directory: int, name: bytes, path: bytes, info: os.stat_result) -> bytes:
        if stat.S_ISREG(info.st_mode):
            content = b"%d %s" % (info.st_size, self._content(directory, name, info))
            return _line(path, b"f", info, content, _xattrs(directory, name))
        if stat.S_ISLNK(info.st_mode):
            return _line(path, b"l", info, escaped(os.readlink(name, dir_fd=directory)), b"")
        if stat.S_ISFIFO(info.st_mode):
            return _line(path, b"p", info, b"", b"")
        raise StoreError("a tree holds no devices and no sockets", where=path.decode("ascii"), hint="nothing of an image does that")


def _line(path: bytes, letter: bytes, info: os.stat_result, content: bytes, xattrs: bytes) -> bytes:
    fields = b"%s %s %04o %d %d %d" % (path, letter, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns)
    return b" ".join(filter(None, (fields, content, xattrs)))


def _xattrs(directory: int, name: bytes) -> bytes:
    path = b"/proc/self/fd/%d/%s" % (directory, name)
    names = os.listxattr(path, follow_symlinks=False)
    if not names:
        return b""
    kept = sorted(raw for raw in map(os.fsencode, names) if travels(raw, capabilities=True))
    return b" ".join(b"%s=%s" % (escaped(raw), os.getxattr(path, raw, follow_symlinks=False).hex().encode("ascii")) for raw in kept)


def again(root: int, expected: bytes, limits: Limits) -> bytes:
    """Return the listing of the tree below `root` as it is now, contents read and hashed.

    Directories that `expected` calls implied are so called again: on disk nobody can tell.

    Raises:
        ArchiveError, StoreError, OSError: as `take`.
    """
    implied = {path for path, letter, _rest in _split(expected) if letter == IMPLIED}
    lines = []
    for line in take(root, content_digest, limits):
        path, letter, rest = line.split(b" ", 2)
        lines.append(b" ".join((path, IMPLIED, rest)) if letter == b"d" and path in implied else line)
    return b"".join(line + b"\n" for line in lines)


def differences(expected: bytes, found: bytes, limit: int = 20) -> list[str]:
    """Return how the listing `found` differs from `expected`, one clause each, paths sorted; at most `limit`."""
    before = {path: (letter, rest) for path, letter, rest in _split(expected)}
    after = {path: (letter, rest) for path, letter, rest in _split(found)}
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return [f"{path.decode('ascii')} {_how(before.get(path), after.get(path))}" for path in changed[:limit]]


def _split(listing: bytes) -> Iterator[list[bytes]]:
    return (line.split(b" ", 2) for line in listing.splitlines())


def _how(before: tuple[bytes, bytes] | None, after: tuple[bytes, bytes] | None) -> str:
    if before is None:
        return "was added"
    if after is None:
        return "is missing"
    if before[0] != after[0]:
        return "is of another kind"
    names = ("mode", "owner", "group", "time", *_CONTENT.get(before[0], ()))
    old, new = before[1].split(b" "), after[1].split(b" ")
    other = [name for name, one, two in zip(names, old, new) if one != two]
    # The size says it too, and less.
    other = [name for name in other if name != "size" or "content" not in other]
    pairs = set(old[len(names) :]) ^ set(new[len(names) :])
    other += sorted({f"extended attribute {pair.partition(b'=')[0].decode('ascii')}" for pair in pairs})
    return f"has another {', '.join(other)}"
