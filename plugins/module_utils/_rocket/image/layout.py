# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What an App Container Image may contain: ``manifest`` and ``rootfs``, each name once (A2, A3).

Kept on each reading, at import and at unpacking alike. Names are compared by parts, never as text.
"""

from __future__ import annotations

import hashlib

from ..errors import ArchiveError
from .limits import DEFAULT
from .pax import refused
from .stream import over_limit
from .tar import shown, split_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .limits import Limits
    from .tar import Entry

MANIFEST = (b"manifest",)
ROOTFS = (b"rootfs",)


def parts_of(name: bytes, directory: bool, limits: Limits = DEFAULT) -> tuple[bytes, ...]:
    """Return the parts of a name: one ``./`` in front and, of a directory, one ``/`` behind are dropped.

    Raises:
        ArchiveError: absolute, or another empty, ``.`` or ``..`` part (A3); what split_name refuses.
    """
    parts = split_name(name, limits)
    plain = name[2:] if name.startswith(b"./") else name
    if directory and plain.endswith(b"/"):
        plain = plain[:-1]
    if plain != b"/".join(parts) and (parts or plain not in (b"", b".")):
        raise refused("a name is absolute or has an empty or '.' part (A3)")
    if name.startswith(b"/"):
        raise refused("a name is absolute (A3)")
    return parts


class Layout:
    """The names that were seen in one archive."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._seen: set[bytes] = set()

    def place(self, entry: Entry) -> tuple[bytes, ...]:
        """Return the parts of the entry's name from the top of the archive; the empty tuple for ``./`` itself.

        Raises:
            ArchiveError: a repeated name (A2), a name outside the two, of the wrong type, absolute, or with an empty,
                ``.`` or ``..`` part (A3); an empty manifest or one over a limit; a hard link to what is not in the root
                file system. Names the entry.
        """
        try:
            parts = self._checked(entry)
            self._once(parts)
            if entry.kind == "hardlink":
                self._check_target(entry, parts)
        except ArchiveError as error:
            error.where = error.where or shown(entry.name)
            raise
        return parts

    def finish(self) -> None:
        """Check that nothing is missing.

        Raises:
            ArchiveError: no ``manifest``, or no ``rootfs`` of its own (A3).
        """
        for (name,) in (MANIFEST, ROOTFS):
            if name not in self._seen:
                raise refused(f"the archive has no {name.decode()} (A3)")

    def _checked(self, entry: Entry) -> tuple[bytes, ...]:
        parts = parts_of(entry.name, entry.kind == "directory", self._limits)
        wanted = {(): "directory", MANIFEST: "file", ROOTFS: "directory"}.get(parts)
        if wanted and entry.kind != wanted:
            raise refused(f"this is a {entry.kind} and has to be a {wanted} (A3)")
        if not wanted and parts[0] != b"rootfs":
            raise refused("an image holds 'manifest' and 'rootfs' alone (A3)")
        if parts == MANIFEST and not entry.size:
            raise refused("the manifest is empty (A10)")
        if parts == MANIFEST and entry.size > self._limits.metadata:
            raise over_limit(f"the manifest is longer than {self._limits.metadata} bytes")
        return parts

    def _once(self, parts: tuple[bytes, ...]) -> None:
        name = b"/".join(parts)
        # A set of a million hostile names has to fit into memory; a collision could only refuse the archive.
        key = name if len(name) <= 64 else hashlib.blake2b(name, digest_size=32).digest()
        if key in self._seen:
            raise refused("this name is in the archive twice (A2)")
        self._seen.add(key)

    def _check_target(self, entry: Entry, parts: tuple[bytes, ...]) -> None:
        target = parts_of(entry.link, False, self._limits)
        if len(target) < 2 or target[0] != b"rootfs":
            raise refused("a hard link leads out of 'rootfs'")
        if target == parts:
            raise refused("a hard link leads to itself")
