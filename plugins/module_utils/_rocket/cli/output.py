# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What the command writes: results on standard output, everything else on standard error.

For people control characters are escaped (a name or annotation is the image author's); for machines it is JSON.
"""

from __future__ import annotations

import os
import sys

from ..errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..store.verdict import Verdict

NARROWEST = 8


def write(text: str) -> None:
    """Write a result to standard output, at once: the reader may be waiting for the line."""
    sys.stdout.write(text)
    sys.stdout.flush()


def note(text: str) -> None:
    """Write one line that is no result to standard error, escaped."""
    sys.stderr.write(f"rocket: {printable(text, 4096)}\n")
    sys.stderr.flush()


def json_text(value: Any) -> str:
    """Return a JSON value for machines and people: indented, sorted, ASCII."""
    import json

    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def terminal_width() -> int:
    """Return the columns of the terminal on standard output; 0 where it is none, so that nothing is cut."""
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return 0


def _shrunk(widths: list[int], width: int) -> list[int]:
    widths = list(widths)
    while sum(widths) + 2 * (len(widths) - 1) > width:
        widest = widths.index(max(widths))
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
    return widths


def _cell(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 2] + ".."


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], width: int | None = None) -> str:
    """Return a table for people: heads, then rows; control characters escaped, the widest columns cut to fit.

    Args:
        heads: titles of the columns.
        rows: cells; None is shown as ``-``.
        width: columns available; None asks the terminal, 0 means no limit.
    """
    limit = terminal_width() if width is None else width
    cells = [["-" if cell in (None, "") else printable(str(cell), 300) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in [list(heads), *cells]) for index in range(len(heads))]
    if limit:
        widths = _shrunk(widths, limit)
    lines = ("  ".join(map(_cell, row, widths)).rstrip() for row in [list(heads), *cells])
    return "".join(f"{line}\n" for line in lines)


def when(seconds: int | None) -> str:
    """Return a time for people, UTC, to the second (``2026-11-22 20:45:01``); ``-`` where there is none."""
    if not seconds:
        return "-"
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def day(seconds: int | None) -> str:
    """Return the day of a time for people, UTC; ``-`` where there is none."""
    return when(seconds)[:10]


def size(count: int) -> str:
    """Return a number of bytes for people, in binary units with one digit."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def short_id(image_id: str) -> str:
    """Return an image ID for people: ``sha512-`` and 12 digits."""
    return image_id[:19]


def signers(verdict: Verdict) -> str:
    """Return who vouched for an image, for people."""
    if verdict.kind == "signed":
        return ", ".join(signer.identity or signer.fingerprint for signer in verdict.signers)
    if verdict.kind == "pinned":
        return f"(pinned by {'digest' if verdict.digest else 'image ID'})"
    return "(NOT VERIFIED: the policy is open)" if verdict.kind == "open" else "(NOT VERIFIED)"
