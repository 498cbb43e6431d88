# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Who an app runs as: user and group of the launch record, looked up in the image (M7, M8, E6, L8, L9).

The image's files are hostile: opened without following links, without blocking, only when regular and small. Resolved
once, before any volume is mounted and any program of the pod runs; event handlers and enter reuse the answer, so that an
app that rewrites its passwd file cannot change who enters.

Not handled here: the host's users; NSS.
"""

from __future__ import annotations

import os

from ...errors import LaunchError, printable
from ...record import Record
from . import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .kernel import Kernel

FILE_LIMIT = 1 << 20
LARGEST = 2**31 - 2


class Identity(Record):
    """Numbers and names of a process.

    Attributes:
        uid: user, 0 to 2**31-2.
        gid: group, 0 to 2**31-2.
        groups: supplementary groups, exactly.
        name: of the user in the image, or the number as text.
        home: the user's home in the image, ``/`` where it names none.
        shell: the user's shell in the image, ``/bin/sh`` where it names none.
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    name: str = "root"
    home: str = "/"
    shell: str = "/bin/sh"


def read_lines(kernel: Kernel, root: int, path: str) -> list[list[str]]:
    """Return the colon-separated lines of a small regular file below `root`; none where it does not exist.

    Raises:
        LaunchError: it is a link, not a regular file, or larger than FILE_LIMIT; nothing of its content is told.
    """
    try:
        fd = kernel.openat2(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, c.RESOLVE_IN_ROOT | c.RESOLVE_NO_SYMLINKS)
    except LaunchError as error:
        if error.facts.get("errno") == 2:
            return []
        raise _refused(path, error.what) from error
    try:
        mode = os.fstat(fd).st_mode
        if mode & 0o170000 != 0o100000:
            raise _refused(path, "not a regular file")
        data = b""
        while len(data) <= FILE_LIMIT:
            chunk = os.read(fd, FILE_LIMIT + 1 - len(data))
            if not chunk:
                break
            data += chunk
        if len(data) > FILE_LIMIT:
            raise _refused(path, f"larger than {FILE_LIMIT} bytes")
    finally:
        os.close(fd)
    return [line.split(":") for line in data.decode("utf-8", "surrogateescape").split("\n") if ":" in line]


def _refused(path: str, what: str) -> LaunchError:
    return LaunchError(f"the image's file is refused: {what}", where=f"/{path}", hint="use an image whose file is plain", code="identity")


def _number(text: str, what: str, where: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > LARGEST:
        raise LaunchError(f"{what} {printable(text)} is no number from 0 to {LARGEST} (M7)", where=where, code="identity")
    return int(text)


def _look_up(kernel: Kernel, root: int, wanted: str, lines: list[list[str]], what: str, where: str) -> int:
    """Return the number that `wanted` means: a name, else digits, else the owner of a path."""
    for line in lines:
        if wanted and line[0] == wanted and len(line) > 2:
            return _number(line[2], f"the number of {what}", f"{what} {printable(wanted)}")
    if wanted.startswith("/"):
        flags = os.O_PATH | os.O_NOFOLLOW
        fd = kernel.openat2(root, wanted, flags, c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS)
        try:
            found = os.fstat(fd)
        finally:
            os.close(fd)
        return _number(str(found.st_uid if what == "user" else found.st_gid), f"the owning {what} of", printable(wanted))
    if wanted.isascii() and wanted.isdigit():
        return _number(wanted, what, where)
    raise LaunchError(
        f"the image knows no {what} {printable(wanted)} (M7)", where=where, hint="give a name of the image or a number", code="identity"
    )


def resolve(kernel: Kernel, root: int, app: dict[str, Any]) -> Identity:
    """Return who `app` of the launch record runs as; `root` is a descriptor of its root file system.

    Raises:
        LaunchError: a name that the image does not know, a number out of range, a file that is refused.
    """
    where = f"app {app['name']}"
    passwd = read_lines(kernel, root, "etc/passwd")
    uid = _look_up(kernel, root, app["user"], passwd, "user", where)
    gid = _look_up(kernel, root, app["group"], read_lines(kernel, root, "etc/group"), "group", where)
    groups = tuple(_number(str(group), "the supplementary group", where) for group in app["supplementary_gids"])
    own = [line for line in passwd if len(line) >= 7 and line[0] == app["user"]]
    own = own or [line for line in passwd if len(line) >= 7 and line[2] == str(uid)]
    if not own:
        return Identity(uid=uid, gid=gid, groups=groups, name=str(uid))
    entry = own[0]
    return Identity(uid=uid, gid=gid, groups=groups, name=entry[0], home=entry[5] or "/", shell=entry[6] or "/bin/sh")
