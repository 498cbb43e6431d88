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
from .locks import is_locked
from .staging import abandoned, discard
from .store import Store, is_image_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from ..paths import Paths


def plan_gc(store: Store, in_use: Container[str] = (), grace: int = 86400, now: int | None = None) -> Plan:
    """Return what would be removed.

    Args:
        store: where.
        in_use: image IDs that pods use, running or prepared.
        grace: seconds that an image is kept after its import although nothing uses it.
        now: seconds since the epoch; for tests.

    Raises:
        StoreError: the store cannot be listed.
    """
    moment = int(time.time()) if now is None else now
    steps = (*_leftovers(store.paths), *_unused_images(store, in_use, moment - grace), *_lone_trees(store, in_use))
    return Plan(subject=f"store {store.paths.data}", steps=steps)


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot be listed: {error.strerror}", where=path, hint="run as the owner of the store") from error


def _step(subject: str, reason: str, kind: str, paths: Paths) -> Step:
    return Step(action="remove", subject=subject, reason=reason, facts=(("kind", kind), ("paths", paths)))


def _leftovers(paths: Paths) -> Iterator[Step]:
    for name in _names(paths.staging):
        if not is_locked(f"{paths.staging}/{name}"):
            yield _step(f"{paths.staging}/{name}", "left by a process that ended", "staging", paths)
    for name in _names(paths.garbage):
        yield _step(f"{paths.garbage}/{name}", "given up", "garbage", paths)


def _unused_images(store: Store, in_use: Container[str], before: int) -> Iterator[Step]:
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


def _lone_trees(store: Store, in_use: Container[str]) -> Iterator[Step]:
    images = set(store.ids())
    for name in _names(store.paths.trees):
        if is_image_id(name) and name not in images and name not in in_use:
            yield _step(name, "its image is gone", "tree", store.paths)


def collect(plan: Plan, in_use: Container[str] = ()) -> list[Step]:
    """Carry out a plan of plan_gc and return the steps that removed something.

    One thing that cannot be removed does not keep the others; what came alive since the plan was made is left.

    Args:
        plan: of plan_gc.
        in_use: image IDs that came into use since the plan was made.

    Raises:
        StoreError: something could not be removed; names it. All other steps were carried out.
    """
    done, failed = [], []
    for step in plan.steps:
        facts = dict(step.facts)
        try:
            if _remove(Store(facts["paths"]), facts["kind"], step.subject, in_use):
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


def _remove(store: Store, kind: str, subject: str, in_use: Container[str]) -> bool:
    if kind == "garbage":
        discard(subject)
        return True
    if kind == "staging":
        fd = abandoned(subject)
        if fd is None:
            return False
        try:
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
