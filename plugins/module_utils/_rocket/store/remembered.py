# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The images of the store as they were at one moment, each read once: for whoever asks about all of them and what they depend on."""

from __future__ import annotations

from ..errors import NotFound, StoreError
from .catalogue import Catalogue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..paths import Paths
    from ..spec.image_name import ImageName
    from .record import ImageRecord

    Loaded = tuple[dict[str, Any], dict[str, Any], int]


class Remembered(Catalogue):
    """The images of the store; what changes on the disk later is not seen."""

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        self._ids = Catalogue.ids(self)
        self._loaded: dict[str, Loaded | NotFound | StoreError] = {}
        self._records: dict[str, ImageRecord] = {}
        self._found: dict[tuple[ImageName, str], ImageRecord | NotFound] = {}

    def ids(self) -> list[str]:
        """Return the image IDs of the store, sorted."""
        return self._ids

    def _load(self, image_id: str) -> Loaded:
        if image_id not in self._loaded:
            try:
                self._loaded[image_id] = super()._load(image_id)
            except (NotFound, StoreError) as error:
                self._loaded[image_id] = error
        found = self._loaded[image_id]
        if isinstance(found, tuple):
            return found
        raise found

    def _record(self, image_id: str) -> ImageRecord:
        if image_id not in self._records:
            self._records[image_id] = super()._record(image_id)
        return self._records[image_id]

    def find(self, name: ImageName, platform: str = "") -> ImageRecord:
        """Return the newest import of the name whose labels match, as Catalogue.find does; raises NotFound."""
        key = (name, platform)
        if key not in self._found:
            try:
                self._found[key] = super().find(name, platform)
            except NotFound as error:
                self._found[key] = error
        found = self._found[key]
        if isinstance(found, NotFound):
            raise found
        return found
