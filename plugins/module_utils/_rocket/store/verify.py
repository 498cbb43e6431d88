# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Looking again at what the store holds: blobs against their records, trees against their listings.

Not handled here: signatures (trust); records and manifests, which are checked whenever they are read (record.py).
"""

from __future__ import annotations

import os

from ..errors import StoreError
from .dependencies import tree_id, visits
from .files import fsync_directory, raise_disk_error, read_limited
from .record import ImageRecord, damaged
from .trees import complete, listing_of, open_root, read_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .catalogue import Catalogue
    from .store import Store

SIGNATURE_LIMIT = 64 << 10
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


def has_blob(store: Catalogue, record: ImageRecord) -> bool:
    """Return whether the blob is there in its full size; its content is not looked at."""
    try:
        found = os.lstat(f"{store.paths.images}/{record.id}/aci")
    except FileNotFoundError:
        return False
    return found.st_mode & 0o170000 == 0o100000 and found.st_size == record.file_size


def set_aside(store: Store, record: ImageRecord) -> None:
    """Rename a damaged blob to ``aci.damaged``: the next fetch of the image gets it anew, and pods keep their trees.

    The caller found it damaged and holds the lock of the image ID: else it could be one that has healed meanwhile.

    Raises:
        StoreError: the disk refused.
    """
    directory = f"{store.paths.images}/{record.id}"
    try:
        os.rename(f"{directory}/aci", f"{directory}/aci.damaged")
    except FileNotFoundError:
        return
    except OSError as error:
        raise_disk_error(error, directory)
    fsync_directory(directory)


def verify_or_set_aside(store: Store, record: ImageRecord) -> None:
    """Read the whole blob and compare it with the record; a damaged one is set aside.

    Raises:
        StoreError: code ``damaged``.
    """
    try:
        verify_blob(store, record)
        return
    except StoreError as error:
        damage = error
    try:
        with store.lock(record.id):
            try:
                verify_blob(store, record)
            except StoreError:
                set_aside(store, record)
                raise
    except StoreError as error:
        # Where the store cannot be written to, what was found is worth more than that.
        raise error if error.code == "damaged" else damage from error


def digest_fits(fd: int, record: ImageRecord) -> bool:
    """Return whether the file `fd` is the one that was recorded; its offset is neither used nor moved."""
    import hashlib

    digest = hashlib.sha512()
    for piece in _pieces(fd):
        digest.update(piece)
    return "sha512-" + digest.hexdigest() == record.file_digest


def _pieces(fd: int) -> Iterator[bytes]:
    offset = 0
    while True:
        piece = os.pread(fd, _BLOCK, offset)
        if not piece:
            return
        offset += len(piece)
        yield piece


def blob_pieces(store: Catalogue, record: ImageRecord) -> Iterator[bytes]:
    """Yield the blob; what was yielded is only to be used once this has ended without an error.

    Raises (while iterating):
        StoreError: code ``damaged``.
    """
    import hashlib

    path, digest = f"{store.paths.images}/{record.id}/aci", hashlib.sha512()
    fd = open_blob(store, record)
    try:
        for piece in _pieces(fd):
            digest.update(piece)
            yield piece
    except OSError as error:
        raise damaged(path, record.id, error.strerror or "unreadable") from error
    finally:
        os.close(fd)
    if "sha512-" + digest.hexdigest() != record.file_digest:
        raise damaged(path, record.id, "the blob's digest does not fit its record")


def verify_blob(store: Catalogue, record: ImageRecord) -> None:
    """Read the whole blob and compare it with the record.

    Raises:
        StoreError: code ``damaged``.
    """
    for _piece in blob_pieces(store, record):
        pass


def signature_of(store: Catalogue, image_id: str) -> bytes | None:
    """Return the signature that an image came with, or None.

    Raises:
        StoreError: it cannot be read.
    """
    path = f"{store.paths.images}/{image_id}/aci.asc"
    try:
        return read_limited(path, SIGNATURE_LIMIT)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise_disk_error(error, path)


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
