# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""From a command line to a generation: the same declaration, reified by the same code, as in a playbook.

Images are looked up in the store alone, and each one's verdict is checked against what is trusted today.
"""

from __future__ import annotations

from ..errors import Busy, NotFound, UsageError
from . import output, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..run.reify import Generation, Images
    from ..store.record import ImageRecord
    from ..store.store import Store
    from ..store.verdict import Verdict
    from .context import Context
    from .options import Values
    from .pod_line import AppLine, PodLine

MANIFEST_LIMIT = 1 << 20


def generation(line: PodLine, store: Store, context: Context) -> Generation:
    """Return the generation that a command line stands for.

    Raises:
        UsageError, SpecError: the line, or a value in it, breaks a rule.
        NotFound: an image is not in the store; says which command gets it.
        TrustError: an image's stored verdict does not stand today.
    """
    from ..run.declaration import Declaration
    from ..run.reify import reify

    images = Trusted(store, context, line.values.text("--lock"))
    declaration = Declaration.from_json({**value(line, images), **_pod_name(line, context)}, named=False)
    made = reify(declaration, images)
    groups = {index: app.values.text("--supplementary-gids") for index, app in enumerate(line.apps)}
    if not any(groups.values()):
        return made
    manifest = made.manifest
    for index, text in groups.items():
        if text:
            manifest["apps"][index]["app"]["supplementaryGIDs"] = words.numbers(text, f"--supplementary-gids={text}")
    whole = {
        **_pod_name(line, context),
        "manifest": manifest,
        "network": made.declaration["network"],
        "stop_timeout": made.declaration["stop_timeout"],
    }
    return reify(Declaration.from_json(whole, named=False), images)


def _pod_name(line: PodLine, context: Context) -> dict[str, str]:
    """Return the name asked for, unless a declaration or a running pod has it: two pods would answer to one name."""
    if not line.values.has("--pod-name"):
        return {}
    from ..run.names import Names, is_pod_name
    from ..run.pods import Pods

    name = line.values.text("--pod-name")
    if is_pod_name(name):
        if Names(context.paths).find(name) is not None:
            raise UsageError(
                "is the name of a declared pod", where=f"--pod-name={name}", hint=f"start that one: rocket run-prepared {name}"
            )
        if any(pod.running for pod in Pods(context.paths).of_name(name)):
            raise Busy("a pod of this name runs", where=f"--pod-name={name}", hint=f"stop it first: rocket stop {name}")
    return {"name": name}


def standing(context: Context) -> Callable[[Verdict, str], None]:
    """Return what refuses an image whose stored verdict does not hold today, under the relaxations asked for."""
    from ..trust.standing import standing as of_paths

    return of_paths(context.paths, context.insecure)


def warn(made: Generation, line: PodLine) -> None:
    """Say what is allowed and probably not meant."""
    if not line.values.flag("--quiet"):
        for text in made.warnings:
            output.note(f"warning: {text}")


def save_uuid(line: PodLine, uuid: str) -> None:
    """Write the pod's UUID to the file of ``--uuid-file-save``, complete or not at all."""
    if line.values.has("--uuid-file-save"):
        import os

        from ..store.files import write_atomic

        write_atomic(os.path.abspath(line.values.text("--uuid-file-save")), f"{uuid}\n".encode(), 0o644)


class Trusted:
    """The images of the store for a launch: their verdicts checked against today's trust, references as a lock file has them.

    A refusal costs nothing yet: no pod exists.
    """

    def __init__(self, store: Store, context: Context, lock_file: str = "") -> None:
        self._images: Images = store
        self._check = standing(context)
        if lock_file:
            from ..host.lock_file import read_lock
            from ..platform import host
            from ..store.locked import LockedImages
            from . import packages

            packages.reach()
            self._images = LockedImages(store, read_lock(lock_file), host())

    def resolve(self, text: str) -> ImageRecord:
        """Return the image that a reference means; raises NotFound, which says what gets it, and TrustError."""
        try:
            record = self._images.resolve(text)
        except NotFound as error:
            if error.code == "not-found":
                error.hint = f"rocket fetch {text}"
            raise
        self._check(record.verdict, record.name)
        return record

    def made_of(self, record: ImageRecord) -> tuple[str, ...]:
        """Return the IDs of the image and of what it depends on; raises NotFound."""
        return self._images.made_of(record)


def value(line: PodLine, images: Images) -> dict[str, Any]:
    """Return the declaration of a command line as a JSON value, the images by their IDs.

    Raises:
        UsageError: no image, or images beside ``--pod-manifest``.
    """
    pod: dict[str, Any] = {}
    if line.values.has("--net"):
        pod["network"] = line.values.text("--net")
    if line.values.has("--stop-timeout"):
        pod["stop_timeout"] = line.values.seconds("--stop-timeout", 10)
    if line.values.has("--pod-manifest"):
        return {**pod, "manifest": _manifest(line)}
    if not line.apps:
        raise UsageError("an image is missing", hint="name an image, or give --pod-manifest=FILE")
    pod["apps"] = [_app(app, line.values, images) for app in line.apps]
    pod["volumes"] = [_volume(text) for text in line.values.every("--volume")]
    names = [app["name"] for app in pod["apps"]]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two apps are called {name}", hint="tell them apart with --name=NAME after an image")
    return pod


