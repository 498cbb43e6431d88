# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# Note that this module util is PRIVATE to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!
"""The arguments of a module that say what an image manifest says, in the words of a pod's declaration."""

from __future__ import annotations

import typing as t

from .._rocket.run.declared_isolators import declared_isolators
from .._rocket.spec.changes import dependency, laid_over
from .._rocket.spec.image_manifest import ImageManifest
from .._rocket.spec.reading import Node, join

_PLAIN = (
    ("exec", "exec"),
    ("user", "user"),
    ("group", "group"),
    ("supplementary_gids", "supplementaryGIDs"),
    ("working_directory", "workingDirectory"),
)
_MOUNT = {"name": "name", "path": "path", "read_only": "readOnly"}
_PORT = {"name": "name", "protocol": "protocol", "port": "port", "count": "count", "socket_activated": "socketActivated"}


def manifest_options() -> dict[str, t.Any]:
    """Return the argument spec of an image manifest."""
    return {
        "manifest": {"type": "dict"},
        "name": {"type": "str"},
        "labels": {"type": "dict"},
        "exec": {"type": "list", "elements": "str"},
        "user": {"type": "str"},
        "group": {"type": "str"},
        "supplementary_gids": {"type": "list", "elements": "int"},
        "working_directory": {"type": "str"},
        "environment": {"type": "dict"},
        "mounts": {"type": "list", "elements": "dict"},
        "ports": {"type": "list", "elements": "dict"},
        "isolators": {"type": "raw"},
        "event_handlers": {"type": "dict"},
        "annotations": {"type": "dict"},
        "dependencies": {"type": "list", "elements": "str"},
        "path_whitelist": {"type": "list", "elements": "str"},
    }


def manifest_of(parameters: dict[str, t.Any], own: t.Any) -> ImageManifest:
    """Return the manifest that the arguments make.

    Args:
        parameters: of the module.
        own: the manifest to begin with where there is no other, a JSON value.

    Raises:
        SpecError: names the argument, or the member of the manifest.
    """
    base = own if parameters["manifest"] is None else parameters["manifest"]
    return ImageManifest.from_json(laid_over(base, _changes(parameters)))


def _changes(parameters: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return what the arguments say, as a part of an image manifest."""
    given = {name: Node(parameters[name], name) for name in manifest_options() if parameters[name] is not None}
    app: dict[str, t.Any] = {member: given[name].value for name, member in _PLAIN if name in given}
    if "environment" in given:
        app["environment"] = _named(given["environment"], "M11")
    if "mounts" in given:
        app["mountPoints"] = [_renamed(item, _MOUNT, "M13") for item in given["mounts"].items("M13")]
    if "ports" in given:
        app["ports"] = [_renamed(item, _PORT, "M14") for item in given["ports"].items("M14")]
    if "isolators" in given:
        app["isolators"] = declared_isolators(given["isolators"], "app")
    if "event_handlers" in given:
        app["eventHandlers"] = [{"name": name, "exec": program} for name, program in sorted(given["event_handlers"].members("M9").items())]
    found: dict[str, t.Any] = {"app": app} if app else {}
    if "name" in given:
        found["name"] = given["name"].value
    for name, rule in (("labels", "T9"), ("annotations", "T11")):
        if name in given:
            found[name] = _named(given[name], rule)
    if "dependencies" in given:
        found["dependencies"] = [dependency(item.text("M16"), item.path) for item in given["dependencies"].items("M16")]
    if "path_whitelist" in given:
        found["pathWhitelist"] = given["path_whitelist"].value
    return found


def _named(node: Node, rule: str) -> list[dict[str, str]]:
    """Return the pairs of a dictionary, sorted: the order of a dictionary is nothing that makes another image."""
    return [{"name": name, "value": _word(Node(value, join(node.path, name)), rule)} for name, value in sorted(node.members(rule).items())]


def _word(node: Node, rule: str) -> str:
    """Return a text; YAML reads bare digits as a number, which is written back as it must have stood there."""
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        return str(node.value)
    if isinstance(node.value, (bool, float)):
        raise node.error("a string was expected", rule, hint="put it in quotes")
    return node.text(rule)


def _renamed(node: Node, words: dict[str, str], rule: str) -> dict[str, t.Any]:
    """Return an item under the specification's words; an unknown one is refused."""
    found = {}
    for word, member in words.items():
        value = node.optional(word, rule)
        if value is not None:
            found[member] = value.value
    node.refuse_unknown(rule)
    return found
