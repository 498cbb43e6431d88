# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A declaration: what the user wrote about one pod, checked, in one normal form.

Two forms. The short one has ``name apps volumes network stop_timeout isolators user_annotations``; an app has ``name image
exec environment mounts isolators user group working_directory read_only_root annotations``. The other has ``manifest``, a
pod manifest of the specification that may still be a template (P3), beside ``name network stop_timeout``.

A member that is not offered is refused with its JSON path and the nearest word, never ignored.

Not handled here: images (reify.py), YAML (the caller brings a JSON value).
"""

from __future__ import annotations

from ..errors import SpecError
from ..record import Record
from ..spec.identifier import check_ac_identifier, check_ac_name, check_image_id
from ..spec.image_name import ImageName
from ..spec.reading import Node, join
from ..spec.values import ID_LIMIT, check_absolute_path
from .declared_isolators import declared_isolators
from .template import NETWORK, STOP_TIMEOUT, copy, read_manifest, registry_image, template_app, template_volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

AC_VERSION = "0.8.11"
NETWORKS = ("none", "host")
DEFAULT_NETWORK = "none"
DEFAULT_STOP_TIMEOUT = 10
MAX_STOP_TIMEOUT = 86400
MEMBERS = ("name", "apps", "volumes", "network", "stop_timeout", "isolators", "user_annotations", "manifest")
APP_MEMBERS = (
    *("name", "image", "exec", "environment", "mounts", "isolators"),
    *("user", "group", "working_directory", "read_only_root", "annotations"),
)
_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_VARIABLE = _LETTERS | frozenset("0123456789.-")


class Declaration(Record):
    """One pod as declared.

    Attributes:
        name: the pod's name; empty for a pod without one.
        value: the normal form; use `normal` for a copy that may be kept.
    """

    name: str
    value: dict[str, Any]

    @classmethod
    def from_json(cls, value: object, path: str = "", named: bool = True) -> Declaration:
        """Check a declaration and bring it into its normal form.

        Args:
            value: the JSON value; hostile.
            path: JSON path of it, for messages.
            named: whether a name is required.

        Raises:
            SpecError: names the JSON path of what is wrong.
        """
        node = Node(value, path)
        _only(node, MEMBERS)
        name = node.required("name") if named else node.optional("name")
        manifest, network, timeout = node.optional("manifest"), node.optional("network"), node.optional("stop_timeout")
        normal: dict[str, Any] = {"name": check_ac_name(name.value, name.path) if name and (named or name.value) else ""}
        if manifest is None:
            normal.update(_short(node))
        else:
            for other in ("apps", "volumes", "isolators", "user_annotations"):
                if node.optional(other) is not None:
                    raise SpecError("cannot stand beside manifest", path=join(path, other), hint=f"declare {other} inside the manifest")
            normal["manifest"] = read_manifest(manifest)
        given = {
            "network": check_network(network) if network else None,
            "stop_timeout": timeout.integer(0, MAX_STOP_TIMEOUT) if timeout else None,
        }
        normal.update(_settings(normal.get("manifest", {}), join(path, "manifest"), given))
        return cls(normal["name"], normal)

    def normal(self) -> dict[str, Any]:
        """Return the normal form as a JSON value: two declarations of the same pod have the same one."""
        normal: dict[str, Any] = copy(self.value)
        return normal

    def template(self) -> dict[str, Any]:
        """Return the pod manifest as a JSON value, images still by name and, in the short form, without their ``app``."""
        settings = [
            {"name": NETWORK, "value": self.value["network"]},
            {"name": STOP_TIMEOUT, "value": str(self.value["stop_timeout"])},
        ]
        if "manifest" in self.value:
            manifest: dict[str, Any] = copy(self.value["manifest"])
            kept = [item for item in manifest.get("annotations") or [] if item["name"] not in (NETWORK, STOP_TIMEOUT)]
            manifest["annotations"] = kept + settings
            return manifest
        template: dict[str, Any] = {
            "acKind": "PodManifest",
            "acVersion": AC_VERSION,
            "apps": [template_app(app) for app in self.value["apps"]],
            "volumes": [template_volume(volume) for volume in self.value["volumes"]],
            "annotations": settings,
        }
        if "isolators" in self.value:
            template["isolators"] = copy(self.value["isolators"])
        if "user_annotations" in self.value:
            template["userAnnotations"] = dict(self.value["user_annotations"])
        return template


def _only(node: Node, known: tuple[str, ...]) -> None:
    """Refuse members that are not offered, before anything else is said about the others."""
    for word in known:
        node.optional(word)
    node.refuse_unknown()


def _settings(manifest: dict[str, Any], path: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return network and stop timeout: as declared, else as an annotation of the manifest says, else the defaults.

    Raises:
        SpecError: both places say it, and differently.
    """
    said: dict[str, Any] = {}
    value: Any
    for index, item in enumerate(manifest.get("annotations") or []):
        node = Node(item["value"], f"{join(path, 'annotations')}[{index}].value")
        if item["name"] == NETWORK:
            word, value = "network", check_network(node)
        elif item["name"] == STOP_TIMEOUT:
            digits = node.value.isascii() and node.value.isdigit() and len(node.value) < 7
            number = Node(int(node.value) if digits else node.value, node.path)
            word, value = "stop_timeout", number.integer(0, MAX_STOP_TIMEOUT)
        else:
            continue
        said[word] = value
        if given[word] not in (None, said[word]):
            raise node.error(f"{word} is declared beside the manifest too, as {given[word]}", hint="say it in one place")
    defaults = {"network": DEFAULT_NETWORK, "stop_timeout": DEFAULT_STOP_TIMEOUT}
    return {word: said.get(word, default) if given[word] is None else given[word] for word, default in defaults.items()}


