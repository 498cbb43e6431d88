# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket audit export``: the log as it was written, byte by byte, through all its files."""

from __future__ import annotations

import sys

from .. import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context

COMMAND = options.Command(
    name="audit export",
    usage="[--since=SEQ]",
    summary="Write the log to standard output, one JSON object a line, byte by byte as it was written. It can be verified elsewhere.",
    options=(options.Option("--since", "from the event with this number on", "SEQ"),),
    examples=(
        ("rocket audit export > events.jsonl", "all of it"),
        ("rocket audit export --since=1001 >> events.jsonl", "what came since"),
    ),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket audit export``; raises StoreError for a log that cannot be read."""
    from ...audit.chain import files, lines
    from ...audit.line import seq_of

    since = parsed.values.number("--since", 0, least=1)
    reached = not since
    for line in lines(files(context.paths)):
        reached = reached or seq_of(line[:-1]) >= since
        if reached:
            sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    return 0
