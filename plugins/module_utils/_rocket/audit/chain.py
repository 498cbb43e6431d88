# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading an audit log and checking that its lines hang together: nothing edited, taken out, put in, doubled or moved.

The end of a log proves nothing by itself: whoever may write to it can leave events off. A head that was kept elsewhere is what
it is compared with. Not on the way of a launch: JSON is parsed here.
"""

from __future__ import annotations

import os

from ..errors import RocketError, StoreError, UsageError
from ..record import Record
from ..spec.canonical import dumps
from ..spec.identifier import is_lower_hex
from .line import LIMIT, MEMBERS, PRUNE, REPAIR, Head, line_digest, seq_of
from .segments import segments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from ..paths import Paths

_SHOWN = 20


class Problem(Record):
    """Something that is wrong with a log.

    Attributes:
        code: ``edited``, ``missing``, ``order``, ``no-event``, ``start-missing``, ``truncated``, ``checkpoint-differs`` or
            ``checkpoint-gone``.
        seq: number of the first event concerned.
        what: a clause for people.
    """

    code: str
    seq: int
    what: str

    def to_json(self) -> dict[str, Any]:
        """Return the problem as a JSON value."""
        return dict(self.__dict__)


class Report(Record):
    """What a log holds.

    Attributes:
        first: number of the first event that is there; 0 where there is none.
        last: where it ends.
        size: bytes of all its files.
        problems: at most 20, in order.
        repaired: numbers of the events that tell of a line which a crash cut short.
        torn: bytes at the end that a crash cut short; the next event will tell of them.
    """

    first: int
    last: Head
    size: int
    problems: tuple[Problem, ...]
    repaired: tuple[int, ...]
    torn: int

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON value."""
        return {
            **self.last.to_json(),
            "first": self.first,
            "size": self.size,
            "intact": self.intact,
            "problems": [problem.to_json() for problem in self.problems],
            "repaired": list(self.repaired),
            "torn": self.torn,
        }


def files(paths: Paths) -> list[str]:
    """Return the files of a host's log that are there, oldest first.

    Raises:
        StoreError: the directory cannot be read.
    """
    path = paths.audit_log
    try:
        return [*segments(path), *([path] if os.path.lexists(path) else [])]
    except OSError as error:
        raise _unreadable(path, error) from error


def lines(places: Iterable[str]) -> Iterator[bytes]:
    """Return the lines of some files, with their newlines; what is cut short at the end of a file has none.

    Raises:
        StoreError: one cannot be read, or is no regular file.
    """
    for path in places:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as source:
                if os.fstat(fd).st_mode & 0o170000 != 0o100000:
                    raise StoreError("not a regular file", where=path, code="damaged")
                # One that is longer than an event can be comes in pieces, none of which is an event.
                while True:
                    line = source.readline(2 * LIMIT)
                    if not line:
                        break
                    yield line
        except OSError as error:
            raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> StoreError:
    return StoreError(f"the audit log cannot be read: {error.strerror or error}", where=path, hint="run as root", code="audit")


def read_event(line: bytes) -> dict[str, Any] | None:
    """Return the event in a line; None where it is not, to the byte, what an event looks like."""
    import json

    if not seq_of(line):
        return None
    try:
        event = json.loads(line)
        canonical = isinstance(event, dict) and dumps(event) == line
    except (ValueError, RecursionError, RocketError):
        return None
    if not canonical or set(event) != MEMBERS or not isinstance(event["facts"], dict):
        return None
    return dict(event)


def events(places: Iterable[str], since: int = 0) -> Iterator[dict[str, Any]]:
    """Return the events of some files from the number `since` on; what is no event is left out.

    Raises:
        StoreError: a file cannot be read.
    """
    for line in lines(places):
        text = line[:-1] if line.endswith(b"\n") else line
        if seq_of(text) >= max(since, 1):
            event = read_event(text)
            if event is not None:
                yield event


def read_checkpoint(value: Any, where: str) -> Head:
    """Return the head in a JSON value that was kept.

    Raises:
        UsageError: it is none.
    """
    number, digest = (value.get("seq"), value.get("head")) if isinstance(value, dict) else (None, None)
    if isinstance(number, int) and isinstance(digest, str) and (_is_digest(digest) if number > 0 else (number, digest) == (0, "")):
        return Head(int(number), digest)
    raise UsageError("not the head of an audit log", where=where, hint="seq and head, as `rocket audit head` shows them")


