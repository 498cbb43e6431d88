# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Manifests and indexes of OCI images and of Docker's schema 2, read strictly (docs/oci.md).

A document is what its media type says, and nothing that another reader could take for something else: with the members
of a manifest and those of an index at once it is refused. Members that mean nothing here are ignored, as OCI asks for.

Not handled here: the configuration of an image (see image/oci_config.py), getting any of it (see fetch/).
"""

from __future__ import annotations

from ..errors import SpecError, printable
from ..record import Record
from .oci_reference import check_digest
from .reading import MAX_INTEGER, Node, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_INDEX)
_SCHEMA_1 = ("application/vnd.docker.distribution.manifest.v1+json", "application/vnd.docker.distribution.manifest.v1+prettyjws")
_CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
# What a layer of each media type is compressed with, one of image.compression.FORMATS.
LAYERS = {
    "application/vnd.oci.image.layer.v1.tar": "none",
    "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
    "application/vnd.docker.image.rootfs.diff.tar": "none",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
}
REF_NAME = "org.opencontainers.image.ref.name"
# Bytes of a manifest, an index or a configuration; what registries take at most.
DOCUMENT_LIMIT = 4 << 20
# Builders end at 127: overlayfs takes no more.
MOST_LAYERS = 256
_MOST_MANIFESTS = 1024


class Platform(Record):
    """What an image of an index runs on, in the words of OCI."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


class Descriptor(Record):
    """What something is, how long, and which.

    Attributes:
        media_type: of its content.
        digest: of its content.
        size: its bytes.
        platform: of an image in an index, where it says so.
        name: what it is called in the index of a layout; empty elsewhere.
    """

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    name: str = ""


