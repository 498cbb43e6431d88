# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Garbage collection: the work of dead processes, what was given up, and images that nothing uses any more.

Dry run and run are the same plan. Between the two the world moves on, so each step looks again under its lock.
Not handled here: pods and their generations (run/collect.py); the caller says which images they use, and holds the
store's lock ``prepare`` while it finds out and collects.
"""

from __future__ import annotations

import os
import time

from ..errors import NotFound, RocketError, StoreError
from ..plan import Plan, Step
from .blobs import Blobs
from .catalogue import is_image_id
from .dependencies import tree_id, visits, with_dependencies
from .locks import is_locked
from .partial import kept_until
from .staging import abandoned, discard
from .store import Store
from .trees import read_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from ..paths import Paths


def plan_gc(store: Store, in_use: Iterable[str] = (), grace: int = 86400, now: int | None = None) -> Plan:
    """Return what would be removed.

    Args:
        store: where.
        in_use: IDs of images and trees that pods use, running or prepared; what the images depend on is in use too.
        grace: seconds that an image is kept after its import, a tree after it was rendered, a layer after it was last fetched for
            an image, and a download that was cut after its last byte, although nothing uses it.
        now: seconds since the epoch; for tests.

    Raises:
        StoreError: the store cannot be listed.
    """
    moment = int(time.time()) if now is None else now
    needed = with_dependencies(store, in_use)
    trees = _unused_trees(store, needed, moment - grace)
    images = tuple(_unused_images(store, needed, moment - grace))
    layers = _unused_layers(store, {step.subject for step in images}, moment - grace)
    steps = (*_leftovers(store.paths, grace, moment), *images, *trees, *layers)
    return Plan(subject=f"store {store.paths.data}", steps=steps)


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot be listed: {error.strerror}", where=path, hint="run as the owner of the store") from error


def _step(subject: str, reason: str, kind: str, paths: Paths, kept: int = 0) -> Step:
    return Step(action="remove", subject=subject, reason=reason, facts=(("kind", kind), ("paths", paths), ("kept", kept)))


def _leftovers(paths: Paths, grace: int, now: int) -> Iterator[Step]:
    for name in _names(paths.staging):
        path = f"{paths.staging}/{name}"
        kept = kept_until(path, grace)
        # What seems to come from later than now is kept by no clock.
        if not is_locked(path) and not now < kept <= now + grace:
            reason = "a download that nobody went on with" if kept else "left by a process that ended"
            yield _step(path, reason, "staging", paths, kept_until(path, 0))
    for name in _names(paths.garbage):
        yield _step(f"{paths.garbage}/{name}", "given up", "garbage", paths)


def _unused_images(store: Store, in_use: Collection[str], before: int) -> Iterator[Step]:
    for image_id in store.ids():
        if image_id in in_use:
            continue
        try:
            name, imported_at = store.import_of(image_id)
        except NotFound:
            continue
        except StoreError:
            name, imported_at = "damaged image", int(os.stat(f"{store.paths.images}/{image_id}").st_mtime)
        if imported_at <= before:
            yield _step(image_id, f"{name}, not in use", "image", store.paths)


def _unused_trees(store: Store, needed: Collection[str], before: int) -> Iterator[Step]:
    images = set(store.ids())
    wanted = {*needed, *_trees_of(store, images.intersection(needed))}
    for name in _names(store.paths.trees):
        if not is_image_id(name) or name in wanted:
            continue
        try:
            record = read_tree(f"{store.paths.trees}/{name}")
        except StoreError:
            record = None
        if not images.issuperset(record.images if record else (name,)):
            yield _step(name, "an image of it is gone", "tree", store.paths)
        elif name not in images and record and record.rendered_at <= before:
            yield _step(name, "not in use", "tree", store.paths)


def _unused_layers(store: Store, going: Collection[str], before: int) -> Iterator[Step]:
    """Yield the layers that no image names once those that are `going` are gone."""
    blobs = Blobs(store)
    named = store.layers(without=going) if blobs.names() else frozenset()
    for digest in blobs.names():
        if digest not in named and blobs.is_idle(digest, before):
            yield _step(digest, "a layer of no image", "layer", store.paths)


def _trees_of(store: Store, image_ids: Iterable[str]) -> Iterator[str]:
    """Yield the names of the trees that starting these images would use today."""
    for image_id in image_ids:
        try:
            yield tree_id(visits(store, store.find_id(image_id)))
        except RocketError:
            continue  # It cannot be started as it is; a pod that holds a tree of it names that tree.


def collect(plan: Plan, in_use: Iterable[str] = ()) -> list[Step]:
    """Carry out a plan of plan_gc and return the steps that removed something.

    One thing that cannot be removed does not keep the others; what came alive since the plan was made is left.

    Args:
        plan: of plan_gc.
        in_use: image IDs that came into use since the plan was made.

    Raises:
        StoreError: something could not be removed; names it. All other steps were carried out.
    """
    done, failed, needed = [], [], _needed(plan, in_use)
    blobs: dict[Paths, Blobs] = {}
    for step in plan.steps:
        facts = dict(step.facts)
        try:
            store = Store(facts["paths"])
            if facts["kind"] == "layer":
                removed = blobs.setdefault(store.paths, Blobs(store)).collect(step.subject)
            else:
                removed = _remove(store, facts["kind"], step.subject, needed, facts["kept"])
            if removed:
                done.append(step)
        except RocketError as error:
            failed.append(error)
    if failed:
        raise StoreError(
            f"{len(failed)} of {len(plan.steps)} things could not be removed, the first: {failed[0]}",
            where=plan.subject,
            hint="look at the cause and run gc again",
            code="gc",
            failed=[str(error) for error in failed],
        )
    return done


def _needed(plan: Plan, in_use: Iterable[str]) -> frozenset[str]:
    paths = next((dict(step.facts)["paths"] for step in plan.steps), None)
    return frozenset(in_use) if paths is None else with_dependencies(Store(paths), in_use)


def _remove(store: Store, kind: str, subject: str, in_use: Collection[str], kept: int) -> bool:
    if kind == "garbage":
        discard(subject)
        return True
    if kind == "staging":
        fd = abandoned(subject)
        if fd is None:
            return False
        try:
            if kept_until(subject, 0) != kept:
                return False  # A fetch went on with it since the plan was made, and was cut again.
            discard(subject)
        finally:
            os.close(fd)
        return True
    if subject in in_use:
        return False
    if kind == "image":
        try:
            store.remove(subject)
        except NotFound:
            return False
        return True
    return _remove_tree(store, subject)


def _remove_tree(store: Store, image_id: str) -> bool:
    with store.lock(image_id):
        if os.path.isdir(f"{store.paths.images}/{image_id}"):
            return False
        gone = store.give_up(f"{store.paths.trees}/{image_id}")
    if gone is None:
        return False
    discard(gone)
    return True
