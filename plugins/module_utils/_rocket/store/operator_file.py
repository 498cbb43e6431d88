# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""One file of the operator's configuration: whose it has to be, who may read and write it, and JSON without any slack.

Of a file with secrets no error shows a value.
"""

from __future__ import annotations

import os

from ..errors import HostError, SpecError
from ..spec.reading import MAX_BYTES, Node, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

VERSION = "v1"
_NO_FILE = "it has to be a file, and no link"


def listed(directory: str) -> list[str]:
    """Return the paths of the ``.json`` files of a directory, sorted; none where it does not exist.

    Raises:
        PermissionError: it is not for this user.
        HostError: others may put files there.
    """
    try:
        found = os.stat(directory)
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    _check(found, directory, 0o022, "others may write to it", "0755")
    return [f"{directory}/{name}" for name in names if name.endswith(".json") and not name.startswith(".")]


def read(path: str, use: Callable[[Node], T], secret: bool = False) -> T:
    """Return what `use` makes of the JSON of a file.

    Raises:
        FileNotFoundError, PermissionError: there is none, or none for this user.
        HostError: it is not root's or this user's own, or others may write it, or read it where it is `secret`.
        SpecError: not the JSON that is wanted; names the path in it.
    """
    data = _content(path, secret)
    try:
        node = Node(load(data, path), "")
    except SpecError as error:
        raise _told(error, error.path, secret) from None
    try:
        return use(node)
    except SpecError as error:
        raise _told(error, f"{path}: {error.path}" if error.path else path, secret) from None


def _told(error: SpecError, path: str, secret: bool) -> SpecError:
    """Return the error with the file in its path; what follows the first comma may be a part of the file."""
    return SpecError(error.what.partition(",")[0] if secret else error.what, path=path, hint=error.hint)


def _content(path: str, secret: bool) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except NotADirectoryError:
        raise FileNotFoundError(path) from None
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:
        raise HostError(
            f"cannot be read: {error.strerror}", where=path, hint="it has to be a file, and no link", code="configuration"
        ) from error
    try:
        found = os.fstat(fd)
        if found.st_mode & 0o170000 != 0o100000:
            raise HostError("is not a regular file", where=path, hint=_NO_FILE, code="configuration")
        wrong, mode = ("others may read it", "0600") if secret else ("others may write to it", "0644")
        _check(found, path, 0o077 if secret else 0o022, wrong, mode)
        data = b""
        while len(data) <= MAX_BYTES:
            piece = os.read(fd, MAX_BYTES + 1)
            if not piece:
                break
            data += piece
        return data
    finally:
        os.close(fd)


def _check(found: os.stat_result, path: str, bits: int, wrong: str, mode: str) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise HostError(f"belongs to the user {found.st_uid}", where=path, hint="make it root's", code="configuration")
    if found.st_mode & bits:
        raise HostError(wrong, where=path, hint=f"make its mode {mode}", code="configuration")


def check_kind(node: Node, kinds: tuple[str, ...]) -> str:
    """Return the ``rktKind`` of a file, one of `kinds`, in the one version that there is.

    Raises:
        SpecError: another one.
    """
    kind = node.required("rktKind")
    version = node.required("rktVersion")
    if kind.value not in kinds:
        raise kind.error(f"one of {' '.join(kinds)} was expected" if len(kinds) > 1 else f"{kinds[0]} was expected")
    if version.value != VERSION:
        raise version.error(f"{VERSION} was expected")
    return str(kind.value)
