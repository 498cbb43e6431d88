# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket cat-manifest``: the reified manifest of a pod."""

from __future__ import annotations

from . import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .context import Context

COMMAND = options.Command(
    name="cat-manifest",
    usage="POD",
    summary="Show the pod manifest that a pod was made from: images by their IDs, all mounts in place.",
    arguments=(1, 1),
    examples=(("rocket cat-manifest shop", "of the current pod of that name"),),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket cat-manifest``.

    Raises:
        NotFound, Ambiguous: which pod is meant, or it has no manifest yet.
        SpecError: its manifest is damaged.
    """
    parsed = options.parse(COMMAND, words)
    if parsed.help:
        output.write(options.help_text(COMMAND))
        return 0
    from ..run.pods import Pods
    from ..spec.reading import load
    from ..store.files import read_limited

    path = f"{Pods(context.paths).find(parsed.arguments[0]).location}/pod"
    output.write(output.json_text(load(read_limited(path), path)))
    return 0
