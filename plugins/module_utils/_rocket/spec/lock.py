# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The lock file: which image each reference of a fleet's declarations means, by image ID, reviewed and kept in git.

A host that is given a lock takes the image of each reference that the lock names, and no other one. A reference may mean
another image on another platform; an entry without one is for all.

Not handled here: making it (fetch/locking.py), files and YAML (host/lock_file.py), keeping to it (store/locked.py, fetch/under_lock.py).
"""

from __future__ import annotations

from ..errors import NotFound, SpecError, UsageError
from ..record import Record
from .identifier import check_ac_identifier, check_image_id, nearest
from .image_name import ImageName
from .oci_reference import check_digest, is_oci_reference, parse_oci_reference
from .reading import MAX_INTEGER, Node, join
from .values import check_platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 1
HEAD = "# Written by `rocket lock`. Review it and commit it: hosts take the images that it names, and no others.\n"


class Locked(Record):
    """One reference and the image that it means.

    Attributes:
        reference: what declarations say: a name with labels in normal form, a path or a URL; or the image ID by which a manifest
            names what it depends on (M16).
        image_id: the image.
        name: in its manifest.
        labels: (name, value) pairs of its manifest, in its order.
        platform: ``os/arch`` of the hosts that it is for; empty for all.
        size: bytes of the file as distributed; 0 where not given.
        signed_by: fingerprints of the keys that vouched for it when it was locked.
        digest: of the OCI manifest or index that it was made of; empty for an App Container Image.
        dependencies: references of this lock that it depends on.
    """

    reference: str
    image_id: str
    name: str
    labels: tuple[tuple[str, str], ...] = ()
    platform: str = ""
    size: int = 0
    signed_by: tuple[str, ...] = ()
    digest: str = ""
    dependencies: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object; members that have their default are left out."""
        value: dict[str, Any] = {"reference": self.reference, "id": self.image_id, "name": self.name}
        rest = {
            "labels": dict(self.labels),
            "platform": self.platform,
            "size": self.size,
            "signed_by": list(self.signed_by),
            "digest": self.digest,
            "dependencies": list(self.dependencies),
        }
        value.update({name: item for name, item in rest.items() if item})
        return value


def normal_reference(text: str, path: str = "reference") -> str:
    """Return a reference as a lock has it: of a name, the labels in one order; anything else as it is.

    Raises:
        SpecError, UsageError: it is none.
    """
    if text.startswith("sha512-"):
        return check_image_id(text, path)
    if is_oci_reference(text):
        return str(parse_oci_reference(text))
    if text.startswith(("/", "./", "../")) or "://" in text:
        return text
    return str(ImageName.parse(text, path))


class Lock(Record):
    """What a lock file says.

    Attributes:
        images: sorted by reference and platform; no reference stands there twice for one platform, or for one and for all.
    """

    images: tuple[Locked, ...] = ()

    @classmethod
    def from_json(cls, value: Any, path: str = "") -> Lock:
        """Return the lock in the JSON object `value`, strictly: who misspells a member would lose what it says.

        Raises:
            SpecError: names the JSON path of what is wrong.
        """
        node = Node(value, path)
        version = node.required("version")
        if version.integer(0, MAX_INTEGER) != VERSION:
            raise version.error(f"version {VERSION} of a lock file was expected", hint="write it again: rocket lock")
        items = node.required("images").items()
        images = tuple(_locked(item) for item in items)
        node.refuse_unknown()
        _check_unique(items, images)
        known = {image.reference for image in images}
        for item, image in zip(items, images):
            for index, reference in enumerate(image.dependencies):
                if reference not in known:
                    where = f"{join(item.path, 'dependencies')}[{index}]"
                    raise SpecError("is not in the lock", path=where, value=reference, hint="write it again: rocket lock")
        return cls(tuple(sorted(images, key=lambda image: (image.reference, image.platform))))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"version": VERSION, "images": [image.to_json() for image in self.images]}

    def to_yaml(self) -> str:
        """Return the content of the file: YAML that changes by the line where an image changes."""
        lines = [HEAD, f"version: {VERSION}\n", "images:" if self.images else "images: []"]
        for image in self.images:
            lead = "\n  - "
            for name, item in image.to_json().items():
                lines.append(f"{lead}{name}: {_yaml(item)}")
                lead = "\n    "
        return "".join(lines) + "\n"

    def find(self, reference: str, platform: str) -> Locked:
        """Return what a reference means on a host of `platform` (``os/arch``).

        Raises:
            NotFound: code ``not-locked``; the lock does not say.
            SpecError: the reference cannot be understood.
        """
        wanted = normal_reference(reference)
        found = [image for image in self.images if image.reference == wanted]
        for image in found:
            if image.platform in ("", platform):
                return image
        hint = "write the lock again: rocket lock"
        if found:
            others = ", ".join(image.platform for image in found)
            raise NotFound(f"the lock has it for {others}, not for {platform}", where=wanted, hint=hint, code="not-locked")
        near = nearest(wanted, [image.reference for image in self.images])
        hint = f"did you mean {near}? {hint}" if near else hint
        raise NotFound("is not in the lock, and nothing else is taken", where=wanted, hint=hint, code="not-locked")


