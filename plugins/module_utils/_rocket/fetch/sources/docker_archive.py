# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What ``docker save`` writes: ``docker-archive:FILE[:NAME]``. Its images have no manifest; the configuration names them.

The digest of the configuration is what Docker calls the image's ID. It names the uncompressed layers, so it can be pinned.
"""

from __future__ import annotations

from ...errors import FetchError, printable
from ...image.oci_convert import Layer
from ...record import Record
from ...spec.oci_manifest import DOCUMENT_LIMIT, MOST_LAYERS, Descriptor
from ...spec.oci_reference import LATEST, is_digest
from ...spec.reading import Node, load
from .base import LayeredSource, OciImage, digest_of, mismatch
from .names import name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...spec.oci_reference import LocalReference
    from .files import Files


class _Item(Record):
    """One image of the archive, by the names of files in it."""

    config: str
    layers: tuple[str, ...]
    names: tuple[str, ...]


class DockerArchiveSource(LayeredSource):
    """One image of an archive.

    Args:
        reference: which one.
        files: of the archive; closed with the source.
        name: that the image gets by the operator's will; empty for the one that it has in the archive.
    """

    def __init__(self, reference: LocalReference, files: Files, name: str) -> None:
        self._reference = reference
        self._files = files
        self._wanted_name = name

    def close(self) -> None:
        self._files.close()

    def image(self, arch: str) -> OciImage:
        listed = Node(load(self._files.read("manifest.json", DOCUMENT_LIMIT), "manifest.json", DOCUMENT_LIMIT), "manifest.json")
        config, digest, item = self._choose([_item(node) for node in listed.items()])
        places = [self._files.locate(name) for name in item.layers]
        found = self._reference.name or (item.names[0] if item.names else "")
        return OciImage(
            name=name_of(self._reference, found, self._wanted_name),
            digests=(digest,),
            config=config,
            config_digest=digest,
            layers=tuple(Descriptor("", "", place.size) for place in places),
            files=tuple(Layer(place.path, place.size, place.offset) for place in places),
        )

    def _choose(self, items: list[_Item]) -> tuple[bytes, str, _Item]:
        """Return the configuration, its digest, and the image that was meant."""
        name, digest = self._reference.name, self._reference.digest
        fitting = {}
        for item in items:
            if not name or name in item.names or f"{name}:{LATEST}" in item.names:
                config = self._files.read(item.config, DOCUMENT_LIMIT)
                fitting[_checked_digest(item.config, config)] = (config, item)
        if digest in fitting:
            fitting = {digest: fitting[digest]}
        if len(fitting) == 1:
            found, (config, item) = next(iter(fitting.items()))
            return config, found, item
        there = ", ".join(printable(each) for item in items for each in item.names[:1])[:1000] or "images without names"
        raise FetchError(
            f"has {len(fitting) or 'no'} images" + (f" named {printable(name)}" if name else ""),
            where=printable(self._reference.path),
            hint=f"name one of: {there}; or pin the digest of its configuration",
            code="ambiguous" if fitting else "file-unreadable",
        )


def _item(node: Node) -> _Item:
    layers = node.required("Layers").items()
    if len(layers) > MOST_LAYERS:
        raise node.error(f"at most {MOST_LAYERS} layers were expected")
    return _Item(
        config=node.required("Config").text(empty=False),
        layers=tuple(item.text(empty=False) for item in layers),
        names=node.each("RepoTags", lambda item: item.text(empty=False)),
    )


def _checked_digest(name: str, config: bytes) -> str:
    """Return the digest of a configuration, which its file is named by."""
    digest = digest_of(config)
    stem = name.rpartition("/")[2].partition(".")[0]
    if is_digest(f"sha256:{stem}") and f"sha256:{stem}" != digest:
        raise mismatch("configuration", digest, f"sha256:{stem}")
    return digest
