# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Named pods: which generation is current, which came before it, and what the operator wants of them.

``names/<name>/generations/<n>`` holds one generation, never rewritten under the same number unless the generation is the
same; ``names/<name>/state`` is the only file that changes, replaced whole. All of it is canonical JSON. A pod is one
execution of a generation; the name is the stable key.
"""

from __future__ import annotations

import os

from ..errors import NotFound, PodError, SpecError, StoreError
from ..record import Record, replace
from ..spec.canonical import dumps
from ..spec.identifier import check_ac_name, nearest
from ..store.files import fsync_directory, make_directory, read_limited, write_atomic
from ..store.locks import exclusive
from .pod_directory import PodDirectory, is_uuid
from .reify import Generation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from ..paths import Paths
    from ..store.locks import Lock

RUNNING, STOPPED = "running", "stopped"


def is_pod_name(text: str) -> bool:
    """Return whether `text` may name a pod: an AC name (T2) of at most 63 characters, as it becomes the host name."""
    try:
        check_ac_name(text, "name")
    except SpecError:
        return False
    return True


class Named(Record):
    """A named pod.

    Attributes:
        name: the pod's name.
        wanted: ``running`` or ``stopped``: what the operator asked for last.
        current: number of the generation that runs or ran last; 0 where none was started yet.
        previous: number of the one before it, to go back to; 0 where there is none.
        pod: UUID of the pod that was made last from the current generation; empty where there is none.
        staged: number of a generation that is prepared and waits for its start; 0 where none does.
        staged_pod: UUID of its prepared pod.
        latest: highest number ever given, so that none is given twice.
    """

    name: str
    wanted: str = STOPPED
    current: int = 0
    previous: int = 0
    pod: str = ""
    staged: int = 0
    staged_pod: str = ""
    latest: int = 0

    @property
    def kept(self) -> tuple[int, ...]:
        """Numbers of the generations that have to stay: staged, current and previous."""
        return tuple(sorted({self.staged, self.current, self.previous} - {0}))


class Names:
    """The named pods of a host; every change is made under the lock of the name (`lock`)."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths

    def _path(self, name: str, *parts: str) -> str:
        return "/".join((self.paths.names, check_ac_name(name, "name"), *parts))

    def list(self) -> tuple[str, ...]:
        """Return the names of all named pods, sorted."""
        try:
            found = os.listdir(self.paths.names)
        except FileNotFoundError:
            return ()
        return tuple(sorted(name for name in found if is_pod_name(name) and os.path.exists(self._path(name, "state"))))

    def find(self, name: str) -> Named | None:
        """Return the named pod, or None.

        Raises:
            PodError: its record is damaged.
        """
        value = read_record(self._path(name, "state"))
        if value is None:
            return None
        try:
            return Named(**value)
        except TypeError as error:
            raise PodError(
                f"the record of the pod is damaged: {error}", where=self._path(name, "state"), hint="remove the pod and declare it again"
            ) from error

    def get(self, name: str) -> Named:
        """Return the named pod.

        Raises:
            NotFound: no pod of this name was ever declared.
        """
        named = self.find(name)
        if named is None:
            near = nearest(name, self.list())
            raise NotFound(
                "there is no pod of this name",
                where=name,
                hint=f"did you mean {near}?" if near else "rocket list shows the pods of this host",
            )
        return named

    def generation(self, name: str, number: int) -> Generation:
        """Return a kept generation.

        Raises:
            NotFound: it is not kept any more.
        """
        path = self.place(name, number)
        value = read_record(path)
        if value is None:
            raise NotFound(f"generation {number} of the pod is not kept", where=path, hint="declare the pod again")
        return Generation.from_json(value)

    def current(self, name: str) -> Generation:
        """Return the generation that runs or ran last, what is started when the host boots.

        Raises:
            NotFound: no such pod, or nothing of it was started yet.
        """
        named = self.get(name)
        if not named.current:
            raise NotFound("the pod has no current generation", where=name, hint="apply its declaration with state running")
        return self.generation(name, named.current)

    def lock(self, name: str, wait: bool = True) -> Lock:
        """Lock the name for one change of the pod; to be used as a context.

        Raises:
            Busy: `wait` is false and another process changes the pod.
            StoreError: the lock file cannot be opened.
        """
        while True:
            make_directory(self._path(name, "generations"), 0o700)
            try:
                return exclusive(self._path(name, "lock"), wait=wait)
            except StoreError:
                # The holder that was waited for has forgotten the name, and its directory with it.
                if os.path.isdir(self._path(name)):
                    raise

    def write(self, named: Named) -> Named:
        """Replace the record of a named pod and return it; the caller holds the lock."""
        write_atomic(self._path(named.name, "state"), dumps(dict(named.__dict__)), 0o600)
        return named

    def keep(self, named: Named, generation: Generation) -> Named:
        """Write `generation` under a new number and return the pod with that number as the latest; the record is not written."""
        number = named.latest + 1
        directory = self._path(named.name, "generations")
        make_directory(directory, 0o700)
        write_atomic(f"{directory}/{number}", dumps(generation.to_json()), 0o600)
        return replace(named, latest=number)

    def rewrite(self, name: str, number: int, generation: Generation) -> None:
        """Write a generation again under its number: the same pod declared in other words.

        Raises:
            PodError: its digest is another one, which makes it another generation.
        """
        if self.generation(name, number).digest != generation.digest:
            raise PodError(f"generation {number} is another pod", where=name, hint="give it a number of its own")
        write_atomic(self._path(name, "generations", str(number)), dumps(generation.to_json()), 0o600)

    def place(self, name: str, number: int) -> str:
        """Return the path of a generation, which need not be there."""
        return self._path(name, "generations", str(int(number)))

    def numbers(self, name: str) -> tuple[int, ...]:
        """Return the numbers of all generations on disk, kept or not."""
        try:
            found = os.listdir(self._path(name, "generations"))
        except FileNotFoundError:
            return ()
        return tuple(sorted(int(number) for number in found if number.isascii() and number.isdigit()))

    def drop(self, name: str, number: int) -> None:
        """Delete a generation that is not kept; no error when it is gone.

        Raises:
            PodError: the generation is staged, current or previous.
        """
        named = self.find(name)
        if named is not None and number in named.kept:
            raise PodError(f"generation {number} is in use", where=name, hint="only generations before the previous one can be dropped")
        _unlink(self.place(name, number))

    def forget(self, name: str) -> None:
        """Delete everything about a name; the record first, so that a crash leaves no half-known pod. The lock is held."""
        _unlink(self._path(name, "state"))
        if os.path.isdir(self._path(name)):
            fsync_directory(self._path(name))
        for number in self.numbers(name):
            _unlink(self._path(name, "generations", str(number)))
        try:
            os.rmdir(self._path(name, "generations"))
        except FileNotFoundError:
            pass
        _unlink(self._path(name, "lock"))
        try:
            os.rmdir(self._path(name))
        except FileNotFoundError:
            pass

    def images_in_use(self, without: Collection[str] = ()) -> frozenset[str]:
        """Return the IDs that garbage collection must keep: images of kept generations, images and trees of pods that are no garbage.

        Args:
            without: UUIDs of pods that count as gone.
        """
        used: set[str] = set()
        for name in self.list():
            named = self.find(name)
            for number in named.kept if named else ():
                used.update(image_ids(self.generation(name, number).manifest))
        for state in ("prepare", "prepared", "run", "exited-garbage"):
            for uuid in pod_uuids(self.paths, state):
                if uuid not in without:
                    used.update(used_by(PodDirectory(self.paths, uuid).path(state)))
        return frozenset(used)


