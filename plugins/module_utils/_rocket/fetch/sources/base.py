# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What a source of OCI images is: it says which image a reference means, and brings its layers onto this host (docs/oci.md).

Every document is compared with its digest before it is read. Layers are compared with theirs by who reads them
(image/oci_convert.py), and by the registry's source before they are kept.

A further source is one file with one subclass and one line in opener.py.
"""

from __future__ import annotations

import hashlib

from ...errors import FetchError, SpecError, printable
from ...image.oci_convert import Layer
from ...record import Record
from ...spec.oci_manifest import (
    DOCUMENT_LIMIT,
    INDEXES,
    LAYERS,
    MANIFESTS,
    Descriptor,
    Manifest,
    check_media_type,
    choose,
    parse_document,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from ...spec.image_name import ImageName
    from ...store.blobs import Blobs

    Count = Callable[[int], None]

# An index in an index is allowed by OCI; more than this many levels are only there to keep a reader busy.
_MOST_LEVELS = 3


class Document(Record):
    """The bytes of a manifest or index.

    Attributes:
        data: whose digest was checked, or is what names them.
        digest: of them; empty for an index that was made up here, of a layout that gives one name to several images.
        media_type: what they are said to be.
    """

    data: bytes
    digest: str
    media_type: str


class OciImage(Record):
    """An image, its documents checked by their digests.

    Attributes:
        name: name and version that it gets here.
        digests: what names it: of the indexes on the way and the manifest, or of the configuration.
        config: the configuration, as it stands.
        config_digest: of it.
        layers: the lowest first; of a docker-archive nothing but their sizes and places.
        files: where the layers lie, of a source that is on this host.
    """

    name: ImageName
    digests: tuple[str, ...]
    config: bytes
    config_digest: str
    layers: tuple[Descriptor, ...]
    files: tuple[Layer, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all layers as they come."""
        return sum(layer.size for layer in self.layers)


class LayeredSource:
    """One image behind a reference, for a ``with`` block.

    Attributes:
        stays: whether its layers are kept in the store, because getting them again would take a network.
    """

    stays = False

    @property
    def received(self) -> int:
        """Bytes of content that came over the network so far."""
        return 0

    def __enter__(self) -> LayeredSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give back what is open."""

    def image(self, arch: str) -> OciImage:
        """Return the image for Linux hosts with the label `arch`.

        Raises:
            FetchError: it cannot be had, is ambiguous, or has another digest than it should (``digest-mismatch``).
            SpecError: a document is of another kind, or breaks a rule.
        """
        raise NotImplementedError

    def layer(self, layer: Descriptor, blobs: Blobs, count: Count) -> Layer:
        """Return where a layer lies, got now where it is not there; it stays until close(). Only of a source that `stays`.

        Args:
            layer: of the image.
            blobs: where layers are kept.
            count: is told how many further bytes came.

        Raises:
            FetchError, StoreError: it could not be had.
        """
        raise NotImplementedError


class DocumentSource(LayeredSource):
    """A source whose images are manifests and indexes, as OCI knows them."""

    def top(self) -> Document:
        """Return what the reference names.

        Raises:
            FetchError: as image().
        """
        raise NotImplementedError

    def document(self, descriptor: Descriptor, what: str) -> bytes:
        """Return what a descriptor points to; the caller compares it with the digest.

        Raises:
            FetchError: it could not be had.
        """
        raise NotImplementedError

    def name(self) -> ImageName:
        """Return the name and version that the image gets here; asked after top()."""
        raise NotImplementedError

    def places(self, manifest: Manifest) -> tuple[Layer, ...]:
        """Return where the layers lie, where that is on this host."""
        return ()

    def image(self, arch: str) -> OciImage:
        found = self.top()
        check_media_type(found.media_type, "what the reference names")
        digests = [found.digest] if found.digest else []
        parsed = parse_document(found.data, found.media_type, _what(found.media_type))
        while not isinstance(parsed, Manifest):
            if len(digests) > _MOST_LEVELS:
                raise SpecError(f"an index in an index, more than {_MOST_LEVELS} deep, was not expected", path=digests[-1])
            descriptor = choose(parsed, arch, f"the index {digests[-1] if digests else ''}".rstrip())
            data = self._verified(descriptor, _what(descriptor.media_type))
            digests.append(descriptor.digest)
            parsed = parse_document(data, descriptor.media_type, _what(descriptor.media_type))
        config = self._verified(parsed.config, "configuration")
        return OciImage(self.name(), tuple(digests), config, parsed.config.digest, parsed.layers, self.places(parsed))

    def _verified(self, descriptor: Descriptor, what: str) -> bytes:
        if descriptor.size > DOCUMENT_LIMIT:
            raise SpecError(f"the {what} has {descriptor.size} bytes, at most {DOCUMENT_LIMIT} are allowed", path=descriptor.digest)
        data = self.document(descriptor, what)
        if len(data) != descriptor.size or digest_of(data, descriptor.digest) != descriptor.digest:
            raise mismatch(what, digest_of(data, descriptor.digest), descriptor.digest)
        return data


def _what(media_type: str) -> str:
    return "index" if media_type in INDEXES else "manifest"


def known(descriptor: Descriptor) -> bool:
    """Return whether a descriptor points to a manifest or an index of a known kind."""
    return descriptor.media_type in (*MANIFESTS, *INDEXES)


def compression_of(layer: Descriptor) -> str:
    """Return what a layer is compressed with by its media type; empty where it has none."""
    return LAYERS.get(layer.media_type, "")


def digest_of(data: bytes, like: str = "sha256:") -> str:
    """Return the digest of `data`, by the algorithm of the digest `like`."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def mismatch(what: str, found: str, wanted: str) -> FetchError:
    """Return the error for something that is not what its digest says."""
    return FetchError(
        f"the {what} is {printable(found)} and not {wanted}",
        hint="the source serves something else than was named: find out why before you pin it anew",
        code="digest-mismatch",
        found=found,
        expected=wanted,
    )
