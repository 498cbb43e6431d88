# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of each isolator (I2): enforced, modified or ignored, and what the launcher has to do for it.

The pod's limits bound those of its apps (I1). What this version does not offer is ignored and said to be; an isolator that
guards the host (seccomp, SELinux, AppArmor) is never ignored unless the operator names it.
"""

from __future__ import annotations

from ..errors import IsolatorError
from ..spec.identifier import nearest
from ..spec.isolators import DEFAULT_CAPABILITIES, ISOLATORS
from .declared_isolators import CPU, MEMORY, NO_NEW_PRIVILEGES, PIDS, REMOVE, RETAIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..spec.isolators import Isolator

ENFORCED, MODIFIED, IGNORED = "enforced", "modified", "ignored"
SHARES, OOM = "os/linux/cpu-shares", "os/linux/oom-score-adj"
GUARDS = (
    "os/linux/seccomp-remove-set",
    "os/linux/seccomp-retain-set",
    "os/linux/selinux-context",
    "os/linux/apparmor-profile",
)
NO_LIMITS: dict[str, int | None] = dict.fromkeys(("memory_limit", "memory_request", "cpu_limit", "cpu_request", "cpu_shares", "pids"), None)
_BOUNDED = (("memory_limit", "bytes"), ("cpu_limit", "millicores"), ("pids", "processes"))
DEFAULT_PIDS = 2048
_NOT_OFFERED = "this version does not offer it"


class Isolation:
    """The outcome of all isolators of a pod, gathered scope by scope, the pod's first.

    Args:
        strict: refuse whatever would be ignored.
        allow_ignored: names of isolators that may be ignored although they guard the host.

    Attributes:
        outcomes: the launch record's ``isolators``.
    """

    def __init__(self, strict: bool, allow_ignored: tuple[str, ...]) -> None:
        self.strict = strict
        self.allow_ignored = allow_ignored
        self.outcomes: list[dict[str, str]] = []
        self._pod = dict(NO_LIMITS)

    def pod(self, isolators: tuple[Isolator, ...]) -> dict[str, int | None]:
        """Return the limits of the pod's cgroup.

        Raises:
            IsolatorError: one is refused; see `_ignore`.
        """
        self._pod = self._limits("pod", isolators)
        return self._pod

    def app(self, name: str, isolators: tuple[Isolator, ...]) -> dict[str, Any]:
        """Return the members of the launch record that the isolators of app `name` decide.

        With neither capabilities set the 14 defaults, and no_new_privileges on, which counts as modified (the text's
        default is off). An isolator's own value stands, also false. At most DEFAULT_PIDS processes, so that one app that
        forks without end does not take the host (L39).

        Raises:
            IsolatorError: one is refused; see `_ignore`.
        """
        limits = self._limits(name, isolators)
        capabilities, no_new, score = set(DEFAULT_CAPABILITIES), None, None
        for isolator in isolators:
            if isolator.name == RETAIN:
                capabilities = set(isolator.parsed)
                self._note(name, isolator.name, ENFORCED, " ".join(sorted(capabilities)))
            elif isolator.name == REMOVE:
                capabilities -= set(isolator.parsed)
                self._note(name, isolator.name, ENFORCED, " ".join(sorted(capabilities)) or "none")
            elif isolator.name == NO_NEW_PRIVILEGES:
                no_new = bool(isolator.parsed)
                self._note(name, isolator.name, ENFORCED, "true" if no_new else "false")
            elif isolator.name == OOM:
                score = int(isolator.parsed)
                self._note(name, isolator.name, ENFORCED, str(score))
        if limits["pids"] is None and self._pod["pids"] is None:
            limits["pids"] = DEFAULT_PIDS
            reason = f"{DEFAULT_PIDS} unless an isolator of app or pod says otherwise"
            self._note(name, PIDS, MODIFIED, _shown({"pids": DEFAULT_PIDS}), reason)
        if no_new is None:
            self._note(name, NO_NEW_PRIVILEGES, MODIFIED, "true", "on unless an isolator says false")
        return {
            "capabilities": sorted(capabilities),
            "no_new_privileges": no_new is not False,
            "oom_score_adj": score,
            "limits": limits,
        }

    def _limits(self, scope: str, isolators: tuple[Isolator, ...]) -> dict[str, int | None]:
        """Return the limits of one scope and note the isolators that ask for them, and those that nobody enforces."""
        limits = dict(NO_LIMITS)
        shares = any(isolator.name == SHARES for isolator in isolators)
        for isolator in isolators:
            name = isolator.name
            if name in (RETAIN, REMOVE, NO_NEW_PRIVILEGES, OOM):
                continue
            if name not in (MEMORY, CPU, PIDS, SHARES):
                self._ignore(scope, name, _NOT_OFFERED if isolator.known else _unknown(name))
            else:
                wanted = _wanted(isolator, shares)
                bounded = wanted if scope == "pod" else self._bound(wanted)
                limits.update(bounded)
                reason = "bounded by the pod's" if bounded != wanted else ""
                self._note(scope, name, MODIFIED if reason else ENFORCED, _shown(bounded), reason)
        return limits

    def _bound(self, wanted: dict[str, int | None]) -> dict[str, int | None]:
        """Return the limits of an app as the pod's allow them (I1); a request is never above the limit (I3)."""
        bounded = dict(wanted)
        for name, _unit in _BOUNDED:
            most, asked = self._pod[name], wanted.get(name)
            if most is not None and asked is not None and asked > most:
                bounded[name] = most
        for name in ("memory", "cpu"):
            request, most = bounded.get(f"{name}_request"), self._pod[f"{name}_limit"]
            if request is not None and most is not None and request > most:
                bounded[f"{name}_request"] = most
        return bounded

    def _ignore(self, scope: str, name: str, reason: str) -> None:
        """Note that an isolator is ignored.

        Raises:
            IsolatorError: strict mode, or it guards the host, and the operator did not allow it by name.
        """
        if name not in self.allow_ignored and (self.strict or name in GUARDS):
            raise IsolatorError(
                f"the isolator {name} cannot be enforced: {reason}",
                where=scope if scope == "pod" else f"app {scope}",
                hint="remove it from the declaration or image, or allow by name that it is ignored",
                isolator=name,
                scope=scope,
            )
        self._note(scope, name, IGNORED, "", reason)

    def _note(self, scope: str, name: str, outcome: str, effective: str, reason: str = "") -> None:
        self.outcomes.append({"name": name, "scope": scope, "outcome": outcome, "effective": effective, "reason": reason})


