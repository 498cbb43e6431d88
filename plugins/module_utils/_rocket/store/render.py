# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Root file systems from images: extracted beside, synced, renamed; and the blob checked as it is read.

Not handled here: rendering dependencies (refused), what pods change (their own upper directory).
"""

from __future__ import annotations

import os
import time

from ..errors import ArchiveError, StoreError
from ..spec.canonical import dumps
from .files import fsync_directory, raise_disk_error, sync_file_system, write_new
from .record import ImageRecord, damaged
from .staging import discard, staging_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..image.extract import Extraction
    from .store import Store

_BLOCK = 1 << 20


def tree(store: Store, image_id: str) -> str:
    """Return the path of the rendered root file system of an image, rendering it where it is missing.

    Raises:
        NotFound: there is no such image.
        StoreError: code ``damaged`` (the blob is not what was added; fetch again), ``dependencies``, ``disk-full``.
        ArchiveError: the blob is as added, but cannot be extracted on this host.
    """
    record = store.find_id(image_id)
    place = f"{store.paths.trees}/{record.id}"
    if _complete(place):
        return f"{place}/rootfs"
    if record.manifest.dependencies:
        names = ", ".join(dependency.image_name for dependency in record.manifest.dependencies)
        raise StoreError(
            f"image {record.name} depends on other images ({names}), which cannot be rendered yet",
            where=f"{store.paths.images}/{record.id}",
            hint="build the image as one layer",
            code="dependencies",
            image_id=record.id,
        )
    with store.lock(record.id):
        if not _complete(place):
            _render(store, record, place)
    return f"{place}/rootfs"


def _complete(place: str) -> bool:
    return os.path.isfile(f"{place}/record.json") and os.path.isdir(f"{place}/rootfs")


def _render(store: Store, record: ImageRecord, place: str) -> None:
    blob = open_blob(store, record)
    try:
        fd, directory = staging_directory(store.paths)
        try:
            extraction = _extract(store, record, blob, directory)
            facts = {"format": 1, "image_id": record.id, "files": extraction.files, "rendered_at": int(time.time())}
            write_new(f"{directory}/record.json", dumps({**facts, "skipped": [str(name) for name in extraction.skipped]}))
            sync_file_system(directory)
            _put_in_place(store, directory, place)
        finally:
            discard(directory)
            os.close(fd)
    finally:
        os.close(blob)


def _put_in_place(store: Store, directory: str, place: str) -> None:
    try:
        if os.path.lexists(place):
            # A tree without its record or rootfs was tampered with: it was whole when it was renamed here.
            incomplete = store.give_up(place)
            if incomplete is not None:
                discard(incomplete)
        os.rename(directory, place)
    except OSError as error:
        raise_disk_error(error, place)
    fsync_directory(os.path.dirname(place))


def _extract(store: Store, record: ImageRecord, blob: int, directory: str) -> Extraction:
    from ..image.extract import extract
    from ..image.limits import Limits

    path = f"{store.paths.images}/{record.id}/aci"
    try:
        extraction = extract(blob, directory, Limits())
    except ArchiveError as error:
        if not _digest_fits(blob, record):
            raise damaged(path, record.id, "the blob's digest does not fit its record") from error
        raise
    except StoreError as error:
        raise StoreError(
            f"image {record.name} ({record.file_size} bytes packed) cannot be rendered: {error.what}",
            where=directory,
            hint=error.hint,
            code=error.code,
            image_id=record.id,
        ) from error
    except OSError as error:
        raise damaged(path, record.id, error.strerror or "unreadable") from error
    if extraction.image_id != record.id:
        raise damaged(path, record.id, "the blob's image ID does not fit its name")
    return extraction


def open_blob(store: Store, record: ImageRecord) -> int:
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


def _digest_fits(fd: int, record: ImageRecord) -> bool:
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


def verify_blob(store: Store, record: ImageRecord) -> None:
    """Read the whole blob and compare it with the record.

    Raises:
        StoreError: code ``damaged``.
    """
    path = f"{store.paths.images}/{record.id}/aci"
    fd = open_blob(store, record)
    try:
        fits = _digest_fits(fd, record)
    except OSError as error:
        raise damaged(path, record.id, error.strerror or "unreadable") from error
    finally:
        os.close(fd)
    if not fits:
        raise damaged(path, record.id, "the blob's digest does not fit its record")