def _is_digest(text: str) -> bool:
    return len(text) == 135 and text.startswith("sha512-") and is_lower_hex(text[7:])


def verify(places: Iterable[str], checkpoint: Head | None = None) -> Report:
    """Check a log.

    Args:
        places: its files, oldest first.
        checkpoint: a head of this log that was kept elsewhere.

    Raises:
        StoreError: a file cannot be read.
    """
    places = list(places)
    check = _Check(checkpoint or Head())
    for line in lines(places):
        check.take(line)
    size = sum(os.path.getsize(path) for path in places)
    problems = tuple(check.finish()[:_SHOWN])
    return Report(check.first, check.last, size, problems, tuple(check.repaired), check.torn)


class _Check:
    """A walk along the chain."""

    def __init__(self, checkpoint: Head) -> None:
        self.first = 0
        self.last = Head()
        self.problems: list[Problem] = []
        self.repaired: list[int] = []
        self.torn = 0
        self._checkpoint = checkpoint
        self._start: dict[str, Any] | None = None
        self._pruned: list[dict[str, Any]] = []
        self._stray: list[bytes] = []

    def take(self, line: bytes) -> None:
        """Look at the next line."""
        text = line[:-1] if line.endswith(b"\n") else line
        event = read_event(text)
        if event is None:
            self._stray.append(line)
            return
        self._repair(event)
        if self._start is None:
            self._start, self.first = event, event["seq"]
        else:
            self._follow(event)
        self.last = Head(event["seq"], line_digest(text))
        if event["action"] == PRUNE:
            self._pruned.append(event["facts"])
        if self.last.seq == self._checkpoint.seq and self.last != self._checkpoint:
            self._add("checkpoint-differs", self.last.seq, "is not the event that was there when its head was kept")

    def _follow(self, event: dict[str, Any]) -> None:
        number, wanted = event["seq"], self.last.seq + 1
        if number > wanted:
            missing = f"{wanted} to {number - 1} are" if number - 1 > wanted else f"{wanted} is"
            self._add("missing", wanted, f"event {missing} missing")
        elif number < wanted:
            self._add("order", number, f"stands behind event {self.last.seq}")
        elif event["prev"] != self.last.head:
            self._add("edited", self.last.seq, f"is not what it was when event {number} was written, or that was changed")

    def _repair(self, event: dict[str, Any]) -> None:
        """Compare what stands before an event and is none with what the event says of it."""
        if not self._stray and event["action"] != REPAIR:
            return
        # What a crash left had no newline before the event that tells of it brought one.
        left, self._stray = b"".join(self._stray)[:-1], []
        if event["action"] == REPAIR and event["facts"] == {"bytes": len(left), "digest": line_digest(left)}:
            self.repaired.append(event["seq"])
        else:
            self._add("no-event", self.last.seq + 1, "is followed or replaced by something that is no event")

    def finish(self) -> list[Problem]:
        """Return what is wrong, once all lines were taken."""
        left = b"".join(self._stray)
        if b"\n" in left:
            self._add("no-event", self.last.seq + 1, "is replaced by something that is no event")
        else:
            self.torn = len(left)
        kept = self._checkpoint
        if kept.seq > self.last.seq:
            self._add("truncated", self.last.seq + 1, f"and all to {kept.seq} are gone: a head of event {kept.seq} was kept")
        if self._start is not None and self.first > 1 and not self._was_pruned(self._start):
            self._add("start-missing", 1, f"to {self.first - 1} are gone, and no event tells why")
        elif self._start is not None and 0 < kept.seq < self.first - 1:
            self._add("checkpoint-gone", kept.seq, f"is not kept any more, the log begins with {self.first}: it cannot be compared")
        return self.problems

    def _was_pruned(self, start: dict[str, Any]) -> bool:
        return {"seq": start["seq"] - 1, "head": start["prev"]} in self._pruned

    def _add(self, code: str, seq: int, what: str) -> None:
        self.problems.append(Problem(code, seq, what))
