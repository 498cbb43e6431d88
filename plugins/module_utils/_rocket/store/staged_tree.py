# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The root file system of an archive that is about to enter the store, made in the pass that says what the archive is.

It waits in staging as its image does, and is put into place behind it: whoever fetches in order to run reads the archive once
instead of twice. What it is, is what render.py makes of the same image.
"""

from __future__ import annotations

import os

from ..errors import StoreError
from .render import put_in_place, record_of
from .staging import discard, staging_directory
from .trees import complete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..image.check import Inspection
    from ..image.extract import Extraction
    from .store import Store


class StagedTree:
    """A tree in staging, held by this process until `close`.

    Args:
        store: where its image will be.

    Raises:
        StoreError: the disk refused.
    """

    def __init__(self, store: Store) -> None:
        store.open_for_writing()
        self._store = store
        self._fd, self._directory = staging_directory(store.paths)
        self._extraction: Extraction | None = None

    def fill(self, blob: int) -> Inspection:
        """Unpack the archive `blob`, a descriptor of a file that was verified, and return what it is.

        Raises:
            ArchiveError, SpecError: it is no image.
            StoreError: the host cannot hold it.
        """
        from ..image.extract import extract
        from ..image.limits import Limits

        self._extraction = extract(blob, self._directory, Limits(), listing=True, inspect=True)
        if self._extraction.inspection is None:
            raise StoreError("nothing was said of the archive", where=self._directory)
        return self._extraction.inspection

    def enter(self) -> None:
        """Put the tree that was filled into place, where there is none; its image is in the store.

        Raises:
            StoreError: the disk refused.
        """
        if self._extraction is None:
            return
        image_id = self._extraction.image_id
        place = f"{self._store.paths.trees}/{image_id}"
        with self._store.lock(image_id):
            # An image that was removed just now would leave a tree of nothing.
            if not complete(place) and os.path.isdir(f"{self._store.paths.images}/{image_id}"):
                put_in_place(self._store, self._directory, record_of(self._extraction, self._directory), place)

    def close(self) -> None:
        """Remove what is left in staging."""
        try:
            discard(self._directory)
        finally:
            os.close(self._fd)
