# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Clearing away what pods leave: mark, then sweep when the time of grace has passed.

Mark: an exited pod goes to ``exited-garbage``, an expired prepared one and an aborted prepare to ``garbage``; the rename
sets the directory's change time, from where the grace counts. Sweep: what has been garbage for long enough is deleted, and
so are generations that are not kept, logs of pods long gone, and cgroups whose pod is gone. A pod that waits for its name,
current or staged, does not expire.
"""

from __future__ import annotations

import os
import time

from ..audit.log import record as write_down
from ..errors import Busy, NotFound
from ..paths import POD_STATES
from ..plan import Plan, Step
from ..record import Record
from ..spec.identifier import check_uuid
from ..store.files import make_directory
from ..store.locks import exclusive
from ..store.usage import Tally
from . import last_had
from .names import Names, pod_uuids
from .pod_directory import PodDirectory
from .stop import kill_leftovers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..paths import Paths

# An embryo lives for the time between two system calls; its maker may sleep in between.
_EMBRYO = 60.0
_OVER = {"run": "exited", "prepare": "aborted-prepare"}


class Grace(Record):
    """How long things stay, in seconds.

    Attributes:
        garbage: from the mark to the deletion of a pod.
        prepared: a prepared pod that no name waits for, until it expires.
        logs: logs from the last line of a pod that is gone.
        mark_only: delete nothing.
    """

    garbage: float = 1800.0
    prepared: float = 86400.0
    logs: float = 604800.0
    mark_only: bool = False


def plan_gc(paths: Paths, grace: Grace, cgroups: Iterable[str] = (), now: float | None = None) -> Plan:
    """Return what there is to clear away; changes nothing, so that it is the dry run.

    Args:
        paths: where pods are.
        grace: how long things stay.
        cgroups: UUIDs of the pods that have a cgroup.
        now: seconds since the epoch.

    The steps are `mark`, `sweep` (a pod), `drop` (a generation), `log`, `cgroup`; apply them with `collect`.
    """
    moment = time.time() if now is None else now
    steps = _marks(paths, grace, moment)
    if not grace.mark_only:
        # Without grace, what is marked now is swept in the same run.
        marked = [step.subject for step in steps] if grace.garbage <= 0 else []
        steps += [_sweep(PodDirectory(paths, uuid), "no grace") for uuid in marked]
        for state in ("exited-garbage", "garbage"):
            for uuid in pod_uuids(paths, state):
                since = _since(PodDirectory(paths, uuid).path(state))
                if since is not None and moment - since >= grace.garbage:
                    steps.append(_sweep(PodDirectory(paths, uuid), f"{state} since {when(since)}"))
        steps += _generations(paths) + _logs(paths, grace, moment) + _cgroups(paths, cgroups)
    return Plan("garbage", tuple(steps))


def _sweep(pod: PodDirectory, reason: str) -> Step:
    directory = pod.directory(missing_ok=True)
    return Step("sweep", pod.uuid, reason, size=Tally().freed(pod.path(directory)) if directory else 0)


def let_go(plan: Plan, paths: Paths) -> tuple[frozenset[str], dict[str, float]]:
    """Return the pods that do not use their images any more once a plan of `plan_gc` is carried out, and when they last had which.

    A pod that is marked and was never started is garbage at once; one that ended uses its images until it is swept.
    """
    pods: set[str] = set()
    images: dict[str, float] = {}
    for step in plan.steps:
        if step.action not in ("mark", "sweep"):
            continue
        pod = PodDirectory(paths, step.subject)
        directory = pod.directory(missing_ok=True)
        if step.action == "mark" and directory == "run":
            continue
        pods.add(pod.uuid)
        for image_id, moment in last_had.had(pod.path(directory)).items() if directory else ():
            images[image_id] = max(moment, images.get(image_id, 0))
    return frozenset(pods), images


def collect(
    plan: Plan,
    paths: Paths,
    release: Callable[[str], None] = lambda _uuid: None,
    remove: Callable[[str], None] | None = None,
) -> list[Step]:
    """Apply a plan of `plan_gc` and return the steps that were done; what has changed or is in use meanwhile is left out.

    Args:
        plan: what `plan_gc` returned.
        paths: where pods are.
        release: frees what a pod left outside its directory, such as its cgroup, by UUID; no error where there is nothing.
        remove: deletes a tree of files; `image.remove.remove_tree` unless a test says otherwise.

    Raises:
        Busy: another collection is under way.
    """
    done = []
    make_directory(paths.locks, 0o700)
    with exclusive(f"{paths.locks}/gc", wait=False):
        for step in plan.steps:
            try:
                if _apply(step, paths, release, remove or _remove_tree):
                    done.append(step)
            except (Busy, NotFound):
                continue
    return done


def remove_pod(pod: PodDirectory, release: Callable[[str], None] = lambda _uuid: None, remove: Callable[[str], None] | None = None) -> None:
    """Delete a pod that does not run, now; its logs stay. No error when it is gone already.

    Raises:
        Busy: it runs, or is being prepared or deleted.
    """
    try:
        pod.lock()
    except NotFound:
        return
    with pod:
        write_down(pod.paths, "rm", pod.uuid)
        _delete(pod, release, remove or _remove_tree)


def _marks(paths: Paths, grace: Grace, now: float) -> list[Step]:
    steps = []
    for uuid in pod_uuids(paths, "embryo"):
        since = _since(PodDirectory(paths, uuid).path("embryo"))
        if since is not None and now - since >= _EMBRYO:
            steps.append(Step("mark", uuid, "embryo of a process that is gone"))
    for state, over in _OVER.items():
        for uuid in pod_uuids(paths, state):
            if _state(paths, uuid) == over:
                steps.append(Step("mark", uuid, over))
    awaited = _awaited(paths)
    for uuid in pod_uuids(paths, "prepared"):
        since = _since(PodDirectory(paths, uuid).path("prepared"))
        if uuid not in awaited and since is not None and now - since >= grace.prepared:
            steps.append(Step("mark", uuid, f"prepared {when(since)} and never started"))
    return steps


def _awaited(paths: Paths) -> set[str]:
    """Return the UUIDs of the pods that a name may start."""
    names, awaited = Names(paths), set()
    for name in names.list():
        named = names.find(name)
        if named is not None:
            awaited |= {named.pod, named.staged_pod}
    return awaited


def _generations(paths: Paths) -> list[Step]:
    names, steps = Names(paths), []
    for name in names.list():
        named = names.find(name)
        for number in names.numbers(name) if named else ():
            # Numbers above the latest belong to a change under way.
            if named and number not in named.kept and number <= named.latest:
                size = Tally().freed(names.place(name, number))
                steps.append(Step("drop", name, f"generation {number} is older than the previous one", (("number", number),), size))
    return steps


def _logs(paths: Paths, grace: Grace, now: float) -> list[Step]:
    try:
        found = os.listdir(paths.logs)
    except FileNotFoundError:
        return []
    steps = []
    alive = {uuid for state in POD_STATES for uuid in pod_uuids(paths, state)}
    for uuid in sorted(found):
        directory = f"{paths.logs}/{uuid}"
        if uuid in alive or not os.path.isdir(directory):
            continue
        written = max((os.lstat(path).st_mtime for path in (directory, *_files(directory))), default=now)
        if now - written >= grace.logs:
            steps.append(Step("log", uuid, f"its pod is gone, the last line is of {when(written)}", size=Tally().freed(directory)))
    return steps


def _files(directory: str) -> list[str]:
    return [f"{directory}/{name}" for name in os.listdir(directory)]


def _cgroups(paths: Paths, cgroups: Iterable[str]) -> list[Step]:
    return [Step("cgroup", uuid, "its pod does not run") for uuid in sorted(cgroups) if _state(paths, uuid) in ("", "exited", "garbage")]


def _state(paths: Paths, uuid: str) -> str:
    try:
        return PodDirectory(paths, uuid).state()
    except NotFound:
        return ""


def _since(path: str) -> float | None:
    """Return when the directory was renamed to where it is, seconds since the epoch; None when it has gone on."""
    try:
        return os.lstat(path).st_ctime
    except FileNotFoundError:
        return None


def when(moment: float) -> str:
    """Return a time in UTC, to the second: a plan that is made again a moment later says the same."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


