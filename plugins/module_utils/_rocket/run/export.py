# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""An app of a pod that ended becomes an image: its root file system as it left it, what to run as it ran.

The layer of the app and the tree below it are mounted over each other, read-only, in a mount namespace of their own, as the
app saw them. What lies in volumes is not part of it.
"""

from __future__ import annotations

import os

from ..errors import PodError
from ..record import Record, replace
from ..spec.app import App
from ..spec.identifier import check_ac_identifier
from ..spec.image_manifest import ImageManifest
from ..spec.values import NamedValue
from .names import read_record
from .pods import read_launch
from .process import boot_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..store.store import Store
    from .pod_directory import PodDirectory

# Any time is older: what the app wrote keeps its times (A4).
_KEEP = 1 << 40


class Wanted(Record):
    """What is to be made.

    Attributes:
        output: the file, which ends in ``.aci``.
        app: the app's name; may be empty where there is only one.
        name: a name for the image; empty keeps that of the app's image.
        version: a value for its label ``version``; empty keeps it.
        compression: as for image.build.
        overwrite: whether an existing file is replaced.
    """

    output: str
    app: str = ""
    name: str = ""
    version: str = ""
    compression: str = "gzip"
    overwrite: bool = False


class Exported(Record):
    """An image that was made of an app.

    Attributes:
        image_id: of the image.
        name: in its manifest.
        warnings: what the operator should know, a sentence each.
    """

    image_id: str
    name: str
    warnings: tuple[str, ...] = ()


def export(store: Store, pod: PodDirectory, wanted: Wanted) -> Exported:
    """Write the image of one app of `pod`, which does not run; the app's own image is in `store`.

    Raises:
        Busy: the pod runs, or is being deleted.
        PodError: the app is not named, or not there, or was never prepared.
        NotFound: its image is not in the store any more.
        ArchiveError, SpecError, UsageError: the image cannot be written.
    """
    kept = pod.keep()
    try:
        app = _app_of(read_launch(pod), wanted.app, pod.uuid)
        manifest = _manifest(store, pod, app, wanted)
        layer = f"{pod.location}/apps/{app['name']}/upper"
        return Exported(_built(layer, app["tree"], manifest, wanted), manifest.name, _warnings(layer, app))
    finally:
        os.close(kept)


def _app_of(launch: dict[str, Any], name: str, uuid: str) -> dict[str, Any]:
    found = [app for app in launch["apps"] if name in ("", app["name"])]
    if len(found) == 1:
        return dict(found[0])
    names = ", ".join(app["name"] for app in launch["apps"])
    raise PodError(f"has no app {name}" if name else "has several apps", where=uuid, hint=f"name one of: {names}")


def _manifest(store: Store, pod: PodDirectory, launch: dict[str, Any], wanted: Wanted) -> ImageManifest:
    """Return the manifest of the new image: the app as it ran, in place of dependencies and whitelists that are applied already."""
    path = f"{pod.location}/pod"
    apps = (read_record(path) or {}).get("apps", ())
    ran = next((app["app"] for app in apps if app["name"] == launch["name"]), None)
    if ran is None:
        raise PodError("the manifest of the pod lacks the app", where=path, hint="the pod is damaged, and cannot be exported")
    manifest = store.manifest(launch["image_id"])
    labels = manifest.labels
    if wanted.version:
        others = tuple(label for label in labels if label.name != "version")
        labels = (NamedValue("version", wanted.version), *others)
    return replace(
        manifest,
        name=check_ac_identifier(wanted.name, "name") if wanted.name else manifest.name,
        labels=labels,
        app=App.from_json(ran, f"{path}: app"),
        dependencies=(),
        path_whitelist=(),
    )


def _built(layer: str, tree: str, manifest: ImageManifest, wanted: Wanted) -> str:
    """Build the image in a child, whose mount of both layers ends with it."""
    from ..image import sandbox
    from ..image.limits import DEFAULT

    report = sandbox.run(lambda: _build(layer, tree, manifest, wanted), (), DEFAULT)
    return str(report["image_id"])


def _build(layer: str, tree: str, manifest: ImageManifest, wanted: Wanted) -> dict[str, Any]:
    """Run in the child: return the image ID."""
    from ..image.build import build
    from .linux.kernel import Kernel
    from .linux.rootfs import mount_layers

    os.umask(0o022)
    # Where the launcher mounted it too, in a namespace that is gone.
    root = f"{os.path.dirname(layer)}/root"
    mount_layers(Kernel(), root, layer, tree)
    return {"image_id": build(root, manifest, os.path.abspath(wanted.output), wanted.compression, wanted.overwrite, _KEEP)}


def _warnings(layer: str, app: dict[str, Any]) -> tuple[str, ...]:
    found = []
    if app["mounts"]:
        places = ", ".join(mount["target"] for mount in app["mounts"])
        found.append(f"what the app has in its volumes is not part of the image: {places}")
    if os.stat(layer).st_mtime < boot_time():
        found.append("the host was started again since the pod ran: what the app wrote shortly before that may be missing")
    return tuple(found)
