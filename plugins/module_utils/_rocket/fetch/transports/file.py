# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Files of this host: ``file:///path``. Regular files only: a FIFO would wait for ever, a device has no end."""

from __future__ import annotations

import os

from ...errors import FetchError, printable
from .base import Response, Sink, Transport, too_large

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_BLOCK = 1 << 20


class FileTransport(Transport):
    """Copies files into sinks, so that nobody can change them between the check and the use."""

    def get(
        self, url: str, sink: Sink, limit: int, what: str, etag: str = "", own: bool = False, headers: Mapping[str, str] | None = None
    ) -> Response:
        path = path_of(url)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _unreadable(path, what, error) from error
        try:
            size = self._copy(fd, path, sink, limit, what)
        finally:
            os.close(fd)
        return Response(url=url, status=200, size=size)

    def ask(self, url: str, etag: str, own: bool = False) -> Response:
        return Response(url=url, status=200, size=0)

    def _copy(self, fd: int, path: str, sink: Sink, limit: int, what: str) -> int:
        found = os.fstat(fd)
        if found.st_mode & 0o170000 != 0o100000:
            raise FetchError(f"the {what} is not a regular file", where=path, hint="give the path of a file", code="not-an-image")
        if found.st_size > limit:
            raise too_large(path, what, limit)
        sink.expect(found.st_size)
        count = 0
        while True:
            try:
                block = os.read(fd, _BLOCK)
            except OSError as error:
                raise _unreadable(path, what, error) from error
            if not block:
                break
            count += len(block)
            if count > limit:
                raise too_large(path, what, limit)
            sink.write(block)
        if count != found.st_size:
            raise FetchError(f"the {what} changed while it was read", where=path, hint="repeat when it is complete", code="body-truncated")
        return count


def _unreadable(path: str, what: str, error: OSError) -> FetchError:
    return FetchError(
        f"the {what} cannot be read: {error.strerror}",
        where=printable(path),
        hint="check the path and its permissions",
        code="file-unreadable",
        absent=isinstance(error, FileNotFoundError),
    )


def path_of(url: str) -> str:
    """Return the path of a ``file:`` URL.

    Raises:
        FetchError: it names a host, has a query or fragment, or is no such URL.
    """
    from urllib.parse import unquote

    # Not urlsplit: it drops line ends and tabs wherever they are, and refuses brackets by an error of its own.
    start, _slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    path = unquote(slash + path, errors="surrogateescape")
    plain = not any(character in url for character in "?#\t\r\n")
    if start.lower() != "file" or host not in ("", "localhost") or not path.startswith("/") or "\0" in path or not plain:
        raise FetchError("not a file URL of this host", where=printable(url), hint="write file:///absolute/path", code="url-refused")
    return path
