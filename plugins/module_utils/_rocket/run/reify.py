# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""From a declaration to a generation: the reified pod manifest (P3), its options, and the digest that is its identity.

Reifying fixes every image, and every image that it depends on, by its ID, gives each app the whole ``app`` that it will
run with, and satisfies every mount point. It reads images through `images` and touches nothing.

The effective app is the pod's, else the image's (P6), never a mixture of the two in a pod manifest, and never that of
an image it depends on (D2). In the short form of a declaration `exec`, `user`, `group` and `working_directory`
replace the image's; variables replace those of the same name and are added behind them; an isolator replaces the
image's of the same name, or of the name that it excludes (I5); a ``read_only`` mount makes its mount point read-only.
The result is a whole app, written into the manifest.

A mount point without a mount takes the pod's volume of its own name, else an empty volume of its own that is made for it
(``<app>-<mount point>``): two apps never come to share a volume that nobody declared.
"""

from __future__ import annotations

from ..errors import IsolatorError, PodError, SpecError
from ..record import Record
from ..spec.canonical import digest
from ..spec.isolators import DEFAULT_CAPABILITIES
from ..spec.pod_manifest import PodManifest, RuntimeApp, RuntimeImage, check_image, check_reified
from ..spec.values import NamedValue
from .declared_isolators import REMOVE, RETAIN, family
from .template import MADE_OF, STRICT, copy, image_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from ..store.record import ImageRecord
    from .declaration import Declaration

    class Images(Protocol):
        """What there is of images: the store, or the store as a lock file or today's trust lets it be seen."""

        def resolve(self, text: str) -> ImageRecord:
            """Return the stored image for an image ID or a name with labels; raise NotFound."""

        def made_of(self, record: ImageRecord) -> tuple[str, ...]:
            """Return the IDs of the image and of all that it depends on, in the order of writing; raise NotFound."""


class Generation(Record):
    """One form of a pod, ready to be prepared any number of times without network.

    Attributes:
        name: the pod's name; empty for a pod without one.
        digest: ``sha512-`` and the SHA-512 of the canonical JSON of `manifest`: the identity of the generation.
        declaration: the declaration's normal form, what the next one is compared with.
        manifest: the reified pod manifest as a JSON value.
        options: what the launch needs to know beside it: ``strict`` (boolean), ``allow_ignored`` (isolator names).
        warnings: what is allowed and probably not meant.
    """

    name: str
    digest: str
    declaration: dict[str, Any]
    manifest: dict[str, Any]
    options: dict[str, Any]
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the generation as a JSON value."""
        return {**self.__dict__, "warnings": list(self.warnings)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Generation:
        """Read what to_json wrote.

        Raises:
            PodError: the manifest is not the one that the digest names.
        """
        try:
            generation = cls(**{**value, "warnings": tuple(value["warnings"])})
        except (TypeError, KeyError) as error:
            raise PodError(f"the record of a generation is damaged: {error}", hint="declare the pod again") from error
        if digest(generation.manifest) != generation.digest:
            raise PodError("the record of a generation does not fit its digest", where=generation.name, hint="declare the pod again")
        return generation


def reify(
    declaration: Declaration,
    images: Images,
    strict: bool = False,
    allow_ignored: tuple[str, ...] = (),
) -> Generation:
    """Return the generation that `declaration` stands for with the images that there are now.

    Args:
        declaration: what the user wrote.
        images: where the images and what they depend on are looked up.
        strict: refuse to run unless every isolator is in place (I2).
        allow_ignored: isolators that may be ignored although they are refused otherwise.

    Raises:
        IsolatorError: the image asks for capabilities that the declaration does not give.
        SpecError: P5, P6, P8, P13, P16, or an image without an app that nobody completes.
        NotFound: an image, or what it depends on, is not in the store; from `images`.
    """
    manifest = declaration.template()
    declared = declaration.value.get("apps")
    volumes: list[dict[str, Any]] = list(manifest.get("volumes") or [])
    warnings: list[str] = []
    for index, app in enumerate(manifest["apps"]):
        path = f"apps[{index}]" if declared is not None else f"manifest.apps[{index}]"
        record = images.resolve(declared[index]["image"] if declared is not None else image_reference(app["image"]))
        _fix_image(app, record, path)
        _fix_dependencies(app, images.made_of(record))
        warnings += [f"{app['name']}: {text}" for text in record.manifest.warnings()]
        if app.get("app") is None:
            image_app = record.manifest.app
            app["app"] = _effective(declared[index] if declared else {}, image_app.to_json() if image_app else {}, path)
        _satisfy(app, volumes, path)
    if volumes:
        manifest["volumes"] = volumes
    if strict:
        manifest["annotations"].append({"name": STRICT, "value": "true"})
    place = "" if declared is not None else "manifest"
    checked = PodManifest.from_json(manifest, place)
    check_reified(checked, path=place)
    value = checked.to_json()
    return Generation(
        declaration.name,
        digest(value),
        declaration.normal(),
        value,
        {"strict": strict, "allow_ignored": sorted(allow_ignored)},
        (*warnings, *checked.warnings()),
    )


def _fix_image(app: dict[str, Any], record: ImageRecord, path: str) -> None:
    """Give the app's image its ID; a name and labels beside it have to be the image's own (P5)."""
    image = RuntimeImage(
        name=app["image"].get("name", ""),
        labels=tuple(NamedValue(label["name"], label["value"]) for label in app["image"].get("labels") or []),
    )
    check_image(RuntimeApp(app["name"], image), record.manifest, path)
    app["image"] = {"id": record.id, "name": record.name}
    if record.labels:
        app["image"]["labels"] = [{"name": name, "value": value} for name, value in record.labels]


def _fix_dependencies(app: dict[str, Any], ids: tuple[str, ...]) -> None:
    """Write down what the image depends on today: a generation means the same files for as long as it is kept."""
    kept = [item for item in app.get("annotations") or [] if item["name"] != MADE_OF]
    if len(ids) > 1:
        kept.append({"name": MADE_OF, "value": " ".join(ids)})
    if kept or "annotations" in app:
        app["annotations"] = kept


def _effective(declared: dict[str, Any], image: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the whole app from what is declared in short form and the image's app."""
    app: dict[str, Any] = copy(image)
    for word, member in (("exec", "exec"), ("user", "user"), ("group", "group"), ("working_directory", "workingDirectory")):
        if word in declared:
            app[member] = copy(declared[word])
    for member, rule in (("exec", "M6"), ("user", "M7"), ("group", "M7")):
        if not app.get(member):
            raise SpecError(f"the image does not say its {member}", path=path, rule=rule, hint=f"declare {member} for this app")
    environment = {item["name"]: item["value"] for item in app.get("environment") or []}
    environment.update(sorted(declared.get("environment", {}).items()))
    app["environment"] = [{"name": name, "value": value} for name, value in environment.items()]
    declared_names = {isolator["name"] for isolator in declared.get("isolators", ())}
    _check_asked(app, declared_names, path)
    replaced = {name for isolator in declared.get("isolators", ()) for name in family(isolator["name"])}
    kept = [isolator for isolator in app.get("isolators") or [] if isolator["name"] not in replaced]
    app["isolators"] = kept + copy(declared.get("isolators", []))
    points = app["mountPoints"] = list(app.get("mountPoints") or [])
    for mount in declared.get("mounts", ()):
        if mount["read_only"]:
            _make_read_only(points, mount)
    return app


