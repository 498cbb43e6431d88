# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Garbage collection of a host: pods first, then what their end leaves unused in the store. For the command and the module.

The plan of the store counts the pods as gone that the plan of the pods removes. So it says before what is done then; what
came alive in between is left where it is.
"""

from __future__ import annotations

from ..audit.log import record as write_down
from ..errors import UsageError
from ..plan import Plan
from ..record import Record, replace
from ..run import collect as pods
from ..run.names import Names
from ..store import collect as images
from ..store.store import Store
from .leftovers import cgroups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..paths import Paths
    from ..plan import Step
    from ..store.watermarks import Watermarks


_AT_ONCE = 60


class Wanted(Record):
    """What is to go.

    Attributes:
        grace: how long pods, prepared ones and logs stay.
        image_grace: seconds that unused images stay after they came.
        marks: how full it may get, or None for as full as it is.
    """

    grace: pods.Grace = pods.Grace()
    image_grace: int = 86400
    marks: Watermarks | None = None


def plan(paths: Paths, wanted: Wanted) -> Plan:
    """Return what would be removed, in order, with the bytes that each step sets free; changes nothing.

    Returns:
        The plan; its `drift` says so where the marks cannot be kept.

    Raises:
        UsageError: marks, and only marking.
        StoreError: the store cannot be listed, or is of a later version.
    """
    if wanted.grace.mark_only and wanted.marks is not None:
        raise UsageError("marking alone removes nothing, and no watermark can be kept by it", hint="leave one of them out")
    store = Store(paths)
    first = pods.plan_gc(paths, wanted.grace)
    if wanted.grace.mark_only:
        return _declared(paths, first.steps)
    gone, used_at = pods.let_go(first, paths)
    going = (frees(first.steps), used_at)
    then = images.plan_gc(store, Names(paths).images_in_use(gone), wanted.image_grace, marks=wanted.marks, going=going)
    return _declared(paths, (*first.steps, *then.steps), then.drift)


def collect(planned: Plan, paths: Paths) -> Plan:
    """Carry out a plan, and return it with the steps that were done.

    Raises:
        Busy: another collection is under way.
        StoreError: something could not be removed; everything else was.
    """
    store = Store(paths)
    of_images = tuple(step for step in planned.steps if step.action == images.ACTION)
    of_pods = tuple(step for step in planned.steps if step.action != images.ACTION)
    _write_down(planned, paths)
    done: list[Step] = []
    if of_pods:
        done += pods.collect(replace(planned, steps=of_pods), paths, cgroups(paths))
    if of_images:
        # Whoever prepares a pod holds this lock in common until the pod names its images.
        with store.lock("prepare"):
            done += images.collect(replace(planned, steps=of_images), Names(paths).images_in_use())
    return _declared(paths, done, planned.drift)


def _write_down(planned: Plan, paths: Paths) -> None:
    """Write down what is to go; each image that goes is an event of its own as well."""
    told = [f"{step.action} {step.subject}" for step in planned.steps if dict(step.facts).get("kind") != "image"]
    for start in range(0, len(told), _AT_ONCE):
        write_down(paths, "gc", planned.subject, steps=told[start : start + _AT_ONCE])


def frees(steps: Sequence[Step]) -> int:
    """Return the bytes that the steps set free."""
    return sum(step.size or 0 for step in steps)


def told(planned: Plan) -> dict[str, Any]:
    """Return a plan for machines: with the bytes that it sets free."""
    return {**planned.to_json(), "frees": frees(planned.steps)}


def _declared(paths: Paths, steps: Sequence[Step], drift: tuple[str, ...] = ()) -> Plan:
    before = {"garbage": [f"{step.action} {step.subject}: {step.reason}" for step in steps]}
    return Plan(f"garbage of {paths.data}", tuple(steps), before, {"garbage": []}, drift)
