# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The fields of a tar header: text ended by NUL, octal and base-256 numbers. Each raises ArchiveError on anything else."""

from __future__ import annotations

from . import pax
from .pax import refused

MAX_ID = 0xFFFFFFFE
_SECOND = 1_000_000_000
_EARLIEST = -(1 << 31) * _SECOND
_LATEST = (1 << 34) * _SECOND


def text(field: bytes) -> bytes:
    """Return what stands before the first NUL; behind it only NULs may follow, or it would be a hidden name."""
    value, _nul, rest = field.partition(b"\0")
    if rest.strip(b"\0"):
        raise refused("a name contains NUL")
    return value


def number(field: bytes, what: str) -> int:
    """Return an octal or base-256 number; negative ones are returned for times alone."""
    if field[0] & 0x80:
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        if value >> (bits - 1):
            value -= 1 << bits
            if what != "mtime":
                raise refused(f"the {what} is negative")
        return value
    digits = field.rstrip(b" \0").lstrip(b" ")
    if not digits or digits.strip(b"01234567"):
        raise refused(f"the {what} is not an octal number")
    return int(digits, 8)


def device(field: bytes) -> int:
    """Return a major or minor number; some programs leave the field empty."""
    return number(field, "device number") if field.strip(b" \0") else 0


def owner(record: bytes | None, field: bytes, what: str) -> int:
    """Return a uid or gid, of the PAX record where there is one."""
    value = number(field, what) if record is None else pax.decimal(record, what)
    if value > MAX_ID:
        raise refused(f"the {what} does not fit: chown would leave the file to root")
    return value


def mtime(record: bytes | None, field: bytes) -> int:
    """Return a time in nanoseconds, clamped to what file systems can hold."""
    value = number(field, "mtime") * _SECOND if record is None else pax.nanoseconds(record)
    return min(max(value, _EARLIEST), _LATEST)
