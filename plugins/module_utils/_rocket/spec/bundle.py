# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What a bundle says of the images in it: ``bundle.json``, and references to bundles (docs/air-gap.md).

It says where in the file everything lies, and nothing that anybody relies on: who signed an image, its ID and its name are found out
from the image itself. One bundle has one form: anything but the canonical JSON of what is read is refused.

Not handled here: the file around it (image/bundle.py).
"""

from __future__ import annotations

from ..errors import SpecError, UsageError, printable
from ..record import Record
from .canonical import dumps
from .identifier import check_ac_identifier, check_image_id
from .image_name import ImageName
from .reading import MAX_BYTES, MAX_INTEGER, Node, join, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KIND, VERSION = "bundle", "v1"
SCHEME = "bundle:"
MOST_IMAGES = 256
SIGNATURE_LIMIT = 64 << 10


def bundle_path(text: str) -> str:
    """Return the path in ``bundle:FILE``.

    Raises:
        UsageError: it is no such reference.
    """
    path = text[len(SCHEME) :]
    if not text.startswith(SCHEME) or not path or path.startswith("//") or "\0" in path:
        raise UsageError("names no bundle", where=printable(text), hint=f"write {SCHEME}/PATH, without //")
    return path


class Bundled(Record):
    """One image of a bundle.

    Attributes:
        image_id: of the image.
        name: in its manifest.
        labels: (name, value) pairs of its manifest, sorted.
        size: bytes of its file as distributed.
        signature_size: bytes of its signature; 0 where it has none.
        named: whether the operator named it; else it is there because another one depends on it.
    """

    image_id: str
    name: str
    labels: tuple[tuple[str, str], ...]
    size: int
    signature_size: int = 0
    named: bool = False

    def __str__(self) -> str:
        """Return name and version for people, escaped."""
        return printable(str(ImageName(self.name, tuple(label for label in self.labels if label[0] == "version"))))


class Bundle(Record):
    """What a bundle says.

    Attributes:
        images: in the order of the file, each after what it depends on; at least one is named.
    """

    images: tuple[Bundled, ...]

    @classmethod
    def parse(cls, data: bytes, what: str = "bundle.json") -> Bundle:
        """Return what `data` says.

        Raises:
            SpecError: not JSON, a member that is wrong or unknown, an image that is there twice, another than the canonical form.
        """
        node = Node(load(data, what), "")
        for name, wanted in (("rktKind", KIND), ("rktVersion", VERSION)):
            member = node.required(name)
            if member.text() != wanted:
                raise member.error(f"{wanted} was expected", hint="it is no bundle, or of a later version")
        items = node.required("images").items()
        if not 0 < len(items) <= MOST_IMAGES:
            raise SpecError(f"1 to {MOST_IMAGES} images were expected", path="images", value=len(items))
        bundle = cls(tuple(_bundled(item) for item in items))
        node.refuse_unknown()
        if len({image.image_id for image in bundle.images}) != len(items):
            raise SpecError("an image is there twice", path="images")
        if not any(image.named for image in bundle.images):
            raise SpecError("no image is named", path="images")
        if bundle.to_bytes() != data:
            raise SpecError("is not in the canonical form", path=what, hint="write the bundle again: rocket image export --bundle")
        return bundle

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"rktKind": KIND, "rktVersion": VERSION, "images": [_to_json(image, index) for index, image in enumerate(self.images)]}

    def to_bytes(self) -> bytes:
        """Return the content of ``bundle.json``."""
        return dumps(self.to_json())

    def members(self) -> list[tuple[str, int]]:
        """Return names and sizes of the files behind ``bundle.json``, in their order: of each image the signature, then the image."""
        found = []
        for index, image in enumerate(self.images):
            if image.signature_size:
                found.append((signature_name(index), image.signature_size))
            found.append((file_name(index), image.size))
        return found


def file_name(index: int) -> str:
    """Return the name of the file of an image by its place in the list, from 0."""
    return f"{index + 1:03}.aci"


def signature_name(index: int) -> str:
    """Return the name of the file of its signature."""
    return f"{file_name(index)}.asc"


def _to_json(image: Bundled, index: int) -> dict[str, Any]:
    return {
        "id": image.image_id,
        "name": image.name,
        "labels": dict(image.labels),
        "file": file_name(index),
        "size": image.size,
        "signatureSize": image.signature_size,
        "named": image.named,
    }


def _bundled(node: Node) -> Bundled:
    # What "file" holds follows from the place in the list: the canonical form has no other one.
    image_id, name, labels, _file = (node.required(member) for member in ("id", "name", "labels", "file"))
    image = Bundled(
        image_id=check_image_id(image_id.value, image_id.path),
        name=check_ac_identifier(name.value, name.path),
        labels=tuple(sorted((label, Node(value, join(labels.path, label)).text()) for label, value in labels.members().items())),
        size=node.required("size").integer(1, MAX_INTEGER),
        signature_size=node.required("signatureSize").integer(0, SIGNATURE_LIMIT),
        named=node.required("named").boolean(),
    )
    node.refuse_unknown()
    return image


def check_size(bundle: Bundle) -> bytes:
    """Return the content of ``bundle.json`` of a bundle that is to be written.

    Raises:
        UsageError: more images, or more text about them, than any reader takes.
    """
    data = bundle.to_bytes()
    if len(bundle.images) > MOST_IMAGES or len(data) > MAX_BYTES:
        raise UsageError(
            f"{len(bundle.images)} images are more than a bundle holds", hint=f"write several, of at most {MOST_IMAGES} images"
        )
    return data
