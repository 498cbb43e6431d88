# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Look at an image archive without writing anything: is it an App Container Image, and which one (A1 to A10)?

The archive is read in a child with bounds on memory and time (sandbox.py), since who asks often has not verified it yet.

Not handled here: who signed it (trust), its dependencies (store).
"""

from __future__ import annotations

import os

from ..errors import ArchiveError, RocketError
from ..record import Record
from . import sandbox
from .compression import SNIFF, decompressed, sniff
from .layout import MANIFEST, Layout
from .limits import DEFAULT
from .stream import Digest, file_stream
from .tar import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..spec.image_manifest import ImageManifest
    from .limits import Limits


class Inspection(Record):
    """What an archive is.

    Attributes:
        image_id: ``sha512-`` and 128 hex digits, over the uncompressed tar (A9, T5).
        manifest: the image manifest, checked.
        manifest_bytes: as it stands in the archive.
        file_digest: ``sha512-`` and 128 hex digits, over the file as distributed: what a signature covers (A9).
        file_size: bytes of the file.
        tar_size: bytes of the uncompressed tar.
        entries: members of the tar.
    """

    image_id: str
    manifest: ImageManifest
    manifest_bytes: bytes
    file_digest: str
    file_size: int
    tar_size: int
    entries: int


def inspect(path_or_fd: str | int, limits: Limits = DEFAULT) -> Inspection:
    """Read a whole archive once and say what it is.

    Args:
        path_or_fd: a path, or the descriptor of a regular file; its offset is neither used nor moved.
        limits: bounds on what is read.

    Raises:
        ArchiveError: not an image, damaged, hostile, over a limit (code ``archive-limit``).
        SpecError: the manifest breaks a rule of the spec (A10).
        HostError: this Python cannot read its compression.
    """
    if isinstance(path_or_fd, int):
        return _inspect(path_or_fd, limits)
    try:
        fd = os.open(path_or_fd, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise ArchiveError(f"cannot be opened ({error.strerror})", where=path_or_fd, hint="name an image archive") from error
    try:
        return _inspect(fd, limits)
    except RocketError as error:
        error.where = f"{path_or_fd}: {error.where}" if error.where else path_or_fd
        raise
    finally:
        os.close(fd)


def _inspect(fd: int, limits: Limits) -> Inspection:
    return inspection(sandbox.run(lambda: _read(fd, limits), (fd,), limits))


def inspection(report: dict[str, Any]) -> Inspection:
    """Return what a child said of an archive, its manifest checked out here.

    Raises:
        SpecError: the manifest breaks a rule of the spec (A10).
    """
    from ..spec.image_manifest import parse_image_manifest

    manifest = report["manifest"].encode("latin-1")
    return Inspection(**{**report, "manifest": parse_image_manifest(manifest)}, manifest_bytes=manifest)


def _read(fd: int, limits: Limits) -> dict[str, Any]:
    """Run in a child: return what the archive is."""
    stream = file_stream(fd, limits.bytes)
    file_digest = Digest()
    tar_digest = file_digest
    try:
        stream = file_digest.watch(stream)
        # An uncompressed archive is its own tar: hashed once.
        plain = sniff(os.pread(fd, SNIFF, 0)) == "none"
        stream = decompressed(stream, limits)
        if not plain:
            tar_digest = Digest()
            stream = tar_digest.watch(stream)
        reader = Reader(stream, limits)
        manifest = _read_manifest(reader, limits)
        return told(manifest, file_digest, tar_digest, reader.count)
    except OSError as error:
        raise ArchiveError(f"the archive cannot be read ({error.strerror})", hint="look at its file system") from error
    finally:
        file_digest.close()
        tar_digest.close()


def _read_manifest(reader: Reader, limits: Limits) -> bytes:
    """Return the manifest, having read every entry to the end of the archive."""
    layout = Layout(limits)
    manifest = b""
    for entry in reader.entries():
        if layout.place(entry) == MANIFEST:
            # Layout has checked its size.
            manifest = b"".join(reader.data(entry))
    layout.finish()
    return manifest


def told(manifest: bytes, file_digest: Digest, tar_digest: Digest, entries: int) -> dict[str, Any]:
    """Return what a child says of an archive that it has read to its end, the manifest as text of one character a byte."""
    return {
        "image_id": tar_digest.image_id(),
        "manifest": manifest.decode("latin-1"),
        "file_digest": file_digest.image_id(),
        "file_size": file_digest.size,
        "tar_size": tar_digest.size,
        "entries": entries,
    }
