# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""From a generation to a pod that can be started without network: embryo, prepare, prepared.

All that a pod needs is on disk and synced before it is renamed to ``prepared``; one that is run at once is not synced. The
manifest is written first, so that garbage collection of images knows what the pod needs while its trees are being rendered.
"""

from __future__ import annotations

import os
import time

from ..audit.log import record as write_down
from ..errors import NotFound, PodError
from ..record import replace
from ..spec.canonical import dumps
from ..store.files import fsync_directory, raise_disk_error, write_all
from .launch_record import encode, launch_record, tree_name, volume_directory
from .names import Names
from .pod_directory import PodDirectory
from .pods import read_launch
from .template import made_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..paths import Paths
    from ..store.store import Store
    from ..store.verdict import Verdict
    from .names import Named
    from .reify import Generation

    Standing = Callable[[Verdict, str], None]


def prepare(paths: Paths, store: Store, generation: Generation, *, standing: Standing, number: int = 0) -> str:
    """Make a prepared pod of `generation` and return its UUID.

    Args:
        paths: where pods are.
        store: where its images are.
        generation: what to run.
        standing: called with the verdict and name of each image; raises TrustError where it may not run today. Not
            optional: what an image was let in for need not hold when it is run.
        number: the generation's number under its name; 0 for a pod without one.

    Raises:
        TrustError: from `standing`.
        NotFound: an image is not in the store.
        PodError: the source of a volume is missing or reached through a symbolic link (P17, P19).
        IsolatorError: an isolator that has to be enforced cannot be.
    """
    pod = prepare_held(paths, store, generation, standing=standing, number=number)
    with pod:
        _sync(pod.location)
        images = {app["name"]: app["image"]["id"] for app in generation.manifest["apps"]}
        write_down(paths, "prepare", pod.uuid, name=generation.name, images=images, manifest=generation.digest)
        pod.move("prepared")
    return pod.uuid


def prepare_held(paths: Paths, store: Store, generation: Generation, *, standing: Standing, number: int = 0) -> PodDirectory:
    """Make a pod that is complete, still in ``prepare`` and locked by the caller, who moves it to ``run`` or ``prepared``.

    Arguments and errors are those of `prepare`. A pod that cannot be completed becomes garbage.
    """
    pod = PodDirectory.create(paths)
    try:
        _fill(pod, store, generation, standing, number)
    except BaseException:
        pod.move("garbage")
        pod.unlock()
        raise
    return pod


def check_images(store: Store, manifest: dict[str, Any], standing: Standing) -> None:
    """Have the verdict of every image of a reified manifest, and of what it depends on, checked before a pod is made of them.

    Raises:
        TrustError: from `standing`.
        NotFound: an image or a dependency is not in the store any more.
    """
    for app in manifest["apps"]:
        for image_id in made_of(app):
            record = store.find_id(image_id)
            standing(record.verdict, record.name)


def check_pod(store: Store, launch: dict[str, Any], standing: Standing) -> None:
    """Have the verdict of every image that a prepared pod stands on checked again; by its launch record, which needs no parsing.

    Raises:
        TrustError: from `standing`.
        NotFound: an image is not in the store any more.
        StoreError: the record of its tree is damaged.
    """
    for app in launch["apps"]:
        for record in store.stands_on(tree_name(app)):
            standing(record.verdict, record.name)


def ready_pod(paths: Paths, store: Store, name: str, *, standing: Standing) -> str:
    """Return the UUID of a prepared pod of a name's current generation, making one where there is none: no network is needed.

    This is what a unit starts: each start is a new pod with a clean root file system (D6).

    Raises:
        NotFound: no such name, nothing current, or an image is gone; and what `prepare` raises.
    """
    names = Names(paths)
    # Without the lock: whoever starts a pod that was just prepared holds it and waits for this one.
    waiting = names.get(name)
    if _waits(paths, waiting):
        check_pod(store, read_launch(PodDirectory(paths, waiting.pod)), standing)
        return waiting.pod
    with names.lock(name):
        named, generation = names.get(name), names.current(name)
        if _waits(paths, named):
            check_pod(store, read_launch(PodDirectory(paths, named.pod)), standing)
            return named.pod
        uuid = prepare(paths, store, generation, standing=standing, number=named.current)
        names.write(replace(named, pod=uuid))
        return uuid


def _waits(paths: Paths, named: Named) -> bool:
    """Return whether the current pod of a name is prepared and was not started yet."""
    return bool(named.pod) and PodDirectory(paths, named.pod).directory(missing_ok=True) == "prepared"


def _fill(pod: PodDirectory, store: Store, generation: Generation, standing: Standing, number: int) -> None:
    location, manifest = pod.location, generation.manifest
    _write(f"{location}/pod", dumps(manifest))
    check_images(store, manifest, standing)
    for _name, volume in _volumes(manifest):
        if volume["kind"] == "host":
            check_source(volume["source"], volume["name"])
    trees = {app["image"]["id"]: store.tree(app["image"]["id"], made_of(app)) for app in manifest["apps"]}
    record = launch_record(
        manifest,
        trees,
        pod.uuid,
        generation.name,
        # As the launcher finds it, which takes no link on the way to a volume: --dir may be one.
        f"{os.path.realpath(pod.paths.pods('run'))}/{pod.uuid}/volumes",
        strict=bool(generation.options["strict"]),
        allow_ignored=tuple(generation.options["allow_ignored"]),
    )
    _make_volumes(f"{location}/volumes", manifest)
    _make_apps(f"{location}/apps", record)
    _write(f"{location}/launch", encode(record))
    origin = {"name": generation.name, "generation": number, "digest": generation.digest, "created": int(time.time())}
    _write(f"{location}/origin.json", dumps(origin))


def _write(path: str, data: bytes) -> None:
    """Create a file, without a sync: a pod that goes straight to ``run`` has no use for one."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, data)
    except OSError as error:
        raise_disk_error(error, path, len(data))
    finally:
        os.close(fd)


