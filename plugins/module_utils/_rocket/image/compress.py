# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The file that an image is written to: compressed on the way, hashed before, in place when it is complete."""

from __future__ import annotations

import os
import secrets

from ..errors import UsageError
from .compression import FORMATS
from .stream import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

__all__ = ["FORMATS", "Output"]


# Less time than gzip at its default, and less space (docs/adr/0004-zstd.md).
_ZSTD_LEVEL = 9


class _Plain:
    """No compression, with the interface of a compressor."""

    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _compressor(name: str) -> Any:
    """Return a compressor whose output depends on its input alone: no file name, no time."""
    if name == "gzip":
        import zlib

        return zlib.compressobj(6, zlib.DEFLATED, 31)
    if name == "bzip2":
        import bz2

        return bz2.BZ2Compressor()
    if name == "xz":
        import lzma

        return lzma.LZMACompressor(lzma.FORMAT_XZ)
    if name == "zstd":
        from . import zstd

        return zstd.Compressor(_ZSTD_LEVEL)
    return _Plain()


class Output:
    """A file that appears under its name by publish() alone; leaving the ``with`` block without removes it.

    Args:
        path: where it will appear.
        compression: one of FORMATS.
        overwrite: whether it may replace another file.
    """

    def __init__(self, path: str, compression: str, overwrite: bool) -> None:
        self._path = path
        self._overwrite = overwrite
        self._compressor = _compressor(compression)
        directory, name = os.path.split(os.path.abspath(path))
        self._directory = directory
        self._temporary = os.path.join(directory, f".{name[:200]}.{secrets.token_hex(8)}")
        self._fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        self._digest = Digest()

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._digest.close()
        if self._fd >= 0:
            os.close(self._fd)
            os.unlink(self._temporary)

    def write(self, data: bytes) -> None:
        """Add to the uncompressed archive."""
        if data:
            self._digest.update(data)
            self._put(self._compressor.compress(data))

    def publish(self) -> str:
        """Sync the file, put it under its name, and return the image ID.

        Raises:
            UsageError: the name was taken meanwhile.
            OSError: the file system refuses.
        """
        self._put(self._compressor.flush())
        os.fsync(self._fd)
        if self._overwrite:
            os.rename(self._temporary, self._path)
        else:
            try:
                # Unlike rename(2), link(2) does not replace what appeared since the name was looked at.
                os.link(self._temporary, self._path)
            except FileExistsError as error:
                raise UsageError("the output exists", where=self._path, hint="remove it or allow overwriting") from error
            os.unlink(self._temporary)
        os.close(self._fd)
        self._fd = -1
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return self._digest.image_id()

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
