# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The store as a lock file lets it be seen: each reference, and each dependency, means the image that the lock names."""

from __future__ import annotations

from ..errors import NotFound
from .dependencies import name_of, visits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..spec.image_manifest import Dependency
    from ..spec.lock import Lock
    from .catalogue import Catalogue
    from .record import ImageRecord


class LockedImages:
    """Images by reference.

    Args:
        catalogue: where the images are.
        lock: what references mean.
        platform: ``os/arch`` of the host that they are for.
    """

    def __init__(self, catalogue: Catalogue, lock: Lock, platform: str) -> None:
        self._catalogue = catalogue
        self._lock = lock
        self._platform = platform

    def resolve(self, text: str) -> ImageRecord:
        """Return the image that a reference is locked to; an image ID, or a beginning of one, means itself.

        Raises:
            NotFound: the lock does not name it (code ``not-locked``), or the image is not in the store.
            StoreError: it is damaged.
        """
        if text.startswith("sha512-"):
            return self._catalogue.find_id(text)
        locked = self._lock.find(text, self._platform)
        try:
            return self._catalogue.find_id(locked.image_id)
        except NotFound as error:
            what = f"is locked to {locked.image_id}, which is not in the store"
            raise NotFound(what, where=locked.reference, hint="fetch it first, with this lock", image_id=locked.image_id) from error

    def made_of(self, record: ImageRecord) -> tuple[str, ...]:
        """Return the IDs of the image and of what it depends on under the lock, in the order of writing.

        Raises:
            NotFound: the lock does not name a dependency, or it is not in the store.
            StoreError: a dependency is not what the manifest says.
        """
        return tuple(visit.image.id for visit in visits(self._catalogue, record, self._choose))

    def _choose(self, dependency: Dependency, where: str) -> ImageRecord:
        try:
            return self.resolve(dependency.image_id or str(name_of(dependency)))
        except NotFound as error:
            error.where = f"{where}: {error.where}" if error.where else where
            raise
