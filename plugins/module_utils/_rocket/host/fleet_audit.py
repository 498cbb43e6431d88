# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The table of a fleet: what its hosts answer, put together with what was known of them before, and the checkpoints of their logs.

Pure: files are read and written by the playbook. Not handled here: what the page looks like (fleet_page.py).
"""

from __future__ import annotations

from ..errors import UsageError, printable
from ..record import Record
from ..spec.identifier import is_lower_hex
from .fleet_answers import CHECKPOINT, IMAGE, KEY, LOG, PARTS, POD, PROBLEM, answer, fitting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

VERSION = 1
REACHED, UNREACHABLE, NOT_ASKED = "reached", "unreachable", "not-asked"
_NOTHING: dict[str, Any] = dict.fromkeys(PARTS)
# Of each part: the task that answers it, and what of its result is wanted.
_ANSWERS = {
    "image_info": ("images", {"images": [IMAGE], "damaged": [str]}),
    "pod_info": ("pods", {"pods": [POD]}),
    "trust_info": ("keys", {"trusted_keys": [KEY]}),
    "audit_info": ("log", {"audit": {name: LOG[name] for name in ("seq", "head", "first", "size")}, "intact": bool, "problems": [PROBLEM]}),
}


class Fleet(Record):
    """What an audit found.

    Attributes:
        document: all of it, a JSON value.
        changed: whether anything but the time is new.
        checkpoints: (host, checkpoint) of each host whose log goes on from the one that was kept.
        failures: a sentence for each log that does not, and for each host that was reached and did not answer.
    """

    document: dict[str, Any]
    changed: bool
    checkpoints: tuple[tuple[str, dict[str, Any]], ...]
    failures: tuple[str, ...]

    def text(self) -> str:
        """Return the document for a file: sorted, so that the same state is the same text but for the member ``collected``."""
        import json

        return json.dumps(self.document, indent=1, sort_keys=True)


def fleet(entries: Iterable[Mapping[str, Any]], names: Iterable[str], last: Any, now: int) -> Fleet:
    """Put together what the hosts of a fleet answered.

    Args:
        entries: of each host that was asked, ``host``, the results of the tasks ``image_info``, ``pod_info``, ``trust_info`` and
            ``audit_info``, and ``checkpoint``, what was kept of its log, or nothing.
        names: all hosts of the fleet. Of those that were not asked or not reached, what was known before stays; others go.
        last: the document of the last time, or nothing.
        now: seconds since the epoch.

    Raises:
        UsageError: the last document or a checkpoint is not as this code writes it.
    """
    before, seen = _read_last(last)
    asked = {str(entry["host"]): entry for entry in entries}
    hosts: dict[str, dict[str, Any]] = {}
    collected: dict[str, int] = {}
    checkpoints, failures = [], []
    for name in sorted({*map(str, names), *asked}):
        known = before.get(name, {})
        hosts[name], collected[name] = _left(known, NOT_ASKED if name not in asked else UNREACHABLE), seen.get(name, 0)
        if name not in asked:
            continue
        if _is_unreachable(asked[name]):
            failures += _complaints(name, hosts[name]["log"])
            continue
        hosts[name], collected[name] = _answered(asked[name]), now
        failures += [f"{name}: {error}" for error in hosts[name]["errors"]]
        checkpoint = _judge(hosts[name]["log"], _read_checkpoint(asked[name].get("checkpoint"), name))
        if checkpoint:
            checkpoints.append((name, checkpoint))
        failures += _complaints(name, hosts[name]["log"])
    document = {"version": VERSION, "collected": {"at": now, "hosts": collected}, "hosts": hosts}
    return Fleet(document, hosts != before, tuple(checkpoints), tuple(failures))


def _read_last(last: Any) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the hosts of the last document, and when each was reached."""
    if not last:
        return {}, {}
    if not isinstance(last, dict) or last.get("version") != VERSION:
        raise UsageError(f"the last audit is not of version {VERSION}", where="audit.json", hint="move it away")
    shape = {"state": str, "errors": [str]}
    hosts = fitting(last.get("hosts"), {str: dict}, "audit.json")
    seen = fitting(last.get("collected"), {"hosts": {str: int}}, "audit.json.collected")["hosts"]
    found = {}
    for name, host in hosts.items():
        path = f"audit.json.{printable(name)}"
        found[name] = fitting(host, shape, path)
        for part, inner in PARTS.items():
            found[name][part] = None if host.get(part) is None else fitting(host[part], inner, f"{path}.{part}")
    return found, seen


def _left(known: Mapping[str, Any], state: str) -> dict[str, Any]:
    """Return what is told of a host that did not answer: what was known before."""
    return {**_NOTHING, **known, "state": state, "errors": []}


def _is_unreachable(entry: Mapping[str, Any]) -> bool:
    return any(isinstance(entry.get(task), dict) and bool(entry[task].get("unreachable")) for task in _ANSWERS)


def _answered(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a host that was reached answered; a part that it did not answer is null, and told among the errors."""
    host: dict[str, Any] = {**_NOTHING, "state": REACHED, "errors": []}
    for task, (part, shape) in _ANSWERS.items():
        try:
            found = answer(entry.get(task), shape, task)
        except UsageError as error:
            host["errors"].append(str(error))
            continue
        if task == "image_info":
            host.update(found)
        elif task == "audit_info":
            host[part] = {**found["audit"], "intact": found["intact"], "problems": found["problems"]}
        else:
            (host[part],) = found.values()
    return host


def _read_checkpoint(kept: Any, name: str) -> dict[str, Any] | None:
    return fitting(kept, CHECKPOINT, f"the checkpoint of {printable(name)}") if kept else None


def _judge(log: dict[str, Any] | None, kept: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the checkpoint that is to be kept from now on, or None for the one that is; what the host does not say of itself is added.

    What was kept is compared here too: whoever changes the log of a host may have changed what looks at it.
    """
    if log is None:
        return None
    problem = _against(log, kept)
    if problem and problem["code"] not in [known["code"] for known in log["problems"]]:
        log["problems"].append(problem)
    log["intact"] = log["intact"] and not log["problems"]
    found = {"seq": log["seq"], "head": log["head"]}
    return found if log["intact"] and log["seq"] and found != kept else None


def _against(log: Mapping[str, Any], kept: Mapping[str, Any] | None) -> dict[str, Any] | None:
    seq, head = log["seq"], log["head"]
    if kept and seq < kept["seq"]:
        return _problem("truncated", seq + 1, f"the log ends with event {seq}, and event {kept['seq']} was kept")
    if kept and seq == kept["seq"] and head != kept["head"]:
        return _problem("checkpoint-differs", seq, f"event {seq} is not the one that was kept")
    if seq and not (head.startswith("sha512-") and len(head) == 135 and is_lower_hex(head[7:])):
        return _problem("no-event", seq, "the digest of the last event is none")
    if not log["intact"] and not log["problems"]:
        return _problem("edited", log["first"], "the host says no more than that its log is not intact")
    return None


def _problem(code: str, seq: int, what: str) -> dict[str, Any]:
    return {"code": code, "seq": seq, "what": what}


def _complaints(name: str, log: Mapping[str, Any] | None) -> list[str]:
    if log is None or log["intact"]:
        return []
    first = min(log["problems"], key=lambda problem: int(problem["seq"]))
    return [f"{name}: the audit log is not what it was, from event {first['seq']} on: {printable(first['what'], 300)}"]
