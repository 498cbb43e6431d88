# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Where two JSON values differ, as JSON paths: why a pod is replaced, in the words of its declaration."""

from __future__ import annotations

from ..spec.reading import join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SHOWN = 8


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """Return the JSON paths at which `before` and `after` differ, sorted by place; values are not shown, they may be secret.

    Lists of objects are compared item by item, others as a whole.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        found: list[str] = []
        for name in [*before, *(name for name in after if name not in before)]:
            where = join(path, name)
            found += differences(before[name], after[name], where) if name in before and name in after else [where]
        return found
    if isinstance(before, list) and isinstance(after, list) and all(isinstance(item, dict) for item in before + after):
        found = []
        for index in range(max(len(before), len(after))):
            where = f"{path}[{index}]"
            both = index < len(before) and index < len(after)
            found += differences(before[index], after[index], where) if both else [where]
        return found
    return [] if type(before) is type(after) and before == after else [path]


def hidden(value: Any, other: Any = None) -> Any:
    """Return a declaration for a diff: values of environment variables, which may be secret, only say whether they are `other`'s."""
    if isinstance(value, dict):
        beside = other if isinstance(other, dict) else {}
        return {
            name: _variables(item, beside.get(name)) if name == "environment" else hidden(item, beside.get(name))
            for name, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        rest = list(other) if isinstance(other, (list, tuple)) else []
        return [hidden(item, rest[index] if index < len(rest) else None) for index, item in enumerate(value)]
    return value


def _variables(value: Any, other: Any) -> Any:
    """Return an environment, the short form's object or the specification's list, without what its variables say."""
    if isinstance(value, (list, tuple)):
        known = _named(other)
        return [{**item, "value": _word(item.get("value"), known, item.get("name"))} for item in value if isinstance(item, dict)]
    known = dict(other) if isinstance(other, dict) else {}
    return {name: _word(text, known, name) for name, text in value.items()} if isinstance(value, dict) else value


def _named(environment: Any) -> dict[Any, Any]:
    items = environment if isinstance(environment, (list, tuple)) else []
    return {item.get("name"): item.get("value") for item in items if isinstance(item, dict)}


def _word(text: Any, known: dict[Any, Any], name: Any) -> str:
    return "(hidden, another value than before)" if name in known and known[name] != text else "(hidden)"


def told(paths: list[str]) -> str:
    """Return the paths for a sentence: at most eight, and how many more there are."""
    more = len(paths) - _SHOWN
    return ", ".join(paths[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
