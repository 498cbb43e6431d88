# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""PAX extended headers (POSIX.1-2001): records ``<length> <key>=<value>\\n``, read by an allow-list.

A key that is not known could change what an entry means (sparse maps, other names), so it refuses the archive.
"""

from __future__ import annotations

from ..errors import ArchiveError, printable

XATTR = b"SCHILY.xattr."
_USED = frozenset((b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"))
# What other programs write beside it and what changes nothing here: names are bytes, owners are numbers.
_UNUSED = frozenset(
    (
        *(b"atime", b"ctime", b"uname", b"gname", b"comment", b"hdrcharset", b"charset"),
        *(b"SCHILY.dev", b"SCHILY.ino", b"SCHILY.nlink", b"SCHILY.fflags", b"LIBARCHIVE.creationtime", b"RHT.security.selinux"),
    )
)
_UNUSED_PREFIXES = (b"LIBARCHIVE.xattr.",)
# What Linux can hold (XATTR_NAME_MAX, XATTR_SIZE_MAX): more would fail in the middle of a tree.
_XATTR_NAME, _XATTR_SIZE = 255, 64 << 10
_HINT = "the archive is damaged or hostile; get it again from its publisher"


def refused(what: str) -> ArchiveError:
    """Return the error of a record that breaks the format."""
    return ArchiveError(what, hint=_HINT)


def parse(data: bytes) -> dict[bytes, bytes]:
    """Return the records of one extended header that matter here.

    Raises:
        ArchiveError: a length that lies, a repeated or unknown key, an empty key, an extended attribute that no file can hold.
    """
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 9)
        digits = data[at : max(space, at)]
        if not digits.isdigit() or digits[:1] == b"0":
            raise refused("a PAX record does not begin with its length")
        end = at + int(digits)
        if end > len(data) or end <= space + 1 or data[end - 1 : end] != b"\n":
            raise refused("the length of a PAX record does not fit")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise refused("a PAX record has no key")
        if key in records:
            raise refused(f"the PAX key {_shown(key)} is repeated")
        if key not in _USED and key not in _UNUSED and not key.startswith((XATTR, *_UNUSED_PREFIXES)):
            raise refused(f"the PAX key {_shown(key)} is not supported")
        if key.startswith(XATTR) and (len(key) > len(XATTR) + _XATTR_NAME or len(value) > _XATTR_SIZE):
            raise refused("an extended attribute is larger than Linux allows")
        records[key] = value
        at = end
    return {key: value for key, value in records.items() if key in _USED or key.startswith(XATTR)}


def parse_global(data: bytes) -> None:
    """Check a global extended header: it may hold comments, and nothing that reaches into the entries.

    Raises:
        ArchiveError: as parse(), or another key.
    """
    if data and (keys := set(parse(data))):
        raise refused(f"a global PAX header sets {_shown(min(keys))} for all entries")


def decimal(value: bytes, what: str) -> int:
    """Return a PAX number: decimal digits alone.

    Raises:
        ArchiveError: anything else, a sign included.
    """
    if not value.isdigit() or len(value) > 20:
        raise refused(f"the PAX {what} is not a number")
    return int(value)


def nanoseconds(value: bytes) -> int:
    """Return a PAX time (``-?digits[.digits]``, seconds) in nanoseconds.

    Raises:
        ArchiveError: anything else, such as ``nan``.
    """
    whole, _point, fraction = value.partition(b".")
    digits = whole[1:] if whole.startswith(b"-") else whole
    if not digits.isdigit() or len(value) > 64 or (fraction and not fraction.isdigit()):
        raise refused("the PAX mtime is not a time")
    result = int(digits) * 1_000_000_000 + int((fraction + b"0" * 9)[:9])
    return -result if whole.startswith(b"-") else result


def record(key: bytes, value: bytes) -> bytes:
    """Return one record; its length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) > len(str(rest)):
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _shown(key: bytes) -> str:
    return printable(key.decode("utf-8", "backslashreplace"), 60)
