# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Which images the declarations of a fleet name, as a lock file and a fetch have them.

Only what names images is read: the rest of a declaration is checked where it is applied, and may be a template until then.
"""

from __future__ import annotations

from ..errors import SpecError
from ..spec.reading import Node
from .declaration import read_image
from .template import image_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# The variables by which an inventory declares pods: for all roles, and for the role `pods` alone.
VARIABLES = ("rocket_pods", "pods_declared")
_TEMPLATE = ("{{", "{%")


def declared_images(value: Any, path: str = "") -> tuple[str, ...]:
    """Return the references of a list of declarations, each once, in their order; image IDs among them.

    Args:
        value: what the role ``pods`` is given: declarations, each perhaps with ``state`` beside its members; hostile. One that is to be
            absent, or to be stopped without being declared, names no image.
        path: JSON path of it, for messages.

    Raises:
        SpecError: what names an image is missing or breaks a rule, or is a template; names the JSON path.
    """
    return tuple(dict.fromkeys(reference for item in _filled_in(Node(value, path)).items() for reference in _pod(_filled_in(item))))


def _pod(node: Node) -> Iterator[str]:
    state, apps, manifest = node.optional("state"), node.optional("apps"), node.optional("manifest")
    word = _filled_in(state).text() if state else ""
    if word == "absent" or (word == "stopped" and apps is None and manifest is None):
        return
    apps = node.required("apps", "P4") if manifest is None else _filled_in(manifest).required("apps", "P4")
    for app in _filled_in(apps).items("P4"):
        image = _filled_in(app.required("image", "P5"))
        yield read_image(image) if manifest is None else _of_manifest(image)


def _of_manifest(node: Node) -> str:
    identity, name, labels = node.optional("id"), node.optional("name"), node.optional("labels")
    if identity is not None:
        return read_image(_filled_in(identity))
    if name is None:
        raise node.error("id or name was expected", "P5", hint="name the image")
    found = []
    for label in labels.items("T9") if labels else ():
        key, content = label.required("name", "T9"), _filled_in(label.required("value", "T9"))
        found.append({"name": key.text("T9"), "value": content.text("T9")})
    return read_image(Node(image_reference({"name": _filled_in(name).text("T1"), "labels": found}), name.path))


def _filled_in(node: Node) -> Node:
    if isinstance(node.value, str) and any(mark in node.value for mark in _TEMPLATE):
        hint = "the playbook appc.rocket.lock locks what templates give"
        raise SpecError("is a template of Ansible, which only a playbook fills in", path=node.path, value=node.value, hint=hint)
    return node
