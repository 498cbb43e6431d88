# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The image manifest (docs/spec-conformance.md M1 to M18).

Not handled here: its app (see app.py), what the archive around it must hold (see image/check.py).
"""

from __future__ import annotations

from ..record import Record, replace
from .app import App, EventHandler, MountPoint, Port
from .identifier import check_ac_identifier, check_image_id
from .reading import MAX_INTEGER, Node, load, thaw
from .values import (
    AC_VERSION,
    NamedValue,
    check_absolute_path,
    check_ac_version,
    read_annotations,
    read_labels,
    value_of,
    version_warning,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["App", "Dependency", "EventHandler", "ImageManifest", "MountPoint", "Port", "check_kind", "parse_image_manifest"]


class Dependency(Record):
    """An image whose files lie below those of this image (M16); an empty `image_id` and a `size` of 0 bytes mean not given."""

    image_name: str
    image_id: str = ""
    labels: tuple[NamedValue, ...] = ()
    size: int = 0
    rest: tuple[tuple[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        value = thaw(self.rest, imageName=self.image_name)
        if self.image_id:
            value["imageID"] = self.image_id
        if self.labels:
            value["labels"] = [item.to_json() for item in self.labels]
        if self.size:
            value["size"] = self.size
        return value


class ImageManifest(Record):
    """What an App Container Image says about itself.

    Attributes:
        labels: as listed; `label` looks one up.
        app: None where the image only carries files.
        path_whitelist: absolute, normalised, without repetitions; empty means that every file is kept.
        ac_version: as the manifest has it.
        rest: unknown members, sorted (name, JSON value) pairs.
    """

    name: str
    labels: tuple[NamedValue, ...] = ()
    app: App | None = None
    dependencies: tuple[Dependency, ...] = ()
    path_whitelist: tuple[str, ...] = ()
    annotations: tuple[NamedValue, ...] = ()
    ac_version: str = AC_VERSION
    rest: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def from_json(cls, value: Any, path: str = "") -> ImageManifest:
        """Return the manifest in the JSON object `value`; raises SpecError, naming the JSON path below `path`."""
        node = Node(value, path)
        check_kind(node, "ImageManifest", "M1")
        version = check_ac_version(node.required("acVersion", "M2"))
        name = node.required("name", "M3")
        app = node.optional("app")
        manifest = cls(
            name=check_ac_identifier(name.value, name.path),
            labels=read_labels(node.optional("labels")),
            app=None if app is None else App.from_json(app.value, app.path),
            dependencies=node.each("dependencies", _dependency, "M16"),
            path_whitelist=tuple(dict.fromkeys(node.each("pathWhitelist", lambda item: check_absolute_path(item, "M17"), "M17"))),
            annotations=read_annotations(node.optional("annotations")),
            ac_version=version,
        )
        return replace(manifest, rest=node.rest())

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object; members that have their default are left out."""
        value = thaw(self.rest, acKind="ImageManifest", acVersion=self.ac_version, name=self.name)
        lists = {
            "labels": [item.to_json() for item in self.labels],
            "dependencies": [item.to_json() for item in self.dependencies],
            "pathWhitelist": list(self.path_whitelist),
            "annotations": [item.to_json() for item in self.annotations],
        }
        value.update({name: item for name, item in lists.items() if item})
        if self.app is not None:
            value["app"] = self.app.to_json()
        return value

    def label(self, name: str) -> str:
        """Return the value of the label `name`, or the empty string."""
        return value_of(self.labels, name)

    def warnings(self) -> tuple[str, ...]:
        """Return what is valid and yet deserves a word to the operator (T4, T9); what its app deserves, the pod says."""
        found = [version_warning(self.ac_version)]
        if self.label("arch") and not self.label("os"):
            found.append("the label arch means nothing without os and is ignored (T9)")
        return tuple(warning for warning in found if warning)


def parse_image_manifest(data: bytes) -> ImageManifest:
    """Return the image manifest in the JSON document `data`; raises SpecError."""
    return ImageManifest.from_json(load(data, "image manifest"))


def check_kind(node: Node, kind: str, rule: str) -> None:
    """Check that the manifest `node` says that it is of `kind` (T3); raises SpecError."""
    given = node.required("acKind", rule)
    if given.value != kind:
        raise given.error(f"{kind} was expected", rule)


def _dependency(node: Node) -> Dependency:
    name = node.required("imageName", "M16")
    image_id = node.optional("imageID", "M16")
    size = node.optional("size", "M16")
    dependency = Dependency(
        image_name=check_ac_identifier(name.value, name.path),
        image_id="" if image_id is None else check_image_id(image_id.value, image_id.path),
        labels=read_labels(node.optional("labels", "M16")),
        size=0 if size is None else size.integer(1, MAX_INTEGER, "M16"),
    )
    return replace(dependency, rest=node.rest())
