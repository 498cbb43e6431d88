# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket gc``: old pods, then the images that nothing needs any more."""

from __future__ import annotations

from . import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..plan import Step
    from .context import Context

COMMAND = options.Command(
    name="gc",
    usage="[options]",
    summary=(
        "Remove pods that ended, prepared ones that were never started, old generations and logs, and images that no pod needs. "
        "What was marked is removed once its time of grace has passed."
    ),
    options=(
        options.Option("--grace-period", "how long a pod stays after its end was seen (default 30m)", "TIME"),
        options.Option("--expire-prepared", "how long a prepared pod waits to be started (default 24h)", "TIME"),
        options.Option("--image-grace", "how long an unused image stays after it came (default 24h)", "TIME"),
        options.Option("--mark-only", "remove nothing; let the time of grace begin"),
        options.Option("--dry-run", "show what would be done"),
        options.Option("--format", "table (default) or json", "FORMAT"),
    ),
    examples=(
        ("rocket gc --dry-run", "what would go?"),
        ("rocket gc --grace-period=0 --image-grace=0", "everything that is not in use, now"),
    ),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket gc``.

    Raises:
        Busy: another collection is under way.
        StoreError: something could not be removed; everything else was.
    """
    parsed = options.parse(COMMAND, words)
    if parsed.help:
        output.write(options.help_text(COMMAND))
        return 0
    from ..host import leftovers
    from ..run import collect as pods
    from ..run.names import Names
    from ..store import collect as images
    from ..store.store import Store

    values, paths = parsed.values, context.paths
    form = values.choice("--format", ("table", "json"), "table")
    grace = pods.Grace(
        garbage=values.seconds("--grace-period", 1800),
        prepared=values.seconds("--expire-prepared", 86400),
        mark_only=values.flag("--mark-only"),
    )
    image_grace, dry_run = values.seconds("--image-grace", 86400), values.flag("--dry-run")
    store = Store(paths)
    plan = pods.plan_gc(paths, grace)
    done: list[Step] = list(plan.steps) if dry_run else pods.collect(plan, paths, leftovers.cgroups(paths))
    if dry_run:
        # What the removal of pods would set free is not counted: the dry run promises too little, never too much.
        done += [] if grace.mark_only else images.plan_gc(store, Names(paths).images_in_use(), image_grace).steps
    elif not grace.mark_only:
        with store.lock("prepare"):
            used = Names(paths).images_in_use()
            done += images.collect(images.plan_gc(store, used, image_grace), used)
    _show(done, form)
    return 0


def _show(steps: Iterable[Step], form: str) -> None:
    if form == "json":
        output.write(output.json_text([step.to_json() for step in steps]))
        return
    rows = [[step.action, step.subject, step.reason] for step in steps]
    if rows:
        output.write(output.table(["ACTION", "WHAT", "WHY"], rows))
