# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket list``: the pods of the host, one line an app."""

from __future__ import annotations

from . import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..run.pods import PodStatus
    from .context import Context

COMMAND = options.Command(
    name="list",
    usage="[--format=table|json] [--full] [--quiet]",
    summary="List the pods of this host, oldest first, one line an app.",
    options=(
        options.Option("--format", "table (default) or json", "FORMAT"),
        options.Option("--full", "whole UUIDs and image IDs in the table"),
        options.Option("--quiet", "UUIDs alone, one a line"),
    ),
    examples=(("rocket list", "for people"), ("rocket list --format=json", "for a script; [] where no pod is")),
)

HEADS = ("UUID", "NAME", "APP", "IMAGE", "IMAGE ID", "STATE", "CREATED", "NETWORK")


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket list``.

    Raises:
        UsageError: the words cannot be understood.
        PodError: a pod's record is damaged.
    """
    parsed = options.parse(COMMAND, words)
    if parsed.help:
        output.write(options.help_text(COMMAND))
        return 0
    form = parsed.values.choice("--format", ("table", "json"), "table")
    from ..run.pods import Pods

    pods = Pods(context.paths).list()
    if parsed.values.flag("--quiet"):
        output.write("".join(f"{pod.uuid}\n" for pod in pods))
    elif form == "json":
        output.write(output.json_text([pod.to_json() for pod in pods]))
    else:
        full = parsed.values.flag("--full")
        output.write(output.table(HEADS, [row for pod in pods for row in rows(pod, full)]))
    return 0


def rows(pod: PodStatus, full: bool) -> list[list[str]]:
    """Return the lines of one pod: the first says what concerns the pod, each further one an app."""
    own = [pod.uuid if full else pod.uuid[:8], pod.name]
    rest = [pod.state, output.when(pod.created), pod.network]
    if not pod.apps:
        return [[*own, "", "", "", *rest]]
    lines = []
    for index, app in enumerate(pod.apps):
        image = [app.name, app.image_name, app.image_id if full else output.short_id(app.image_id)]
        lines.append([*own, *image, *rest] if index == 0 else [" ", " ", *image, app.state, " ", " "])
    return lines
