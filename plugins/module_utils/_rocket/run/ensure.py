# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Bringing a named pod into the wanted state: observe and plan are in pod_plan.py, this applies the plan.

Make before break: the new pod is prepared, complete and synced, before the old one is asked to stop. If it then does not
come up, the previous generation is prepared again from what is on disk and started, and the error says so.

A crash between any two steps leaves a pod whose record says what was current, so that the next run finishes the work.
"""

from __future__ import annotations

from ..errors import Busy, NotFound, PodError, RocketError
from ..record import Record, replace
from .collect import remove_pod
from .names import RUNNING, STOPPED, Named, Names
from .pod_directory import PodDirectory
from .pod_plan import STATES, Observed, observe, plan_pod
from .pods import Pods, PodStatus, read_launch
from .prepare import check_pod, prepare
from .template import STOP_TIMEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..plan import Plan
    from ..store.store import Store
    from .prepare import Standing
    from .reify import Generation
    from .starter import Starter

__all__ = ["STATES", "Means", "Observed", "apply", "observe", "plan_pod"]


def _nothing(_uuid: str) -> None:
    """There is nothing to release."""


class Means(Record):
    """What applying a plan needs of the rest of rocket.

    Attributes:
        store: the images.
        starter: starts and stops pods.
        standing: as for `prepare`: whether an image may run today.
        release: frees what a removed pod left outside its directory, such as its cgroup.
    """

    store: Store
    starter: Starter
    standing: Standing
    release: Callable[[str], None] = staticmethod(_nothing)


def apply(plan: Plan, observed: Observed, means: Means) -> PodStatus | None:
    """Do what `plan` says and return the pod's status, None where no pod is left.

    Args:
        plan: made by `plan_pod` from `observed`.
        observed: what the plan was made from; the record of the name has to be the same still.
        means: see `Means`.

    Raises:
        NotFound: an image has to be fetched first; nothing was changed.
        Busy: somebody else has changed the pod since it was observed; nothing was changed.
        PodError: the new generation did not come up; says whether the previous one runs again.
    """
    actions = {step.action for step in plan.steps}
    missing = [step.subject for step in plan.steps if step.action == "fetch"]
    if missing:
        raise NotFound(f"the store has no image {', '.join(missing)}", where=observed.name, hint="fetch it first (appc.rocket.image)")
    names = Names(means.store.paths)
    if actions:
        with names.lock(observed.name):
            if names.find(observed.name) != observed.named:
                raise Busy("the pod was changed by somebody else meanwhile", where=observed.name, hint="run it again")
            if "remove" in actions:
                _remove(names, observed, means)
                return None
            _Application(names, observed, means).run(actions, _wanted(plan, observed))
    named = names.find(observed.name)
    uuid = (named.pod or named.staged_pod) if named else ""
    return Pods(means.store.paths).status(uuid) if uuid and PodDirectory(names.paths, uuid).directory(missing_ok=True) else None


def _wanted(plan: Plan, observed: Observed) -> str:
    return str(plan.after["state"]) if plan.after else observed.wanted


def _timeout(generation: Generation | None) -> int:
    settings = {item["name"]: item["value"] for item in generation.manifest["annotations"]} if generation else {}
    return int(settings.get(STOP_TIMEOUT, 10))


def _remove(names: Names, observed: Observed, means: Means) -> None:
    """Remove all traces: the unit first, so that nothing starts the pod again while it goes."""
    pods = Pods(names.paths)
    running = [pod.uuid for pod in pods.of_name(observed.name) if pod.running]
    for uuid in running:
        means.starter.stop(observed.name, uuid, _timeout(observed.current))
    means.starter.forget(observed.name)
    for pod in pods.of_name(observed.name):
        remove_pod(PodDirectory(names.paths, pod.uuid), means.release)
    names.forget(observed.name)


class _Application:
    """One plan being applied, under the lock of the name."""

    def __init__(self, names: Names, observed: Observed, means: Means) -> None:
        self.names = names
        self.name = observed.name
        self.observed = observed
        self.means = means
        self.named = observed.named or Named(observed.name)

    def run(self, actions: set[str], wanted: str) -> None:
        if "record" in actions:
            self._record()
        if "prepare" in actions:
            self._stage()
        if "stop" in actions:
            old = self.observed.pod.uuid if self.observed.pod else ""
            self.means.starter.stop(self.name, old, _timeout(self.observed.current))
        elif wanted == STOPPED and self.named.pod:
            # It does not run, but what starts it when the host boots may be there still.
            self.means.starter.stop(self.name, self.named.pod, _timeout(self.observed.current))
        self.named = self.names.write(replace(self.named, wanted=wanted))
        if "settle" in actions:
            self.means.starter.settle(self.name, wanted == RUNNING)
        if "start" in actions:
            self._start()

    def _record(self) -> None:
        """Write down another declaration of the same generation."""
        wanted, named = self.observed.generation, self.named
        if wanted is None:
            return
        if self.observed.staged is not None and self.observed.staged.digest != wanted.digest:
            named = replace(named, staged=0, staged_pod="")
        self.names.rewrite(self.name, named.staged or named.current, wanted)
        self.named = named

    def _stage(self) -> None:
        """Prepare a pod of the declared generation and write it down as staged; what runs is not touched."""
        wanted = self.observed.generation
        if wanted is None:
            raise PodError("there is no declaration to prepare", where=self.name)
        named = self.named
        same = [
            (number, known)
            for number, known in ((named.staged, self.observed.staged), (named.current, self.observed.current))
            if known is not None and known.digest == wanted.digest
        ]
        if same:
            number = same[0][0]
            self.names.rewrite(self.name, number, wanted)
        else:
            named = self.names.keep(named, wanted)
            number = named.latest
        uuid = self._prepare(wanted, number)
        self.named = self.names.write(replace(named, staged=number, staged_pod=uuid))

    def _prepare(self, generation: Generation, number: int) -> str:
        means = self.means
        return prepare(means.store.paths, means.store, generation, standing=means.standing, number=number)

    def _start(self) -> None:
        """Make the staged generation the current one and start it, or start the current one again."""
        before = self.named
        if before.staged:
            previous = before.current if before.current != before.staged else before.previous
            named = replace(before, current=before.staged, previous=previous, pod=before.staged_pod, staged=0, staged_pod="")
        else:
            named = before
        generation = self.names.generation(self.name, named.current)
        if not named.pod or PodDirectory(self.names.paths, named.pod).directory(missing_ok=True) != "prepared":
            named = replace(named, pod=self._prepare(generation, named.current))
        else:
            check_pod(self.means.store, read_launch(PodDirectory(self.names.paths, named.pod)), self.means.standing)
        self.named = self.names.write(named)
        try:
            self.means.starter.start(self.name, named.pod)
        except RocketError as error:
            self._go_back(before, error)

    def _go_back(self, before: Named, error: RocketError) -> None:
        """Start the generation that ran before the new one; always raises.

        Where none ran there is nothing to go back to: the new one stays the current one, and the next run tries again.
        """
        if not self.observed.running or before.current in (0, self.named.current):
            raise PodError(f"the pod did not start: {error}", where=self.name, hint="correct the declaration or the image") from error
        try:
            generation = self.names.generation(self.name, before.current)
            uuid = self._prepare(generation, before.current)
            self.named = self.names.write(replace(before, pod=uuid, staged=0, staged_pod="", wanted=RUNNING))
            self.means.starter.start(self.name, uuid)
        except RocketError as second:
            self.names.write(replace(self.named, wanted=RUNNING))
            raise PodError(
                f"the new generation did not start ({error}) and the previous one did not either ({second})",
                where=self.name,
                hint="the pod is down: correct the declaration or the image",
                code="rollback-failed",
            ) from error
        raise PodError(
            f"the new generation did not start, the previous one (generation {before.current}) runs again: {error}",
            where=self.name,
            hint="correct the declaration or the image",
            code="rolled-back",
        ) from error
