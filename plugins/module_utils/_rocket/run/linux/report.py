# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What a process on its way to execve tells the supervisor over its status pipe.

A message of ours is four bytes, the length with the highest bit set, and that many bytes of values. The exec program knows
only how to write four bytes, an errno; a successful execve closes the pipe.

The writers are children of ours, but for an instant the exec program is as open to the other processes of its user as any
program is, and one of them may take the pipe. What comes is therefore read as hostile: text, numbers, lists and members alone
(never marshal, which trusts its input), and who acts on a message asks first whether it may come at this point.
"""

from __future__ import annotations

import errno
import os

from ...errors import LaunchError, PodError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OURS = 0x80000000
_DEPTH = 4
LIMIT = 1 << 16


def _encode(value: Any) -> bytes:
    """Return `value` (str, int, list, tuple, dict with names) as it travels: each says its kind and its size before itself."""
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        return b"s%d:" % len(data) + data
    if isinstance(value, int):
        return b"i%d:" % value
    if isinstance(value, dict):
        return b"d%d:" % len(value) + b"".join(_encode(name) + _encode(item) for name, item in value.items())
    return b"l%d:" % len(value) + b"".join(map(_encode, value))


def _decode(data: bytes, place: int, depth: int) -> tuple[Any, int]:
    """Return the value at `place` and the place behind it.

    Raises:
        ValueError: anything that _encode does not write; it covers UnicodeDecodeError.
    """
    kind, colon = data[place : place + 1], data.index(b":", place, place + 22)
    digits = data[place + 1 : colon]
    if not digits.lstrip(b"-").isdigit() or not depth:
        raise ValueError("no number")
    number, place = int(digits), colon + 1
    if kind == b"i":
        return number, place
    if not 0 <= number <= len(data) - place:
        raise ValueError("no size")
    if kind == b"s":
        return data[place : place + number].decode("utf-8", "surrogatepass"), place + number
    items = []
    for _index in range(number * 2 if kind == b"d" else number):
        item, place = _decode(data, place, depth - 1)
        items.append(item)
    if kind == b"l":
        return items, place
    if kind != b"d" or not all(isinstance(name, str) for name in items[::2]):
        raise ValueError("no kind")
    return dict(zip(items[::2], items[1::2])), place


def send(fd: int, kind: str, **members: Any) -> None:
    """Write one message, at most LIMIT bytes.

    Raises:
        LaunchError: it is larger; only an image can make it so.
    """
    data = _encode({"kind": kind, **members})
    if len(data) > LIMIT:
        raise LaunchError("what the image says of its user is too long", where="/etc/passwd", hint="use an image with plain entries")
    os.write(fd, (_OURS | len(data)).to_bytes(4, "little") + data)


def send_error(fd: int, error: PodError) -> None:
    """Write `error` as the last message."""
    facts = {name: value for name, value in error.facts.items() if isinstance(value, (int, str))}
    send(fd, "error", what=error.what[:2000], where=error.where[:2000], hint=error.hint[:2000], code=error.code, facts=facts)


def parse(data: bytes, program: str) -> tuple[list[dict[str, Any]], bytes]:
    """Return the complete messages at the start of `data` and the rest; `program` is named when execve failed.

    Raises:
        LaunchError: the other side reported an error, or something that is no message.
    """
    messages = []
    while len(data) >= 4:
        length = int.from_bytes(data[:4], "little")
        if not length & _OURS:
            raise exec_failure(program, length)
        length &= ~_OURS
        if length > LIMIT:
            raise LaunchError("a status message of impossible length", where=program, hint=_FORGED)
        if len(data) < 4 + length:
            break
        message = _message(data[4 : 4 + length], program)
        data = data[4 + length :]
        if message["kind"] == "error":
            raise _error(message, program)
        messages.append(message)
    return messages, data


_FORGED = "a program of the pod may have written it; do not trust the image"


def _message(data: bytes, program: str) -> dict[str, Any]:
    try:
        message, end = _decode(data, 0, _DEPTH)
        if end == len(data) and isinstance(message, dict) and isinstance(message.get("kind"), str):
            return message
    except ValueError as error:
        raise LaunchError("a status message that cannot be read", where=program, hint=_FORGED) from error
    raise LaunchError("a status message that cannot be read", where=program, hint=_FORGED)


def _error(message: dict[str, Any], program: str) -> LaunchError:
    what, where, hint, code = (message.get(name) for name in ("what", "where", "hint", "code"))
    facts = message.get("facts")
    if not all(isinstance(text, str) for text in (what, where, hint, code)) or not isinstance(facts, dict):
        return LaunchError("a status message that cannot be read", where=program, hint=_FORGED)
    known = {name: facts[name] for name in ("errno", "call") if name in facts}
    return LaunchError(str(what), where=str(where), hint=str(hint), code=str(code), **known)


def exec_failure(program: str, number: int) -> LaunchError:
    """Return the error of an execve of `program` that failed with errno `number`."""
    hints = {
        errno.ENOENT: "check exec, and that the image holds the interpreter that the file names",
        errno.ENOEXEC: "the file is neither a program for this machine nor a script with #!",
        errno.EACCES: "the file must be executable for the app's user",
    }
    return LaunchError(f"cannot execute: {os.strerror(number)}", where=program, hint=hints.get(number, ""), errno=number)
