# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket image list``: what is in the store, and who signed it."""

from __future__ import annotations

from .. import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...store.record import ImageRecord
    from ...store.store import Store
    from ..context import Context

COMMAND = options.Command(
    name="image list",
    usage="[--format=table|json] [--quiet]",
    summary="List the images of the store, who signed them and when they came.",
    options=(
        options.Option("--format", "table (default) or json", "FORMAT"),
        options.Option("--full", "whole image IDs in the table"),
        options.Option("--quiet", "image IDs alone, one a line"),
    ),
    examples=(("rocket image list --format=json", "for a script"),),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket image list``; raises StoreError. A damaged image is named, and the status is then 254."""
    from ...store.store import Store

    store = Store(context.paths)
    records = store.images()
    if parsed.values.flag("--quiet"):
        output.write("".join(f"{record.id}\n" for record in records))
    elif parsed.values.choice("--format", ("table", "json"), "table") == "json":
        output.write(output.json_text([_row(store, record) for record in records]))
    else:
        full = parsed.values.flag("--full")
        cells = [
            [
                record.id if full else output.short_id(record.id),
                record.name,
                dict(record.labels).get("version"),
                output.size(record.file_size),
                output.when(record.imported_at),
                output.signers(record.verdict),
            ]
            for record in records
        ]
        output.write(output.table(["ID", "NAME", "VERSION", "SIZE", "IMPORTED", "SIGNED BY"], cells))
    damaged = store.damaged()
    for error in damaged:
        output.note(str(error))
    return 254 if damaged else 0


def _row(store: Store, record: ImageRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "labels": dict(record.labels),
        "size": record.file_size,
        "imported_at": record.imported_at,
        "last_used": int(store.last_use(record.id)),
        "source": record.source,
        "verdict": record.verdict.to_json(),
    }
