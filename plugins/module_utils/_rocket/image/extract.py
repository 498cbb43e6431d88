# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Unpack one App Container Image into a directory, in a process of its own.

A forked child reads the archive: it holds three descriptors, has bounds on memory, time and file size, dies with its
parent and, where it may, has a mount namespace of its own. It neither changes its root nor looks up a name of a user. The
same pass works out the image ID. The caller gives a private staging directory and publishes or removes what is in it.

Not handled here: dependencies, the path whitelist (whitelist.py), syncing to disk and publishing (store).
"""

from __future__ import annotations

import os

from ..errors import StoreError
from ..record import Record
from . import sandbox
from .check import inspection, told
from .compression import SNIFF, decompressed, sniff
from .layout import MANIFEST, ROOTFS, Layout
from .limits import DEFAULT
from .pax import refused
from .stream import Digest, ahead, file_stream
from .tar import Reader
from .unpack import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .check import Inspection
    from .limits import Limits

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 1 << 20


class Extraction(Record):
    """What was unpacked.

    Attributes:
        image_id: ``sha512-`` and 128 hex digits, over the uncompressed tar that was unpacked.
        files: entries that were made, directories and links included.
        skipped: kind and name of devices that were not made, for display; the first 100.
        skipped_count: how many there were.
        dropped_xattrs: extended attributes that do not travel (xattrs.py).
        owners: whether owners were set; they are not without root, and then no setuid or setgid bit is kept either.
        inspection: what the archive is, where that was asked for.
    """

    image_id: str
    files: int
    skipped: tuple[str, ...] = ()
    skipped_count: int = 0
    dropped_xattrs: int = 0
    owners: bool = True
    inspection: Inspection | None = None


class _Wanted(Record):
    """What the child is asked for; the arguments of `extract`."""

    expected_id: str
    capabilities: bool
    openat2: bool
    listing: bool
    inspect: bool = False


def extract(
    fd: int,
    directory: str,
    limits: Limits = DEFAULT,
    *,
    expected_id: str = "",
    capabilities: bool = False,
    openat2: bool = True,
    listing: bool = False,
    inspect: bool = False,
) -> Extraction:
    """Unpack the image archive `fd` to ``directory/rootfs``.

    Args:
        fd: descriptor of a regular file; its offset is neither used nor moved.
        directory: an existing, empty directory that nobody else writes to. After an error it holds a part of the image
            and has to be removed by the caller.
        expected_id: the image ID that it has to be; empty leaves the comparison to the caller.
        capabilities: whether ``security.capability`` is kept: programs may then be privileged.
        openat2: False walks part by part although the kernel could do better.
        listing: whether the tree is listed in ``directory/listing`` (listing.py).
        inspect: whether to say what the archive is too, as check.inspect() does.

    Raises:
        ArchiveError: damaged, hostile, no image, over a limit (code ``archive-limit``), another image than expected
            (code ``digest-mismatch``).
        SpecError: the manifest breaks a rule of the spec (A10); only where the archive is inspected.
        StoreError: the host cannot hold it; the directory is not empty.
    """
    root = _empty_directory(directory)
    wanted = _Wanted(expected_id, capabilities, openat2, listing, inspect)
    try:
        report = sandbox.run(lambda: _unpack(fd, root, limits, wanted), (fd, root), limits)
    finally:
        os.close(root)
    said = report.pop("inspection", None)
    return Extraction(**{**report, "skipped": tuple(report["skipped"])}, inspection=inspection(said) if said else None)


def _empty_directory(path: str) -> int:
    try:
        fd = os.open(path, _DIRECTORY)
    except OSError as error:
        raise StoreError(f"cannot be unpacked to ({error.strerror})", where=path, hint="name an empty directory") from error
    if os.listdir(fd):
        os.close(fd)
        raise StoreError("the directory to unpack to is not empty", where=path, hint="name an empty directory")
    return fd


def _unpack(fd: int, directory: int, limits: Limits, wanted: _Wanted) -> dict[str, Any]:
    """Run in the child: return the report."""
    try:
        return _unpack_rootfs(fd, directory, limits, wanted)
    except OSError as failure:
        what = f"the image cannot be unpacked ({failure.strerror})"
        raise StoreError(what, hint="look at the file system of the store") from failure


def _unpack_rootfs(fd: int, directory: int, limits: Limits, wanted: _Wanted) -> dict[str, Any]:
    owners = os.geteuid() == 0
    source = file_stream(fd, limits.bytes)
    plain = sniff(os.pread(fd, SNIFF, 0)) == "none"
    file_digest = None
    if wanted.inspect and not plain:
        file_digest = Digest()
        source = file_digest.watch(source)
    stream = decompressed(source, limits)
    os.mkdir(b"rootfs", 0o700, dir_fd=directory)
    rootfs = os.open(b"rootfs", _DIRECTORY, dir_fd=directory)
    digest = Digest()
    reader = Reader(digest.watch(stream if plain else ahead(stream)), limits)
    layout = Layout(limits)
    tree = Tree(rootfs, limits, owners, wanted.capabilities, wanted.openat2, wanted.listing)
    manifest = b""
    for entry in reader.entries():
        parts = layout.place(entry)
        if parts[:1] == ROOTFS:
            tree.place(parts[1:], entry, reader.data(entry))
        elif parts == MANIFEST and wanted.inspect:
            # Layout has checked its size.
            manifest = b"".join(reader.data(entry))
    layout.finish()
    image_id = digest.image_id()
    if wanted.expected_id and image_id != wanted.expected_id:
        error = refused(f"this is image {image_id} and not {wanted.expected_id} (A9)")
        error.code = "digest-mismatch"
        raise error
    tree.finish()
    if wanted.listing:
        _write_listing(tree, directory)
    # An uncompressed archive is its own tar: hashed once.
    said = {"inspection": told(manifest, file_digest or digest, digest, reader.count)} if wanted.inspect else {}
    return {
        **said,
        "image_id": image_id,
        "files": tree.files,
        "skipped": tree.skipped,
        "skipped_count": tree.skipped_count,
        "dropped_xattrs": tree.dropped_xattrs,
        "owners": owners,
    }


def _write_listing(tree: Tree, directory: int) -> None:
    fd = os.open(b"listing", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
    with open(fd, "wb", buffering=_BLOCK) as file:
        for line in tree.listing():
            file.write(line + b"\n")
