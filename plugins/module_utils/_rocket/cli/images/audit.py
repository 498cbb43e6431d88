# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket image audit``: who vouched for each image, whether it would start today, and what uses it."""

from __future__ import annotations

from ...errors import TrustError
from ...record import replace
from .. import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...host.image_audit import Audit, AuditedImage
    from ..context import Context

COMMAND = options.Command(
    name="image audit",
    usage="[--strict] [--format=table|json] [IMAGE...]",
    summary=(
        "Tell of each image of the store where it came from, who signed it, when and under which policy that was verified, which pods are "
        "made of it, and whether it would start today: by today's trust, without any insecure option, with all that it depends on. "
        "Nothing is changed, and what is on the disk is not read anew (see rocket image verify)."
    ),
    options=(
        options.Option("--strict", "end with status 254 where an image would not start today, or is damaged"),
        options.Option("--format", "table (default) or json", "FORMAT"),
        options.Option("--full", "whole image IDs in the table"),
    ),
    arguments=(0, -1),
    examples=(
        ("rocket image audit", "the images of this host"),
        ("rocket image audit --format=json example.com/shop/web:1.4.0", "all that is known of one"),
        ("rocket image audit --strict", "for a nightly job"),
    ),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket image audit``.

    Raises:
        NotFound, Ambiguous: which image is meant.
        StoreError: the store cannot be looked at, or the image that is meant is damaged.
        TrustError: with ``--strict``, where something would not start today.
    """
    from ...host.image_audit import audit
    from ...store.store import Store

    form = parsed.values.choice("--format", ("table", "json"), "table")
    found = audit(context.paths)
    if parsed.arguments:
        store = Store(context.paths)
        wanted = {store.resolve(text).id for text in parsed.arguments}
        found = replace(found, images=tuple(image for image in found.images if image.record.id in wanted), damaged=())
    if form == "json":
        output.write(output.json_text(found.to_json()))
    else:
        _show(found, parsed.values.flag("--full"))
    if parsed.values.flag("--strict") and (found.refused or found.damaged):
        raise TrustError(
            f"{len(found.refused)} of {len(found.images)} images would not start today, {len(found.damaged)} records are damaged",
            where="rocket image audit",
            hint="trust who signed them, fetch them again or remove them with `rocket image rm`",
        )
    return 0


def _show(found: Audit, full: bool) -> None:
    cells = [
        [
            image.record.id if full else output.short_id(image.record.id),
            image.record.name,
            dict(image.record.labels).get("version"),
            output.signers(image.record.verdict),
            output.day(image.record.verdict.checked_at),
            image.problem.code if image.problem else "yes",
            _pods(image),
        ]
        for image in found.images
    ]
    output.write(output.table(["ID", "NAME", "VERSION", "SIGNED BY", "VERIFIED", "STARTS", "PODS"], cells))
    for problem in (*(str(image.problem) for image in found.refused), *found.damaged):
        output.note(problem)


def _pods(image: AuditedImage) -> str:
    """Return the pods of an image by name, running ones first."""
    ordered = sorted(image.pods, key=lambda use: use.state != "running")
    return ", ".join(f"{use.name or use.uuid[:8]}{'' if use.state == 'running' else f' ({use.state})'}" for use in ordered)
