# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What the hosts of a fleet answer to an audit, read strictly: a host is hostile, and must not get at the tables of the others.

Only members that are known here are taken, each of its type; one that is wrong makes the whole answer none.
"""

from __future__ import annotations

from ..errors import UsageError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# Numbers are counts, sizes and times: what has more digits is made up, and breaks who reads the table.
_MOST = 1 << 53
_DEEPEST = 8


class _Optional:
    """A member that may be null."""

    def __init__(self, shape: Any) -> None:
        self.shape = shape


_NAMED = {"id": str, "name": str}
_USE = {"name": str, "uuid": str, "state": str, "apps": [str], "dependency": bool}
_SIGNER = {"fingerprint": str, "prefix": str, "identity": str, "signed_at": int, "part": str}
_VERDICT = {
    "kind": str,
    "signers": [_SIGNER],
    "checked_at": int,
    "insecure_options": [str],
    "digest": str,
    "policy": _Optional(object),
}
IMAGE = {
    "id": str,
    "name": str,
    "labels": {str: str},
    "source": str,
    "reference": str,
    "size": int,
    "imported_at": int,
    "last_used": int,
    "dependencies": [str],
    "in_use": bool,
    "pods": [_USE],
    "verdict": _VERDICT,
    "standing": {"good": bool, "code": str, "problem": str},
}
_APP = {"name": str, "image_id": str, "image_name": str, "state": str}
POD = {"name": str, "uuid": str, "state": str, "generation": int, "created": int, "apps": [_APP], "damaged": str}
KEY = {
    "prefix": _Optional(str),
    "fingerprint": str,
    "identities": [str],
    "algorithm": str,
    "expires": _Optional(int),
    "layer": str,
    "path": str,
    "state": str,
    "problem": str,
    "images": [_NAMED],
}
CHECKPOINT = {"seq": int, "head": str}
PROBLEM = {"code": str, "seq": int, "what": str}
LOG = {"seq": int, "head": str, "first": int, "size": int, "intact": bool, "problems": [PROBLEM]}
# The parts of what is kept of a host; each is null where it is not known.
PARTS = {"images": [IMAGE], "damaged": [str], "pods": [POD], "keys": [KEY], "log": LOG}


def fitting(value: Any, shape: Any, path: str) -> Any:
    """Return a copy of a JSON value with the members of `shape` and no others.

    Args:
        value: what was answered.
        shape: a type, a list of one shape, a dictionary of members, or ``{str: shape}`` for whatever names.
        path: of the value, for messages.

    Raises:
        UsageError: it is not of that shape; names the member.
    """
    if isinstance(shape, _Optional):
        return None if value is None else fitting(value, shape.shape, path)
    if isinstance(shape, list):
        return [fitting(item, shape[0], f"{path}[{number}]") for number, item in enumerate(_of(value, list, path))]
    if isinstance(shape, dict):
        given = _of(value, dict, path)
        if str in shape:
            return {_of(name, str, path): fitting(member, shape[str], f"{path}.{printable(name)}") for name, member in given.items()}
        return {name: fitting(_member(given, name, path), inner, f"{path}.{name}") for name, inner in shape.items()}
    if shape is object:
        return _plain(value, path, _DEEPEST)
    return _of(value, shape, path)


def _member(value: Mapping[str, Any], name: str, path: str) -> Any:
    if name not in value:
        raise _wrong(f"{path}.{name}", "is missing")
    return value[name]


def _of(value: Any, kind: type, path: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _wrong(path, f"is no {kind.__name__}")
    if isinstance(value, int) and not 0 <= value < _MOST:
        raise _wrong(path, "is out of range")
    return value


def _plain(value: Any, path: str, depth: int) -> Any:
    """Return a copy of whatever JSON holds, but for numbers with a fraction."""
    if not depth:
        raise _wrong(path, "is too deep")
    if isinstance(value, dict):
        return {_of(name, str, path): _plain(member, f"{path}.{printable(name)}", depth - 1) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(item, f"{path}[{number}]", depth - 1) for number, item in enumerate(value)]
    if value is None or isinstance(value, (bool, str)):
        return value
    return _of(value, int, path)


def _wrong(path: str, what: str) -> UsageError:
    return UsageError(what, where=path, hint="look at the host: this is not what the module answers")


def answer(result: Any, shape: Any, path: str) -> Any:
    """Return what is wanted of the result of a task.

    Raises:
        UsageError: the task failed, which its message says, or its result is not of that shape.
    """
    if not isinstance(result, dict) or result.get("skipped"):
        raise UsageError("was not asked", where=path)
    if result.get("failed"):
        raise UsageError(printable(result.get("msg") or "the task failed without a word", 500), where=path)
    return fitting(result, shape, path)
