# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Volumes of a pod and the mounts of its apps (docs/spec-conformance.md P2, P8, P10, P16).

Not handled here: whether a source exists, and what stands at a target (see run).
"""

from __future__ import annotations

from ..errors import SpecError
from ..record import Record, replace
from .identifier import NAME_LIMIT, check_ac_name
from .reading import Node, join, thaw, unique
from .values import ID_LIMIT, check_absolute_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_EMPTY_ONLY = ("mode", "uid", "gid")
_HOST_ONLY = ("source", "recursive")
_MODE_LIMIT = 0o1777


class Volume(Record):
    """A directory that apps of a pod mount (P10).

    Attributes:
        kind: ``host``, a place of the host, or ``empty``, made for the pod.
        source: absolute and normalised path on the host; empty unless kind is host.
        recursive: whether mounts below the source come along; kind host only.
        mode: permission bits of an empty volume, up to 0o1777; `uid` and `gid` own it.
    """

    name: str
    kind: str
    source: str = ""
    read_only: bool = False
    recursive: bool = True
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    rest: tuple[tuple[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object; members that have their default are left out."""
        value = thaw(self.rest, name=self.name, kind=self.kind)
        if self.read_only:
            value["readOnly"] = True
        if self.kind == "host":
            value["source"] = self.source
            if not self.recursive:
                value["recursive"] = False
            return value
        if self.mode != 0o755:
            value["mode"] = f"{self.mode:04o}"
        if self.uid:
            value["uid"] = self.uid
        if self.gid:
            value["gid"] = self.gid
        return value


class Mount(Record):
    """Where an app sees a volume (P8): the pod's volume of that name, or the mount's own `app_volume`."""

    volume: str
    path: str
    app_volume: Volume | None = None
    rest: tuple[tuple[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        value = thaw(self.rest, volume=self.volume, path=self.path)
        if self.app_volume is not None:
            value["appVolume"] = self.app_volume.to_json()
        return value


def _mode(node: Node | None) -> int:
    if node is None:
        return 0o755
    text = node.text("P10", empty=False)
    if len(text) > 5 or text.strip("01234567") or int(text, 8) > _MODE_LIMIT:
        raise node.error('octal digits up to "1777" were expected', "P10")
    return int(text, 8)


def _identity(node: Node | None) -> int:
    return 0 if node is None else node.integer(0, ID_LIMIT, "P10")


def read_volume(node: Node) -> Volume:
    """Return the volume in `node`; raises SpecError (P10)."""
    name, kind = node.required("name", "P10"), node.required("kind", "P10")
    check_ac_name(name.value, name.path, NAME_LIMIT)
    if kind.value not in ("host", "empty"):
        raise kind.error("host or empty was expected", "P10")
    foreign = _EMPTY_ONLY if kind.value == "host" else _HOST_ONLY
    for member in foreign:
        given = node.optional(member, "P10")
        if given is not None:
            other = "empty" if kind.value == "host" else "host"
            raise given.error(f"only a volume of kind {other} has this member", "P10", "remove it, or change kind")
    read_only = node.flag("readOnly", "P10")
    if kind.value == "host":
        source = check_absolute_path(node.required("source", "P10"), "P10")
        volume = Volume(name.value, "host", source, read_only, node.flag("recursive", "P10", default=True))
    else:
        volume = Volume(
            name.value,
            "empty",
            read_only=read_only,
            mode=_mode(node.optional("mode", "P10")),
            uid=_identity(node.optional("uid", "P10")),
            gid=_identity(node.optional("gid", "P10")),
        )
    return replace(volume, rest=node.rest())


def read_volumes(node: Node | None) -> tuple[Volume, ...]:
    """Return the volumes in the list `node`, names unique; none where it is None. Raises SpecError (P10)."""
    if node is None:
        return ()
    nodes = node.items("P10")
    volumes = tuple(read_volume(item) for item in nodes)
    unique(nodes, [volume.name for volume in volumes], "P10")
    return volumes


def _read_mount(node: Node, names: list[str]) -> Mount:
    name, path, own = node.required("volume", "P8"), node.required("path", "P8"), node.optional("appVolume", "P8")
    check_ac_name(name.value, name.path, NAME_LIMIT)
    if own is None and name.value not in names:
        known = f"volumes: {', '.join(names)}" if names else "the pod has no volumes"
        raise name.error("the name of a volume of the pod was expected", "P8", known)
    target = check_absolute_path(path, "P8", root=False)
    return replace(Mount(name.value, target, None if own is None else read_volume(own)), rest=node.rest())


def read_mounts(node: Node | None, volumes: tuple[Volume, ...]) -> tuple[Mount, ...]:
    """Return the mounts of one app in the list `node`; none where it is None.

    Raises:
        SpecError: P8; P16 for targets that are equal or nested.
    """
    if node is None:
        return ()
    names = [volume.name for volume in volumes]
    nodes = node.items("P8")
    mounts: list[Mount] = []
    for item in nodes:
        mount = _read_mount(item, names)
        for index, other in enumerate(mounts):
            if f"{mount.path}/".startswith(f"{other.path}/") or f"{other.path}/".startswith(f"{mount.path}/"):
                raise SpecError(
                    f"lies on, above or below {other.path} of {nodes[index].path}",
                    path=join(item.path, "path"),
                    value=mount.path,
                    rule="P16",
                )
        mounts.append(mount)
    return tuple(mounts)
