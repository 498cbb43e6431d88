# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Public keys that the site of a name offers; nothing is trusted by getting them (V5)."""

from __future__ import annotations

from ..spec.image_name import ImageName
from .places import discovered
from .transports.base import MemorySink
from .transports.registry import Transports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .discovery import Discovery
    from .options import FetchOptions

KEY_LIMIT = 1 << 20


class Keys:
    """Finds and gets keys.

    Args:
        options: what the operator said.

    Raises:
        UsageError, SpecError: the options mean nothing.
    """

    def __init__(self, options: FetchOptions) -> None:
        self._options = options.check()
        self._named_by: dict[str, Transports] = {}

    def discover(self, name: str) -> Discovery:
        """Return where the images and keys of a name are said to be.

        Raises:
            FetchError: nothing was discovered.
        """
        transports = Transports(self._options)
        found = discovered(ImageName.parse(name), transports, self._options, keys_only=True)
        self._named_by.update((url, transports) for url in found.pubkeys)
        return found

    def get(self, url: str) -> bytes:
        """Return the content of a key's URL, one that `discover` named or the operator's own.

        Raises:
            FetchError: it could not be had.
        """
        sink = MemorySink()
        transports = self._named_by.get(url) or Transports(self._options)
        transports.of(url).get(url, sink, KEY_LIMIT, "key", own=url not in self._named_by)
        return sink.content
