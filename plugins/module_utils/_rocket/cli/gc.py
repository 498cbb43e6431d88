# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket gc``: old pods, then the images that nothing needs any more."""

from __future__ import annotations

from . import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..host.garbage import Wanted
    from ..plan import Plan
    from .context import Context

COMMAND = options.Command(
    name="gc",
    usage="[options]",
    summary=(
        "Remove pods that ended, prepared ones that were never started, old generations and logs, and images that no pod needs. "
        "What was marked is removed once its time of grace has passed; above a high mark unused images go whatever their age."
    ),
    options=(
        options.Option("--grace-period", "how long a pod stays after its end was seen (default 30m)", "TIME"),
        options.Option("--expire-prepared", "how long a prepared pod waits to be started (default 24h)", "TIME"),
        options.Option("--image-grace", "how long an unused image stays after it came (default 24h)", "TIME"),
        options.Option("--high-water", "above this more goes: a size (20G) of the store, or a share (85%) of its file system", "MARK"),
        options.Option("--low-water", "and does so, least recently used first, until no more than this is left", "MARK"),
        options.Option("--mark-only", "remove nothing; let the time of grace begin"),
        options.Option("--dry-run", "show what would be done"),
        options.Option("--format", "table (default) or json", "FORMAT"),
    ),
    examples=(
        ("rocket gc --dry-run", "what would go?"),
        ("rocket gc --grace-period=0 --image-grace=0", "everything that is not in use, now"),
        ("rocket gc --high-water=85% --low-water=70%", "when the disk gets full, what was used least recently"),
    ),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket gc``.

    Raises:
        UsageError: marks that mean nothing, or not together with ``--mark-only``.
        Busy: another collection is under way.
        StoreError: something could not be removed; everything else was.
    """
    parsed = options.parse(COMMAND, words)
    if parsed.help:
        output.write(options.help_text(COMMAND))
        return 0
    from ..host import garbage

    values, paths = parsed.values, context.paths
    form = values.choice("--format", ("table", "json"), "table")
    plan = garbage.plan(paths, _wanted(values))
    if not values.flag("--dry-run"):
        plan = garbage.collect(plan, paths)
    _show(plan, form)
    return 0


def _wanted(values: options.Values) -> Wanted:
    from ..host.garbage import Wanted
    from ..run.collect import Grace
    from ..store.watermarks import parse_watermarks

    grace = Grace(
        garbage=values.seconds("--grace-period", 1800),
        prepared=values.seconds("--expire-prepared", 86400),
        mark_only=values.flag("--mark-only"),
    )
    marks = parse_watermarks(values.text("--high-water"), values.text("--low-water"))
    return Wanted(grace, values.seconds("--image-grace", 86400), marks)


def _show(plan: Plan, form: str) -> None:
    from ..host.garbage import frees, told

    if form == "json":
        output.write(output.json_text(told(plan)))
    elif plan.steps:
        rows = [[step.action, step.subject, output.size(step.size) if step.size else None, step.reason] for step in plan.steps]
        output.write(output.table(["ACTION", "WHAT", "SIZE", "WHY"], rows))
        output.write(f"frees {output.size(frees(plan.steps))}\n")
    for sentence in plan.drift:
        output.note(sentence)