def _unknown(name: str) -> str:
    """Why an isolator is ignored that nobody knows: it may be one that somebody misspelt (M12)."""
    near = nearest(name, ISOLATORS)
    return f"it is not known here, {near} is" if near else "it is not known here"


def _wanted(isolator: Isolator, shares: bool) -> dict[str, int | None]:
    """Return the limits that one isolator asks for; without a request the limit is the request (I3), unless shares say it."""
    parsed = isolator.parsed
    if isolator.name == MEMORY:
        return {"memory_limit": parsed.limit, "memory_request": parsed.guaranteed}
    if isolator.name == CPU:
        return {"cpu_limit": parsed.limit, "cpu_request": None if shares else parsed.guaranteed}
    return {"pids" if isolator.name == PIDS else "cpu_shares": parsed}


def _shown(limits: dict[str, int | None]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in limits.items() if value is not None)


_LIMITS = {
    MEMORY: ("memory_limit", "memory_request"),
    CPU: ("cpu_limit", "cpu_request"),
    SHARES: ("cpu_shares",),
    PIDS: ("pids",),
}


def as_found(planned: Iterable[dict[str, str]], found: Iterable[dict[str, str]]) -> tuple[dict[str, str], ...]:
    """Return the outcomes of isolators as the launcher found them when it set the limits.

    Args:
        planned: the launch record's outcomes, made before any kernel was asked.
        found: outcome of each limit, with its scope, from the status of the apps.

    An isolator is no better than the worst of its limits: ignored when all of them are, modified when any is.
    """
    # Of the status that a launcher of an earlier runtime wrote: it knew no scope.
    limits = {(limit["scope"], limit["name"]): limit for limit in found if "scope" in limit}
    outcomes = []
    for isolator in planned:
        places = [limits.get((isolator["scope"], name)) for name in _LIMITS.get(isolator["name"], ())]
        told = [place for place in places if place is not None]
        bad = [place for place in told if place["outcome"] != ENFORCED]
        if bad and isolator["outcome"] != IGNORED:
            outcome = IGNORED if all(place["outcome"] == IGNORED for place in told) else MODIFIED
            shown = ", ".join(f"{place['name']} {place['effective']}" for place in told if place["effective"])
            reason = "; ".join(f"{place['name']} {place['outcome']}: {place['reason']}" for place in bad)
            isolator = {**isolator, "outcome": outcome, "effective": shown, "reason": reason}
        outcomes.append(isolator)
    return tuple(outcomes)
