# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket image cat-manifest``: the manifest of an image of the store."""

from __future__ import annotations

from .. import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context

COMMAND = options.Command(
    name="image cat-manifest",
    usage="IMAGE",
    summary="Show the manifest of an image of the store. IMAGE is a name with labels, an image ID or the beginning of one.",
    arguments=(1, 1),
    examples=(("rocket image cat-manifest example.com/shop/web:1.4.0", "the newest import of that version"),),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket image cat-manifest``; raises NotFound, Ambiguous or StoreError."""
    from ...store.store import Store

    record = Store(context.paths).resolve(parsed.arguments[0])
    output.write(output.json_text(record.manifest.to_json()))
    return 0
