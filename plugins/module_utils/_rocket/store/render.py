# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Root file systems from images: extracted or put together beside, synced, renamed (D3, D6).

``trees/<image ID>`` holds what one archive holds. An image with dependencies or a path whitelist has a tree of its own
besides, made of hard links to those. Each has a listing, whose digest is in its record.

Not handled here: what pods change (their own upper directory), looking at trees again (verify.py).
"""

from __future__ import annotations

import os
import time

from ..errors import ArchiveError, Busy, StoreError
from ..spec.canonical import dumps
from .dependencies import tree_id, visits
from .files import fsync_directory, raise_disk_error, sync_file_system, write_new
from .record import ImageRecord, damaged
from .staging import discard, staging_directory
from .trees import LISTING, TreeRecord, complete, listing_of, open_root
from .verify import digest_fits, open_blob, set_aside, tree_names, verify_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from ..image.extract import Extraction
    from .dependencies import Visit
    from .store import Store


def tree(store: Store, made_of: tuple[Visit, ...]) -> str:
    """Return the path of the root file system that these visits make, rendering it where it is missing.

    Raises:
        StoreError: code ``damaged`` (the blob is not what was added; fetch again), ``disk-full``.
        ArchiveError: the blob is as added, but cannot be extracted on this host.
    """
    identity = tree_id(made_of)
    if identity == made_of[-1].image.id:
        return _layer(store, made_of[-1].image)
    place = f"{store.paths.trees}/{identity}"
    if not complete(place):
        with store.lock(identity):
            if not complete(place):
                _make(store, place, lambda directory: _compose(store, made_of, directory))
    return f"{place}/rootfs"


def _layer(store: Store, record: ImageRecord) -> str:
    """Return the path of what the archive of one image holds, dependencies and whitelists apart."""
    place = f"{store.paths.trees}/{record.id}"
    if not complete(place):
        with store.lock(record.id):
            if not complete(place):
                _make(store, place, lambda directory: _extract(store, record, directory))
    return f"{place}/rootfs"


def _make(store: Store, place: str, fill: Callable[[str], TreeRecord]) -> None:
    fd, directory = staging_directory(store.paths)
    try:
        put_in_place(store, directory, fill(directory), place)
    finally:
        discard(directory)
        os.close(fd)


def put_in_place(store: Store, directory: str, record: TreeRecord, place: str) -> None:
    """Make what was rendered in a staged directory the tree at `place`; the caller holds the lock of its name.

    Raises:
        StoreError: the disk refused.
    """
    write_new(f"{directory}/record.json", dumps(record.to_json()))
    sync_file_system(directory)
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


def _extract(store: Store, record: ImageRecord, directory: str) -> TreeRecord:
    blob = open_blob(store, record)
    try:
        return record_of(_extracted(store, record, blob, directory), directory)
    finally:
        os.close(blob)


def record_of(extraction: Extraction, directory: str) -> TreeRecord:
    """Return the record of a tree that was unpacked into a staged directory, of one archive."""
    from ..image.listing import digest

    return TreeRecord(
        image_id=extraction.image_id,
        images=(extraction.image_id,),
        digest=digest(listing_of(directory)),
        rendered_at=int(time.time()),
        skipped=extraction.skipped,
        skipped_count=extraction.skipped_count,
    )


def _extracted(store: Store, record: ImageRecord, blob: int, directory: str) -> Extraction:
    from ..image.extract import extract
    from ..image.limits import Limits

    path = f"{store.paths.images}/{record.id}/aci"
    try:
        extraction = extract(blob, directory, Limits(), listing=True)
    except ArchiveError as error:
        if not digest_fits(blob, record):
            set_aside(store, record)
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
        set_aside(store, record)
        raise damaged(path, record.id, "the blob's image ID does not fit its name")
    return extraction


def _compose(store: Store, made_of: tuple[Visit, ...], directory: str) -> TreeRecord:
    """Lay the layers over each other in ``directory/rootfs``."""
    from ..image.compose import compose
    from ..image.layers import Layer, lines, overlay
    from ..image.limits import Limits
    from ..image.listing import digest

    places = [os.path.dirname(_layer(store, visit.image)) for visit in made_of]
    layers = [Layer(listing_of(place), visit.whitelists) for place, visit in zip(places, made_of)]
    whole = overlay(layers, Limits())
    listing = b"".join(line.text() + b"\n" for line in lines(whole))
    roots: list[int] = []
    try:
        os.mkdir(f"{directory}/rootfs", 0o700)
        roots += [open_root(place) for place in places]
        target = open_root(directory)
        roots.append(target)
        compose(whole, roots[:-1], target, link=True)
    except OSError as error:
        raise_disk_error(error, directory)
    finally:
        for fd in roots:
            os.close(fd)
    write_new(f"{directory}/{LISTING}", listing)
    return TreeRecord(
        image_id=made_of[-1].image.id,
        images=tuple(dict.fromkeys(visit.image.id for visit in made_of)),
        digest=digest(listing),
        rendered_at=int(time.time()),
    )


def repair(store: Store, record: ImageRecord, running: Container[str] = ()) -> tuple[str, ...]:
    """Render an image again where its trees are not what they were; return the names of those that were damaged.

    Args:
        store: where.
        record: the image.
        running: names of trees that running pods have as their root.

    Raises:
        Busy: a running pod uses a damaged tree; nothing was done.
        StoreError, ArchiveError: as `tree`.
    """
    damaged_trees = _damaged_trees(store, record)
    for name, error in damaged_trees.items():
        if name in running:
            what = f"{error.what}; a running pod uses it"
            raise Busy(what, where=error.where, hint="stop the pod, then repair", tree=name) from error
    for name in damaged_trees:
        with store.lock(name):
            place = store.give_up(f"{store.paths.trees}/{name}")
        if place is not None:
            discard(place)
    tree(store, visits(store, record))
    return tuple(damaged_trees)


def _damaged_trees(store: Store, record: ImageRecord) -> dict[str, StoreError]:
    found = {}
    for name in tree_names(store, record):
        try:
            verify_tree(store, name)
        except StoreError as error:
            if error.code != "damaged":
                raise
            found[name] = error
    return found
