# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Changes of an image manifest: what options say, laid over what a file says.

A member with one value is replaced, ``exec`` and ``supplementaryGIDs`` as a whole. Items of the other lists go by their
names (a dependency by that of its image): one of the same name is replaced where it stands, another one is added behind.
An isolator also takes the place of the one that it must not stand beside (I5). Paths are added to the path whitelist.

Not handled here: whether the result keeps the rules (image_manifest.py).
"""

from __future__ import annotations

from .image_name import ImageName
from .isolators import EXCLUSIVE
from .reading import Node, unique
from .values import AC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAMED = {
    **dict.fromkeys(("labels", "annotations", "environment", "eventHandlers", "isolators", "mountPoints", "ports"), "name"),
    "dependencies": "imageName",
}
_ALIASES = {"supplementaryGIDs": "supplementaryGids"}


def laid_over(base: Any, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the image manifest `base` with `changes`, a JSON object for ImageManifest.from_json.

    Args:
        base: a JSON value, not checked yet; acKind and acVersion may be missing.
        changes: a part of an image manifest, in the specification's words.

    Raises:
        SpecError: `base` has no place for a change, or `changes` names an item twice.
    """
    return {"acKind": "ImageManifest", "acVersion": AC_VERSION, **_over(Node(base, ""), changes, "")}


def dependency(text: str, path: str) -> dict[str, Any]:
    """Return the dependency (M16) in ``NAME[:VERSION][,LABEL=VALUE]...[@IMAGE-ID]``; `path` is for messages.

    Raises:
        SpecError: V10 and what it refers to. The image ID is left to the reader of the manifest.
    """
    reference, pinned, digits = text.rpartition("@sha512-")
    name = ImageName.parse(reference if pinned else text, path)
    found: dict[str, Any] = {"imageName": name.name}
    if name.labels:
        found["labels"] = [{"name": label, "value": value} for label, value in name.labels]
    if pinned:
        found["imageID"] = f"sha512-{digits}"
    return found


def _over(node: Node, changes: dict[str, Any], path: str) -> dict[str, Any]:
    result = dict(node.members("M1"))
    for name, value in changes.items():
        member = node.optional(name)
        where = f"{path}{name}"
        if name == "app":
            result[name] = _over(member or Node({}, where), value, "app.")
        elif name in _NAMED:
            result[name] = _items(member, Node(value, where), _NAMED[name])
        elif name == "pathWhitelist":
            result[name] = [*([] if member is None else [item.value for item in member.items("M17")]), *value]
        else:
            result.pop(_ALIASES.get(name, ""), None)
            result[name] = value
    return result


def _items(member: Node | None, changes: Node, key: str) -> list[Any]:
    """Return the items of `member` with those of `changes`, by the name that each has under `key`."""
    nodes = changes.items()
    wanted = {str(item.required(key).value): item.value for item in nodes}
    unique(nodes, [str(item.value[key]) for item in nodes], "", key)
    rivals = {name for names in EXCLUSIVE if wanted.keys() & set(names) for name in names} - wanted.keys()
    kept = [item.members() for item in member.items()] if member is not None else []
    result = [wanted.pop(str(item.get(key)), item) for item in kept if str(item.get(key)) not in rivals]
    return [*result, *wanted.values()]
