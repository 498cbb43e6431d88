# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket image rm``: images leave the store."""

from __future__ import annotations

from .. import options, output, several

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context

COMMAND = options.Command(
    name="image rm",
    usage="IMAGE...",
    summary="Remove images from the store. One that a pod needs, or a generation kept for going back, stays.",
    arguments=(1, -1),
    examples=(("rocket image rm example.com/shop/web:1.3.0", "an old version"),),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket image rm``; raises Busy for an image that a pod uses, NotFound, Ambiguous or StoreError."""
    from ...run.names import Names
    from ...store.store import Store

    store = Store(context.paths)

    def remove(text: str) -> None:
        record = store.resolve(text)
        # Whoever prepares a pod holds this lock in common until the pod names its images.
        with store.lock("prepare"):
            store.remove(record.id, Names(context.paths).images_in_use())
        output.write(f"{record.id}\n")

    return several.each(parsed.arguments, remove)