def used_by(location: str) -> set[str]:
    """Return the IDs of a pod: images of its manifest, images and trees of what starts it; a damaged file names none."""
    from .launch_record import decode, tree_name

    used: set[str] = set()
    try:
        used.update(image_ids(read_record(f"{location}/pod") or {}))
    except PodError:
        pass  # What would start it may still be whole; without both it starts nothing.
    path = f"{location}/launch"
    try:
        apps = decode(read_limited(path), path)["apps"]
    except (FileNotFoundError, PodError):
        return used
    for app in apps:
        used.update((app["image_id"], tree_name(app)))
    return used


def image_ids(manifest: dict[str, Any]) -> tuple[str, ...]:
    """Return the IDs of the images of a reified pod manifest, of what they depend on, and of the trees that are made of them."""
    from .template import made_of

    found: list[str] = []
    for app in manifest.get("apps", ()):
        ids = made_of(app)
        found += ids
        if len(ids) > 1:
            from ..store.dependencies import layered_tree_id

            found.append(layered_tree_id(ids))
    return tuple(found)


def pod_uuids(paths: Paths, state: str) -> tuple[str, ...]:
    """Return the UUIDs of the pods in the directory `state`, sorted; whatever else lies there is none."""
    try:
        found = os.listdir(paths.pods(state))
    except FileNotFoundError:
        return ()
    return tuple(sorted(uuid for uuid in found if is_uuid(uuid)))


def read_record(path: str) -> Any:
    """Return the JSON value in one of our own files, None where there is no file."""
    import json

    try:
        return json.loads(read_limited(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise PodError(f"damaged record: {error}", where=path, hint="remove the pod and declare it again") from error


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
