# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""One rendered tree on disk: ``trees/<id>/{rootfs, listing, record.json}``."""

from __future__ import annotations

import os

from ..errors import StoreError
from ..record import Record
from .files import read_limited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMAT = 2
LISTING = "listing"
# A million entries with names as long as they may be would be more; such a tree can be used and not be looked at again.
LISTING_LIMIT = 1 << 30


class TreeRecord(Record):
    """What is known of a rendered tree.

    Attributes:
        image_id: the image that it is the root file system of.
        images: image IDs of all that it was made of.
        digest: of its listing; empty for one that an earlier rocket rendered.
        rendered_at: seconds since the epoch.
        skipped: kind and name of devices that were not made, for display; the first 100.
        skipped_count: how many there were.
    """

    image_id: str
    images: tuple[str, ...]
    digest: str = ""
    rendered_at: int = 0
    skipped: tuple[str, ...] = ()
    skipped_count: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON value."""
        return {"format": FORMAT, **self.__dict__}


def complete(place: str) -> bool:
    """Return whether there is a whole tree: it is renamed into place with all that belongs to it."""
    return os.path.isfile(f"{place}/record.json") and os.path.isdir(f"{place}/rootfs")


def read_tree(place: str) -> TreeRecord | None:
    """Return the record of the tree in the directory `place`; None where there is no tree.

    Raises:
        StoreError: code ``damaged``.
    """
    import json

    path = f"{place}/record.json"
    try:
        value = json.loads(read_limited(path))
        image_id = str(value["image_id"])
        return TreeRecord(
            image_id=image_id,
            images=tuple(value.get("images", (image_id,))),
            digest=value.get("digest", ""),
            rendered_at=int(value["rendered_at"]),
            skipped=tuple(value["skipped"]),
            skipped_count=int(value.get("skipped_count", len(value["skipped"]))),
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            "not the record of a tree", where=path, hint="render it again: rocket image verify --repair", code="damaged"
        ) from error


def listing_of(place: str) -> bytes:
    """Return the listing of the tree in the directory `place`; made now where an earlier rocket rendered it without one.

    Raises:
        StoreError: it cannot be read.
    """
    from ..image.limits import DEFAULT
    from ..image.listing import again

    try:
        try:
            return read_limited(f"{place}/{LISTING}", LISTING_LIMIT)
        except FileNotFoundError:
            root = open_root(place)
            try:
                return again(root, b"", DEFAULT)
            finally:
                os.close(root)
    except OSError as error:
        raise StoreError(f"the tree cannot be read ({error.strerror})", where=place, hint="look at the disk", code="damaged") from error


def open_root(place: str) -> int:
    """Return a descriptor of the root directory of a tree; raises OSError."""
    return os.open(f"{place}/rootfs", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
