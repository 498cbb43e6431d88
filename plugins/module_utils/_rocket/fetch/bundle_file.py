# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A bundle of this host, open: what it says, and the bytes of its images and signatures."""

from __future__ import annotations

import os
from urllib.parse import quote

from ..errors import FetchError, RocketError, printable
from ..image.bundle import read_contents
from ..image.stream import part_stream
from ..spec.bundle import SCHEME, file_name, signature_name
from .transports.base import FileSink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from ..spec.bundle import Bundled
    from .options import Progress

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class BundleFile:
    """A bundle, for a ``with`` block.

    Args:
        path: of the file.

    Attributes:
        bundle: what it says.
        shown: the path for messages.
        source: the same as an absolute reference, with the characters of a URL.

    Raises:
        FetchError: code ``file-unreadable``.
        ArchiveError, SpecError: it is no bundle; names the file.
    """

    def __init__(self, path: str) -> None:
        self.shown = printable(path, 300)
        self.source = SCHEME + quote(os.path.abspath(path), errors="surrogateescape")
        try:
            self._fd = os.open(path, _OPEN)
        except OSError as error:
            raise self._unreadable(error) from error
        try:
            self._contents = read_contents(self._fd)
        except OSError as error:
            os.close(self._fd)
            raise self._unreadable(error) from error
        except RocketError as error:
            os.close(self._fd)
            error.where = f"{self.shown}: {error.where}" if error.where else self.shown
            raise
        self.bundle = self._contents.bundle
        self._indices = {image.image_id: index for index, image in enumerate(self.bundle.images)}

    def __enter__(self) -> BundleFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._fd)

    def where(self, image: Bundled) -> str:
        """Return what names an image of this bundle in messages."""
        return f"{self.shown}: {image}"

    def copy(self, image: Bundled, fd: int, path: str, progress: Progress | None) -> None:
        """Copy an image to the staged file `fd`, which is emptied before.

        Raises:
            FetchError, ArchiveError: it cannot be read, or the bundle was cut meanwhile.
            StoreError: the disk refused; found before where there is no space.
        """
        place = self._contents.places[file_name(self._indices[image.image_id])]
        sink = FileSink(fd, path, progress)
        sink.expect(place.size)
        stream = part_stream(self._fd, place.offset, place.size)
        while True:
            try:
                piece = next(stream, b"")
            except OSError as error:
                raise self._unreadable(error) from error
            if not piece:
                return
            sink.write(piece)

    def signature(self, image: Bundled) -> bytes:
        """Return the signature of an image.

        Raises:
            FetchError: it cannot be read.
        """
        place = self._contents.places[signature_name(self._indices[image.image_id])]
        try:
            return os.pread(self._fd, place.size, place.offset)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> FetchError:
        return FetchError(
            f"the bundle cannot be read: {error.strerror}",
            where=self.shown,
            hint="check the path and its permissions",
            code="file-unreadable",
        )
