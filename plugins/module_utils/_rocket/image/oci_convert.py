# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Make an App Container Image of the layers and the configuration of an OCI image (docs/oci.md).

A forked child with bounds (sandbox.py) reads the layers one after the other, each one's digests worked out in the same pass,
and lays them over each other in memory (merged_tree.py); contents go to one file. Then the image is written from both, in the
form of build.py and uncompressed: the same OCI image under the same name is the same file on every host.

Not handled here: getting the layers (fetch). What was made is read again, as strictly as any archive, when it is unpacked.
"""

from __future__ import annotations

import os
import stat

from ..errors import ArchiveError, RocketError, StoreError
from ..record import Record
from ..spec.canonical import dumps
from ..spec.image_manifest import parse_image_manifest
from . import sandbox
from .check import Inspection
from .compression import SNIFF, decompressed, sniff
from .header import header, padding
from .limits import DEFAULT
from .merged_tree import MergedTree
from .oci_config import image_manifest
from .oci_users import owner_of
from .pax import refused
from .space import LOOK_EVERY, look
from .stream import CHUNK, Digest, ahead, over_limit, part_stream
from .tar import BLOCK, Entry, Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from ..spec.image_name import ImageName
    from .limits import Limits
    from .oci_config import ImageConfig

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TABLE_LIMIT = 1 << 20
_WARNINGS = 100


class Layer(Record):
    """Where a layer lies.

    Attributes:
        path: of a file of this host.
        size: bytes of the layer.
        offset: where it begins in the file.
        digest: of these bytes; empty where nothing but the uncompressed layer is known.
        compression: one of compression.FORMATS; empty for what its first bytes say.
    """

    path: str
    size: int
    offset: int = 0
    digest: str = ""
    compression: str = ""


class Conversion(Record):
    """What became of an OCI image.

    Attributes:
        inspection: what looking at the image that was made would tell: it is known from the pass that wrote it.
        skipped: kind and name of devices that are not in the image, for display; the first 100.
        skipped_count: how many there were.
        dropped_xattrs: extended attributes that do not travel (xattrs.py).
        warnings: what of the configuration is not in the manifest or probably not meant, one clause each; the first 100.
    """

    inspection: Inspection
    skipped: tuple[str, ...] = ()
    skipped_count: int = 0
    dropped_xattrs: int = 0
    warnings: tuple[str, ...] = ()


def convert(layers: Sequence[Layer], config: ImageConfig, name: ImageName, output: int, spool: int, limits: Limits = DEFAULT) -> Conversion:
    """Write the image to `output`.

    Args:
        layers: the lowest first; as many as `config` has.
        config: whose digest was checked.
        name: name and version that the image gets.
        output: descriptor of an empty file.
        spool: descriptor of another one, for contents.
        limits: of all layers together.

    Raises:
        ArchiveError: a layer is damaged, hostile, over a limit, or another one (code ``digest-mismatch``); names its number.
        SpecError: the configuration cannot be said in a manifest.
        StoreError: the host cannot hold it.
    """
    if len(layers) != len(config.diff_ids):
        what = f"the image has {len(layers)} layers and its configuration {len(config.diff_ids)}"
        raise ArchiveError(what, hint="the image is damaged or hostile; get it again from its publisher")
    work = _Conversion(layers, config, name, limits)
    report = sandbox.run(lambda: work.run(output, spool), (output, spool), limits)
    return Conversion(
        skipped=tuple(report["skipped"]),
        skipped_count=report["skipped_count"],
        dropped_xattrs=report["dropped_xattrs"],
        warnings=tuple(report["warnings"]),
        inspection=_inspection(output, report["image_id"], report["manifest"], report["size"], report["entries"]),
    )


def _inspection(output: int, image_id: str, manifest_size: int, size: int, entries: int) -> Inspection:
    # The first member of the archive, behind a header that is one block.
    manifest = os.pread(output, manifest_size, BLOCK)
    return Inspection(
        image_id=image_id,
        manifest=parse_image_manifest(manifest),
        manifest_bytes=manifest,
        file_digest=image_id,
        file_size=size,
        tar_size=size,
        entries=entries,
    )


class _Conversion:
    """The work of the child."""

    def __init__(self, layers: Sequence[Layer], config: ImageConfig, name: ImageName, limits: Limits) -> None:
        self._layers = layers
        self._config = config
        self._name = name
        self._limits = limits
        self._tree = MergedTree(limits)
        self._budget = _Budget(limits)

    def run(self, output: int, spool: int) -> dict[str, Any]:
        """Do it all; return what Conversion holds.

        Raises:
            ArchiveError, SpecError, StoreError: as convert.
        """
        try:
            return self._run(output, spool)
        except OSError as failure:
            what = f"the image cannot be converted ({failure.strerror})"
            raise StoreError(what, hint="look at the file system of the store") from failure

    def _run(self, output: int, spool: int) -> dict[str, Any]:
        contents = _File(spool, self._limits)
        for number, (layer, diff_id) in enumerate(zip(self._layers, self._config.diff_ids), 1):
            try:
                self._apply(layer, diff_id, contents)
            except RocketError as error:
                error.where = f"layer {number} of {len(self._layers)}{f': {error.where}' if error.where else ''}"
                raise
        contents.flush()
        if self._config.working_directory:
            # Who runs OCI images makes it where it is missing; an App Container Executor has to refuse then (M10).
            self._tree.make_directory(self._config.working_directory)
        owner, told = owner_of(self._config.user, self._table(spool, "/etc/passwd"), self._table(spool, "/etc/group"))
        manifest, dropped = image_manifest(self._config, self._name, owner)
        text, digest = dumps(manifest.to_json()), Digest()
        out = _File(output, self._limits, digest)
        entries = self._write(text, spool, out)
        return {
            "image_id": digest.image_id(),
            "manifest": len(text),
            "size": out.size,
            "entries": entries,
            "skipped": self._tree.skipped,
            "skipped_count": self._tree.skipped_count,
            "dropped_xattrs": self._tree.dropped_xattrs,
            "warnings": [*told, *dropped][:_WARNINGS],
        }

    def _apply(self, layer: Layer, diff_id: str, contents: _File) -> None:
        fd = _open(layer)
        try:
            packed, plain = Digest(layer.digest.partition(":")[0] or "sha256"), Digest(diff_id.partition(":")[0])
            reader = Reader(self._uncompressed(fd, layer, packed, plain), self._limits)
            for entry in reader.entries():
                self._budget.count()
                node = self._tree.place(entry)
                if node is not None:
                    node.offset = contents.size
                    for piece in reader.data(entry):
                        contents.write(piece)
            self._tree.finish_layer()
        finally:
            os.close(fd)
        _check(plain, diff_id, "uncompressed layer")
        if layer.digest:
            _check(packed, layer.digest, "layer")

    def _uncompressed(self, fd: int, layer: Layer, packed: Digest, plain: Digest) -> Iterator[bytes]:
        stream = self._budget.fed(part_stream(fd, layer.offset, layer.size))
        kind = _kind(os.pread(fd, min(SNIFF, layer.size), layer.offset), layer.compression)
        if layer.digest:
            stream = packed.watch(stream)
        if kind == "none":
            return plain.watch(self._budget.produced(stream))
        return ahead(plain.watch(self._budget.produced(decompressed(stream, self._limits))))

    def _table(self, spool: int, path: str) -> bytes:
        node = self._tree.find(path)
        if node is None or node.kind != "file" or node.size > _TABLE_LIMIT:
            return b""
        return b"".join(part_stream(spool, node.offset, node.size))

    def _write(self, manifest: bytes, spool: int, out: _File) -> int:
        """Write the archive and return how many members it has."""
        if len(manifest) > self._limits.metadata:
            raise over_limit(f"the manifest would be longer than {self._limits.metadata} bytes")
        out.write(header(Entry(name=b"manifest", kind="file", size=len(manifest))) + manifest + padding(len(manifest)))
        count = 1
        for entry, offset in self._tree.entries(b"rootfs"):
            count += 1
            out.write(header(entry))
            if entry.size:
                for piece in part_stream(spool, offset, entry.size):
                    out.write(piece)
                out.write(padding(entry.size))
        out.write(bytes(2 * BLOCK))
        out.flush()
        return count


def _open(layer: Layer) -> int:
    try:
        fd = os.open(layer.path, _FILE)
    except OSError as error:
        raise ArchiveError(f"cannot be opened ({error.strerror})", where=layer.path, hint="get the image again") from error
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_size < layer.offset + layer.size:
        os.close(fd)
        raise ArchiveError("is no file of the length that it was said to have", where=layer.path, hint="get the image again")
    return fd


def _kind(start: bytes, wanted: str) -> str:
    """Return how a layer is compressed, which has to be as its media type says; a tar without entries has no magic."""
    try:
        kind = "none" if not start.strip(b"\0") else sniff(start)
    except ArchiveError as error:
        raise refused("the layer is no tar, plain or compressed") from error
    if wanted and kind != wanted:
        raise refused(f"the layer is {'a plain tar' if kind == 'none' else f'in {kind}'} and was announced as {wanted}")
    return kind


def _check(found: Digest, wanted: str, what: str) -> None:
    digest = f"{wanted.partition(':')[0]}:{found.hexdigest()}"
    if digest != wanted:
        raise ArchiveError(f"the {what} is {digest} and not {wanted}", code="digest-mismatch", hint="get the image again")


class _Budget:
    """The limits of one archive, over all layers together."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._fed = self._produced = self._entries = 0

    def count(self) -> None:
        """Count an entry."""
        self._entries += 1
        if self._entries > self._limits.entries:
            raise over_limit(f"the layers have more than {self._limits.entries} entries")

    def fed(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        """Yield compressed bytes on."""
        for chunk in stream:
            self._fed += len(chunk)
            yield chunk

    def produced(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        """Yield uncompressed bytes on."""
        limits = self._limits
        for chunk in stream:
            self._produced += len(chunk)
            if self._produced > limits.bytes:
                raise over_limit(f"the layers hold more than {limits.bytes} bytes")
            if self._produced > limits.ratio_after and self._produced > self._fed * limits.ratio:
                raise over_limit(f"the layers expand more than {limits.ratio} times")
            yield chunk


class _File:
    """A file that is written from its start, in large pieces; the host keeps its reserve.

    Args:
        fd: of an empty file.
        limits: the reserve.
        digest: is told all that is written; None for none.
    """

    def __init__(self, fd: int, limits: Limits, digest: Digest | None = None) -> None:
        self._fd = fd
        self._limits = limits
        self._digest = digest
        self._gathered: list[bytes | memoryview] = []
        self._waiting = 0
        self._looked = 0
        self.size = 0
        look(fd, limits)

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes, which are not to be changed after."""
        if data:
            self.size += len(data)
            self._waiting += len(data)
            self._gathered.append(data)
            if self._waiting >= CHUNK:
                self.flush()

    def flush(self) -> None:
        """Have all bytes in the file."""
        data = b"".join(self._gathered)
        self._gathered.clear()
        self._waiting = 0
        if data and self._digest is not None:
            self._digest.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        if self.size - self._looked >= LOOK_EVERY:
            self._looked = self.size
            look(self._fd, self._limits)
