# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What pods there are and how they are: read from their directories, changed by nothing here.

Not handled here: what is wanted of a named pod (names.py), logs (logs.py).
"""

from __future__ import annotations

from ..errors import Ambiguous, NotFound, PodError, StoreError
from ..paths import POD_STATES
from ..record import Record
from ..store.files import read_limited
from .isolation import as_found
from .launch_record import decode, tree_name
from .names import Names, is_pod_name, pod_uuids, read_record
from .pod_directory import PodDirectory, is_uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..paths import Paths

MIN_PREFIX = 2


class AppStatus(Record):
    """One app of a pod.

    Attributes:
        name: the app's name in the pod.
        image_id: its image.
        image_name: the image's name.
        state: as its status file says (``running``, ``exited``, ...), the pod's state where there is none yet.
        status: the status file as a JSON value: pid, exit_status, started, exited, pre_start, post_stop.
    """

    name: str
    image_id: str
    image_name: str
    state: str
    status: dict[str, Any]

    @property
    def exit_status(self) -> int | None:
        """Exit status of the app, None while it has none."""
        value = self.status.get("exit_status")
        return value if isinstance(value, int) else None

    def to_json(self) -> dict[str, Any]:
        """Return the app as a JSON value."""
        return {**self.status, "name": self.name, "image_id": self.image_id, "image_name": self.image_name, "state": self.state}


class PodStatus(Record):
    """One pod.

    Attributes:
        uuid: the pod's UUID.
        name: the name it was made for; empty for none.
        state: in words, see pod_directory.py.
        generation: number of its generation under the name; 0 for none.
        previous: number of the generation that is kept to go back to, where this is the current pod of its name; else 0.
        digest: digest of its reified manifest; empty where the pod never got that far.
        created: seconds since the epoch; 0 where unknown.
        apps: in the order of the manifest.
        network: ``none`` or ``host``; empty where unknown.
        isolators: outcome of each isolator (I2).
        ended: how the pod ended, as the supervisor wrote it; empty while it has not.
        pid: process ID of the supervisor while the pod runs, else 0.
        damaged: which of its files cannot be read, as a power cut leaves them; empty while all can. It can still be removed.
    """

    uuid: str
    name: str
    state: str
    generation: int = 0
    previous: int = 0
    digest: str = ""
    created: int = 0
    apps: tuple[AppStatus, ...] = ()
    network: str = ""
    isolators: tuple[dict[str, str], ...] = ()
    ended: str = ""
    pid: int = 0
    damaged: str = ""

    @property
    def running(self) -> bool:
        """Whether the supervisor holds the pod's lock."""
        return self.state == "running"

    def to_json(self) -> dict[str, Any]:
        """Return the pod as a JSON value."""
        value = dict(self.__dict__)
        value["apps"] = [app.to_json() for app in self.apps]
        value["isolators"] = [dict(isolator) for isolator in self.isolators]
        return value


