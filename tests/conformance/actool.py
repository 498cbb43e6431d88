# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The specification's own validator, `actool validate`, over many files, and the list of where we differ from it on purpose."""

from __future__ import annotations

import subprocess
from collections import Counter
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

# What a difference may be, seen from our side.
WE_REFUSE, WE_ACCEPT, IT_CRASHES = "we refuse what it accepts", "we accept what it refuses", "it crashes"
CRASH = "panic: "


class Verdict(NamedTuple):
    """What the validator says of one file; `message` is its reason where it does not accept it."""

    accepted: bool
    message: str = ""

    @property
    def crashed(self) -> bool:
        """Whether the validator itself failed."""
        return self.message.startswith(CRASH)

    def __str__(self) -> str:
        return "accepted" if self.accepted else self.message


def validate(program: str, paths: Iterable[Path]) -> list[Verdict]:
    """Return the verdicts on manifests or archives, in their order; the name of an archive ends in ``.aci``.

    The program takes many files, but ends at the first one that is no manifest at all, or that it fails on: it is started again
    behind that one.
    """
    waiting = [str(path) for path in paths]
    verdicts: list[Verdict] = []
    while waiting:
        batch = waiting[:500]
        command = [program, "--debug", "validate", *batch]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=120)
        found = _verdicts(batch, done.stdout.decode(errors="replace"))
        if not found:
            raise RuntimeError(f"{program} says nothing of {batch[0]}")
        verdicts += found
        waiting = waiting[len(found) :]
    return verdicts


def _verdicts(names: Sequence[str], output: str) -> list[Verdict]:
    """The verdicts on the first of `names`, as far as the output of one run goes."""
    verdicts: list[Verdict] = []
    text, crash, trace = output.partition(CRASH)
    for name in names:
        before, said, rest = text.partition(f"{name}: ")
        if not said or (before and not before.endswith("\n")):
            break
        following = names[len(verdicts) + 1 : len(verdicts) + 2]
        message = rest.partition(f"\n{following[0]}: ")[0] if following else rest
        verdicts.append(Verdict(message.startswith("valid "), "" if message.startswith("valid ") else message.strip()))
        text = rest[len(message) :].lstrip("\n")
    if crash and len(verdicts) < len(names):
        verdicts.append(Verdict(False, crash + trace.partition("\n")[0]))
    return verdicts


class Difference(NamedTuple):
    """One deliberate difference.

    Attributes:
        name: in a few words, unique.
        rule: number of the rule in docs/spec-conformance.md by which we differ.
        direction: WE_REFUSE, WE_ACCEPT or IT_CRASHES.
        applies: whether what was checked (first argument) falls under it; the second is our refusal, None where we accept.
    """

    name: str
    rule: str
    direction: str
    applies: Callable[[Any, Any], bool]


class Differences:
    """The deliberate differences, and how often each one explained something."""

    def __init__(self, rows: Sequence[Difference]) -> None:
        names = [row.name for row in rows]
        if len(names) != len(set(names)):
            raise ValueError("two differences have one name")
        self.rows = rows
        self.hits: Counter[str] = Counter()

    def explain(self, checked: object, refusal: object, verdict: Verdict) -> str:
        """Return the empty string where we and the validator agree or a row explains why not, else what is unexplained."""
        if verdict.crashed:
            direction = IT_CRASHES
        elif verdict.accepted == (refusal is None):
            return ""
        else:
            direction = WE_REFUSE if verdict.accepted else WE_ACCEPT
        for row in self.rows:
            if row.direction == direction and row.applies(checked, refusal):
                self.hits[row.name] += 1
                return ""
        return f"{direction}; we: {'accepted' if refusal is None else refusal}; it: {verdict}"

    def unused(self) -> list[str]:
        """Return the names of the rows that explained nothing."""
        return [row.name for row in self.rows if not self.hits[row.name]]
