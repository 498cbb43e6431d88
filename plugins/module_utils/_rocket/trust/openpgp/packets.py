# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""OpenPGP packets (RFC 9580 section 4) and the integers in them, read without any slack.

Not handled here: partial and indeterminate lengths (refused: nothing that is signed or trusted needs them).
"""

from __future__ import annotations

from ...errors import TrustError
from ...record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

SIGNATURE = 2
SECRET_KEY = 5
PUBLIC_KEY = 6
SECRET_SUBKEY = 7
TRUST = 12
USER_ID = 13
PUBLIC_SUBKEY = 14
USER_ATTRIBUTE = 17
PRIVATE = (60, 61, 62, 63)


class Octets:
    """A cursor over bytes that never reads past their end.

    Args:
        data: the bytes.
        code: the message class of what is wrong with them.
        where: what they are, for messages.
    """

    def __init__(self, data: bytes, code: str, where: str) -> None:
        self._data = data
        self._at = 0
        self._code = code
        self._where = where

    def refuse(self, what: str) -> NoReturn:
        """Raise the TrustError of this data."""
        raise TrustError(what, where=self._where, code=self._code, hint="the file is damaged or forged; get it again from its owner")

    @property
    def left(self) -> int:
        """How many octets are left."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """Return the next `count` octets."""
        if count > self.left:
            self.refuse(f"a length says {count} octets where {self.left} are left")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, count: int) -> int:
        """Return the next `count` octets as an unsigned big-endian integer."""
        return int.from_bytes(self.take(count), "big")

    def rest(self) -> bytes:
        """Return everything that is left."""
        return self.take(self.left)

    def mpi(self) -> int:
        """Return a multiprecision integer; its bit count has to be exact, so that a value has one form."""
        bits = self.number(2)
        value = int.from_bytes(self.take((bits + 7) // 8), "big")
        if value.bit_length() != bits:
            self.refuse(f"an integer of {value.bit_length()} bits claims {bits}")
        return value

    def end(self, what: str) -> None:
        """Refuse octets after the end of `what`."""
        if self.left:
            self.refuse(f"{self.left} octets follow {what}")


class Packet(Record):
    """One packet: its type (called tag up to RFC 4880) and its body."""

    tag: int
    body: bytes

    def to_bytes(self) -> bytes:
        """Return the packet with a header of the current format and a length of five octets, as every packet of ours has."""
        return bytes((0xC0 | self.tag, 0xFF)) + len(self.body).to_bytes(4, "big") + self.body


def _length(octets: Octets) -> int:
    first = octets.number(1)
    if first < 192:
        return first
    if first < 224:
        return ((first - 192) << 8) + octets.number(1) + 192
    if first < 255:
        octets.refuse("a packet of partial length has no place here")
    return octets.number(4)


def read_packets(data: bytes, code: str, where: str, limit: int) -> list[Packet]:
    """Return the packets in `data`, at most `limit`.

    Raises:
        TrustError: with `code`: a length that does not fit, a length without end, too many packets.
    """
    octets = Octets(data, code, where)
    found: list[Packet] = []
    while octets.left:
        if len(found) == limit:
            octets.refuse(f"holds more than {limit} packets")
        header = octets.number(1)
        if not header & 0x80:
            octets.refuse("is not made of OpenPGP packets")
        if header & 0x40:
            tag, size = header & 0x3F, _length(octets)
        elif header & 3 == 3:
            octets.refuse("a packet without a length has no place here")
        else:
            tag, size = (header >> 2) & 0xF, octets.number(1 << (header & 3))
        if tag == 0:
            octets.refuse("a packet of the reserved type 0")
        found.append(Packet(tag, octets.take(size)))
    return found