def _sync(location: str) -> None:
    """Make the pod last over a power loss: its own files and directories, not all that others write to the file system."""
    for directory, _names, files in os.walk(location):
        for name in files:
            fd = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            except OSError as error:
                raise_disk_error(error, f"{directory}/{name}")
            finally:
                os.close(fd)
        fsync_directory(directory)


def _volumes(manifest: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return every volume with the name of its directory: the pod's, and those that a mount brings along for one app."""
    found = [(volume_directory(volume), volume) for volume in manifest.get("volumes") or []]
    for app in manifest["apps"]:
        own = [mount["appVolume"] for mount in app.get("mounts") or [] if mount.get("appVolume")]
        found += [(volume_directory(volume, app["name"]), volume) for volume in own]
    return found


def _make_volumes(directory: str, manifest: dict[str, Any]) -> None:
    """Make the empty volumes, each with its mode and owner (P10), whatever the umask."""
    os.mkdir(directory, 0o711)
    for name, volume in _volumes(manifest):
        path = f"{directory}/{name}"
        if volume["kind"] == "empty" and not os.path.isdir(path):
            os.mkdir(path, 0o700)
            os.chown(path, volume.get("uid", 0), volume.get("gid", 0))
            os.chmod(path, int(volume.get("mode", "0755"), 8))


def _make_apps(directory: str, record: dict[str, Any]) -> None:
    """Make each app's own layer; its top has mode and owner of the image's root, because that is what the app will see as ``/``."""
    os.mkdir(directory, 0o700)
    for app in record["apps"]:
        for part in ("", "/upper", "/work", "/root"):
            os.mkdir(f"{directory}/{app['name']}{part}", 0o700)
        top = os.stat(app["tree"])
        upper = f"{directory}/{app['name']}/upper"
        os.chown(upper, top.st_uid, top.st_gid)
        os.chmod(upper, top.st_mode & 0o7777)


def check_source(source: str, volume: str) -> None:
    """Check that the source of a host volume exists and is reached without a symbolic link (P17, P19).

    An early word to the operator, before the old pod stops; the launcher opens the source by the same rule again.

    Raises:
        NotFound: there is nothing at `source`.
        PodError: a part of it is a symbolic link.
    """
    path = ""
    for part in source.strip("/").split("/"):
        path += f"/{part}"
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(
                f"the source of the volume {volume} does not exist (P17)", where=path, hint="create it before the pod is started"
            ) from None
        if mode & 0o170000 == 0o120000:
            raise PodError(
                f"the source of the volume {volume} leads through a symbolic link (P19)",
                where=path,
                hint=f"declare the place it leads to, {os.path.realpath(path)}",
                code="volume-source",
            )
