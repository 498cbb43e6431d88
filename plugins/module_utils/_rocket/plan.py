# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What would be done, as data: every tool observes, plans without side effects, and applies the plan.

Check mode is the plan that is not applied; diff mode shows its declared part; a plan made right after apply is empty.
"""

from __future__ import annotations

from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Step(Record):
    """One change.

    Attributes:
        action: a verb for people and machines: fetch, trust, untrust, prepare, start, stop, remove, install, ...
        subject: what it is done to: a pod name, an image name, a fingerprint, a path.
        reason: why, in a few words: ``not running``, ``declaration changed at apps[0].image``.
        facts: what apply needs to know; a tuple of (name, value) pairs.
        size: bytes on the disk that it sets free; None where it is not about that.
    """

    action: str
    subject: str
    reason: str = ""
    facts: tuple[tuple[str, Any], ...] = ()
    size: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the step for results and logs."""
        size = {} if self.size is None else {"bytes": self.size}
        return {"action": self.action, "subject": self.subject, "reason": self.reason, **size}


class Plan(Record):
    """The steps to the wanted state, with what was declared before and what is declared after.

    Attributes:
        subject: what the plan is about; the header of the diff.
        steps: in order; empty when everything is as wanted.
        before: the declared state before, a JSON value or None where there was none. No secrets.
        after: the declared state after, or None where nothing remains.
        drift: what was observed to differ from what is wanted, one clause each.
    """

    subject: str
    steps: tuple[Step, ...] = ()
    before: Any = None
    after: Any = None
    drift: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether applying the plan would change anything."""
        return bool(self.steps)

    def to_diff(self) -> dict[str, str]:
        """Return the form that Ansible's diff mode shows: both sides as sorted, indented JSON text."""
        return {
            "before_header": self.subject,
            "after_header": self.subject,
            "before": _text(self.before),
            "after": _text(self.after),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the plan for results: changed, steps and drift."""
        return {"changed": self.changed, "steps": [step.to_json() for step in self.steps], "drift": list(self.drift)}


def _text(value: Any) -> str:
    import json

    return "" if value is None else json.dumps(value, indent=2, sort_keys=True) + "\n"
