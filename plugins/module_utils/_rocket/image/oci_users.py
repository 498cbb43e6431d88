# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Whom the user of an OCI image means: ``user[:group]``, looked up in the image's own files as OCI says it.

Without a group the user's own group and those that list the user count; with one, that group and no other. The App Container
specification has no such rule, so the answer is written into the manifest (M7, M8).
"""

from __future__ import annotations

from ..errors import SpecError
from ..spec.values import ID_LIMIT
from .oci_config import Owner


def owner_of(text: str, passwd: bytes, group: bytes) -> tuple[Owner, tuple[str, ...]]:
    """Return who runs the app, and what deserves a word to the operator.

    Args:
        text: the user of the configuration.
        passwd: the image's /etc/passwd; empty where it has none.
        group: the image's /etc/group; empty where it has none.

    Raises:
        SpecError: that is no user.
    """
    user, colon, own_group = text.partition(":")
    if ":" in own_group or user.startswith("/") or own_group.startswith("/"):
        raise SpecError("user or user:group was expected", path="config.User", value=text)
    for name in (user, own_group):
        if _is_number(name) and int(name) > ID_LIMIT:
            raise SpecError(f"numbers up to {ID_LIMIT} were expected", path="config.User", value=text, rule="M7")
    if not text or (colon and own_group):
        # Where nobody is named it is root, and none of the groups that list root.
        return Owner(user or "0", own_group or "0"), ()
    user = user or "0"
    lines = _lines(passwd, 4)
    found = [line for line in lines if line[0] == user] or [line for line in lines if _is_number(user) and _same(line[2], user)]
    if not found or not _is_number(found[0][3]):
        unknown = () if _is_number(user) else (f"config.User: the image knows no user {user} (M7)",)
        return Owner(user), unknown
    name = found[0][0]
    groups = {int(line[2]) for line in _lines(group, 4) if _is_number(line[2]) and name in line[3].split(",")}
    return Owner(user, found[0][3], tuple(sorted(gid for gid in groups if gid <= ID_LIMIT))), ()


def _lines(data: bytes, fields: int) -> list[list[str]]:
    lines = (line.split(":") for line in data.decode("utf-8", "surrogateescape").split("\n"))
    return [line for line in lines if len(line) >= fields and line[0]]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10


def _same(number: str, other: str) -> bool:
    return _is_number(number) and int(number) == int(other)