class Manifest(Record):
    """One image: its configuration and its layers, the lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


class Index(Record):
    """Images to choose from."""

    manifests: tuple[Descriptor, ...]


def parse_document(data: bytes, media_type: str, what: str) -> Manifest | Index:
    """Return what the document in `data` says.

    Args:
        data: whose digest the caller has checked.
        media_type: what it is said to be by who points to it or sends it.
        what: the document, for messages.

    Raises:
        SpecError: it is of another kind, or breaks a rule of OCI.
    """
    node = Node(load(data, what, DOCUMENT_LIMIT), "")
    try:
        return _document(node, media_type)
    except SpecError as error:
        error.where = f"{what}: {error.where}" if error.where else what
        raise


def check_media_type(media_type: str, what: str) -> None:
    """Refuse what is neither a manifest nor an index of a kind that is known here.

    Raises:
        SpecError: names what it is.
    """
    if media_type in (*MANIFESTS, *INDEXES):
        return
    if media_type in _SCHEMA_1:
        hint = "have the registry convert it, or push it again with a current builder"
        raise SpecError("a manifest of Docker's schema 1, which has no digests of its content, is not supported", path=what, hint=hint)
    raise SpecError("a manifest or index of OCI or of Docker's schema 2 was expected", path=what, value=media_type)


def _document(node: Node, media_type: str) -> Manifest | Index:
    if "fsLayers" in node.members() or node.value.get("schemaVersion") == 1:
        check_media_type(_SCHEMA_1[0], "schemaVersion")
    check_media_type(media_type, "media type")
    node.required("schemaVersion").integer(2, 2)
    own = node.optional("mediaType")
    if own is not None and own.value != media_type:
        raise own.error(f"{media_type} was expected, as it was announced")
    wanted, other = ("manifests", ("config", "layers")) if media_type in INDEXES else ("layers", ("manifests",))
    for name in other:
        if node.optional(name) is not None:
            kind = "an index" if media_type in INDEXES else "a manifest"
            raise SpecError(f"{kind} was announced, which has no such member", path=name, hint="the document is damaged or hostile")
    items = node.required(wanted).items()
    most = _MOST_MANIFESTS if media_type in INDEXES else MOST_LAYERS
    if len(items) > most:
        raise SpecError(f"has {len(items)} items, at most {most} are allowed", path=wanted)
    if media_type in INDEXES:
        return Index(tuple(_descriptor(item) for item in items))
    config = _descriptor(node.required("config"), _check_config)
    if config.size > DOCUMENT_LIMIT:
        raise SpecError(f"at most {DOCUMENT_LIMIT} bytes are allowed", path="config.size", value=str(config.size))
    return Manifest(config, tuple(_descriptor(item, _check_layer) for item in items))


def _descriptor(node: Node, check: Callable[[Node], None] | None = None) -> Descriptor:
    kind = node.required("mediaType")
    media_type = kind.text(empty=False)
    if check is not None:
        check(kind)
    digest = node.required("digest")
    urls = node.optional("urls")
    if urls is not None and urls.items():
        raise SpecError(
            "a layer that lies elsewhere is not fetched: its URLs are the supplier's choice and not the operator's",
            path=urls.path,
            hint="use an image whose layers are all in the registry",
        )
    platform, annotations = node.optional("platform"), node.optional("annotations")
    name = annotations.optional(REF_NAME) if annotations is not None else None
    return Descriptor(
        media_type=media_type,
        digest=check_digest(digest.value, digest.path),
        size=node.required("size").integer(0, MAX_INTEGER),
        platform=None if platform is None else _platform(platform),
        name="" if name is None else name.text(),
    )


def _platform(node: Node) -> Platform:
    variant = node.optional("variant")
    return Platform(node.required("os").text(), node.required("architecture").text(), "" if variant is None else variant.text())


def _check_config(kind: Node) -> None:
    if kind.value not in _CONFIGS:
        raise kind.error("the configuration of an image to run was expected", hint="this is an artifact of another kind")


def _check_layer(kind: Node) -> None:
    if kind.value in LAYERS:
        return
    if any(word in kind.text() for word in (".nondistributable.", ".foreign.")):
        raise kind.error("a layer of the registry was expected, foreign ones are not fetched", hint="use an image without such layers")
    raise kind.error("a layer that is a tar, plain or in gzip or zstd, was expected")


# What a host of an arch label (T10) can run of an index, in the words of OCI: architecture, and variants, the best first.
_RUNS = {
    "amd64": ("amd64", ("", "v1")),
    "i386": ("386", ("",)),
    "aarch64": ("arm64", ("v8", "")),
    "armv7l": ("arm", ("v7", "", "v6")),
    "armv6l": ("arm", ("v6",)),
    "ppc64": ("ppc64", ("",)),
    "ppc64le": ("ppc64le", ("",)),
    "s390x": ("s390x", ("",)),
    "riscv64": ("riscv64", ("",)),
}


def arch_label(architecture: str, variant: str) -> str:
    """Return the arch label (T10) for an architecture of OCI, empty where there is none; without a variant arm is v7."""
    if architecture == "arm":
        return {"v7": "armv7l", "": "armv7l", "v6": "armv6l"}.get(variant, "")
    return next((label for label, (name, _variants) in _RUNS.items() if name == architecture), "")


def choose(index: Index, arch: str, what: str) -> Descriptor:
    """Return the one image of an index that runs on Linux hosts with the label `arch`.

    Raises:
        SpecError: there is none, or several; names what there is.
    """
    known = [each for each in index.manifests if each.media_type in (*MANIFESTS, *INDEXES)]
    placed = [each for each in known if each.platform is not None]
    if not placed and len({each.digest for each in known}) == 1:
        return known[0]
    architecture, variants = _RUNS.get(arch, (arch, ("",)))
    for variant in variants:
        fitting = {each.digest: each for each in placed if each.platform == Platform("linux", architecture, variant)}
        if len(fitting) > 1:
            raise SpecError(
                f"has several images for {Platform('linux', architecture, variant)}: {', '.join(fitting)}",
                path=what,
                hint="pin the digest of the one that you mean",
            )
        if fitting:
            return next(iter(fitting.values()))
    there = ", ".join(sorted({printable(str(each.platform)) for each in placed})[:20]) or "images without a platform"
    raise SpecError(f"has no image for linux/{architecture}", path=what, hint=f"there are: {there}")
