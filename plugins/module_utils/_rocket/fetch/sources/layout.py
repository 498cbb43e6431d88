# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Image layouts of OCI: ``oci:DIRECTORY[:NAME]`` and, in a tar, ``oci-archive:FILE[:NAME]``."""

from __future__ import annotations

from ...errors import FetchError, printable
from ...image.oci_convert import Layer
from ...spec.oci_manifest import DOCUMENT_LIMIT, OCI_INDEX, Index, parse_document
from ...spec.reading import Node, load
from .base import Document, DocumentSource, compression_of, known
from .names import name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...spec.image_name import ImageName
    from ...spec.oci_manifest import Descriptor, Manifest
    from ...spec.oci_reference import LocalReference
    from .files import Files

_MARK_LIMIT = 64 << 10


class LayoutSource(DocumentSource):
    """One image of a layout.

    Args:
        reference: which one.
        files: of the layout; closed with the source.
        name: that the image gets by the operator's will; empty for the one that it has in the layout.
    """

    def __init__(self, reference: LocalReference, files: Files, name: str) -> None:
        self._reference = reference
        self._files = files
        self._wanted_name = name
        self._found_name = ""

    def close(self) -> None:
        """Close the files too."""
        self._files.close()

    def top(self) -> Document:
        mark = Node(load(self._files.read("oci-layout", _MARK_LIMIT), "oci-layout"), "oci-layout")
        version = mark.required("imageLayoutVersion")
        if not version.text().startswith("1."):
            raise version.error("version 1 of the layout was expected")
        index = parse_document(self._files.read("index.json", DOCUMENT_LIMIT), OCI_INDEX, "index.json")
        fitting = self._fitting(index.manifests if isinstance(index, Index) else ())
        self._found_name = self._reference.name or fitting[0].name
        digests = {each.digest for each in fitting}
        if len(digests) == 1:
            return Document(self._verified(fitting[0], "manifest"), fitting[0].digest, fitting[0].media_type)
        if not self._reference.name:
            raise self._ambiguous(fitting)
        # One name for the images of several platforms: what OCI writes an index for.
        return Document(_index_of(fitting), "", OCI_INDEX)

    def document(self, descriptor: Descriptor, what: str) -> bytes:
        return self._files.read(f"blobs/{descriptor.digest.replace(':', '/')}", descriptor.size)

    def name(self) -> ImageName:
        return name_of(self._reference, self._found_name, self._wanted_name)

    def places(self, manifest: Manifest) -> tuple[Layer, ...]:
        found = []
        for layer in manifest.layers:
            place = self._files.locate(f"blobs/{layer.digest.replace(':', '/')}")
            if place.size != layer.size:
                raise FetchError(
                    f"the layer has {place.size} bytes and not {layer.size}",
                    where=printable(self._reference.path),
                    hint="get the layout again",
                    code="digest-mismatch",
                )
            found.append(Layer(place.path, place.size, place.offset, layer.digest, compression_of(layer)))
        return tuple(found)

    def _fitting(self, manifests: tuple[Descriptor, ...]) -> list[Descriptor]:
        name, digest = self._reference.name, self._reference.digest
        images = [each for each in manifests if known(each)]
        found = [each for each in images if not name or each.name == name]
        if not name and digest:
            found = [each for each in found if each.digest == digest] or found
        if found:
            return found
        raise FetchError(
            f"has no image {printable(name)}" if name else "has no image",
            where=printable(self._reference.path),
            hint=f"it has {_named(images)}",
            code="file-unreadable",
        )

    def _ambiguous(self, found: list[Descriptor]) -> FetchError:
        return FetchError(
            f"has {len(found)} images",
            where=printable(self._reference.path),
            hint=f"name one of {_named(found)}, or pin its digest",
            code="ambiguous",
        )


def _named(found: list[Descriptor]) -> str:
    return ", ".join(printable(each.name or each.digest) for each in found[:20]) or "none"


def _index_of(found: list[Descriptor]) -> bytes:
    from ...spec.canonical import dumps

    def described(each: Descriptor) -> dict[str, object]:
        value: dict[str, object] = {"mediaType": each.media_type, "digest": each.digest, "size": each.size}
        if each.platform is not None:
            value["platform"] = dict(each.platform.__dict__)
        return value

    return dumps({"schemaVersion": 2, "manifests": [described(each) for each in found]})
