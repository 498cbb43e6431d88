# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""One line of the audit log: an event as canonical JSON, bound in size, and the digest that the next one carries.

Events are found again here without a JSON parser, since a launch has no time for one: in canonical JSON a quote within a string
is always escaped, so that ``,"seq":`` is a member and never part of a text.
"""

from __future__ import annotations

from ..record import Record
from ..spec.canonical import dumps, sha512

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIMIT = 24 << 10
ALLOWED, REFUSED, FAILED = "allowed", "refused", "failed"
REPAIR, PRUNE = "audit-repair", "audit-prune"
MEMBERS = frozenset({"action", "boot", "by", "facts", "insecure", "outcome", "prev", "seq", "subject", "time"})
_TEXT, _ITEMS, _DEPTH = 600, 64, 4


class Head(Record):
    """Where a log ends.

    Attributes:
        seq: number of the last event; 0 where there is none.
        head: ``sha512-`` and the hex SHA-512 of its line without the newline; empty where there is none.
    """

    seq: int = 0
    head: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the head as a JSON value."""
        return {"seq": self.seq, "head": self.head}


def line_digest(line: bytes) -> str:
    """Return what the event after `line` has as ``prev``."""
    return f"sha512-{sha512()(line).hexdigest()}"


def encode(event: dict[str, Any]) -> bytes:
    """Return the line of an event, without a newline; texts and lists that are too long are cut, and say so."""
    line = dumps({**event, "subject": _bounded(event["subject"]), "facts": _bounded(event["facts"])})
    if len(line) > LIMIT:
        line = dumps({**event, "subject": _bounded(event["subject"]), "facts": {"cut": f"{len(line)} bytes of facts"}})
    return line


def _bounded(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _TEXT else f"{value[:_TEXT]}... ({len(value)} characters)"
    if isinstance(value, dict) and depth < _DEPTH:
        return {str(name)[:_TEXT]: _bounded(item, depth + 1) for name, item in list(value.items())[:_ITEMS]}
    if isinstance(value, (list, tuple)) and depth < _DEPTH:
        kept = [_bounded(item, depth + 1) for item in value[:_ITEMS]]
        return kept if len(value) <= _ITEMS else [*kept, f"... ({len(value)} in all)"]
    return value if value is None or isinstance(value, int) else _bounded(str(value))


def seq_of(line: bytes) -> int:
    """Return the number of the event in `line`, without its newline; 0 where it is no whole event."""
    end = line[line.rfind(b',"time":') :]
    if not (line.startswith(b'{"action":"') and end[:8] == b',"time":' and end[-1:] == b"}" and end[8:-1].isdigit()):
        return 0
    digits = line[line.rfind(b',"seq":') :][7:].partition(b",")[0]
    return int(digits) if digits.isdigit() and len(digits) < 16 and b',"prev":"' in line else 0


def last_event(data: bytes) -> tuple[Head, int]:
    """Return the head in the last bytes of a log, and how many bytes stand behind that event's line: those of a write that was cut.

    Args:
        data: the end of a file, at least twice LIMIT or the whole of it.
    """
    end = data.rfind(b"\n")
    while end >= 0:
        start = data.rfind(b"\n", 0, end) + 1
        line = data[start:end]
        number = seq_of(line)
        if number:
            return Head(number, line_digest(line)), len(data) - end - 1
        end = start - 1
    return Head(), len(data)
