# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The file of a bundle: a tar that is, byte by byte, what its ``bundle.json`` says it is (docs/adr/0008-bundles.md).

Headers are not read but worked out and compared. So there is no entry that nobody spoke of, no name, kind or size that two readers
could understand differently, and no extension but the one that a size of 8 GiB needs.

Not handled here: what is in the images (check.py), whether anybody vouches for them (fetch).
"""

from __future__ import annotations

import os
import stat

from ..errors import ArchiveError
from ..record import Record
from ..spec.bundle import Bundle
from ..spec.reading import MAX_BYTES
from . import fields
from .header import header, padding
from .pax import refused
from .tar import BLOCK, Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

INDEX = "bundle.json"
END = bytes(2 * BLOCK)
_NO_BUNDLE = "name a file that `rocket image export --bundle` wrote"


class Place(Record):
    """Where a member lies in the file.

    Attributes:
        name: of the member.
        offset: of its first byte.
        size: its bytes.
    """

    name: str
    offset: int
    size: int


class Contents(Record):
    """What is where in the file of a bundle.

    Attributes:
        bundle: what it says.
        places: of all members behind ``bundle.json``, by their names.
    """

    bundle: Bundle
    places: dict[str, Place]


def heading(name: str, size: int) -> bytes:
    """Return what stands before a member: the only form that it can have."""
    return header(Entry(name=name.encode("ascii"), kind="file", size=size))


def read_contents(fd: int) -> Contents:
    """Return what is where in the regular file `fd`; its offset is neither used nor moved, and no image is read.

    Raises:
        ArchiveError: no bundle, cut, something in or behind it that does not belong there.
        SpecError: what its ``bundle.json`` says.
        OSError: it cannot be read.
    """
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise ArchiveError("a bundle is a regular file", hint=_NO_BUNDLE)
    first = os.pread(fd, BLOCK, 0)
    try:
        size = fields.number(first[124:136], "size") if len(first) == BLOCK else 0
    except ArchiveError:
        size = 0
    if not 0 < size <= MAX_BYTES or first != heading(INDEX, size):
        raise ArchiveError(f"is no bundle: it does not begin with {INDEX} of 1 to {MAX_BYTES} bytes", hint=_NO_BUNDLE)
    data = os.pread(fd, size, BLOCK)
    bundle = Bundle.parse(data)
    places = {place.name: place for place in _places(bundle, BLOCK + size + len(padding(size)))}
    last = list(places.values())[-1]
    whole = last.offset + last.size + len(padding(last.size)) + len(END)
    if found.st_size != whole:
        what = "cut" if found.st_size < whole else "longer than it may be"
        raise refused(f"the bundle is {what}: it has {found.st_size} bytes, not {whole}")
    _check_between(fd, (Place(INDEX, BLOCK, size), *places.values()))
    return Contents(bundle, places)


def _places(bundle: Bundle, at: int) -> Iterator[Place]:
    for name, size in bundle.members():
        at += len(heading(name, size))
        yield Place(name, at, size)
        at += size + len(padding(size))


def _check_between(fd: int, places: tuple[Place, ...]) -> None:
    """Compare all that lies between the members with what has to be there."""
    for place, following in zip(places, (*places[1:], None)):
        wanted = padding(place.size) + (heading(following.name, following.size) if following else END)
        if os.pread(fd, len(wanted), place.offset + place.size) != wanted:
            raise refused(f"behind {place.name} there is something else than {following.name if following else 'the end'}")