class Pods:
    """The pods of a host."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths

    def uuids(self) -> tuple[str, ...]:
        """Return the UUIDs of all pods, whatever their state."""
        return tuple(sorted({uuid for state in POD_STATES for uuid in pod_uuids(self.paths, state)}))

    def list(self) -> list[PodStatus]:
        """Return all pods, oldest first; one that is removed meanwhile is left out."""
        found = []
        for uuid in self.uuids():
            try:
                found.append(self._status(PodDirectory(self.paths, uuid)))
            except NotFound:
                continue
        return sorted(found, key=lambda pod: (pod.created, pod.uuid))

    def running_trees(self) -> frozenset[str]:
        """Return the names of the trees (``trees/<name>/rootfs``) that running pods have as their root.

        Raises:
            PodError: the launch record of one is damaged.
        """
        found: set[str] = set()
        for uuid in pod_uuids(self.paths, "run"):
            pod = PodDirectory(self.paths, uuid)
            if pod.state() == "running":
                found.update(tree_name(app) for app in read_launch(pod)["apps"])
        return frozenset(found)

    def status(self, text: str) -> PodStatus:
        """Return the pod that `text` means, see `find`."""
        return self._status(self.find(text))

    def find(self, text: str) -> PodDirectory:
        """Return the pod with this name, UUID or unique beginning of a UUID (two characters or more).

        A name means its current pod, else the one that is staged, else the newest made for it. A name wins over a beginning.

        Raises:
            NotFound: nothing fits.
            Ambiguous: several UUIDs begin so.
        """
        if is_pod_name(text):
            named = self._of_name(text)
            if named is not None:
                return named
        if is_uuid(text):
            pod = PodDirectory(self.paths, text)
            pod.directory()
            return pod
        found = [uuid for uuid in self.uuids() if uuid.startswith(text)] if len(text) >= MIN_PREFIX else []
        if len(found) == 1:
            return PodDirectory(self.paths, found[0])
        if found:
            raise Ambiguous(
                f"{len(found)} pods begin so: {', '.join(uuid[:13] for uuid in found[:4])}", where=text, hint="give more of the UUID"
            )
        raise NotFound("there is no such pod", where=text, hint="rocket list shows the pods of this host")

    def of_name(self, name: str) -> tuple[PodStatus, ...]:
        """Return every pod that was made for `name`, oldest first."""
        return tuple(pod for pod in self.list() if pod.name == name)

    def _of_name(self, name: str) -> PodDirectory | None:
        named = Names(self.paths).find(name)
        for uuid in (named.pod, named.staged_pod) if named else ():
            if uuid:
                pod = PodDirectory(self.paths, uuid)
                if pod.directory(missing_ok=True):
                    return pod
        made = self.of_name(name)
        return PodDirectory(self.paths, made[-1].uuid) if made else None

    def _previous(self, name: str, uuid: str) -> int:
        named = Names(self.paths).find(name) if name else None
        return named.previous if named and named.pod == uuid else 0

    def _status(self, pod: PodDirectory) -> PodStatus:
        """Return the status of one pod; it may move while it is read, so that files are looked up until it stands still."""
        while True:
            state, directory = pod.state(), pod.directory()
            location = pod.path(directory)
            (origin, first), (manifest, second) = _readable(f"{location}/origin.json"), _readable(f"{location}/pod")
            launch = _launch(f"{location}/launch")
            apps = tuple(_app(location, app, state) for app in manifest.get("apps", ()))
            ended = _text(f"{location}/ended")
            supervisor = pod.processes()[0] if state == "running" else None
            if pod.directory() == directory:
                break
        return PodStatus(
            uuid=pod.uuid,
            name=origin.get("name", ""),
            state=state,
            generation=origin.get("generation", 0),
            previous=self._previous(origin.get("name", ""), pod.uuid),
            digest=origin.get("digest", ""),
            created=origin.get("created", 0),
            apps=apps,
            network=launch.get("network", ""),
            isolators=as_found(launch.get("isolators", ()), (found for app in apps for found in app.status.get("isolators", ()))),
            ended=ended,
            pid=supervisor.pid if supervisor else 0,
            damaged=first or second,
        )


def _readable(path: str) -> tuple[dict[str, Any], str]:
    """Return a record of a pod and nothing, or an empty one and why it cannot be read: one damaged pod must not hide the others."""
    try:
        value = read_record(path)
    except (PodError, StoreError) as error:
        return {}, str(error)
    return (value, "") if isinstance(value, dict) else ({}, f"{path}: not a record" if value is not None else "")


def read_launch(pod: PodDirectory) -> dict[str, Any]:
    """Return the launch record of a pod.

    Raises:
        PodError: the pod was never prepared, or its record is damaged.
    """
    path = f"{pod.location}/launch"
    try:
        return decode(read_limited(path), path)
    except FileNotFoundError:
        raise PodError("the pod was never prepared", where=pod.uuid, hint="prepare it again") from None


def _launch(path: str) -> dict[str, Any]:
    """Return the launch record for a listing: nothing where there is none, or none of this version."""
    try:
        return decode(read_limited(path), path)
    except (FileNotFoundError, NotADirectoryError, PodError):
        return {}


def _app(location: str, app: dict[str, Any], state: str) -> AppStatus:
    status = _readable(f"{location}/apps/{app['name']}/status")[0]
    recorded = str(status.pop("state", "")) or state
    # The supervisor died without a word: its last one was that the app runs.
    if recorded == "running" and state != "running":
        recorded = "exited"
    return AppStatus(app["name"], app["image"]["id"], app["image"].get("name", ""), recorded, status)


def _text(path: str) -> str:
    try:
        return read_limited(path).decode("utf-8", "replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
