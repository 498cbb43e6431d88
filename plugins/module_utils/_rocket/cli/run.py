# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket run``: prepare a pod and supervise it in this very process; the exit status is the app's."""

from __future__ import annotations

from ..errors import RocketError
from . import declare, launch, options, output, pod_line, pod_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .context import Context

COMMAND = options.Command(
    name="run",
    usage=pod_options.USAGE,
    summary="Run images of the store as one pod, in the foreground, until its apps end. The exit status is that of the app.",
    options=pod_options.POD,
    app_options=pod_options.APP,
    examples=(
        ("rocket run example.com/shop/web:1.4.0 -- --verbose", "arguments of the app follow --"),
        (
            "rocket run --volume=data,kind=host,source=/srv/shop \\\n      example.com/shop/web --mount=volume=data,target=/srv",
            "with a directory of the host",
        ),
        ("rocket run example.com/shop/web --memory=256Mi --cpu=500m \\\n      --- example.com/shop/cache", "two apps, one limited"),
        ("rocket run --pod-manifest=shop.json", "from a pod manifest of the specification"),
    ),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket run``.

    Raises:
        RocketError: the pod cannot be prepared or started.
    """
    line = pod_line.parse(COMMAND, words)
    if line.help:
        output.write(options.help_text(COMMAND))
        return 0
    from ..run.prepare import prepare_held
    from ..store.store import Store

    store = Store(context.paths)
    made = declare.generation(line, store, context)
    declare.warn(made, line)
    pod = prepare_held(context.paths, store, made, standing=declare.standing(context))
    try:
        launch.announce(pod)
    except RocketError:
        pod.move("garbage")
        pod.unlock()
        raise
    declare.save_uuid(line, pod.uuid)
    return launch.foreground(pod)
