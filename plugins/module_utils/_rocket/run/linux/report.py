# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What a process on its way to execve tells the supervisor over its status pipe.

A message of ours is four bytes, the length with the highest bit set, and that many bytes of marshal; the writers are
children of the supervisor that have not yet run anything of an image. The exec program knows only how to write four
bytes, an errno; a successful execve closes the pipe.
"""

from __future__ import annotations

import errno
import marshal
import os

from ...errors import LaunchError, PodError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OURS = 0x80000000
LIMIT = 1 << 16


def send(fd: int, kind: str, **members: Any) -> None:
    """Write one message, at most LIMIT bytes."""
    data = marshal.dumps({"kind": kind, **members})
    os.write(fd, (_OURS | len(data)).to_bytes(4, "little") + data)


def send_error(fd: int, error: PodError) -> None:
    """Write `error` as the last message."""
    facts = {name: value for name, value in error.facts.items() if isinstance(value, (int, str))}
    send(fd, "error", what=error.what[:2000], where=error.where[:2000], hint=error.hint[:2000], code=error.code, facts=facts)


def parse(data: bytes, program: str) -> tuple[list[dict[str, Any]], bytes]:
    """Return the complete messages at the start of `data` and the rest; `program` is named when execve failed.

    Raises:
        LaunchError: the other side reported an error.
    """
    messages = []
    while len(data) >= 4:
        length = int.from_bytes(data[:4], "little")
        if not length & _OURS:
            raise exec_failure(program, length)
        length &= ~_OURS
        if length > LIMIT:
            raise LaunchError("a status message of impossible length", where=program, hint="report this as a defect of rocket")
        if len(data) < 4 + length:
            break
        message = marshal.loads(data[4 : 4 + length])
        data = data[4 + length :]
        if message["kind"] == "error":
            raise LaunchError(message["what"], where=message["where"], hint=message["hint"], code=message["code"], **message["facts"])
        messages.append(message)
    return messages, data


def exec_failure(program: str, number: int) -> LaunchError:
    """Return the error of an execve of `program` that failed with errno `number`."""
    hints = {
        errno.ENOENT: "check exec, and that the image holds the interpreter that the file names",
        errno.ENOEXEC: "the file is neither a program for this machine nor a script with #!",
        errno.EACCES: "the file must be executable for the app's user",
    }
    return LaunchError(f"cannot execute: {os.strerror(number)}", where=program, hint=hints.get(number, ""), errno=number)
