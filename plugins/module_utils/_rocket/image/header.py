# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Tar headers, written: ustar, with a PAX record for what does not fit, and for nothing else.

One entry has one form, so that an image ID can be made again.
"""

from __future__ import annotations

from . import pax
from .tar import BLOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .tar import Entry

_FLAGS = {"file": b"0", "hardlink": b"1", "symlink": b"2", "char": b"3", "block": b"4", "directory": b"5", "fifo": b"6"}
_SECOND = 1_000_000_000
_EIGHT, _TWELVE = 8**7 - 1, 8**11 - 1


def padding(size: int) -> bytes:
    """Return the zeros that fill the last block of `size` bytes."""
    return bytes(-size % BLOCK)


def header(entry: Entry) -> bytes:
    """Return the header blocks of `entry`, its PAX record in front where one is needed."""
    records: dict[bytes, bytes] = {}
    split = _split(entry.name)
    if split is None:
        records[b"path"] = entry.name
        split = (b"", entry.name[-100:])
    if len(entry.link) > 100:
        records[b"linkpath"] = entry.link
    numbers = {}
    for name, value, limit in ((b"size", entry.size, _TWELVE), (b"uid", entry.uid, _EIGHT), (b"gid", entry.gid, _EIGHT)):
        numbers[name] = value if value <= limit else 0
        if value > limit:
            records[name] = b"%d" % value
    seconds, fraction = divmod(entry.mtime_ns, _SECOND)
    if fraction or not 0 <= seconds <= _TWELVE:
        records[b"mtime"] = _time(entry.mtime_ns)
    numbers[b"mtime"] = min(max(seconds, 0), _TWELVE)
    for name, content in entry.xattrs:
        records[pax.XATTR + name] = content
    plain = _block(split[1], split[0], _FLAGS[entry.kind], entry.mode, numbers, entry.link[:100], entry.device)
    if not records:
        return plain
    if not _is_text(records.get(b"path", b"") + records.get(b"linkpath", b"")):
        records[b"hdrcharset"] = b"BINARY"
    data = b"".join(pax.record(key, records[key]) for key in sorted(records, key=lambda key: (key != b"hdrcharset", key)))
    name = b"PaxHeaders/" + entry.name.rstrip(b"/").rpartition(b"/")[2][:80]
    extended = _block(name, b"", b"x", 0o644, {b"size": len(data)}, b"", (0, 0))
    return extended + data + padding(len(data)) + plain


def _block(name: bytes, prefix: bytes, flag: bytes, mode: int, numbers: dict[bytes, int], link: bytes, device: tuple[int, int]) -> bytes:
    before = b"".join(
        (
            name.ljust(100, b"\0"),
            b"%07o\0" % mode,
            b"%07o\0" % numbers.get(b"uid", 0),
            b"%07o\0" % numbers.get(b"gid", 0),
            b"%011o\0" % numbers.get(b"size", 0),
            b"%011o\0" % numbers.get(b"mtime", 0),
        )
    )
    after = b"".join(
        (
            flag,
            link.ljust(100, b"\0"),
            b"ustar\x0000",
            bytes(64),
            b"%07o\0%07o\0" % device,
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
    )
    return before + b"%06o\0 " % (sum(before) + sum(after) + 8 * 32) + after


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Return prefix and name as ustar holds them, or None where they do not fit."""
    if len(name) <= 100:
        return b"", name
    at = name.find(b"/", len(name) - 101, 156)
    if at <= 0 or at == len(name) - 1:
        return None
    return name[:at], name[at + 1 :]


def _time(nanoseconds: int) -> bytes:
    sign, value = (b"-", -nanoseconds) if nanoseconds < 0 else (b"", nanoseconds)
    seconds, fraction = divmod(value, _SECOND)
    return sign + b"%d" % seconds + ((b".%09d" % fraction).rstrip(b"0") if fraction else b"")


def _is_text(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
