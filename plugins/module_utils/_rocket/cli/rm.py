# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket rm``: remove pods that do not run."""

from __future__ import annotations

from . import options, output, several

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .context import Context

COMMAND = options.Command(
    name="rm",
    usage="POD...",
    summary="Remove pods that do not run, now; their logs stay until gc. POD is a name, a UUID or the beginning of one.",
    arguments=(1, -1),
    examples=(("rocket rm 6f2a7c11", "one pod"), ("rocket stop shop && rocket rm shop", "a pod that still runs")),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket rm``; shows the UUIDs of what was removed.

    Raises:
        NotFound, Ambiguous: which pod is meant.
        Busy: it runs, or another process works on it.
        StoreError: it is of a later version.
    """
    parsed = options.parse(COMMAND, words)
    if parsed.help:
        output.write(options.help_text(COMMAND))
        return 0
    from ..host import leftovers
    from ..run.collect import remove_pod
    from ..run.pods import Pods
    from ..store.store import Store

    Store(context.paths)  # Nothing is removed of what a later version wrote.
    pods = Pods(context.paths)

    def remove(text: str) -> None:
        pod = pods.find(text)
        remove_pod(pod, leftovers.cgroups(context.paths))
        output.write(f"{pod.uuid}\n")

    return several.each(parsed.arguments, remove)
