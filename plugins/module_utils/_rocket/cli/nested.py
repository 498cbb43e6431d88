# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Subcommands of subcommands: ``rocket image list``, ``rocket audit verify``."""

from __future__ import annotations

from . import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    from .context import Context

    class Subcommand(Protocol):
        """What a subcommand's file offers."""

        COMMAND: options.Command

        def execute(self, context: Context, parsed: options.Parsed) -> int:
            """Carry it out and return the exit status."""


def execute(command: options.Command, loaders: Mapping[str, Callable[[], Subcommand]], context: Context, words: Sequence[str]) -> int:
    """Carry out the subcommand that the first word names, or show the help of `command`.

    Raises:
        RocketError: the words cannot be understood, or the subcommand refuses.
    """
    if not words or words[0] in ("-h", "--help", "help"):
        output.write(options.help_text(command))
        return 0 if words else 254
    loader = loaders.get(words[0])
    if loader is None:
        raise options.unknown(words[0], tuple(loaders), "subcommand", f"rocket {command.name}")
    subcommand = loader()
    parsed = options.parse(subcommand.COMMAND, words[1:])
    if parsed.help:
        output.write(options.help_text(subcommand.COMMAND))
        return 0
    return subcommand.execute(context, parsed)
