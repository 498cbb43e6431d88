# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket stop``: end running pods."""

from __future__ import annotations

from . import options, output, several

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .context import Context

COMMAND = options.Command(
    name="stop",
    usage="[--force] [--timeout=TIME] POD...",
    summary="Stop running pods: SIGTERM, and SIGKILL after the pod's stop timeout. A pod that does not run is no error.",
    options=(
        options.Option("--force", "kill the apps at once"),
        options.Option("--timeout", "instead of the pod's own stop timeout", "TIME"),
    ),
    arguments=(1, -1),
    examples=(("rocket stop shop", "in order"), ("rocket stop --force 6f2a7c11", "at once")),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket stop``; shows the UUIDs of the pods that were running.

    Raises:
        NotFound, Ambiguous: which pod is meant.
        PodError: it does not end.
    """
    parsed = options.parse(COMMAND, words)
    if parsed.help:
        output.write(options.help_text(COMMAND))
        return 0
    from ..run.pods import Pods, read_launch
    from ..run.stop import stop

    pods, values = Pods(context.paths), parsed.values
    given = values.seconds("--timeout", 0) if values.has("--timeout") else None

    def end(text: str) -> None:
        pod = pods.find(text)
        if pod.state() != "running":
            output.note(f"pod {pod.uuid} does not run; nothing to do")
            return
        timeout = int(read_launch(pod)["stop_timeout"]) if given is None else given
        if stop(pod, timeout, values.flag("--force")):
            output.write(f"{pod.uuid}\n")

    return several.each(parsed.arguments, end)
