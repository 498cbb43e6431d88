# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket audit head``: where the log ends now, to be kept on another host."""

from __future__ import annotations

from .. import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context

COMMAND = options.Command(
    name="audit head",
    usage="",
    summary="Show number and digest of the last event, as JSON. Whoever keeps it elsewhere can tell later whether the log was cut.",
    examples=(("rocket audit head", "a checkpoint for `rocket audit verify`"),),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket audit head``; raises StoreError for a log that cannot be read."""
    from ...audit.log import read_head

    output.write(output.json_text(read_head(context.paths).to_json()))
    return 0
