# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Streams of bytes, and work on them in threads.

A stream is an iterator of non-empty ``bytes``, each at most CHUNK long. ``hashlib``, ``zlib`` and friends release the
interpreter lock on such pieces, so that hashing and decompressing beside unpacking cost wall time only once.
"""

from __future__ import annotations

import hashlib
import os
import queue
import stat
import threading

from ..errors import ArchiveError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1 << 20
_AHEAD = 8


def file_stream(fd: int, limit: int) -> Iterator[bytes]:
    """Return the stream of the regular file `fd` from its start; the file's offset is neither used nor moved.

    Raises:
        ArchiveError: not a regular file; while iterating, longer than `limit` bytes.
    """
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise ArchiveError("an image archive is a regular file", hint="download it to a file first")
    return _read(fd, limit)


def part_stream(fd: int, offset: int, size: int) -> Iterator[bytes]:
    """Yield `size` bytes of the regular file `fd` from `offset` on; the file's offset is neither used nor moved.

    Raises (while iterating):
        ArchiveError: there are fewer.
    """
    end = offset + size
    while offset < end:
        chunk = os.pread(fd, min(CHUNK, end - offset), offset)
        if not chunk:
            raise ArchiveError("the file is shorter than it was said to be", hint="it is cut or changed meanwhile; get it again")
        offset += len(chunk)
        yield chunk


def _read(fd: int, limit: int) -> Iterator[bytes]:
    position = 0
    while True:
        chunk = os.pread(fd, CHUNK, position)
        if not chunk:
            return
        position += len(chunk)
        if position > limit:
            raise over_limit(f"the archive is longer than {limit} bytes")
        yield chunk


def over_limit(what: str) -> ArchiveError:
    """Return the error of an exceeded bound; its code is ``archive-limit``."""
    return ArchiveError(what, code="archive-limit", hint="no option raises this limit; look at who made the image")


class Digest:
    """A SHA-512, or another digest by its name in hashlib, worked out in a thread of its own."""

    def __init__(self, algorithm: str = "sha512") -> None:
        self.size = 0
        self._failure: BaseException | None = None
        self._hash = hashlib.new(algorithm)
        self._queue: queue.Queue[bytes] = queue.Queue(_AHEAD)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while True:
            chunk = self._queue.get()
            if not chunk:
                return
            try:
                self._hash.update(chunk)
            except BaseException as error:  # noqa: BLE001 - not swallowed: the digest is refused, and who feeds it does not wait for ever
                self._failure = error

    def update(self, chunk: bytes) -> None:
        """Add a non-empty piece."""
        self.size += len(chunk)
        self._queue.put(chunk)

    def watch(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        """Yield `stream` on, adding what passes."""
        for chunk in stream:
            self.update(chunk)
            yield chunk

    def close(self) -> None:
        """End the thread; may be called twice."""
        if self._thread.is_alive():
            self._queue.put(b"")
            self._thread.join()

    def image_id(self) -> str:
        """Return ``sha512-`` and 128 hex digits of all that was added (T5); nothing can be added after.

        Raises:
            MemoryError: as the hash.
        """
        return f"{self._hash.name}-{self.hexdigest()}"

    def hexdigest(self) -> str:
        """Return the hex digits of all that was added; nothing can be added after.

        Raises:
            MemoryError: as the hash.
        """
        self.close()
        if self._failure is not None:
            raise self._failure
        return self._hash.hexdigest()


def ahead(stream: Iterator[bytes]) -> Iterator[bytes]:
    """Yield `stream`, read by a thread some chunks ahead; what it raises is raised here."""
    box: queue.Queue[bytes | Exception] = queue.Queue(_AHEAD)
    stopped = threading.Event()

    def read() -> None:
        try:
            for chunk in stream:
                box.put(chunk)
                if stopped.is_set():
                    return
        except Exception as error:  # noqa: BLE001 - not swallowed: it is raised in the thread that reads
            box.put(error)
            return
        box.put(b"")

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while True:
            item = box.get()
            if isinstance(item, Exception):
                raise item
            if not item:
                return
            yield item
    finally:
        stopped.set()
        while not box.empty():
            box.get_nowait()
        thread.join()
