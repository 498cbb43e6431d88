# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The images of a host as an auditor wants them: where each came from, who vouched for it, whether it would start today, what uses it.

Nothing is changed, no packet is parsed and no blob is read: what the store and the pods have written down is put together.
Not handled here: whether the blobs still are what was recorded (store/verify.py).
"""

from __future__ import annotations

from ..errors import NotFound, PodError, RocketError, StoreError
from ..record import Record
from ..run.names import Names, image_ids, read_record, used_by
from ..run.pod_directory import PodDirectory
from ..run.pods import Pods
from ..run.template import made_of
from ..store.dependencies import name_of, visits, with_dependencies
from ..store.remembered import Remembered
from ..store.store import Store
from ..trust.standing import check_standing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from ..paths import Paths
    from ..run.pods import PodStatus
    from ..store.record import ImageRecord

# A pod in one of these states will not have an image any more, or does not have one yet.
_WITHOUT = ("embryo", "garbage", "deleting")


class Use(Record):
    """One pod that an image is part of.

    Attributes:
        name: the pod's name; empty for none.
        uuid: its UUID.
        state: in words, see run/pod_directory.py.
        apps: the names of its apps whose image it is; empty where it only came along, or the pod's manifest is damaged.
        dependency: whether the image of an app of this pod depends on it.
    """

    name: str
    uuid: str
    state: str
    apps: tuple[str, ...] = ()
    dependency: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the use for results."""
        return {**self.__dict__, "apps": list(self.apps)}


class AuditedImage(Record):
    """One image.

    Attributes:
        record: what the store knows of it.
        last_used: when it was last of use, seconds since the epoch; see Catalogue.last_use.
        in_use: whether a pod, a generation that is kept, or an image in use needs it.
        pods: those that it is part of, by name and UUID.
        problem: why it, or an image that it depends on, would not start today without an insecure option; None where it would.
    """

    record: ImageRecord
    last_used: int
    in_use: bool
    pods: tuple[Use, ...] = ()
    problem: RocketError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the image for results; what a verdict does not say is null or empty."""
        record = self.record
        return {
            "id": record.id,
            "name": record.name,
            "labels": dict(record.labels),
            "source": record.source,
            "reference": record.reference,
            "size": record.file_size,
            "imported_at": record.imported_at,
            "last_used": self.last_used,
            "dependencies": [str(name_of(dependency)) for dependency in record.manifest.dependencies],
            "in_use": self.in_use,
            "pods": [use.to_json() for use in self.pods],
            "verdict": {"digest": "", "policy": None, **record.verdict.to_json()},
            "standing": {
                "good": self.problem is None,
                "code": self.problem.code if self.problem else "",
                "problem": str(self.problem or ""),
            },
        }


class Audit(Record):
    """What was found.

    Attributes:
        images: by name and time of import.
        damaged: one sentence for each image or named pod that cannot be read.
    """

    images: tuple[AuditedImage, ...]
    damaged: tuple[str, ...]

    @property
    def refused(self) -> tuple[AuditedImage, ...]:
        """The images that would not start today."""
        return tuple(image for image in self.images if image.problem)

    def to_json(self) -> dict[str, Any]:
        """Return all of it for results."""
        return {"images": [image.to_json() for image in self.images], "damaged": list(self.damaged)}


def audit(paths: Paths) -> Audit:
    """Look at all images of a host; one that is damaged does not hide the others.

    Raises:
        StoreError: the store cannot be looked at, is of a later version, or lies where others may write.
    """
    store = Remembered(Store(paths).paths)
    uses, used = _uses(paths)
    kept, damaged = _kept(Names(paths))
    needed = with_dependencies(store, used | kept)
    checked: dict[str, RocketError | None] = {}
    images = [
        AuditedImage(
            record,
            int(store.last_use(record.id)),
            record.id in needed,
            tuple(uses.get(record.id, ())),
            _problem(store, record, checked),
        )
        for record in store.images()
    ]
    return Audit(tuple(images), (*map(str, store.damaged()), *damaged))


def _problem(store: Remembered, record: ImageRecord, checked: dict[str, RocketError | None]) -> RocketError | None:
    """Return why an image would not start today: its own verdict first, then what it depends on."""
    found = _standing(store, record, checked)
    if found or not record.manifest.dependencies:
        return found
    try:
        parts = visits(store, record)
    except (NotFound, StoreError) as error:
        return error
    for visit in parts:
        found = found or _standing(store, visit.image, checked)
    return found


def _standing(store: Remembered, record: ImageRecord, checked: dict[str, RocketError | None]) -> RocketError | None:
    """Return why the verdict of one image does not hold today."""
    if record.id not in checked:
        try:
            check_standing(record.verdict, record.name, store.paths, ())
            checked[record.id] = None
        except RocketError as error:
            checked[record.id] = error
    return checked[record.id]


def _kept(names: Names) -> tuple[frozenset[str], list[str]]:
    """Return the IDs of the images of kept generations, and what of them cannot be read."""
    kept: set[str] = set()
    damaged = []
    for name in names.list():
        try:
            named = names.find(name)
            for number in named.kept if named else ():
                kept.update(image_ids(names.generation(name, number).manifest))
        except (NotFound, PodError, StoreError) as error:
            damaged.append(str(error))
    return frozenset(kept), damaged


def _uses(paths: Paths) -> tuple[dict[str, list[Use]], frozenset[str]]:
    """Return the pods by the images that they are made of, and the IDs of all images and trees that pods have."""
    found: dict[str, list[Use]] = {}
    everything: set[str] = set()
    for pod in sorted(Pods(paths).list(), key=lambda pod: (pod.name, pod.created, pod.uuid)):
        if pod.state in _WITHOUT:
            continue
        try:
            location = PodDirectory(paths, pod.uuid).location
        except NotFound:
            continue
        known = used_by(location)
        everything |= known
        for image_id, use in _uses_of(pod, location, known).items():
            found.setdefault(image_id, []).append(use)
    return found, frozenset(everything)


def _uses_of(pod: PodStatus, location: str, known: Collection[str]) -> dict[str, Use]:
    """Return the images that one pod is made of; where its manifest is damaged, those of what starts it."""
    own: dict[str, list[str]] = {}
    below: set[str] = set()
    try:
        manifest = read_record(f"{location}/pod") or {}
    except (PodError, StoreError):
        manifest = {}
    for app in manifest.get("apps", ()):
        own.setdefault(app["image"]["id"], []).append(app["name"])
        below.update(made_of(app)[:-1])
    return {
        image_id: Use(pod.name, pod.uuid, pod.state, tuple(own.get(image_id, ())), image_id in below)
        for image_id in sorted({*own, *below, *known})
    }
