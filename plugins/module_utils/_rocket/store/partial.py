# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Downloads that can be gone on with: after a cut, or by the next process after this one was killed.

``staging/<digest of the URL>.partial/`` holds ``aci``, the bytes so far, and ``origin``, of which object they are the
beginning. It is locked like all that is staged. What is in it is never trusted: whoever goes on with it has the source
confirm the object, and hashes or verifies the whole. So nothing here is synced, and what cannot be read counts as absent.
"""

from __future__ import annotations

import fcntl
import os

from ..errors import StoreError
from ..record import Record
from .files import raise_disk_error, read_limited, write_all
from .staging import discard, named_directory, staging_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..paths import Paths

SUFFIX = ".partial"
_ORIGIN_LIMIT = 16 << 10


class Origin(Record):
    """One version of one object.

    Attributes:
        url: what was asked for.
        host: scheme, host and port that gave the entity tag, and that alone gets to see it again.
        etag: a strong entity tag.
        total: bytes of the whole object.
    """

    url: str
    host: str
    etag: str
    total: int


class Partial:
    """A download in staging, held by this process until `close`.

    Attributes:
        fd: of the file, for reading and writing.
        path: of the file.
        origin: of which object the file holds the beginning; None where that is not known.
    """

    def __init__(self, directory_fd: int, directory: str, url: str) -> None:
        self._directory_fd = directory_fd
        self._directory = directory
        self.path = f"{directory}/aci"
        try:
            self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        except OSError as error:
            os.close(directory_fd)
            raise_disk_error(error, self.path)
        self.origin = _read(f"{directory}/origin", url)

    def remember(self, origin: Origin | None) -> None:
        """Write down of which object the bytes are the beginning; None makes them worthless for others.

        Raises:
            StoreError: the disk refused.
        """
        self.origin = origin
        path = f"{self._directory}/origin"
        try:
            if origin is None:
                if os.path.lexists(path):
                    os.unlink(path)
                return
            _write(path, origin)
        except OSError as error:
            raise_disk_error(error, path)

    def close(self, keep: bool = False) -> None:
        """Give the download up, or leave it for another process; without an origin it is always given up.

        Raises:
            StoreError: it cannot be removed.
        """
        try:
            if not keep or self.origin is None:
                discard(self._directory)
        finally:
            os.close(self.fd)
            # A child that another thread forks just now has the descriptor too, and with it the lock.
            fcntl.flock(self._directory_fd, fcntl.LOCK_UN)
            os.close(self._directory_fd)


def take_up(paths: Paths, url: str) -> Partial:
    """Return the download of `url`: the one that another process left, or a new one.

    While another process is at the same URL this one gets a download of its own, which nobody else finds.

    Raises:
        StoreError: the disk refused.
    """
    import hashlib

    name = hashlib.sha512(url.encode("utf-8", "surrogateescape")).hexdigest()[:64] + SUFFIX
    held = named_directory(paths, name)
    return Partial(*(staging_directory(paths) if held is None else held), url)


def kept_until(path: str, grace: int) -> int:
    """Return until when what a dead process left at `path` is kept, in seconds since the epoch; 0 for not at all."""
    if not path.endswith(SUFFIX):
        return 0
    try:
        # Of the bytes, not of the directory: looking at them changes nothing.
        written = int(os.stat(f"{path}/aci", follow_symlinks=False).st_mtime)
        os.stat(f"{path}/origin", follow_symlinks=False)
    except OSError:
        return 0
    return written + grace


def _write(path: str, origin: Origin) -> None:
    from ..spec.canonical import dumps

    fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, dumps(dict(origin.__dict__)))
    finally:
        os.close(fd)
    os.rename(f"{path}.new", path)


def _read(path: str, url: str) -> Origin | None:
    import json

    try:
        value = json.loads(read_limited(path, _ORIGIN_LIMIT))
        origin = Origin(**value)
    except (OSError, StoreError, ValueError, TypeError):
        return None
    texts = all(isinstance(text, str) for text in (origin.url, origin.host, origin.etag))
    counted = isinstance(origin.total, int) and origin.total > 0
    return origin if texts and counted and origin.url == url else None
