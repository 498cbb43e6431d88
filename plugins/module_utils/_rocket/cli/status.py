# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket status``: one pod, how it is and how its apps ended."""

from __future__ import annotations

from ..errors import Busy, printable
from . import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..run.pods import PodStatus
    from .context import Context

COMMAND = options.Command(
    name="status",
    usage="[--wait] [--timeout=TIME] [--format=text|json] POD",
    summary="Show how a pod is. POD is a name, a UUID or the beginning of one.",
    options=(
        options.Option("--wait", "wait until the pod does not run any more"),
        options.Option("--timeout", "of --wait; without it there is no limit", "TIME"),
        options.Option("--format", "text (default) or json", "FORMAT"),
    ),
    arguments=(1, 1),
    examples=(
        ("rocket status shop", "state, apps and their exit statuses"),
        ("rocket status --wait --timeout=60 6f2a7c11", "until it has ended"),
    ),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket status``.

    Raises:
        NotFound, Ambiguous: which pod is meant.
        Busy: it still runs after the time given.
    """
    parsed = options.parse(COMMAND, words)
    if parsed.help:
        output.write(options.help_text(COMMAND))
        return 0
    values = parsed.values
    form = values.choice("--format", ("text", "json"), "text")
    seconds = values.seconds("--timeout", 0) if values.has("--timeout") else None
    from ..run.pods import Pods

    pods = Pods(context.paths)
    uuid = pods.find(parsed.arguments[0]).uuid
    if values.flag("--wait"):
        import time

        if not pods.find(uuid).wait(None if seconds is None else time.monotonic() + seconds):
            raise Busy(f"the pod still runs after {seconds} s", where=uuid, hint="wait longer, or stop it")
    status = pods.status(uuid)
    output.write(output.json_text(status.to_json()) if form == "json" else text(status))
    return 0


def text(pod: PodStatus) -> str:
    """Return a pod for people and simple scripts: rkt's ``name=value`` lines, escaped."""
    pairs = [("uuid", pod.uuid), ("name", pod.name), ("state", pod.state), ("created", output.when(pod.created)), ("networks", pod.network)]
    if pod.pid:
        pairs.append(("pid", str(pod.pid)))
    if pod.generation:
        pairs.append(("generation", str(pod.generation)))
    if pod.previous:
        pairs.append(("previous-generation", str(pod.previous)))
    for app in pod.apps:
        pairs.append((f"app-{app.name}", app.state if app.exit_status is None else str(app.exit_status)))
    for isolator in pod.isolators:
        pairs.append(
            (f"isolator-{isolator.get('scope')}-{isolator.get('name')}", f"{isolator.get('outcome')} {isolator.get('reason', '')}")
        )
    if pod.damaged:
        pairs.append(("damaged", pod.damaged))
    if pod.ended:
        pairs.append(("ended", _reason(pod.ended)))
    elif pod.state == "exited":
        pairs.append(("ended", "without a word: its supervisor was killed, or the host went down"))
    return "".join(f"{name}={printable(value, 1000).strip()}\n" for name, value in pairs if value)


def _reason(ended: str) -> str:
    """Return the supervisor's last words without what the other lines say."""
    import json

    try:
        value = json.loads(ended)
    except ValueError:
        return ended
    return str(value.get("reason", ended)) if isinstance(value, dict) else ended