def _apply(step: Step, paths: Paths, release: Callable[[str], None], remove: Callable[[str], None]) -> bool:
    """Do one step if it is still called for; the state is looked at again under the lock."""
    if step.action == "drop":
        names = Names(paths)
        with names.lock(step.subject, wait=False):
            named, number = names.find(step.subject), int(dict(step.facts)["number"])
            if named is None or number in named.kept:
                return False
            names.drop(step.subject, number)
        return True
    if step.action == "log":
        remove(f"{paths.logs}/{check_uuid(step.subject, 'uuid')}")
        return True
    if step.action == "cgroup":
        if _state(paths, step.subject) == "running":
            return False
        release(step.subject)
        return True
    with PodDirectory(paths, step.subject).lock() as pod:
        directory = pod.directory()
        if step.action == "mark":
            return _mark(pod, directory)
        if directory not in ("exited-garbage", "garbage"):
            return False
        _delete(pod, release, remove)
    return True


def _mark(pod: PodDirectory, directory: str) -> bool:
    if directory == "run":
        kill_leftovers(pod)
        pod.move("exited-garbage")
    elif directory in ("embryo", "prepare") or (directory == "prepared" and pod.uuid not in _awaited(pod.paths)):
        pod.move("garbage")
    else:
        return False
    return True


def _delete(pod: PodDirectory, release: Callable[[str], None], remove: Callable[[str], None]) -> None:
    """Delete a locked pod: first nobody can start it any more, then nothing of it runs, then it goes."""
    directory = pod.directory()
    last_had.write_down(pod.paths, last_had.had(pod.location))
    if directory == "run":
        pod.move("exited-garbage")
    elif directory in ("embryo", "prepare", "prepared"):
        pod.move("garbage")
    kill_leftovers(pod)
    release(pod.uuid)
    remove(pod.location)


def _remove_tree(path: str) -> None:
    from ..image.remove import remove_tree

    remove_tree(path)