def check_network(node: Node) -> str:
    """Return the network mode, one of NETWORKS."""
    if node.value not in NETWORKS:
        raise node.error(f"the networks of this version are {' and '.join(NETWORKS)}", hint="choose one of them")
    return str(node.value)


def check_variable(name: object, path: str) -> str:
    """Return the name of an environment variable (M11)."""
    if isinstance(name, str) and name and name[0] in _LETTERS and not set(name) - _VARIABLE:
        return name
    raise SpecError("a variable's name is letters, digits, _ . - and starts with a letter or _", path=path, value=name, rule="M11")


def _short(node: Node) -> dict[str, Any]:
    apps = node.required("apps", "P4").items("P4")
    if not apps:
        raise SpecError("at least one app is required", path=join(node.path, "apps"), rule="P4")
    short: dict[str, Any] = {"apps": [_app(app) for app in apps]}
    volumes = node.optional("volumes")
    short["volumes"] = [_volume(volume) for volume in volumes.items("P10")] if volumes else []
    _unique(short["apps"], join(node.path, "apps"), "P5")
    _unique(short["volumes"], join(node.path, "volumes"), "P10")
    names = {volume["name"] for volume in short["volumes"]}
    for index, app in enumerate(short["apps"]):
        for number, mount in enumerate(app.get("mounts", ())):
            if mount["volume"] not in names:
                where = f"{join(node.path, 'apps')}[{index}].mounts[{number}].volume"
                raise SpecError("names no volume of the pod", path=where, value=mount["volume"], rule="P8")
    isolators, labels = node.optional("isolators"), node.optional("user_annotations")
    if isolators is not None:
        short["isolators"] = declared_isolators(isolators, "pod")
    if labels is not None:
        short["user_annotations"] = {name: Node(text, join(labels.path, name)).text("T12") for name, text in labels.members("T12").items()}
    return short


def _app(node: Node) -> dict[str, Any]:
    _only(node, APP_MEMBERS)
    name, image = node.required("name", "P5"), node.required("image", "P5")
    app: dict[str, Any] = {"name": check_ac_name(name.value, name.path), "image": read_image(image)}
    readers = {
        "exec": lambda member: [item.text("M6") for item in member.items("M6")],
        "environment": _environment,
        "mounts": lambda member: [_mount(item) for item in member.items("P8")],
        "isolators": lambda member: declared_isolators(member, "app"),
        "user": _identity,
        "group": _identity,
        "working_directory": lambda member: check_absolute_path(member, "M10"),
        "read_only_root": lambda member: member.boolean("P7"),
        "annotations": _annotations,
    }
    for word, read in readers.items():
        member = node.optional(word)
        if member is not None:
            app[word] = read(member)
    if app.get("exec") == [] or "" in app.get("exec", ())[:1]:
        raise SpecError("must name a program", path=join(node.path, "exec"), rule="M6")
    return app


