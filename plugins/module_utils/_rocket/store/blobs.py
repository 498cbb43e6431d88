# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Layers of OCI images as they came: ``blobs/<algorithm>/<hex digits>``, so that two images with the same base get it once.

An image of the store is whole without them. A layer stays while an image of the store was made of it, and for the time of
grace after it was last wanted; whoever uses one holds a lock on the file itself, in common with others (docs/store.md).

What is in the file is compared with its name by who reads it (image/oci_convert.py), in the same pass.
"""

from __future__ import annotations

import fcntl
import os

from ..errors import FetchError
from ..spec.oci_reference import DIGESTS, is_digest
from .files import fsync_directory, make_private_directory, raise_disk_error
from .locks import lock_fd, same_file
from .staging import abandoned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .partial import Partial
    from .store import Store


class Blob:
    """A layer that is there and stays until close().

    Attributes:
        path: of the file.
        new: whether it came just now.
    """

    def __init__(self, fd: int, path: str, new: bool) -> None:
        self._fd = fd
        self.path = path
        self.new = new

    def __enter__(self) -> Blob:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give it back; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class Blobs:
    """The layers of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._top = store.paths.blobs
        self._named: tuple[int, frozenset[str]] = (-1, frozenset())

    def names(self) -> list[str]:
        """Return the digests of all layers, sorted."""
        found = []
        for algorithm in DIGESTS:
            try:
                found += [f"{algorithm}:{name}" for name in os.listdir(f"{self._top}/{algorithm}")]
            except FileNotFoundError:
                continue
            except OSError as error:
                raise_disk_error(error, f"{self._top}/{algorithm}")
        return sorted(filter(is_digest, found))

    def path(self, digest: str) -> str:
        """Return where the layer lies that has this digest, one that was checked."""
        return f"{self._top}/{digest.replace(':', '/')}"

    def find(self, digest: str, size: int) -> Blob | None:
        """Return the layer, where it is there in its full size.

        Raises:
            StoreError: the disk refused.
        """
        path = self.path(digest)
        while True:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise_disk_error(error, path)
            try:
                lock_fd(fd, path, fcntl.LOCK_SH, wait=True)
                found = os.fstat(fd)
                if not same_file(fd, path):
                    # Collected before the lock was ours.
                    os.close(fd)
                    continue
                if found.st_mode & 0o170000 != 0o100000 or found.st_size != size:
                    os.close(fd)
                    return None
                os.utime(fd)
            except OSError as error:
                os.close(fd)
                raise_disk_error(error, path)
            except BaseException:
                os.close(fd)
                raise
            return Blob(fd, path, new=False)

    def obtain(self, digest: str, size: int, get: Callable[[Partial], None], url: str = "") -> Blob:
        """Return the layer, got where it is not there; processes that want the same one wait for the first.

        Args:
            digest: of the layer.
            size: its bytes.
            get: has the download hold the whole layer; raises unless it has this very digest.
            url: that it is got from; what came of it before the network failed is there for the next one who wants it.

        Raises:
            StoreError: the disk refused; and what `get` raises. Nothing is there under the digest then.
        """
        blob = self.find(digest, size)
        if blob is not None:
            return blob
        with self._store.lock(f"layer {digest}"):
            blob = self.find(digest, size)
            return self._get(digest, get, url or f"layer {digest}") if blob is None else blob

    def _get(self, digest: str, get: Callable[[Partial], None], url: str) -> Blob:
        place = self.path(digest)
        self._store.open_for_writing()
        for directory in (self._top, os.path.dirname(place)):
            make_private_directory(directory)
        partial, keep = self._store.partial(url), False
        try:
            get(partial)
            return self._put_in_place(partial, place)
        except OSError as error:
            raise_disk_error(error, place)
        except (FetchError, KeyboardInterrupt):
            keep = True
            raise
        finally:
            partial.close(keep)

    def _put_in_place(self, partial: Partial, place: str) -> Blob:
        fd = os.open(partial.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # Before it has a name by which it could be collected.
            lock_fd(fd, partial.path, fcntl.LOCK_SH, wait=True)
            os.fsync(fd)
            os.rename(partial.path, place)
            fsync_directory(os.path.dirname(place))
        except BaseException:
            os.close(fd)
            raise
        return Blob(fd, place, new=True)

    def discard(self, digest: str) -> None:
        """Remove a layer that is not what its name says; the next fetch gets it again.

        Raises:
            StoreError: the disk refused.
        """
        try:
            os.unlink(self.path(digest))
        except FileNotFoundError:
            return
        except OSError as error:
            raise_disk_error(error, self.path(digest))

    def is_idle(self, digest: str, before: int | None = None) -> bool:
        """Return whether nobody uses the layer now, nor did since `before`, seconds since the epoch, where that is given."""
        fd = abandoned(self.path(digest))
        if fd is None:
            return False
        try:
            return before is None or int(os.fstat(fd).st_mtime) <= before
        finally:
            os.close(fd)

    def last_use(self, digest: str) -> float:
        """Return when a layer was last wanted, in seconds since the epoch; 0 where it is gone."""
        try:
            return os.lstat(self.path(digest)).st_mtime
        except FileNotFoundError:
            return 0.0

    def collect(self, digest: str) -> bool:
        """Remove a layer that no image names; return whether it was there and nobody uses it.

        Raises:
            StoreError: the disk refused.
        """
        fd = abandoned(self.path(digest))
        if fd is None:
            return False
        try:
            # Asked under the lock: who fetches an image holds its layers until the image names them.
            if digest in self._still_named():
                return False
            self.discard(digest)
            return True
        finally:
            os.close(fd)

    def _still_named(self) -> frozenset[str]:
        """Return the layers that images name, looked up again whenever an image came or went."""
        try:
            stamp = os.stat(self._store.paths.images).st_mtime_ns
        except FileNotFoundError:
            return frozenset()
        if stamp != self._named[0]:
            self._named = (stamp, self._store.layers())
        return self._named[1]
