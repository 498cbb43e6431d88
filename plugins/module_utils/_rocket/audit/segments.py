# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The files of an audit log: ``audit.log``, and before it ``audit.log.<number of the last event>`` for each that grew full."""

from __future__ import annotations

import os

from ..errors import StoreError
from .line import LIMIT, Head, last_event

ROTATE = 8 << 20
KEEP = 32
_DIGITS = 15
_TAIL = 4 * LIMIT


def segments(path: str) -> list[str]:
    """Return the full files of the log at `path`, oldest first.

    Raises:
        OSError: the directory cannot be read.
    """
    directory, name = os.path.split(path)
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    start = f"{name}."
    found = [text for text in names if text.startswith(start) and len(text) == len(start) + _DIGITS and text[len(start) :].isdigit()]
    return [f"{directory}/{text}" for text in sorted(found)]


def segment_path(path: str, last: int) -> str:
    """Return where a full file goes whose last event has the number `last`."""
    return f"{path}.{last:0{_DIGITS}d}"


def head_of(fd: int, path: str) -> tuple[Head, int]:
    """Return the head of the file behind `fd`, and the bytes behind its last event.

    Raises:
        StoreError: it is not empty and holds no event; code ``damaged``.
        OSError: it cannot be read.
    """
    size = os.fstat(fd).st_size
    if not size:
        return Head(), 0
    start = max(0, size - _TAIL)
    head, behind = last_event(os.pread(fd, size - start, start))
    if not head.seq and (start or behind > 2 * LIMIT):
        raise StoreError(
            "no event is found at its end",
            where=path,
            hint="see `rocket audit verify`; keep the file, then move it away: a new log begins, and the controller's checkpoint tells",
            code="damaged",
        )
    return head, behind


def head_of_file(path: str) -> Head:
    """Return the head of a full file; raises as head_of."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return head_of(fd, path)[0]
    finally:
        os.close(fd)
