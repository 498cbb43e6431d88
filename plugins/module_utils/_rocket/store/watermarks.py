# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""How full the store may get: when it is above a high mark, what nothing needs goes until it is down to a low one.

A mark is a size, of what the store takes (``20G``), or a share of the file system that it is on (``85%``).
"""

from __future__ import annotations

import os

from ..errors import SpecError, UsageError
from ..record import Record
from .files import raise_disk_error
from .usage import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..paths import Paths

_WHOLE = 100


class Level(Record):
    """How full it is, in bytes.

    Attributes:
        used: what the store takes, or what of its file system is in use.
        high: above this something has to go.
        low: and goes until no more than this is used.
        total: bytes of the file system where the marks are shares of it, else 0.
    """

    used: int
    high: int
    low: int
    total: int = 0

    def told(self, used: int) -> str:
        """Return the sentence for an operator whose store stays at `used` bytes."""
        rest = "nothing else may go: it is in use"
        if self.total:
            shares = [f"{amount * _WHOLE / self.total:.1f}%" for amount in (used, self.low)]
            return f"the file system stays {shares[0]} full, above the low mark of {shares[1]}; {rest}, or no part of the store"
        return f"the store stays at {used} bytes, above the low mark of {self.low}; {rest}"


class Watermarks(Record):
    """A pair of marks.

    Attributes:
        high: bytes, or percent.
        low: less than `high`.
        percent: whether they are shares of the file system.
    """

    high: int
    low: int
    percent: bool = False

    def level(self, paths: Paths) -> Level:
        """Measure how full the store or its file system is; a store that is not there takes nothing.

        Raises:
            StoreError: the file system cannot be asked.
        """
        if not self.percent:
            parts = (paths.images, paths.trees, paths.blobs, paths.staging, paths.garbage)
            return Level(Tally().taken(*parts), self.high, self.low)
        try:
            found = os.statvfs(paths.data or "/")
        except FileNotFoundError:
            return Level(0, self.high, self.low)
        except OSError as error:
            raise_disk_error(error, paths.data)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        # As df counts: what is kept for root is neither used nor free.
        total = used + found.f_bavail * found.f_frsize
        return Level(used, total * self.high // _WHOLE, total * self.low // _WHOLE, total)


def parse_watermarks(high: str, low: str, names: tuple[str, str] = ("--high-water", "--low-water")) -> Watermarks | None:
    """Return the marks that two texts mean; None where both are empty.

    Args:
        high: a size such as ``20G``, or a share such as ``85%``.
        low: likewise.
        names: what the operator calls them, for messages.

    Raises:
        UsageError: one without the other, neither a size nor a share, one of each, or low is not below high.
    """
    if not high and not low:
        return None
    for text, name, other in ((high, *names), (low, names[1], names[0])):
        if not text:
            raise UsageError(f"goes together with {other}", where=name, hint=f"give both, or leave {other} out")
    most, least = _mark(high, names[0]), _mark(low, names[1])
    if high.endswith("%") != low.endswith("%"):
        raise UsageError(f"is of another kind than {names[0]}: {low} and {high}", where=names[1], hint="give two sizes or two shares")
    if least >= most:
        raise UsageError(
            f"has to be below {names[0]}, and {low} is not below {high}", where=names[1], hint="what goes, goes from high to low"
        )
    return Watermarks(most, least, high.endswith("%"))


def _mark(text: str, name: str) -> int:
    from ..spec.quantity import parse_quantity

    try:
        if not text.endswith("%"):
            return parse_quantity(text, name)
    except SpecError as error:
        raise _unclear(text, name) from error
    digits = text[:-1]
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 3 or int(digits) > _WHOLE:
        raise _unclear(text, name)
    return int(digits)


def _unclear(text: str, name: str) -> UsageError:
    return UsageError(f"expects a size such as 20G or a share such as 85%, not {text!r}", where=name)
