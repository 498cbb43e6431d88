# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The operator's policy file, planned and changed: canonical JSON that is complete or absent. Observe, plan, apply.

Not handled here: what is in it (policy.py), the vendor's file, which nobody changes on a host.
"""

from __future__ import annotations

import os

from ..audit.log import record as write_down
from ..errors import TrustError
from ..plan import Plan, Step
from ..record import replace
from ..spec.canonical import digest, dumps
from . import key_file
from .policy import FILE, Policy, read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..paths import Paths


def local_file(paths: Paths) -> str:
    """Return the path of the operator's policy file."""
    return f"{paths.local}/{FILE}"


def plan_present(paths: Paths, value: Any, where: str = "policy") -> Plan:
    """Return the steps after which the operator's file says what `value` says; a refused file is written anew.

    Args:
        paths: of the host.
        value: the policy as a JSON value.
        where: it comes from, for messages.

    Raises:
        SpecError: it is no policy; names the place in it.
        TrustError: what is there cannot be looked at.
    """
    path, wanted = local_file(paths), Policy.from_json(value, where)
    stored, reason = _observe(path)
    before = None if stored is None else stored.to_json()
    if stored is not None and replace(stored, path="") == wanted:
        return Plan(path, (), before, before)
    facts = (("content", dumps(wanted.to_json())),)
    return Plan(path, (Step("write", path, reason or "it says something else", facts),), before, wanted.to_json())


def plan_absent(paths: Paths) -> Plan:
    """Return the steps after which there is no operator's file, and the vendor's policy counts, or else the built-in one.

    Raises:
        TrustError: what is there cannot be looked at.
    """
    path = local_file(paths)
    stored, reason = _observe(path)
    if reason == _MISSING:
        return Plan(path)
    before = None if stored is None else stored.to_json()
    return Plan(path, (Step("remove", path, reason or "it is there", (("content", None),)),), before)


def apply(plan: Plan, paths: Paths) -> None:
    """Carry out a plan.

    Raises:
        StoreError: the file system or the audit log refuses.
        NotFound: a file to remove is gone since the plan was made.
    """
    for step in plan.steps:
        content = dict(step.facts)["content"]
        before, after = (None if value is None else digest(value) for value in (plan.before, plan.after))
        write_down(paths, "policy", step.subject, step=step.action, reason=step.reason, before=before, after=after)
        if content is None:
            key_file.remove(step.subject)
        else:
            key_file.write(step.subject, content)


_MISSING = "missing"


def _observe(path: str) -> tuple[Policy | None, str]:
    """Return the policy in the file, where it is one, and why it is not taken as it is; empty where it is."""
    if not os.path.lexists(path):
        return None, _MISSING
    try:
        return read_file(path), ""
    except TrustError as error:
        return None, error.what
