# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket audit verify``: do the events hang together, and are those still there of which a head was kept?"""

from __future__ import annotations

from ...errors import StoreError, UsageError
from .. import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...audit.line import Head
    from ..context import Context

COMMAND = options.Command(
    name="audit verify",
    usage="[--checkpoint=FILE | --checkpoint=SEQ:HEAD] [--format=FORMAT] [FILE...]",
    summary=(
        "Check that no event was changed, moved, taken out or put in. That none is missing at the end is known by a checkpoint alone: what "
        "`rocket audit head` said before, kept elsewhere. FILE: an export, or full files, oldest first, instead of the log of this host."
    ),
    options=(
        options.Option("--checkpoint", "a head that was kept: a file, or its number and digest", "HEAD"),
        options.Option("--format", "table (default) or json", "FORMAT"),
    ),
    arguments=(0, -1),
    examples=(
        ("rocket audit verify", "within itself"),
        ("rocket audit verify --checkpoint=head.json", "against what was kept"),
        ("rocket audit verify --checkpoint=head.json events.jsonl", "an export, on another host"),
    ),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket audit verify``; raises StoreError with the code ``audit`` where something is wrong."""
    import os

    from ...audit.chain import files, verify

    values = parsed.values
    form = values.choice("--format", ("table", "json"), "table")
    places = [os.path.realpath(path) for path in parsed.arguments] or files(context.paths)
    report = verify(places, _checkpoint(values.text("--checkpoint")) if values.has("--checkpoint") else None)
    if form == "json":
        output.write(output.json_text(report.to_json()))
    else:
        rows = [[problem.code, problem.seq, problem.what] for problem in report.problems]
        if rows:
            output.write(output.table(["WHAT", "EVENT", "WHY"], rows))
        else:
            output.write(f"events {report.first} to {report.last.seq} hang together, {output.size(report.size)}\n")
        if report.repaired:
            output.note(f"cut short by a crash, as events say: {', '.join(map(str, report.repaired[:10]))}")
    if report.problems:
        first = report.problems[0]
        raise StoreError(
            f"event {first.seq} {first.what}", where="audit log", hint="keep all its files, and find out who changed it", code="audit"
        )
    return 0


def _checkpoint(text: str) -> Head:
    """Return the head in a file, or in ``SEQ:HEAD``.

    Raises:
        UsageError: it is none.
    """
    from ...audit.chain import read_checkpoint
    from ...store.files import read_limited

    number, colon, digest = text.partition(":")
    if colon and number.isdigit():
        return read_checkpoint({"seq": int(number), "head": digest}, text)
    from ...spec.reading import load

    try:
        return read_checkpoint(load(read_limited(text, 1 << 20), text), text)
    except FileNotFoundError as error:
        raise UsageError("neither a file nor SEQ:HEAD", where=f"--checkpoint={text}", hint="see `rocket audit head`") from error