class Change(Record):
    """What of one reference is not as it was.

    Attributes:
        reference: which.
        platform: ``os/arch``; empty for all.
        before: image ID in the former lock; empty where it was not there.
        after: image ID in the new one; empty where it is gone.
    """

    reference: str
    platform: str
    before: str = ""
    after: str = ""

    @property
    def drifted(self) -> bool:
        """Whether the reference means another image than it did."""
        return bool(self.before and self.after)

    def to_json(self) -> dict[str, str]:
        """Return it for results."""
        return {"reference": self.reference, "platform": self.platform, "before": self.before, "after": self.after}


def changes(before: Lock, after: Lock) -> tuple[Change, ...]:
    """Return what the references of two locks mean differently, sorted; an entry for all stands for each platform that the other names."""
    old, new = ({(image.reference, image.platform): image.image_id for image in lock.images} for lock in (before, after))
    found = []
    for reference in sorted({reference for reference, _platform in (*old, *new)}):
        platforms = sorted({platform for other, platform in (*old, *new) if other == reference and platform})
        for platform in platforms or [""]:
            was, now = (ids.get((reference, platform), ids.get((reference, ""), "")) for ids in (old, new))
            if was != now:
                found.append(Change(reference, platform, was, now))
    return tuple(found)


def _locked(node: Node) -> Locked:
    reference, image_id, name = node.required("reference"), node.required("id"), node.required("name")
    platform, size, digest = node.optional("platform"), node.optional("size"), node.optional("digest")
    text = reference.text(empty=False)
    if _normal(reference) != text or (text.startswith("sha512-") and text != image_id.value):
        raise reference.error("a reference in normal form was expected", hint="write it again: rocket lock")
    labels = node.optional("labels")
    locked = Locked(
        reference=text,
        image_id=check_image_id(image_id.value, image_id.path),
        name=check_ac_identifier(name.value, name.path),
        labels=tuple((label, Node(value, join(labels.path, label)).text()) for label, value in labels.members().items()) if labels else (),
        platform=check_platform(platform.text(empty=False), platform.path) if platform else "",
        size=size.integer(1, MAX_INTEGER) if size else 0,
        signed_by=node.each("signed_by", lambda item: item.text(empty=False)),
        digest=check_digest(digest.value, digest.path) if digest else "",
        dependencies=node.each("dependencies", lambda item: item.text(empty=False)),
    )
    node.refuse_unknown()
    return locked


def _normal(node: Node) -> str:
    try:
        return normal_reference(node.text(), node.path)
    except UsageError as error:
        raise node.error(str(error.what), hint=error.hint) from error


def _check_unique(items: list[Node], images: tuple[Locked, ...]) -> None:
    seen: dict[str, list[str]] = {}
    for item, image in zip(items, images):
        others = seen.setdefault(image.reference, [])
        if image.platform in others or (others and ("" in others or not image.platform)):
            raise SpecError(
                "stands there twice", path=join(item.path, "reference"), value=image.reference, hint="write it again: rocket lock"
            )
        others.append(image.platform)


def _yaml(value: Any) -> str:
    """Return a value of one line; texts that YAML could take for something else in double quotes, in ASCII."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_yaml(name)}: {_yaml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, str) and not _is_plain(value):
        return '"' + "".join(map(_character, value)) + '"'
    return str(value)


def _character(character: str) -> str:
    if " " <= character <= "~":
        return f"\\{character}" if character in '"\\' else character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/")
_OTHER_MEANINGS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


def _is_plain(text: str) -> bool:
    """Whether every reader of YAML takes the text for itself: begins with a letter, is no word and no number of YAML."""
    return text[:1].isalpha() and _WORD.issuperset(text) and text.lower() not in _OTHER_MEANINGS