def _manifest(line: PodLine) -> Any:
    from ..spec.reading import load
    from ..store.files import read_limited

    path = line.values.text("--pod-manifest")
    if line.apps:
        raise UsageError("takes no images beside it", where="--pod-manifest", hint="write them into the manifest")
    for name in ("--volume", "--mount", "--set-env"):
        if line.values.has(name):
            raise UsageError("cannot be used with --pod-manifest", where=name, hint="write it into the manifest")
    return load(read_limited(path, MANIFEST_LIMIT), path)


def _app(line: AppLine, pod: Values, images: Images) -> dict[str, Any]:
    if line.image.startswith(("./", "../", "/", "file:", "http:", "https:", "oci:", "oci-archive:", "docker-archive:", "bundle:")):
        raise UsageError("run takes an image of the store, by name or image ID", where=line.image, hint=f"first: rocket fetch {line.image}")
    record = images.resolve(line.image)
    values = line.values
    app: dict[str, Any] = {"name": values.text("--name") or _app_name(record.name), "image": record.id}
    if values.has("--exec"):
        app["exec"] = [values.text("--exec"), *line.arguments]
    elif line.arguments:
        app["exec"] = [*(record.manifest.app.exec if record.manifest.app else ()), *line.arguments]
        if len(app["exec"]) == len(line.arguments):
            raise UsageError("has no program of its own to give arguments to", where=line.image, hint="name one with --exec=PATH")
    for option, member in (("--user", "user"), ("--group", "group"), ("--working-dir", "working_directory")):
        if values.has(option):
            app[member] = values.text(option)
    environment = _environment(pod, "--set-env")
    environment.update(_environment(values, "--environment"))
    if environment:
        app["environment"] = environment
    mounts = [_mount(text) for text in (*pod.every("--mount"), *values.every("--mount"))]
    if mounts:
        app["mounts"] = mounts
    isolators = _isolators(values)
    if isolators:
        app["isolators"] = isolators
    if values.has("--readonly-rootfs"):
        app["read_only_root"] = values.flag("--readonly-rootfs")
    return app


def _app_name(name: str) -> str:
    """Return an AC name from the last part of an image's name, as rkt does."""
    last = name.rpartition("/")[2]
    plain = "".join(character if character.isalnum() else "-" for character in last)
    while "--" in plain:
        plain = plain.replace("--", "-")
    return plain.strip("-")[:63].rstrip("-") or "app"


def _environment(values: Values, option: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in values.every(option):
        name, content = words.assignment(text, option)
        found[name] = content
    return found


def _isolators(values: Values) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for option, name in (("--memory", "resource/memory"), ("--cpu", "resource/cpu")):
        if values.has(option):
            found.append({"name": name, "value": {"limit": values.text(option)}})
    for option, verb in (("--caps-retain", "retain"), ("--caps-remove", "remove")):
        if values.has(option):
            names = [name for name in values.text(option).split(",") if name]
            found.append({"name": f"os/linux/capabilities-{verb}-set", "value": {"set": names}})
    if values.has("--no-new-privileges"):
        found.append({"name": "os/linux/no-new-privileges", "value": values.flag("--no-new-privileges")})
    return found


def _mount(text: str) -> dict[str, Any]:
    found = words.members(text, "--mount", ("volume", "target", "readOnly"), "rocket run")
    if "volume" not in found or "target" not in found:
        raise UsageError("expects volume=NAME,target=PATH", where=f"--mount={text}")
    mount: dict[str, Any] = {"volume": found["volume"], "path": found["target"]}
    if "readOnly" in found:
        mount["read_only"] = words.boolean(found["readOnly"], f"--mount={text}")
    return mount


def _volume(text: str) -> dict[str, Any]:
    name, _rest, rest = text.partition(",")
    found = words.members(rest, "--volume", ("kind", "source", "readOnly", "recursive", "mode", "uid", "gid"), "rocket run")
    volume: dict[str, Any] = {"name": name, "kind": found.get("kind", "")}
    for member, field in (("source", "source"), ("mode", "mode")):
        if member in found:
            volume[field] = found[member]
    for member, field in (("readOnly", "read_only"), ("recursive", "recursive")):
        if member in found:
            volume[field] = words.boolean(found[member], f"--volume={text}")
    for member in ("uid", "gid"):
        if member in found:
            volume[member] = words.number(found[member], f"--volume={text}")
    return volume
