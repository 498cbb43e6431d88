# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket version``: what runs here."""

from __future__ import annotations

import os
import sys

from . import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .context import Context

APPC_VERSION = "0.8.11"

COMMAND = options.Command(
    name="version",
    usage="[--format=table|json]",
    summary="Show the versions of rocket, the App Container specification and Python, and the directory rocket runs from.",
    options=(options.Option("--format", "table (default) or json", "FORMAT"),),
    examples=(("rocket version --format=json", "for a script"),),
)


def facts() -> dict[str, str]:
    """Return the versions and the place, by name."""
    from ..host.contents import VERSION

    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return {
        "rocket": VERSION,
        "appc": APPC_VERSION,
        "python": sys.version.split()[0],
        "runtime": os.path.dirname(package),
    }


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket version``.

    Raises:
        UsageError: the words cannot be understood.
    """
    parsed = options.parse(COMMAND, words)
    if parsed.help:
        output.write(options.help_text(COMMAND))
    elif parsed.values.choice("--format", ("table", "json"), "table") == "json":
        output.write(output.json_text(facts()))
    else:
        output.write("".join(f"{name} {value}\n" for name, value in facts().items()))
    return 0
