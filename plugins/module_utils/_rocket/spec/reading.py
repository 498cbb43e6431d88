# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Strict reading of JSON, and typed access that names the JSON path of what is wrong.

Refused, because two readers could disagree about them: a member given twice, fractions and exponents, ``NaN``, half a
surrogate pair, a byte order mark, more than 1 MiB, more than 64 levels.

Not handled here: writing (see canonical.py).
"""

from __future__ import annotations

from ..errors import SpecError, printable
from .identifier import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, TypeVar

    T = TypeVar("T")
    Rest = tuple[tuple[str, Any], ...]

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_INTEGER = (1 << 63) - 1
# White space of JSON, which is less than what str.strip() takes.
_BLANK = " \t\n\r"


class _Refused:
    """Stands in the parsed value where the document holds something refused, until its path is known."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def _refused_number(text: str) -> _Refused:
    return _Refused(f"only integers are allowed, not {printable(text, 40)}")


def _integer(text: str) -> int | _Refused:
    if len(text) > 20 or not -MAX_INTEGER - 1 <= int(text) <= MAX_INTEGER:
        return _Refused(f"integers have 64 bits, {printable(text, 40)} is out of range")
    return int(text)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Refused:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    for name, _value in pairs:
        if name in seen:
            break
        seen.add(name)
    return _Refused(f'the member "{printable(name)}" is given twice')


