# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""How an image enters the store: staged as a directory, synced, and put in place by one rename.

An image that is there already is replaced by exchange, so that a damaged one heals and no moment is without it. A
verdict only gets better by that: an insecure import does not take a signed or pinned verdict away.
"""

from __future__ import annotations

import os

from ..audit.log import record as write_down
from ..errors import RocketError, StoreError
from ..record import replace
from .files import exchange, fsync_directory, raise_disk_error, write_new
from .record import ImageRecord, encode_cache, encode_record, stamp
from .staging import discard, staging_directory
from .verify import signature_of, verify_blob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .store import Store
    from .verdict import Verdict


def add(store: Store, staged: str, record: ImageRecord, manifest: bytes, signature: bytes | None) -> ImageRecord:
    """Put the file at `staged` into the store under its image ID.

    Args:
        store: where to.
        staged: a file of the store's staging that was inspected and verified; moved away or removed.
        record: what is known of it, from record.new_record().
        manifest: the image manifest, byte by byte.
        signature: the armored signature that the verdict rests on, or None.

    Returns:
        The record as stored: with the older verdict and file where those were better.

    Raises:
        StoreError: the file changed, or the disk refused; the store is then as before.
    """
    verdict = record.verdict
    try:
        with store.lock(record.id):
            present = _present(store, record.id)
            if present is not None:
                # One image can be named by a manifest and by several indexes.
                record = replace(record, digests=tuple(dict.fromkeys((*record.digests, *present.digests))))
            if present is not None and _outranks(present.verdict, verdict):
                if present.file_digest != record.file_digest:
                    if _intact(store, present):
                        return present
                else:
                    record = replace(present, imported_at=record.imported_at, digests=record.digests)
                    signature = signature_of(store, record.id)
            _publish(store, staged, record, manifest, signature)
    finally:
        discard(staged)
    return record


def _outranks(present: Verdict, other: Verdict) -> bool:
    return other.kind == "insecure" and present.kind != "insecure"


def _present(store: Store, image_id: str) -> ImageRecord | None:
    try:
        return store.find_id(image_id)
    except RocketError:
        # Absent, or damaged: either way the new file takes its place.
        return None


def _intact(store: Store, record: ImageRecord) -> bool:
    try:
        verify_blob(store, record)
    except StoreError:
        # A damaged blob is no reason to refuse a good one; its own verdict goes with it.
        return False
    return True


def _publish(store: Store, staged: str, record: ImageRecord, manifest: bytes, signature: bytes | None) -> None:
    fd, directory = staging_directory(store.paths)
    try:
        _take_file(staged, directory, record)
        write_new(f"{directory}/manifest", manifest)
        if signature is not None:
            write_new(f"{directory}/aci.asc", signature)
        write_new(f"{directory}/record.json", encode_record(record, manifest))
        stamps = (*stamp(os.lstat(f"{directory}/record.json")), *stamp(os.lstat(f"{directory}/manifest")))
        write_new(f"{directory}/cache", encode_cache(stamps, record.to_json(), record.manifest.to_json()))
        fsync_directory(directory)
        write_down(store.paths, "fetch", record.name, **record.told())
        _put_in_place(store, directory, f"{store.paths.images}/{record.id}")
    finally:
        discard(directory)
        os.close(fd)


def _take_file(staged: str, directory: str, record: ImageRecord) -> None:
    try:
        fd = os.open(staged, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_size != record.file_size:
                raise StoreError("the staged file changed after it was inspected", where=staged, hint="repeat the fetch", code="damaged")
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(staged, f"{directory}/aci")
    except OSError as error:
        raise_disk_error(error, staged, record.file_size)


def _put_in_place(store: Store, directory: str, place: str) -> None:
    """Rename; where an older one is in the way, exchange, and leave the older one at `directory` to be removed."""
    try:
        if not os.path.isdir(place):
            os.rename(directory, place)
        elif not exchange(directory, place):
            old = store.give_up(place)
            os.rename(directory, place)
            if old is not None:
                discard(old)
    except OSError as error:
        raise_disk_error(error, place)
    fsync_directory(os.path.dirname(place))