def _check_asked(app: dict[str, Any], declared: set[str], path: str) -> None:
    """Refuse capabilities beyond the 14 defaults that only the image asks for: more power is the operator's to give."""
    if declared & {RETAIN, REMOVE}:
        return
    for isolator in app.get("isolators") or []:
        more = sorted(set(isolator["value"]["set"]) - set(DEFAULT_CAPABILITIES)) if isolator["name"] == RETAIN else []
        if more:
            raise IsolatorError(
                f"the image asks for {', '.join(more)}, which the declaration does not give",
                where=path,
                hint="list the capabilities that the app may have under isolators.capabilities",
                code="capabilities",
            )


def _make_read_only(points: list[dict[str, Any]], mount: dict[str, Any]) -> None:
    for point in points:
        if point["path"] == mount["path"]:
            point["readOnly"] = True
            return
    name = _free_name(mount["volume"], {point["name"] for point in points})
    points.append({"name": name, "path": mount["path"], "readOnly": True})


def _satisfy(app: dict[str, Any], volumes: list[dict[str, Any]], path: str) -> None:
    """Give every mount point of the effective app a mount, making empty volumes where nothing else fits (P3)."""
    mounts = app["mounts"] = list(app.get("mounts") or [])
    covered = {mount["path"] for mount in mounts}
    names = {volume["name"] for volume in volumes}
    for point in app["app"].get("mountPoints") or []:
        if point["path"] in covered:
            continue
        volume = point["name"]
        if volume not in names:
            volume = _free_name(f"{app['name']}-{point['name']}", names)
            names.add(volume)
            volumes.append({"name": volume, "kind": "empty", "mode": "0755", "uid": 0, "gid": 0})
        mounts.append({"volume": volume, "path": point["path"]})


def _free_name(wanted: str, taken: set[str]) -> str:
    """Return an AC name that is not taken: `wanted`, or it with a number."""
    number, name = 1, wanted[:63].rstrip("-")
    while name in taken:
        number += 1
        name = f"{wanted[:56].rstrip('-')}-{number}"
    return name
