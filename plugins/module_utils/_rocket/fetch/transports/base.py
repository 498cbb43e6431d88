# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What a transport is: something that puts the bytes of a URL into a sink, whole or with an error.

A further scheme is one file with one subclass and one line in registry.py.
"""

from __future__ import annotations

import os

from ...errors import FetchError, printable
from ...record import Record
from ...store.files import raise_disk_error, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...store.partial import Origin, Partial
    from ..options import Progress


class Response(Record):
    """What came.

    Attributes:
        url: where it came from in the end, after redirects.
        status: 200, or 304 when the entity tag still fits and nothing was sent.
        size: bytes in the sink.
        etag: entity tag, empty if none was given.
        whole: the source said how much there is and all of it came; if not, only a digest or signature can tell.
        max_age: seconds for which the source need not be asked again; None if it did not say.
        resumed: bytes that an earlier try had brought; only a digest or signature can tell that the rest fits them.
        media_type: what the source says that it is, in lower case and without parameters; may be empty.
    """

    url: str
    status: int
    size: int
    etag: str = ""
    whole: bool = True
    max_age: int | None = None
    resumed: int = 0
    media_type: str = ""


class Sink:
    """Takes the bytes of one response; `restart` forgets them all before another try."""

    done = 0

    def restart(self) -> None:
        """Forget what was written."""
        raise NotImplementedError

    @property
    def origin(self) -> Origin | None:
        """Of which object the `done` bytes are the beginning, where a try may go on behind them."""
        return None

    def remember(self, origin: Origin) -> None:
        """Be told which object comes."""

    def step_back(self) -> None:
        """Forget the last byte: of a whole object there would be nothing left to ask for."""

    def expect(self, total: int) -> None:
        """Be told how many bytes will come."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        raise NotImplementedError


class MemorySink(Sink):
    """For what is small by its limit: signatures, keys, discovery pages."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def restart(self) -> None:
        self._parts = []
        self.done = 0

    def write(self, data: bytes) -> None:
        self._parts.append(data)
        self.done += len(data)

    @property
    def content(self) -> bytes:
        """All bytes so far."""
        return b"".join(self._parts)


class FileSink(Sink):
    """A staged file of the store; a full disk is an error that names path and need.

    Args:
        fd: where to write.
        path: for messages.
        progress: is told (bytes done, bytes in all or 0).
        partial: the download that the file belongs to; only with one may a try go on where another ended.
    """

    def __init__(self, fd: int, path: str, progress: Progress | None = None, partial: Partial | None = None) -> None:
        self._fd = fd
        self._path = path
        self._progress = progress
        self._partial = partial
        self._total = 0
        self.done = 0
        if self.origin is None:
            self.restart()
        else:
            self._seek(os.SEEK_END, 0)

    @property
    def origin(self) -> Origin | None:
        return self._partial.origin if self._partial is not None else None

    def restart(self) -> None:
        if self._partial is not None:
            self._partial.remember(None)
        self._cut(0)
        self._total = 0

    def remember(self, origin: Origin) -> None:
        if self._partial is not None:
            self._partial.remember(origin)

    def step_back(self) -> None:
        if self.origin is not None and self.done >= self.origin.total:
            self._cut(self.origin.total - 1)

    def _cut(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise_disk_error(error, self._path)
        self._seek(os.SEEK_SET, size)

    def _seek(self, whence: int, offset: int) -> None:
        try:
            self.done = os.lseek(self._fd, offset, whence)
        except OSError as error:
            raise_disk_error(error, self._path)

    def expect(self, total: int) -> None:
        """Refuse at once what cannot fit.

        Raises:
            StoreError: ``disk-full``.
        """
        import errno

        self._total = total
        try:
            free = os.fstatvfs(self._fd)
        except OSError as error:
            raise_disk_error(error, self._path)
        if total - self.done > free.f_bavail * free.f_frsize:
            raise_disk_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), self._path, total)

    def write(self, data: bytes) -> None:
        try:
            write_all(self._fd, data)
        except OSError as error:
            raise_disk_error(error, self._path, max(self._total, self.done + len(data)))
        self.done += len(data)
        if self._progress is not None:
            self._progress(self.done, self._total)


class Transport:
    """Gets the content of URLs of some schemes.

    Attributes:
        received: bytes of content that came over the network.
    """

    received = 0

    def get(
        self, url: str, sink: Sink, limit: int, what: str, etag: str = "", own: bool = False, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Put the content of `url` into `sink`.

        Args:
            url: what to get.
            sink: where to.
            limit: bytes; more is an error, found before or while they come.
            what: for messages: ``image``, ``signature``.
            etag: entity tag that the caller has the content of.
            own: the operator named the URL; somebody else's must not lead into private networks.
            headers: of the request, beside and over the usual ones; not sent any more once a redirect led to another origin.

        Raises:
            FetchError: with a class of docs/security-model.md as code; of a 401, the fact ``challenge`` is what the server asks for.
            StoreError: the sink's disk refused.
        """
        raise NotImplementedError

    def ask(self, url: str, etag: str, own: bool = False) -> Response:
        """Ask whether `url` still has the content of this entity tag, without getting it: then the status is 304.

        Raises:
            FetchError: as get.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give connections back that were kept for a further request."""


def too_large(url: str, what: str, limit: int) -> FetchError:
    """Return the error for content beyond its limit."""
    return FetchError(
        f"the {what} has more than {limit} bytes",
        where=printable(url),
        hint="raise the limit if it should be that large",
        code="body-too-large",
    )
