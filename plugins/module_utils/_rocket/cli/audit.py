# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket audit``: the table of its subcommands, which are in audits/."""

from __future__ import annotations

from . import nested, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .context import Context
    from .nested import Subcommand

COMMAND = options.Command(
    name="audit",
    usage="show | verify | head | export ...",
    summary=(
        "The log of what was done on this host and of what was refused: fetches, changes of trust, starts, ends, commands in pods, "
        "removals, each use of an insecure option. Each has a --help of its own."
    ),
    examples=(
        ("rocket audit show", "what happened last?"),
        ("rocket audit head > head.json", "to be kept on another host"),
        ("rocket audit verify --checkpoint=head.json", "has nobody changed it since?"),
        ("rocket audit export > events.jsonl", "all of it, as it was written"),
    ),
)


def _show() -> Subcommand:
    from .audits import show

    return show


def _verify() -> Subcommand:
    from .audits import verify

    return verify


def _head() -> Subcommand:
    from .audits import head

    return head


def _export() -> Subcommand:
    from .audits import export

    return export


LOADERS = {"show": _show, "verify": _verify, "head": _head, "export": _export}


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket audit``.

    Raises:
        RocketError: the words cannot be understood, or the subcommand refuses.
    """
    return nested.execute(COMMAND, LOADERS, context, words)
