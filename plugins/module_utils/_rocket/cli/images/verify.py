# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket image verify``: is what lies on the disk still what was fetched and rendered?"""

from __future__ import annotations

from ...errors import RocketError, StoreError, UsageError
from .. import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any

    from ...store.record import ImageRecord
    from ...store.store import Store
    from ..context import Context

COMMAND = options.Command(
    name="image verify",
    usage="[--all] [--repair] [--format=table|json] [IMAGE...]",
    summary=(
        "Read images of the store and the root file systems rendered from them, to the last byte, and compare them with what was "
        "recorded; names what differs. A damaged image is set aside, and the next fetch gets it anew. Who signed images is asked at "
        "run, not here. Exit status 254 where anything differs."
    ),
    options=(
        options.Option("--all", "every image of the store"),
        options.Option("--repair", "render root file systems again that differ; not under a running pod"),
        options.Option("--format", "table (default) or json", "FORMAT"),
    ),
    arguments=(0, -1),
    examples=(
        ("rocket image verify example.com/shop/web:1.4.0", "one image, and what it depends on"),
        ("rocket image verify --all --format=json", "for a nightly job"),
    ),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket image verify``.

    Raises:
        NotFound, Ambiguous: which image is meant.
        UsageError: neither images nor ``--all``, or both.
    """
    from ...store.store import Store

    values = parsed.values
    if values.flag("--all") == bool(parsed.arguments):
        raise UsageError("name images, or all of them with --all", where="rocket image verify")
    form = values.choice("--format", ("table", "json"), "table")
    store = Store(context.paths)
    running = _running_trees(context) if values.flag("--repair") else None
    rows = []
    # Who collects garbage holds this lock alone: what is looked at stays.
    with store.lock("prepare", common=True):
        if values.flag("--all"):
            rows += [_damaged_row(error) for error in store.damaged()]
        for record in store.images() if values.flag("--all") else map(store.resolve, parsed.arguments):
            rows.append(_row(store, record, running))
    if form == "json":
        output.write(output.json_text(rows))
    else:
        _show(rows)
    return 254 if any(row["findings"] for row in rows) else 0


def _running_trees(context: Context) -> frozenset[str]:
    from ...run.pods import Pods

    return Pods(context.paths).running_trees()


def _damaged_row(error: StoreError) -> dict[str, Any]:
    return {"id": error.facts.get("image_id", ""), "name": "", "trees": [], "repaired": [], "findings": [str(error)]}


def _row(store: Store, record: ImageRecord, running: Collection[str] | None) -> dict[str, Any]:
    """Return what was found of one image; `running` is None where nothing is to be repaired."""
    from ...store.render import repair
    from ...store.verify import tree_names, verify_or_set_aside, verify_tree

    row: dict[str, Any] = {"id": record.id, "name": record.name, "trees": [], "repaired": [], "findings": []}

    def look(at: Callable[..., Any], *what: object) -> Any:
        try:
            return at(store, *what) or ()
        except RocketError as error:
            row["findings"].append(str(error))
            return ()

    look(verify_or_set_aside, record)
    if running is not None and not row["findings"]:
        row["repaired"] += look(repair, record, running)
    row["trees"] += look(tree_names, record)
    for name in row["trees"]:
        look(verify_tree, name)
    return row


def _show(rows: Sequence[dict[str, Any]]) -> None:
    cells = []
    for row in rows:
        state = "DIFFERS" if row["findings"] else "repaired" if row["repaired"] else "as it was"
        cells.append([output.short_id(row["id"]), row["name"], len(row["trees"]), state])
    output.write(output.table(["ID", "NAME", "TREES", "STATE"], cells))
    for row in rows:
        for finding in row["findings"]:
            output.note(finding)
