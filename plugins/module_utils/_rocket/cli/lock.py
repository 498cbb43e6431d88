# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket lock``: which images the declarations of a fleet mean, written down for git."""

from __future__ import annotations

from ..errors import FetchError, UsageError
from . import options, output, packages, progress
from .declare import standing
from .fetch import NETWORK, fetch_options, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..fetch.fetched import Fetched
    from ..fetch.locking import Locking
    from ..host.lock_file import Outcome
    from .context import Context

DEFAULT = "rocket.lock.yml"
COMMAND = options.Command(
    name="lock",
    usage="[options] FILE...",
    summary=(
        "Write down which image each reference of declarations means, by image ID, with all that they depend on. FILE is YAML: a list "
        "of pods, a file of variables that has rocket_pods or pods_declared, or one declaration. What is locked already stays as it is."
    ),
    options=(
        options.Option("--output", f"the lock file (default {DEFAULT})", "FILE"),
        options.Option("--image", "lock this image too", "IMAGE", True),
        options.Option("--platform", "os/arch of the hosts (default: as in the lock file, else this host's)", "OS/ARCH", True),
        options.Option("--update", "ask for newer images of what is locked already"),
        options.Option("--check", "write nothing; fail where the lock file would change"),
        options.Option("--format", "table (default) or json", "FORMAT"),
        *NETWORK,
        options.Option("--quiet", "no progress, and no lines about what was fetched"),
    ),
    arguments=(0, -1),
    examples=(
        ("rocket lock group_vars/shop.yml", "lock what is new; all else stays"),
        ("rocket lock --update group_vars/shop.yml", "are there newer images?"),
        ("rocket lock --check group_vars/shop.yml", "is the lock file complete? fails if not"),
        ("rocket lock --platform=linux/amd64 --platform=linux/aarch64 pods.yml", "for hosts of two kinds"),
    ),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket lock``.

    Raises:
        UsageError, SpecError: a file is not as it should be.
        TrustError, FetchError, ArchiveError, StoreError: an image cannot be had; the lock file is as it was.
        FetchError: code ``drifted``; with ``--check``, the lock file would change.
    """
    parsed = options.parse(COMMAND, words)
    if parsed.help:
        output.write(options.help_text(COMMAND))
        return 0
    packages.reach()
    from ..host.lock_file import plan_file, write_lock
    from ..spec.values import check_platform

    values = parsed.values
    form = values.choice("--format", ("table", "json"), "table")
    references = [*(reference for path in parsed.arguments for reference in _declared(path)), *values.every("--image")]
    if not parsed.arguments and not references:
        raise UsageError("a file of declarations is missing", hint="name it, or an image with --image")
    path, platforms = values.text("--output", DEFAULT), [check_platform(text, "--platform") for text in values.every("--platform")]
    outcome = plan_file(path, references, _locking(context, values), platforms, values.flag("--update"))
    _show(outcome, form)
    if not outcome.plan.changed:
        return 0
    if values.flag("--check"):
        names = ", ".join(dict.fromkeys(change.reference for change in outcome.changes)) or outcome.plan.steps[0].reason
        raise FetchError(f"would change: {names}", where=path, hint="look at it, then run this without --check", code="drifted")
    write_lock(path, outcome.lock)
    if not values.flag("--quiet"):
        output.note(f"wrote {path}: {len(outcome.lock.images)} images, {outcome.plan.steps[0].reason}")
    return 0


def _locking(context: Context, values: options.Values) -> Locking:
    from ..fetch.locking import Locking
    from ..store.store import Store
    from ..trust.late import LateVerifier

    quiet = values.flag("--quiet")
    meter = None if quiet else progress.meter()

    def tell(reference: str, platform: str, fetched: Fetched) -> None:
        if meter is not None:
            progress.clear()
        if not quiet:
            output.note(f"{reference} for {platform}: {told(fetched)}")

    fetching = fetch_options(context, values)
    return Locking(Store(context.paths), LateVerifier(context.paths), fetching, meter, tell, standing(context))


def _declared(path: str) -> tuple[str, ...]:
    """Return the references in a file; raises UsageError and SpecError, which name it."""
    from ..errors import SpecError
    from ..host.lock_file import read_yaml
    from ..run.declared_images import VARIABLES, declared_images

    value: Any = read_yaml(path)
    where = ""
    if isinstance(value, dict):
        where = next((name for name in VARIABLES if name in value), "")
        value = value[where] if where else [value]
    try:
        return declared_images(value, where)
    except SpecError as error:
        error.where = f"{path}: {error.where}" if error.where else path
        raise


def _show(outcome: Outcome, form: str) -> None:
    if form == "json":
        changed = [change.to_json() for change in outcome.changes]
        output.write(output.json_text({"changed": outcome.plan.changed, "changes": changed, "lock": outcome.lock.to_json()}))
        return
    rows = [
        [change.reference, change.platform or "all", _short(change.before) or "-", _short(change.after) or "-"]
        for change in outcome.changes
    ]
    if rows:
        output.write(output.table(["REFERENCE", "PLATFORM", "BEFORE", "AFTER"], rows))


def _short(image_id: str) -> str:
    return output.short_id(image_id) if image_id else ""
