# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A named pod as it is wanted: what is there, and the steps from there to what is wanted. Changes nothing; ensure.py applies.

===========  ==========================================================================================================
wanted       means
===========  ==========================================================================================================
running      the declared generation runs
prepared     the declared generation is ready to start without network; what runs goes on
stopped      nothing of the pod runs; with a declaration it is the prepared one that would start next
absent       nothing of the pod is left but logs and images
===========  ==========================================================================================================

What is compared: the digest of the reified manifest with that of the last generation, and the observed life cycle with
the wanted one. Never the defaults of an engine.
"""

from __future__ import annotations

from ..errors import NotFound, UsageError
from ..plan import Plan, Step
from ..record import Record, replace
from .differences import differences, hidden, told
from .names import RUNNING, STOPPED, Named, Names
from .pods import Pods, PodStatus
from .reify import Generation, reify
from .template import image_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..paths import Paths
    from .declaration import Declaration
    from .reify import Images

STATES = ("running", "prepared", "stopped", "absent")


class Observed(Record):
    """What is there of a named pod, and what its declaration stands for with the images of today.

    Attributes:
        named: the record of the name; None where nothing is known of it.
        current: the generation that runs or ran last.
        staged: the generation that is prepared and waits.
        pod: the current pod; None where there is none.
        staged_ready: whether the staged generation's pod is really prepared.
        pods: UUIDs of all pods made for the name.
        generation: what the declaration stands for; None without a declaration, or while an image is missing.
        kept: how what the host keeps to start the pod differs from what it should be; empty for not at all.
        missing: references of the declaration to images that are not in the store.
    """

    name: str
    named: Named | None = None
    current: Generation | None = None
    staged: Generation | None = None
    pod: PodStatus | None = None
    staged_ready: bool = False
    pods: tuple[str, ...] = ()
    generation: Generation | None = None
    missing: tuple[str, ...] = ()
    kept: str = ""

    @property
    def running(self) -> bool:
        """Whether the current pod runs."""
        return self.pod is not None and self.pod.running

    @property
    def wanted(self) -> str:
        """What was wanted last."""
        return self.named.wanted if self.named else STOPPED

    @property
    def last(self) -> Generation | None:
        """The generation that was declared last."""
        return self.staged or self.current


def observe(
    paths: Paths,
    name: str,
    declaration: Declaration | None = None,
    images: Images | None = None,
    strict: bool = False,
    allow_ignored: tuple[str, ...] = (),
) -> Observed:
    """Return what is there of the pod `name`; changes nothing.

    Args:
        paths: where pods are.
        name: the pod's name.
        declaration: what is declared of it, None where only its life cycle matters.
        images: as for `reify`; needed with a declaration.
        strict: as for `reify`.
        allow_ignored: as for `reify`.

    Raises:
        SpecError: the declaration cannot be reified.
        UsageError: the declaration is that of another pod.
    """
    names, pods = Names(paths), Pods(paths)
    named = names.find(name)
    observed = Observed(name, named)
    if named is not None:
        observed = replace(
            observed,
            current=names.generation(name, named.current) if named.current else None,
            staged=names.generation(name, named.staged) if named.staged else None,
            pod=_status(pods, named.pod),
            staged_ready=(staged := _status(pods, named.staged_pod)) is not None and staged.state == "prepared",
        )
    if declaration is None:
        return replace(observed, pods=tuple(pod.uuid for pod in pods.of_name(name)))
    if declaration.name != name or images is None:
        raise UsageError(f"the declaration is that of the pod {declaration.name or '(without a name)'}", where=name, hint="give its own")
    missing = _missing(declaration, images)
    generation = None if missing else reify(declaration, images, strict, allow_ignored)
    return replace(observed, generation=generation, missing=missing)


def _status(pods: Pods, uuid: str) -> PodStatus | None:
    try:
        return pods.status(uuid) if uuid else None
    except NotFound:
        return None


def _missing(declaration: Declaration, images: Images) -> tuple[str, ...]:
    missing = []
    for app in declaration.template()["apps"]:
        reference = image_reference(app["image"])
        try:
            images.made_of(images.resolve(reference))
        except NotFound:
            missing.append(reference)
    return tuple(dict.fromkeys(missing))


def plan_pod(declaration: Declaration | None, observed: Observed, state: str) -> Plan:
    """Return the steps that bring the pod into `state`, one of STATES; pure.

    The steps are `fetch` (an image that is not in the store: the plan cannot be applied until it is), `prepare`, `record`
    (only what is written down of the pod changes), `settle` (only what starts the pod at boot changes), `stop`, `start`,
    `remove`, in an order that keeps the old pod running until the new one is prepared.

    Raises:
        UsageError: `state` is none of STATES, or needs a declaration that is not given.
    """
    if state not in STATES:
        raise UsageError(f"{state} is not a state of a pod", hint=f"choose one of {', '.join(STATES)}")
    if state == "absent":
        return _plan_absent(observed)
    if declaration is None and (state == "prepared" or (state == "running" and observed.last is None)):
        raise UsageError(f"the state {state} needs a declaration", where=observed.name, hint="declare its apps")
    steps, drift = _declared_steps(declaration, observed, state), []
    if state == "stopped" and observed.running:
        steps.append(Step("stop", observed.name, "is to be stopped"))
    elif state == "running":
        replaced = any(step.action == "prepare" for step in steps) or (observed.staged is not None and not _reverted(observed))
        if replaced and observed.running:
            steps.append(Step("stop", observed.name, "makes way for the new generation"))
        if replaced or not observed.running:
            reason = "is new" if observed.current is None else "the new generation" if replaced else "not running"
            steps.append(Step("start", observed.name, reason))
        if observed.current is not None and not observed.running:
            drift.append(_drift(observed))
    if observed.kept and state != "prepared" and not {"start", "stop"} & {step.action for step in steps}:
        steps.append(Step("settle", observed.name, observed.kept))
        drift.append(observed.kept)
    wanted = observed.wanted if state == "prepared" else RUNNING if state == "running" else STOPPED
    if not steps and wanted != observed.wanted:
        steps.append(Step("record", observed.name, f"is to be {wanted}"))
    before = _declared(observed.last, observed.wanted)
    after = {**declaration.normal(), "state": wanted} if declaration else _declared(observed.last, wanted)
    shown = hidden(after, before) if steps else hidden(before)
    return Plan(f"pod {observed.name}", tuple(steps), hidden(before), shown, tuple(drift))


def _declared_steps(declaration: Declaration | None, observed: Observed, state: str) -> list[Step]:
    """Return the steps that the declaration calls for: none when the last generation is the declared one and at hand."""
    if declaration is None:
        return []
    name, last, wanted = observed.name, observed.last, observed.generation
    steps = [Step("fetch", image, "the image is not in the store") for image in observed.missing]
    changed = differences(last.declaration, declaration.normal()) if last else []
    if last is None:
        return [*steps, Step("prepare", name, "is new")]
    if _reverted(observed):
        return [Step("record", name, "declared as it is again, what was prepared meanwhile is given up")]
    if wanted is None or wanted.digest != last.digest:
        reason = f"declaration changed at {told(changed)}" if changed else f"image changed at {told(_images_changed(last, wanted))}"
        return [*steps, Step("prepare", name, reason)]
    if observed.staged is not None and not observed.staged_ready:
        return [*steps, Step("prepare", name, "the prepared pod is gone")]
    if state == "prepared" and observed.staged is None and (observed.pod is None or observed.pod.state not in ("running", "prepared")):
        return [*steps, Step("prepare", name, "no prepared pod")]
    if changed or dict(last.options) != dict(wanted.options):
        steps.append(
            Step("record", name, f"declaration changed at {told(changed)}, the pod stays the same" if changed else "options changed")
        )
    return steps


def _reverted(observed: Observed) -> bool:
    """Return whether the declaration stands for the current generation again, although another one was prepared since."""
    wanted, current, staged = observed.generation, observed.current, observed.staged
    return wanted is not None and current is not None and staged is not None and staged.digest != wanted.digest == current.digest


def _images_changed(last: Generation, wanted: Generation | None) -> list[str]:
    """Return where the store has another image today than the last generation runs: a name that is filled by a newer import."""
    if wanted is None:
        return ["apps"]
    return differences(last.manifest, wanted.manifest)


def _plan_absent(observed: Observed) -> Plan:
    steps = []
    if observed.running:
        steps.append(Step("stop", observed.name, "is to be absent"))
    if observed.named is not None or observed.pods:
        steps.append(Step("remove", observed.name, "is to be absent"))
    return Plan(f"pod {observed.name}", tuple(steps), hidden(_declared(observed.last, observed.wanted)), None)


def _drift(observed: Observed) -> str:
    """Say how the pod is not running."""
    pod = observed.pod
    if pod is None:
        return "not running: its pod is gone"
    codes = ", ".join(f"{app.name}={app.exit_status}" for app in pod.apps if app.exit_status is not None)
    return f"not running: {pod.state}" + (f" ({codes})" if codes else "")


def _declared(generation: Generation | None, wanted: str) -> Any:
    return None if generation is None else {**generation.declaration, "state": wanted}
