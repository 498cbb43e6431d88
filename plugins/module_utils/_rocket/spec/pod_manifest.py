# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The pod manifest (docs/spec-conformance.md P2 to P13).

A template may name images without their IDs; a manifest that is to be run may not (P5). What holds across members of a
manifest that is to be run is checked by check_reified (P13).

Not handled here: volumes (see volume.py), resolving images and making up volumes (see run/reify.py).
"""

from __future__ import annotations

from ..errors import SpecError, printable
from ..record import Record, replace
from .app import App, Port
from .exposed_port import ExposedPort, check_overlap, read_exposed_ports
from .identifier import check_ac_identifier, check_ac_name, check_image_id
from .image_manifest import ImageManifest, check_kind
from .isolators import Isolator, read_isolators
from .reading import Node, join, load, thaw, unique
from .values import (
    AC_VERSION,
    NamedValue,
    check_ac_version,
    read_annotations,
    read_labels,
    read_user_values,
    version_warning,
)
from .volume import Mount, Volume, read_mounts, read_volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ExposedPort",
    "Mount",
    "PodManifest",
    "RuntimeApp",
    "RuntimeImage",
    "Volume",
    "check_image",
    "check_reified",
    "parse_pod_manifest",
]


class RuntimeImage(Record):
    """The image of an app of a pod (P5); empty `id` in a template, empty `name` where not given."""

    id: str = ""
    name: str = ""
    labels: tuple[NamedValue, ...] = ()
    rest: tuple[tuple[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        value = thaw(self.rest)
        if self.id:
            value["id"] = self.id
        if self.name:
            value["name"] = self.name
        if self.labels:
            value["labels"] = [item.to_json() for item in self.labels]
        return value


class RuntimeApp(Record):
    """One app of a pod (P5 to P9); a given `app` replaces the image's as a whole."""

    name: str
    image: RuntimeImage
    app: App | None = None
    read_only_root_fs: bool = False
    mounts: tuple[Mount, ...] = ()
    annotations: tuple[NamedValue, ...] = ()
    rest: tuple[tuple[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object; members that have their default are left out."""
        value = thaw(self.rest, name=self.name, image=self.image.to_json())
        if self.app is not None:
            value["app"] = self.app.to_json()
        if self.read_only_root_fs:
            value["readOnlyRootFS"] = True
        if self.mounts:
            value["mounts"] = [item.to_json() for item in self.mounts]
        if self.annotations:
            value["annotations"] = [item.to_json() for item in self.annotations]
        return value


class PodManifest(Record):
    """Apps that run together, and what they share.

    Attributes:
        user_annotations: (name, value) pairs, sorted; `user_labels` likewise.
        ac_version: as the manifest has it.
        rest: unknown members, sorted (name, JSON value) pairs.
    """

    apps: tuple[RuntimeApp, ...]
    volumes: tuple[Volume, ...] = ()
    isolators: tuple[Isolator, ...] = ()
    annotations: tuple[NamedValue, ...] = ()
    ports: tuple[ExposedPort, ...] = ()
    user_annotations: tuple[tuple[str, str], ...] = ()
    user_labels: tuple[tuple[str, str], ...] = ()
    ac_version: str = AC_VERSION
    rest: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def from_json(cls, value: Any, path: str = "", template: bool = False) -> PodManifest:
        """Return the manifest in the JSON object `value`.

        Args:
            value: the JSON object.
            path: JSON path of `value`, for messages.
            template: whether an image may have a name and no ID (P3).

        Raises:
            SpecError: names the JSON path below `path`.
        """
        node = Node(value, path)
        check_kind(node, "PodManifest", "P4")
        version = check_ac_version(node.required("acVersion", "P4"))
        volumes = read_volumes(node.optional("volumes"))
        manifest = cls(
            apps=_apps(node.required("apps", "P4"), volumes, template),
            volumes=volumes,
            isolators=read_isolators(node.optional("isolators"), "pod"),
            annotations=read_annotations(node.optional("annotations")),
            ports=read_exposed_ports(node.optional("ports")),
            user_annotations=read_user_values(node.optional("userAnnotations")),
            user_labels=read_user_values(node.optional("userLabels")),
            ac_version=version,
        )
        manifest = replace(manifest, rest=node.rest())
        _check_port_names(manifest, {}, path)
        if all(app.app is not None for app in manifest.apps):
            _check_exposed(manifest, {}, path)
        return manifest

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object; members that have their default are left out, but for annotations.

        They are always a list, since clients of the metadata service tell ``[]`` from an absent one.
        """
        value = thaw(self.rest, acKind="PodManifest", acVersion=self.ac_version)
        value["apps"] = [item.to_json() for item in self.apps]
        value["annotations"] = [item.to_json() for item in self.annotations]
        lists = {
            "volumes": [item.to_json() for item in self.volumes],
            "isolators": [item.to_json() for item in self.isolators],
            "ports": [item.to_json() for item in self.ports],
            "userAnnotations": dict(self.user_annotations),
            "userLabels": dict(self.user_labels),
        }
        value.update({name: item for name, item in lists.items() if item})
        return value

    def warnings(self) -> tuple[str, ...]:
        """Return what is valid and yet deserves a word to the operator: a newer acVersion (T4), a volume that nobody mounts,
        variables that the executor sets (E2).
        """
        mounted = {mount.volume for app in self.apps for mount in app.mounts if mount.app_volume is None}
        found = [version_warning(self.ac_version)]
        found += [f"the volume {volume.name} is mounted by no app" for volume in self.volumes if volume.name not in mounted]
        found += [f"{app.name}: {warning}" for app in self.apps if app.app is not None for warning in app.app.warnings()]
        return tuple(warning for warning in found if warning)


def parse_pod_manifest(data: bytes, template: bool = False) -> PodManifest:
    """Return the pod manifest in the JSON document `data`; `template` as for PodManifest.from_json. Raises SpecError."""
    return PodManifest.from_json(load(data, "pod manifest"), template=template)


def _apps(node: Node, volumes: tuple[Volume, ...], template: bool) -> tuple[RuntimeApp, ...]:
    nodes = node.items("P4")
    if not nodes:
        raise SpecError("at least one app is needed", path=node.path, rule="P4")
    apps = tuple(_app(item, volumes, template) for item in nodes)
    unique(nodes, [app.name for app in apps], "P5")
    return apps


def _app(node: Node, volumes: tuple[Volume, ...], template: bool) -> RuntimeApp:
    name, image, app = node.required("name", "P5"), node.required("image", "P5"), node.optional("app")
    runtime_app = RuntimeApp(
        name=check_ac_name(name.value, name.path),
        image=_image(image, template),
        app=None if app is None else App.from_json(app.value, app.path),
        read_only_root_fs=node.flag("readOnlyRootFS", "P7"),
        mounts=read_mounts(node.optional("mounts"), volumes),
        annotations=read_annotations(node.optional("annotations")),
    )
    return replace(runtime_app, rest=node.rest())


def _image(node: Node, template: bool) -> RuntimeImage:
    name = node.optional("name", "P5")
    image_id = node.optional("id", "P5") if template and name is not None else node.required("id", "P5")
    image = RuntimeImage(
        id="" if image_id is None else check_image_id(image_id.value, image_id.path),
        name="" if name is None else check_ac_identifier(name.value, name.path),
        labels=read_labels(node.optional("labels", "P5")),
    )
    return replace(image, rest=node.rest())


def _check_port_names(manifest: PodManifest, apps: dict[str, App], path: str) -> None:
    """P12: a port's name is a key into the ports of all apps, so no two apps have one of the same name."""
    first: dict[str, str] = {}
    for index, app in enumerate(manifest.apps):
        effective = app.app or apps.get(app.name)
        for number, port in enumerate(effective.ports if effective else ()):
            if port.name in first:
                raise SpecError(
                    f"must be unique among the apps of a pod, {first[port.name]} has it too",
                    path=f"{join(path, 'apps')}[{index}].app.ports[{number}].name",
                    value=port.name,
                    rule="P12",
                )
            first[port.name] = app.name


def _check_exposed(manifest: PodManifest, apps: dict[str, App], path: str) -> None:
    """P12, P13: each exposed port leads to a port of the apps; the ranges fit and do not meet."""
    ports = {port.name: port for app in manifest.apps for port in _effective(app, apps).ports}
    targets: list[tuple[ExposedPort, Port | None]] = []
    paths = [f"{join(path, 'ports')}[{index}]" for index in range(len(manifest.ports))]
    for exposed, where in zip(manifest.ports, paths):
        if exposed.pod_port is None and exposed.name not in ports:
            known = f"ports of the apps: {', '.join(sorted(ports))}" if ports else "no app has a port"
            raise SpecError(
                "the name of a port of an app was expected", path=join(where, "name"), value=exposed.name, rule="P12", hint=known
            )
        targets.append((exposed, exposed.pod_port or ports[exposed.name]))
    check_overlap(targets, paths)


def _effective(app: RuntimeApp, apps: dict[str, App]) -> App:
    return app.app if app.app is not None else apps[app.name]


def check_reified(manifest: PodManifest, apps: dict[str, App] | None = None, path: str = "") -> None:
    """Check what a manifest needs before it can run, across its members (P13).

    Args:
        manifest: with or without from_json: what it checks is checked here too.
        apps: the image's app, by name of the pod's app, for those that have no `app` of their own.
        path: JSON path of the manifest, for messages.

    Raises:
        SpecError: what from_json raises; P3 no app to run, or a mountPoint without a mount (two on one path are P16); P5 an
            image without ID; P12 a port that no app has or two have, a range that does not fit, two that meet.
    """
    given = apps or {}
    PodManifest.from_json(manifest.to_json(), path, template=True)
    for index, app in enumerate(manifest.apps):
        where = f"{join(path, 'apps')}[{index}]"
        if not app.image.id:
            raise SpecError("is required", path=f"{where}.image.id", rule="P5", hint="resolve the image's name first")
        if app.app is None and app.name not in given:
            raise SpecError("is required, the image has none", path=f"{where}.app", rule="P3")
        covered = [mount.path for mount in app.mounts]
        for point in _effective(app, given).mount_points:
            if point.path not in covered:
                raise SpecError(f"no mount covers the mountPoint {point.name} at {point.path}", path=f"{where}.mounts", rule="P3")
    _check_port_names(manifest, given, path)
    _check_exposed(manifest, given, path)


def check_image(app: RuntimeApp, manifest: ImageManifest, path: str) -> None:
    """Check that the image with `manifest` is the one that `app` (at the JSON path `path`) names.

    Raises:
        SpecError: P5; another name, or a label with another value.
    """
    if app.image.name and app.image.name != manifest.name:
        raise SpecError(f"the image is called {manifest.name}", path=f"{path}.image.name", value=app.image.name, rule="P5")
    given = {label.name: label.value for label in manifest.labels}
    for index, label in enumerate(app.image.labels):
        if given.get(label.name) != label.value:
            shown = f"{label.name} {printable(given[label.name], 60)}" if label.name in given else f"no label {label.name}"
            raise SpecError(f"the image has {shown}", path=f"{path}.image.labels[{index}].value", value=label.value, rule="P5")
