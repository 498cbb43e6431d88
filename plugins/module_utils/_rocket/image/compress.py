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
    from typing import Any, TypeVar

    S = TypeVar("S", bound="Nowhere")

__all__ = ["FORMATS", "Nowhere", "Output"]

# Headers and small files are gathered: each piece costs a step of a thread and of the compressor.
_GATHERED = 256 << 10


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


class Nowhere:
    """Takes an uncompressed archive, keeps nothing of it and knows its image ID in the end; ends with its ``with`` block."""

    def __init__(self) -> None:
        self.size = 0
        self._digest = Digest()
        self._gathered = bytearray()

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._digest.close()

    def write(self, data: bytes) -> None:
        """Add to the uncompressed archive."""
        self.size += len(data)
        self._gathered += data
        if len(self._gathered) >= _GATHERED:
            self._flush()

    def image_id(self) -> str:
        """Return the image ID of all that was written; nothing can be added after."""
        self._flush()
        return self._digest.image_id()

    def _flush(self) -> None:
        if self._gathered:
            data = bytes(self._gathered)
            self._gathered.clear()
            self._digest.update(data)
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Do with a piece of the archive what else there is to do."""


class Output(Nowhere):
    """A file that appears under its name by publish() alone; leaving the ``with`` block without removes it.

    Until then it has no name, where the file system can do that: whoever is killed leaves nothing.

    Args:
        path: where it will appear.
        compression: one of FORMATS.
        overwrite: whether it may replace another file.

    Raises:
        UsageError: no file can be made there.
    """

    def __init__(self, path: str, compression: str, overwrite: bool) -> None:
        self._path = path
        self._overwrite = overwrite
        self._compressor = _compressor(compression)
        directory, self._name = os.path.split(os.path.abspath(path))
        self._temporary = ""
        self._directory = -1
        try:
            self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._fd = self._create()
        except OSError as error:
            self._close_directory()
            hint = "name a file in a directory that you may write to"
            raise UsageError(f"the output cannot be written ({error.strerror})", where=path, hint=hint) from error
        super().__init__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        os.close(self._fd)
        if self._temporary:
            os.unlink(self._temporary, dir_fd=self._directory)
        self._close_directory()

    def publish(self) -> None:
        """Sync the file and put it under its name.

        Raises:
            UsageError: the name was taken meanwhile.
            OSError: the file system refuses.
        """
        self._flush()
        self._put(self._compressor.flush())
        os.fsync(self._fd)
        if self._overwrite:
            if not self._temporary:
                temporary = self._another_name()
                self._link(temporary)
                self._temporary = temporary
            os.rename(self._temporary, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            self._temporary = ""
        else:
            try:
                # Unlike rename(2), link(2) does not replace what appeared since the name was looked at.
                self._link(self._name)
            except FileExistsError as error:
                raise UsageError("the output exists", where=self._path, hint="remove it or allow overwriting") from error
        os.fsync(self._directory)

    def _create(self) -> int:
        """Return a new file, without a name or, where the file system knows no such files, under `_temporary`."""
        try:
            return os.open(".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o666, dir_fd=self._directory)
        except OSError:
            temporary = self._another_name()
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=self._directory)
            self._temporary = temporary
            return fd

    def _another_name(self) -> str:
        return f".{self._name[:200]}.{secrets.token_hex(8)}"

    def _link(self, name: str) -> None:
        os.link(f"/proc/self/fd/{self._fd}", name, dst_dir_fd=self._directory, follow_symlinks=True)

    def _close_directory(self) -> None:
        if self._directory >= 0:
            os.close(self._directory)

    def _take(self, data: bytes) -> None:
        self._put(self._compressor.compress(data))

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
