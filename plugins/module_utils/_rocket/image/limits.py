# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""How much an archive may ask of a host; one default, written out (docs/security-model.md, Archives, Limits).

Each bound has an error of its own, so that an operator with an honest image knows which one to raise.
"""

from __future__ import annotations

from ..record import Record


class Limits(Record):
    """Bounds on reading and unpacking one archive.

    Attributes:
        bytes: of the archive as distributed, and of its uncompressed tar.
        entries: of the tar, and members of a compressed stream.
        ratio: uncompressed bytes to compressed bytes, looked at beyond `ratio_after`.
        ratio_after: uncompressed bytes that are let through before the ratio counts.
        depth: parts of one path.
        metadata: bytes of one PAX or long-name record, and of the manifest.
        decoder_memory: bytes that an xz stream, or the window of a zstd frame, may ask for.
        working_memory: bytes that the unpacking process may map beyond what it starts with.
        seconds: of CPU time for unpacking.
        reserve: bytes that stay free on the file system that is unpacked to.
        reserve_files: inodes that stay free there.
    """

    bytes: int = 64 << 30
    entries: int = 1_000_000
    ratio: int = 200
    ratio_after: int = 10 << 20
    depth: int = 255
    metadata: int = 1 << 20
    decoder_memory: int = 128 << 20
    working_memory: int = 1 << 30
    seconds: int = 3600
    reserve: int = 32 << 20
    reserve_files: int = 512


DEFAULT = Limits()
