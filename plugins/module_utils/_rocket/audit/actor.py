# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Who acts in this process, for the lines that it writes: set once, by the command or the module that began."""

from __future__ import annotations

import os

from ..record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_UNSET = (1 << 32) - 1


def _say_nothing(_text: str) -> None:
    """There is nobody to tell."""


class Actor(Record):
    """Who acts.

    Attributes:
        via: the command or module, such as ``rocket fetch`` or ``appc.rocket.pod``.
        name: who it is for, as the caller says, such as a user or a job of the controller; not verified.
        insecure: the relaxations in force, sorted.
        tell: is told, in one line, what a relaxation kept out of the log.
    """

    via: str = ""
    name: str = ""
    insecure: tuple[str, ...] = ()
    tell: Callable[[str], None] = staticmethod(_say_nothing)

    def to_json(self) -> dict[str, Any]:
        """Return the actor as the member ``by`` of an event: user ID, login user ID where the kernel knows one, and what was said."""
        found: dict[str, Any] = {"uid": os.getuid()}
        login = _login_uid()
        if login is not None:
            found["login"] = login
        found.update((name, text) for name, text in (("via", self.via), ("name", self.name)) if text)
        return found


_acting = [Actor()]


def act_as(actor: Actor) -> None:
    """Have what this process does from now on be done by `actor`."""
    _acting[0] = actor


def actor() -> Actor:
    """Return who acts."""
    return _acting[0]


def _login_uid() -> int | None:
    """Return whom the session began as, whatever sudo or become made of it since (audit_set_loginuid(3)); None where that is not known."""
    try:
        with open("/proc/self/loginuid", "rb") as source:
            number = int(source.read())
    except (OSError, ValueError):
        return None
    return None if number == _UNSET else number
