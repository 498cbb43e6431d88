# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Looking again at what the store holds: blobs against their records, trees against their listings.

Not handled here: signatures (trust); records and manifests, which are checked whenever they are read (record.py).
"""

from __future__ import annotations

import os

from ..errors import StoreError
from .dependencies import tree_id, visits
from .record import ImageRecord, damaged
from .trees import complete, listing_of, open_root, read_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .catalogue import Catalogue

_BLOCK = 1 << 20


def open_blob(store: Catalogue, record: ImageRecord) -> int:
    """Return a descriptor of the blob, whose kind and size are as recorded.

    Raises:
        StoreError: code ``damaged``.
    """
    path = f"{store.paths.images}/{record.id}/aci"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise damaged(path, record.id, error.strerror or "unreadable") from error
    found = os.fstat(fd)
    if found.st_mode & 0o170000 == 0o100000 and found.st_size == record.file_size:
        return fd
    os.close(fd)
    raise damaged(path, record.id, f"the blob has {found.st_size} bytes, not {record.file_size}")


def digest_fits(fd: int, record: ImageRecord) -> bool:
    """Return whether the file `fd` is the one that was recorded; its offset is neither used nor moved."""
    import hashlib

    digest = hashlib.sha512()
    offset = 0
    while True:
        block = os.pread(fd, _BLOCK, offset)
        if not block:
            break
        digest.update(block)
        offset += len(block)
    return "sha512-" + digest.hexdigest() == record.file_digest


def verify_blob(store: Catalogue, record: ImageRecord) -> None:
    """Read the whole blob and compare it with the record.

    Raises:
        StoreError: code ``damaged``.
    """
    path = f"{store.paths.images}/{record.id}/aci"
    fd = open_blob(store, record)
    try:
        fits = digest_fits(fd, record)
    except OSError as error:
        raise damaged(path, record.id, error.strerror or "unreadable") from error
    finally:
        os.close(fd)
    if not fits:
        raise damaged(path, record.id, "the blob's digest does not fit its record")


def tree_names(store: Catalogue, record: ImageRecord) -> tuple[str, ...]:
    """Return the names of the trees that a start of the image needs and that are rendered already, the lowest first.

    Raises:
        NotFound, StoreError: a dependency is missing, or not what the manifest says.
    """
    made_of = visits(store, record)
    names = dict.fromkeys((*(visit.image.id for visit in made_of), tree_id(made_of)))
    return tuple(name for name in names if complete(f"{store.paths.trees}/{name}"))


def verify_tree(store: Catalogue, name: str) -> None:
    """Read a whole tree and compare it with its listing, and that with its record.

    Raises:
        StoreError: code ``damaged``; its fact ``differences`` has the paths, the first 20.
    """
    from ..image.limits import DEFAULT
    from ..image.listing import again, differences, digest

    place = f"{store.paths.trees}/{name}"
    record = read_tree(place)
    if record is None or not record.digest:
        return
    expected = listing_of(place)
    if digest(expected) != record.digest:
        raise _other(place, name, ["listing: is not the one that was written"])
    try:
        root = open_root(place)
        try:
            found = again(root, expected, DEFAULT)
        finally:
            os.close(root)
    except OSError as error:
        raise _other(place, name, [f"cannot be read: {error.strerror}"]) from error
    if found != expected:
        raise _other(place, name, differences(expected, found))


def _other(place: str, name: str, clauses: list[str]) -> StoreError:
    more = f" and {len(clauses) - 1} more" if len(clauses) > 1 else ""
    return StoreError(
        f"the tree is not as it was rendered: {clauses[0]}{more}",
        where=place,
        hint="render it again with: rocket image verify --repair",
        code="damaged",
        tree=name,
        differences=clauses,
    )
