# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket logs``: what a pod's apps wrote."""

from __future__ import annotations

import os
import sys

from . import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..run.logs import Line
    from .context import Context

COMMAND = options.Command(
    name="logs",
    usage="[--app=NAME] [--follow] [--tail=LINES] POD",
    summary="Show what the apps of a pod wrote, also after its end. POD is a name, a UUID or the beginning of one.",
    options=(
        options.Option("--app", "this app alone", "NAME"),
        options.Option("--follow", "go on as more is written, until the pod ends"),
        options.Option("--tail", "begin with the last so many lines of each app", "LINES"),
    ),
    arguments=(1, 1),
    examples=(
        ("rocket logs --follow --tail=20 shop", "watch a pod"),
        ("rocket logs --app=web shop | less", "one app, its bytes unchanged"),
    ),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket logs``.

    Raises:
        NotFound, Ambiguous: which pod is meant, or it has no log of that app.
    """
    parsed = options.parse(COMMAND, words)
    if parsed.help:
        output.write(options.help_text(COMMAND))
        return 0
    from ..run import logs
    from ..run.pod_directory import is_uuid
    from ..run.pods import Pods

    values, wanted = parsed.values, parsed.arguments[0]
    tail = values.number("--tail", 0) if values.has("--tail") else None
    app = values.text("--app")
    pods = Pods(context.paths)
    if is_uuid(wanted) and wanted not in pods.uuids():
        # The logs of a pod outlive it.
        show(logs.read(context.paths, wanted, app, tail), not app and len(logs.apps_with_logs(context.paths, wanted)) > 1)
        return 0
    pod = pods.find(wanted)
    names = [status.name for status in pods.status(pod.uuid).apps]
    lines = logs.follow(pod, names, app, tail) if values.flag("--follow") else logs.read(context.paths, pod.uuid, app, tail)
    show(lines, not app and len(names) > 1)
    return 0


def show(lines: Iterable[Line], named: bool) -> None:
    """Write lines as they come: to a terminal with control characters escaped (L43), else the app's bytes unchanged."""
    escaped = os.isatty(1)
    for line in lines:
        prefix = f"{line.app}: ".encode() if named else b""
        sys.stdout.buffer.write(prefix + (visible(line.text) if escaped else line.text) + b"\n")
        sys.stdout.buffer.flush()


def visible(text: bytes) -> bytes:
    """Return one line for a terminal: tabs and readable letters stay, control characters are written out."""
    shown = (c if c == "\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text.decode("utf-8", "backslashreplace"))
    return "".join(shown).encode()
