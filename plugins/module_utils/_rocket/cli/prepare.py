# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket prepare``: everything of a run but the start; what follows needs no network."""

from __future__ import annotations

from . import declare, options, output, pod_line, pod_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .context import Context

COMMAND = options.Command(
    name="prepare",
    usage=pod_options.USAGE,
    summary="Make a pod ready to run, from images of the store, and show its UUID. Nothing runs yet.",
    options=pod_options.POD,
    app_options=pod_options.APP,
    examples=(
        ("rocket prepare example.com/shop/web:1.4.0", "from one image"),
        ("rocket prepare --pod-manifest=shop.json", "from a pod manifest of the specification"),
        ("rocket run-prepared 6f2a7c11", "then"),
    ),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket prepare``.

    Raises:
        RocketError: the pod cannot be prepared; nothing of it is left.
    """
    line = pod_line.parse(COMMAND, words)
    if line.help:
        output.write(options.help_text(COMMAND))
        return 0
    from ..run.prepare import prepare
    from ..store.store import Store

    store = Store(context.paths)
    made = declare.generation(line, store, context)
    declare.warn(made, line)
    uuid = prepare(context.paths, store, made, standing=declare.standing(context))
    declare.save_uuid(line, uuid)
    output.write(f"{uuid}\n")
    return 0
