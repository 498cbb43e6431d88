# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket config``: how this host fetches, from all layers together; no secret is shown."""

from __future__ import annotations

from . import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .context import Context

COMMAND = options.Command(
    name="config",
    usage="[--format=table|json]",
    summary=(
        "Show how this host fetches, of the vendor's and the operator's configuration together: proxy, authorities of domains, mirrors, "
        "and whom there are credentials for. Secrets are not shown."
    ),
    options=(options.Option("--format", "table (default) or json", "FORMAT"),),
    examples=(("rocket config", "which mirrors and credentials are there?"),),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket config``.

    Raises:
        HostError, SpecError: a file of the configuration is not as it should be.
    """
    parsed = options.parse(COMMAND, words)
    if parsed.help:
        output.write(options.help_text(COMMAND))
        return 0
    shown = parsed.values.choice("--format", ("table", "json"), "table")
    from ..fetch.configuration import load
    from ..fetch.credentials import Credentials

    value = load(context.paths.layers).to_json()
    credentials = [
        {"kind": one.kind, "for": str(one.place), "type": one.scheme, "user": one.user, "file": one.file}
        for one in Credentials(context.paths.layers).all()
    ]
    if shown == "json":
        kept = {name: member for name, member in value.items() if not name.startswith("rkt")}
        output.write(output.json_text({**kept, "credentials": credentials, "layers": list(context.paths.layers)}))
    else:
        output.write(output.table(["KIND", "FOR", "VALUE"], [*_rows(value), *_credentials(credentials)]))
    return 0


def _rows(value: dict[str, Any]) -> list[list[str]]:
    proxy = value.get("proxy", {"url": "", "direct": []})
    rows = [["proxy", "all hosts", proxy["url"] or "none"]]
    rows += [["proxy", host, "none"] for host in proxy["direct"]]
    rows += [["authority", one["domain"], one["caFile"]] for one in value["domains"]]
    for mirror in value["mirrors"]:
        rows += [["mirror", mirror["prefix"], template] for template in mirror["templates"]]
        rows += [] if mirror["discovery"] else [["mirror", mirror["prefix"], "(no discovery)"]]
    return rows


def _credentials(found: list[dict[str, str]]) -> list[list[str]]:
    return [[one["kind"], one["for"], f"{one['user'] or 'token'} (in {one['file']})"] for one in found]