def read_image(node: Node) -> str:
    """Return a reference to an image in normal form: a name with labels, an image ID, or an image of a registry.

    Raises:
        SpecError: T1, T5, T9, or a reference that only a fetch understands (P5).
    """
    text = node.text("P5", empty=False)
    if text.startswith("sha512-"):
        return check_image_id(text, node.path)
    if text.startswith("docker:"):
        return registry_image(text, node)
    if "://" in text or text.startswith(("/", "./", "../", "oci:", "oci-archive:")):
        raise node.error("the name or ID of an image of the store was expected", "P5", hint="fetch it, then declare the name it has there")
    return str(ImageName.parse(text, node.path))


def _environment(node: Node) -> dict[str, str]:
    if isinstance(node.value, dict):
        pairs = [(name, Node(value, join(node.path, str(name)))) for name, value in node.value.items()]
        where = [join(node.path, str(name)) for name, _value in pairs]
    else:
        pairs, where = [], []
        for item in node.items("M11"):
            name, value = item.required("name", "M11"), item.required("value", "M11")
            item.refuse_unknown("M11")
            pairs.append((name.value, value))
            where.append(name.path)
    environment: dict[str, str] = {}
    for (name, value), path in zip(pairs, where):
        if check_variable(name, path) in environment:
            raise SpecError("is given twice", path=path, value=name, rule="M11")
        environment[name] = _words(value, "M11")
    return environment


def _words(node: Node, rule: str) -> str:
    """Return a text; YAML reads bare digits as a number, which is written back as it must have stood there."""
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        return str(node.value)
    if isinstance(node.value, (bool, float)):
        raise node.error("a string was expected", rule, hint="put it in quotes")
    return node.text(rule)


def _identity(node: Node) -> str:
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        return str(node.integer(0, ID_LIMIT, "M7"))
    return node.text("M7", empty=False)


def _mount(node: Node) -> dict[str, Any]:
    volume, path = node.required("volume", "P8"), node.required("path", "P8")
    mount = {
        "volume": check_ac_name(volume.value, volume.path),
        "path": check_absolute_path(path, "P8"),
        "read_only": node.flag("read_only", "P8"),
    }
    node.refuse_unknown("P8")
    return mount


def _volume(node: Node) -> dict[str, Any]:
    name, kind = node.required("name", "P10"), node.required("kind", "P10")
    volume: dict[str, Any] = {"name": check_ac_name(name.value, name.path), "kind": kind.value, "read_only": node.flag("read_only", "P10")}
    if kind.value == "host":
        volume["source"] = check_absolute_path(node.required("source", "P10"), "P10")
        volume["recursive"] = node.flag("recursive", "P10", default=True)
    elif kind.value == "empty":
        mode, uid, gid = node.optional("mode"), node.optional("uid"), node.optional("gid")
        volume["mode"] = _mode(mode) if mode else "0755"
        volume["uid"] = uid.integer(0, ID_LIMIT, "P10") if uid else 0
        volume["gid"] = gid.integer(0, ID_LIMIT, "P10") if gid else 0
    else:
        raise kind.error("host or empty was expected", "P10")
    node.refuse_unknown("P10")
    return volume


def _mode(node: Node) -> str:
    text = node.value
    if isinstance(text, str) and 1 <= len(text) <= 5 and not set(text) - set("01234567") and int(text, 8) <= 0o1777:
        return f"{int(text, 8):04o}"
    raise node.error("an octal mode in quotes was expected, at most 1777", "P10", hint='write "0755"')


def _annotations(node: Node) -> dict[str, str]:
    return {
        check_ac_identifier(name, join(node.path, str(name))): Node(text, join(node.path, name)).text("P9")
        for name, text in node.members("P9").items()
    }


def _unique(items: list[dict[str, Any]], path: str, rule: str) -> None:
    seen: set[str] = set()
    for index, item in enumerate(items):
        if item["name"] in seen:
            raise SpecError("is given twice", path=f"{path}[{index}].name", value=item["name"], rule=rule)
        seen.add(item["name"])
