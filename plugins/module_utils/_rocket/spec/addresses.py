# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""IP addresses of exposed ports (docs/spec-conformance.md P12): IPv4 dotted quad, and IPv6 as our extension.

By hand: ``ipaddress`` and ``socket`` cost more to import than they save here.

Not handled here: which addresses the host has.
"""

from __future__ import annotations

from ..record import Record
from .reading import Node

_HEX = frozenset("0123456789abcdefABCDEF")


class Address(Record):
    """An address of the host: `version` is 4, 6, or 0 for both; the number 0 stands for every address."""

    version: int
    number: int = 0

    def meets(self, other: Address) -> bool:
        """Return whether something sent to one address can be for both."""
        if not self._families() & other._families():
            return False
        return self.number == 0 or other.number == 0 or self.number == other.number

    def _families(self) -> set[int]:
        # A socket on :: takes IPv4 too, unless it was told otherwise.
        return {4, 6} if self.version == 0 or (self.version == 6 and self.number == 0) else {self.version}


def _four(text: str) -> int | None:
    number = 0
    parts = text.split(".")
    if len(parts) != 4:
        return None
    for part in parts:
        if not 1 <= len(part) <= 3 or part.strip("0123456789") or int(part) > 255 or (len(part) > 1 and part[0] == "0"):
            return None
        number = number << 8 | int(part)
    return number


def _groups(text: str) -> list[int] | None:
    if not text:
        return []
    parts = text.split(":")
    if not all(1 <= len(part) <= 4 and _HEX.issuperset(part) for part in parts):
        return None
    return [int(part, 16) for part in parts]


def _six(text: str) -> int | None:
    head, gap, tail = text.partition("::")
    left, right = _groups(head), _groups(tail)
    if left is None or right is None:
        return None
    missing = 8 - len(left) - len(right)
    if (missing < 1) if gap else (missing != 0):
        return None
    number = 0
    for group in [*left, *([0] * missing), *right]:
        number = number << 16 | group
    return number


def parse_address(node: Node) -> Address:
    """Return the address in `node`; null is every address.

    Raises:
        SpecError: P12; no address, an IPv4 address with leading zeros, or one written as IPv6.
    """
    if node.value is None:
        return Address(0)
    text = node.text("P12")
    four = _four(text)
    if four is not None:
        return Address(4, four)
    six = _six(text)
    if six is None:
        raise node.error("an IPv4 address such as 203.0.113.23, or an IPv6 address, was expected", "P12")
    if six >> 32 == 0xFFFF:
        raise node.error("this IPv4 address was expected as a dotted quad", "P12")
    return Address(6, six)
