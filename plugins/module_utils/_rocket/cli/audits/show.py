# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket audit show``: the events for people, and for machines."""

from __future__ import annotations

from .. import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..context import Context

COMMAND = options.Command(
    name="audit show",
    usage="[--last=NUMBER | --since=SEQ] [--action=NAME] [--refused] [--format=FORMAT]",
    summary="Show events, oldest first. What is no event is left out: see `rocket audit verify`.",
    options=(
        options.Option("--last", "no more than so many of them, the last ones (default 20)", "NUMBER"),
        options.Option("--since", "those from this number on, all of them", "SEQ"),
        options.Option("--action", "only of this kind: fetch, trust, run, exit, ...", "NAME", True),
        options.Option("--refused", "only what was refused or failed"),
        options.Option("--format", "table (default) or json", "FORMAT"),
    ),
    examples=(
        ("rocket audit show --refused", "what was not let pass"),
        ("rocket audit show --action=trust --action=untrust --since=1", "who changed whom this host trusts, and when?"),
        ("rocket audit show --last=1000 --format=json", "for other programs"),
    ),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket audit show``; raises UsageError, and StoreError for a log that cannot be read."""
    from collections import deque

    from ...audit.chain import events, files

    values = parsed.values
    form = values.choice("--format", ("table", "json"), "table")
    since = values.number("--since", 0, least=1)
    limit = values.number("--last", 20, least=1) if values.has("--last") or not since else None
    actions = values.every("--action")
    wanted = (
        event
        for event in events(files(context.paths), since)
        if (not actions or event["action"] in actions) and not (values.flag("--refused") and event["outcome"] == "allowed")
    )
    found = list(deque(wanted, maxlen=limit))
    if form == "json":
        output.write(output.json_text(found))
    else:
        output.write(output.table(["SEQ", "TIME", "WHO", "ACTION", "OUTCOME", "SUBJECT", "MORE"], [_row(event) for event in found]))
    return 0


def _row(event: dict[str, Any]) -> list[object]:
    who = event["by"]
    user = str(who.get("login", who.get("uid", "")))
    named = f"{who['name']} ({user})" if who.get("name") else user
    more = [f"{name}={_brief(value)}" for name, value in sorted(event["facts"].items()) if name in _TOLD and value not in (None, "")]
    if event["insecure"]:
        more.insert(0, f"INSECURE={','.join(event['insecure'])}")
    return [event["seq"], output.when(event["time"]), named, event["action"], event["outcome"], event["subject"], " ".join(more)]


_TOLD = ("app", "code", "image_id", "name", "prefix", "program", "source", "status", "why")


def _brief(value: object) -> str:
    text = str(value)
    return output.short_id(text) if text.startswith("sha512-") else text
