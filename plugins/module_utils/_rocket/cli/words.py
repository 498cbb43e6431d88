# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Values of options that hold several things: ``NAME=VALUE`` and ``member=value,...``."""

from __future__ import annotations

from ..errors import UsageError
from . import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def assignment(text: str, option: str) -> tuple[str, str]:
    """Return name and value of ``NAME=VALUE``; raises UsageError without ``=``."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"expects NAME=VALUE, not {text!r}", where=option)
    return name, value


def members(text: str, option: str, names: Sequence[str], usage: str) -> dict[str, str]:
    """Return the members of ``member=value,...``.

    Args:
        text: the value of the option, or what of it is left.
        option: for messages.
        names: the members that it may have.
        usage: the command, for messages.

    Raises:
        UsageError: a member that is unknown, given twice or without a value.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, content = part.partition("=")
        if name not in names:
            raise options.unknown(name, names, f"member of {option}", usage)
        if not equals or name in found:
            raise UsageError(f"expects {name}=VALUE once", where=f"{option}={text}")
        found[name] = content
    return found


def boolean(text: str, where: str) -> bool:
    """Return what ``true`` or ``false`` says; raises UsageError for another word."""
    if text not in ("true", "false"):
        raise UsageError(f"expects true or false, not {text!r}", where=where)
    return text == "true"


def number(text: str, where: str) -> int:
    """Return a whole number of at most ten digits; raises UsageError for anything else."""
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        raise UsageError(f"expects a whole number, not {text!r}", where=where)
    return int(text)


def numbers(text: str, where: str) -> list[int]:
    """Return whole numbers separated by commas; raises UsageError."""
    return [number(part, where) for part in text.split(",")]
