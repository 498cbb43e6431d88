# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Pod manifests that are still templates (P3): images by name, mount points not yet satisfied.

What the specification has no word for travels as pod annotations under ``appc.rocket/``; only those named here have a
meaning, and only on a pod: an image cannot say anything about the pod that runs it (T11a).
"""

from __future__ import annotations

from ..errors import SpecError, UsageError
from ..spec.identifier import nearest
from ..spec.image_name import ImageName
from ..spec.pod_manifest import PodManifest
from ..spec.reading import Node, join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NETWORK, STOP_TIMEOUT, STRICT = "appc.rocket/network", "appc.rocket/stop-timeout", "appc.rocket/strict-isolators"
SETTINGS = (NETWORK, STOP_TIMEOUT)
# On an app: the IDs of the images that its root file system is made of, where it depends on others; written by reify alone.
MADE_OF = "appc.rocket/made-of"


def copy(value: Any) -> Any:
    """Return a deep copy of a JSON value, tuples as lists."""
    if isinstance(value, dict):
        return {name: copy(item) for name, item in value.items()}
    return [copy(item) for item in value] if isinstance(value, (list, tuple)) else value


def read_manifest(node: Node) -> dict[str, Any]:
    """Return a declared pod manifest in normal form; its images may have a name instead of an ID.

    Raises:
        SpecError: it breaks a rule of the specification, or has an annotation under ``appc.rocket/`` that means nothing.
    """
    value: dict[str, Any] = PodManifest.from_json(node.members("P4"), node.path, template=True).to_json()
    if value.get("ports"):
        raise SpecError(
            "this version exposes no ports on the host", path=join(node.path, "ports"), rule="P12", hint="use network host, or remove them"
        )
    for index, item in enumerate(value.get("annotations") or []):
        if item["name"].startswith("appc.rocket/") and item["name"] not in SETTINGS:
            near = nearest(item["name"], SETTINGS)
            raise SpecError(
                "is no annotation that means anything here",
                path=f"{join(node.path, 'annotations')}[{index}].name",
                value=item["name"],
                rule="T11a",
                hint=f"did you mean {near}?" if near else f"known are {' and '.join(SETTINGS)}",
            )
    return value


def image_reference(image: dict[str, Any]) -> str:
    """Return what finds the image of a pod manifest's app: its ID where it has one, else name and labels as the store reads them."""
    if image.get("id"):
        return str(image["id"])
    labels = sorted((label["name"], label["value"]) for label in image.get("labels") or [])
    return str(ImageName(image["name"], tuple(labels)))


def made_of(app: dict[str, Any]) -> tuple[str, ...]:
    """Return the IDs of the images that the app of a reified manifest stands on, its own last."""
    for item in app.get("annotations") or ():
        if item["name"] == MADE_OF:
            return tuple(item["value"].split())
    return (app["image"]["id"],)


def template_app(app: dict[str, Any]) -> dict[str, Any]:
    """Return the pod manifest's app for an app of the short form, without the ``app`` that only the image can complete."""
    template: dict[str, Any] = {"name": app["name"], "image": _image(app["image"])}
    if app.get("read_only_root"):
        template["readOnlyRootFS"] = True
    if app.get("mounts"):
        template["mounts"] = [{"volume": mount["volume"], "path": mount["path"]} for mount in app["mounts"]]
    if app.get("annotations"):
        template["annotations"] = [{"name": name, "value": app["annotations"][name]} for name in sorted(app["annotations"])]
    return template


def registry_image(text: str, node: Node) -> str:
    """Return a ``docker://`` reference in normal form.

    Raises:
        SpecError: it is none, or its image cannot have a name here.
    """
    from ..spec.oci_reference import parse_registry_reference

    try:
        return str(parse_registry_reference(text))
    except UsageError as error:
        raise node.error(str(error.what), "P5", hint=error.hint) from error


def _image(reference: str) -> dict[str, Any]:
    if reference.startswith("sha512-"):
        return {"id": reference}
    if reference.startswith("docker:"):
        from ..spec.oci_reference import parse_registry_reference

        # Tag or digest say which image it is, not the labels that it has here.
        return {"name": parse_registry_reference(reference).image_name().name}
    name = ImageName.parse(reference)
    image: dict[str, Any] = {"name": name.name}
    if name.labels:
        image["labels"] = [{"name": label, "value": value} for label, value in name.labels]
    return image


def template_volume(volume: dict[str, Any]) -> dict[str, Any]:
    """Return the pod manifest's volume for one of the short form."""
    template = {"name": volume["name"], "kind": volume["kind"], "readOnly": volume["read_only"]}
    for word in ("source", "recursive", "mode", "uid", "gid"):
        if word in volume:
            template[word] = volume[word]
    return template