def _check_depth(data: bytes, what: str) -> None:
    """Refuse deep nesting before the parser recurses; exact up to the point where the document stops being JSON."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for outside in data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]:
        for byte in outside:
            if byte in b"[{":
                depth += 1
                if depth > MAX_DEPTH:
                    raise SpecError(f"is nested deeper than {MAX_DEPTH} levels", path=what)
            elif byte in b"]}":
                depth -= 1


def _check_values(value: Any, path: str, what: str) -> None:
    if isinstance(value, _Refused):
        raise SpecError(value.reason, path=f"{what}: {path}" if path else what)
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise SpecError("half of a surrogate pair is no character", path=f"{what}: {path}" if path else what, value=value)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_values(name, join(path, name), what)
            _check_values(item, join(path, name), what)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_values(item, f"{path}[{index}]", what)


class _Context:
    """What the scanner of JSON is told, and ``json`` too."""

    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_members)
    parse_float = staticmethod(_refused_number)
    parse_constant = staticmethod(_refused_number)
    parse_int = staticmethod(_integer)


def _scanned(text: str) -> Any:
    """Return the value of a text, by the scanner that ``json`` itself uses; None where that is not to be had or does not take the text.

    The package around it costs a fifth of a launch, which reads a policy; what it adds is to say what is wrong with a text, and where.
    """
    try:
        from _json import make_scanner

        context: Any = _Context
        value, end = make_scanner(context)(text, len(text) - len(text.lstrip(_BLANK)))
    except (ImportError, StopIteration, ValueError):
        return None
    return value if end == len(text.rstrip(_BLANK)) else None


def _parsed(text: str, what: str) -> Any:
    import json

    try:
        return json.loads(
            text,
            object_pairs_hook=_members,
            parse_float=_refused_number,
            parse_constant=_refused_number,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        raise SpecError(f"is not JSON at line {error.lineno}, column {error.colno}: {error.msg}", path=what) from None


def load(data: bytes, what: str, most: int = MAX_BYTES) -> Any:
    """Return the JSON value in `data`.

    Args:
        data: one JSON document in UTF-8.
        what: what is being read, for messages: ``image manifest``, a path.
        most: bytes that it may have.

    Raises:
        SpecError: not JSON, or one of the refusals above; where it can, it names the JSON path behind `what`.
    """
    if len(data) > most:
        raise SpecError(f"has {len(data)} bytes, at most {most} are allowed", path=what)
    _check_depth(data, what)
    try:
        text = data.decode("utf-8")
        value = _scanned(text)
        if value is None:
            value = _parsed(text, what)
    except UnicodeDecodeError as error:
        raise SpecError(f"is not UTF-8 at byte {error.start}", path=what) from None
    except RecursionError:
        raise SpecError(f"is nested deeper than {MAX_DEPTH} levels", path=what) from None
    _check_values(value, "", what)
    return value


def join(path: str, name: str) -> str:
    """Return the JSON path of the member `name` below `path`; a name that is no plain word is quoted."""
    if name.isascii() and name.replace("_", "a").replace("-", "a").isalnum():
        return f"{path}.{name}" if path else name
    return f'{path}["{printable(name, 60)}"]'


class Node:
    """One JSON value with its path; remembers which members were asked for, so that the others can be kept or refused.

    A member whose value is ``null`` reads as absent. Every method raises SpecError, naming the path.
    """

    def __init__(self, value: Any, path: str) -> None:
        self.value = value
        self.path = path
        self._asked: dict[str, None] = {}

    def error(self, what: str, rule: str = "", hint: str = "") -> SpecError:
        """Return the error that says `what` is expected instead of this value."""
        return SpecError(what, path=self.path, value=self.value, rule=rule, hint=hint)

    def members(self, rule: str = "") -> dict[str, Any]:
        """Return the value, an object."""
        if not isinstance(self.value, dict):
            raise self.error("an object was expected", rule)
        for name in self.value:
            if not isinstance(name, str):
                raise SpecError("member names are strings", path=self.path, value=name, rule=rule)
        return self.value

    def optional(self, name: str, rule: str = "") -> Node | None:
        """Return the member `name`, or None where it is absent or null."""
        self._asked[name] = None
        value = self.members(rule).get(name)
        return None if value is None else Node(value, join(self.path, name))

    def required(self, name: str, rule: str = "") -> Node:
        """Return the member `name`; absent and null are errors."""
        node = self.optional(name, rule)
        if node is None:
            near = [other for other in self.value if other != name and other.lower() == name.lower()]
            hint = f"member names are case-sensitive: write {name}, not {printable(near[0])}" if near else ""
            raise SpecError("is required", path=join(self.path, name), rule=rule, hint=hint)
        return node

    def rest(self) -> Rest:
        """Return the members that were not asked for, sorted by name; null ones are absent."""
        members = self.members()
        return tuple((name, members[name]) for name in sorted(members) if name not in self._asked and members[name] is not None)

    def refuse_unknown(self, rule: str = "") -> None:
        """Refuse members that were not asked for, with the nearest known name."""
        for name in self.members(rule):
            if name not in self._asked:
                near = nearest(name, self._asked)
                hint = f"did you mean {near}?" if near else f"known here: {', '.join(sorted(self._asked))}"
                raise SpecError("unknown member", path=join(self.path, name), rule=rule, hint=hint)

    def text(self, rule: str = "", empty: bool = True) -> str:
        """Return the value, a string without NUL; not the empty one unless `empty`."""
        if not isinstance(self.value, str):
            raise self.error("a string was expected", rule)
        if "\0" in self.value:
            raise self.error("a string without NUL was expected", rule)
        if not self.value and not empty:
            raise SpecError("must not be empty", path=self.path, rule=rule)
        return self.value

    def integer(self, low: int, high: int, rule: str = "") -> int:
        """Return the value, an integer from `low` to `high`; booleans and fractions are none."""
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not low <= self.value <= high:
            raise self.error(f"an integer from {low} to {high} was expected", rule)
        return self.value

    def boolean(self, rule: str = "") -> bool:
        """Return the value, true or false."""
        if not isinstance(self.value, bool):
            raise self.error("true or false was expected", rule)
        return self.value

    def items(self, rule: str = "") -> list[Node]:
        """Return the items of the value, a list; null is not an item."""
        if not isinstance(self.value, (list, tuple)):
            raise self.error("a list was expected", rule)
        nodes = [Node(item, f"{self.path}[{index}]") for index, item in enumerate(self.value)]
        for node in nodes:
            if node.value is None:
                raise SpecError("null is not an item", path=node.path, rule=rule)
        return nodes

    def flag(self, name: str, rule: str = "", default: bool = False) -> bool:
        """Return the boolean member `name`, or `default` where it is absent."""
        node = self.optional(name, rule)
        return default if node is None else node.boolean(rule)

    def each(self, name: str, read: Callable[[Node], T], rule: str = "") -> tuple[T, ...]:
        """Return the items of the list member `name`, each through `read`; empty where it is absent."""
        node = self.optional(name, rule)
        return () if node is None else tuple(read(item) for item in node.items(rule))


def unique(nodes: list[Node], names: list[str], rule: str, member: str = "name") -> None:
    """Refuse a name that an earlier one of `nodes` already has; `names` are theirs in order.

    Raises:
        SpecError: `rule`; names the path of the second one.
    """
    first: dict[str, str] = {}
    for node, name in zip(nodes, names):
        if name in first:
            raise SpecError(f"must be unique, {first[name]} has it too", path=join(node.path, member), value=name, rule=rule)
        first[name] = node.path


def thaw(rest: Rest, **members: Any) -> dict[str, Any]:
    """Return a JSON object of the unknown members `rest` and `members`."""
    return {**dict(rest), **members}
