# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The launch record: all that the launcher needs to know of a pod, as primitives that ``marshal`` reads in no time.

Made once at prepare from the reified manifest; what is in it was checked by ``spec`` and is never parsed again.
"""

from __future__ import annotations

from ..errors import PodError
from ..spec.app import App
from ..spec.isolators import parse_isolators
from .isolation import Isolation
from .template import NETWORK, STOP_TIMEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

VERSION = 1
MARSHAL = 4


def launch_record(
    manifest: dict[str, Any],
    trees: Mapping[str, str],
    uuid: str,
    name: str,
    volumes: str,
    strict: bool = False,
    allow_ignored: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return the launch record of a pod.

    Args:
        manifest: the reified pod manifest as a JSON value.
        trees: path of the rendered root file system by image ID.
        uuid: the pod's.
        name: the pod's; empty for none, then the host name comes from the UUID.
        volumes: directory that will hold the empty volumes while the pod runs.
        strict: refuse whatever isolator would be ignored.
        allow_ignored: isolators that may be ignored although they guard the host.

    Raises:
        IsolatorError: an isolator that has to be enforced cannot be.
    """
    settings = {item["name"]: item["value"] for item in manifest.get("annotations") or []}
    isolation = Isolation(strict, allow_ignored)
    limits = isolation.pod(parse_isolators(manifest.get("isolators") or [], "isolators", "pod"))
    sources = {volume["name"]: volume for volume in manifest.get("volumes") or []}
    apps = [
        _app(app, f"apps[{index}]", trees[app["image"]["id"]], sources, volumes, isolation) for index, app in enumerate(manifest["apps"])
    ]
    return {
        "version": VERSION,
        "uuid": uuid,
        "name": name,
        "hostname": name or f"rocket-{uuid}",
        "network": settings[NETWORK],
        "stop_timeout": int(settings[STOP_TIMEOUT]),
        "limits": limits,
        "isolators": isolation.outcomes,
        "apps": apps,
    }


def _app(
    value: dict[str, Any], path: str, tree: str, sources: dict[str, dict[str, Any]], volumes: str, isolation: Isolation
) -> dict[str, Any]:
    app = App.from_json(value["app"], f"{path}.app")
    handlers = {handler.name: list(handler.exec) for handler in app.event_handlers}
    read_only = {point.path for point in app.mount_points if point.read_only}
    return {
        "name": value["name"],
        "image_id": value["image"]["id"],
        "tree": tree,
        "read_only_root": bool(value.get("readOnlyRootFS", False)),
        "exec": list(app.exec),
        "pre_start": handlers.get("pre-start", []),
        "post_stop": handlers.get("post-stop", []),
        "user": app.user,
        "group": app.group,
        "supplementary_gids": list(app.supplementary_gids),
        "working_directory": app.working_directory,
        "environment": [[name, text] for name, text in app.environment],
        "mounts": [_mount(mount, value["name"], sources, volumes, read_only) for mount in value.get("mounts") or []],
        **isolation.app(value["name"], app.isolators),
    }


def volume_directory(volume: dict[str, Any], app: str = "") -> str:
    """Return the directory name of an empty volume; one that belongs to `app` alone gets a name that no other volume can have."""
    return f"{app}_{volume['name']}" if app else str(volume["name"])


def _mount(mount: dict[str, Any], app: str, sources: dict[str, dict[str, Any]], volumes: str, read_only: set[str]) -> dict[str, Any]:
    """Return one mount; it is read-only if the volume or the mount point says so."""
    own = mount.get("appVolume")
    volume = own or sources[mount["volume"]]
    host = volume["kind"] == "host"
    return {
        "source": volume["source"] if host else f"{volumes}/{volume_directory(volume, app if own else '')}",
        "target": mount["path"],
        "read_only": bool(volume.get("readOnly", False)) or mount["path"] in read_only,
        "recursive": host and bool(volume.get("recursive", True)),
        "volume": volume["name"],
    }


def tree_name(app: dict[str, Any]) -> str:
    """Return the name of the tree of an app of a launch record: ``trees/<name>/rootfs``."""
    return str(app["tree"]).split("/")[-2]


def encode(record: dict[str, Any]) -> bytes:
    """Return the content of the file ``launch``."""
    import marshal

    return marshal.dumps(record, MARSHAL)


def decode(data: bytes, path: str) -> dict[str, Any]:
    """Return the launch record in the content of the file ``launch`` at `path`.

    Raises:
        PodError: it was written by another version, or is damaged; the pod has to be prepared again.
    """
    import marshal

    try:
        record = marshal.loads(data)
        version = record["version"]
    except (EOFError, ValueError, TypeError, KeyError) as error:
        raise PodError("the launch record is damaged", where=path, hint="prepare the pod again") from error
    if version != VERSION:
        raise PodError(f"the launch record has version {version}, not {VERSION}", where=path, hint="prepare the pod again")
    return dict(record)
