# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Garbage collection: the work of dead processes, what was given up, and images that nothing uses any more.

What is old goes (unused.py); above a high mark (watermarks.py) more goes, down to the low one. Dry run and run are the same
plan. Between the two the world moves on, so each step looks again under its lock. Not handled here: pods and their
generations (run/collect.py); the caller says which images they use, and holds the store's lock ``prepare`` while it finds
out and collects.
"""

from __future__ import annotations

import os
import time

from ..errors import Busy, NotFound, RocketError, StoreError
from ..plan import Plan, Step
from .blobs import Blobs
from .dependencies import with_dependencies
from .locks import exclusive
from .partial import kept_until
from .staging import abandoned, discard
from .store import Store
from .trees import read_tree
from .unused import ACTION, Unused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any

    from ..paths import Paths
    from .watermarks import Watermarks


__all__ = ["ACTION", "collect", "plan_gc"]


def plan_gc(
    store: Store,
    in_use: Iterable[str] = (),
    grace: int = 86400,
    now: int | None = None,
    marks: Watermarks | None = None,
    going: tuple[int, Mapping[str, float]] = (0, {}),
) -> Plan:
    """Return what would be removed, with the bytes that each step sets free.

    Args:
        store: where.
        in_use: IDs of images and trees that pods use, running or prepared; what the images depend on is in use too.
        grace: seconds that an image is kept after its import, a tree after it was rendered, a layer after it was last fetched for
            an image, and a download that was cut after its last byte, although nothing uses it.
        now: seconds since the epoch; for tests.
        marks: how full it may get; above the high one more goes, least recently used first, whatever its age, down to the low one.
        going: of the pods that are removed before: bytes that they set free, and when they last had which images.

    Returns:
        The plan; its `drift` says so where all that may go is not enough for the marks.

    Raises:
        StoreError: the store cannot be listed.
    """
    moment = int(time.time()) if now is None else now
    freed, used_at = going
    unused = Unused(store, in_use, moment, used_at)
    before = moment - grace
    steps = [*unused.leftovers(grace), *unused.images(before), *unused.trees(before), *unused.layers(before)]
    subject = f"store {store.paths.data}"
    if marks is None:
        return Plan(subject, tuple(steps))
    level = marks.level(store.paths)
    used = level.used - sum(step.size or 0 for step in steps) - (freed if marks.percent else 0)
    if used <= level.high:
        return Plan(subject, tuple(steps))
    more = unused.oldest_first()
    while used > level.low:
        step = next(more, None)
        if step is None:
            return Plan(subject, tuple(steps), drift=(level.told(used),))
        steps.append(step)
        used -= step.size or 0
    return Plan(subject, tuple(steps))


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
                removed = _remove(store, facts["kind"], step.subject, needed, facts)
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


def _remove(store: Store, kind: str, subject: str, in_use: Collection[str], facts: Mapping[str, Any]) -> bool:
    if kind == "garbage":
        discard(subject)
        return True
    if kind == "lock":
        return _remove_lock(subject)
    if kind == "staging":
        return _remove_staged(subject, facts["kept"])
    if subject in in_use:
        return False
    if kind == "tree":
        return _remove_tree(store, subject, facts["gone"])
    try:
        return store.remove(subject, imported=facts["imported"])
    except NotFound:
        return False


def _remove_lock(path: str) -> bool:
    """Remove a lock file that nobody holds; who waits for it or opened it just now finds out, and makes another (locks.py)."""
    try:
        exclusive(path, wait=False, transient=True).close()
    except Busy:
        return False
    return True


def _remove_staged(path: str, kept: int) -> bool:
    fd = abandoned(path)
    if fd is None:
        return False
    try:
        if kept_until(path, 0) != kept:
            return False  # A fetch went on with it since the plan was made, and was cut again.
        discard(path)
    finally:
        os.close(fd)
    return True


def _remove_tree(store: Store, name: str, gone: bool) -> bool:
    """Remove a tree; one whose image was `gone` is left where that is here again, or never went."""
    with store.lock(name):
        if os.path.isdir(f"{store.paths.images}/{name}") or (gone and _has_its_images(store, name)):
            return False
        place = store.give_up(f"{store.paths.trees}/{name}")
    if place is None:
        return False
    discard(place)
    return True


def _has_its_images(store: Store, name: str) -> bool:
    try:
        record = read_tree(f"{store.paths.trees}/{name}")
    except StoreError:
        return False
    return record is not None and all(os.path.isdir(f"{store.paths.images}/{image_id}") for image_id in record.images)
