# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket image``: what is in the store, and images made from a directory."""

from __future__ import annotations

from ..errors import UsageError
from . import options, output, several

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..store.record import ImageRecord
    from .context import Context

MANIFEST_LIMIT = 1 << 20

COMMAND = options.Command(
    name="image",
    usage="list | cat-manifest | build | rm ...",
    summary="List, show, build and remove images. Each has a --help of its own.",
    examples=(
        ("rocket image list", "what is in the store"),
        ("rocket image build --manifest=web.json --output=web.aci rootfs/", "a directory becomes an image"),
        ("rocket image rm sha512-3f21", "free the space of one"),
    ),
)

LIST = options.Command(
    name="image list",
    usage="[--format=table|json] [--quiet]",
    summary="List the images of the store, who signed them and when they came.",
    options=(
        options.Option("--format", "table (default) or json", "FORMAT"),
        options.Option("--full", "whole image IDs in the table"),
        options.Option("--quiet", "image IDs alone, one a line"),
    ),
    examples=(("rocket image list --format=json", "for a script"),),
)

CAT_MANIFEST = options.Command(
    name="image cat-manifest",
    usage="IMAGE",
    summary="Show the manifest of an image of the store. IMAGE is a name with labels, an image ID or the beginning of one.",
    arguments=(1, 1),
    examples=(("rocket image cat-manifest example.com/shop/web:1.4.0", "the newest import of that version"),),
)

BUILD = options.Command(
    name="image build",
    usage="--manifest=FILE --output=FILE [--compression=FORM] DIRECTORY",
    summary="Make an image from a directory, its root file system, and show the image ID. The same input gives the same image ID.",
    options=(
        options.Option("--manifest", "the image manifest, JSON", "FILE"),
        options.Option("--output", "the image to write, usually *.aci", "FILE"),
        options.Option("--compression", "gzip (default), bzip2, xz, none, or zstd, which only rocket reads", "FORM"),
        options.Option("--overwrite", "replace the output if it exists"),
    ),
    arguments=(1, 1),
    examples=(("rocket image build --manifest=web.json --output=web.aci rootfs/", "then sign it: gpg --armor --detach-sign web.aci"),),
)

RM = options.Command(
    name="image rm",
    usage="IMAGE...",
    summary="Remove images from the store. One that a pod needs, or a generation kept for going back, stays.",
    arguments=(1, -1),
    examples=(("rocket image rm example.com/shop/web:1.3.0", "an old version"),),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket image``.

    Raises:
        RocketError: the words cannot be understood, or the store refuses.
    """
    if not words or words[0] in ("-h", "--help", "help"):
        output.write(options.help_text(COMMAND))
        return 0 if words else 254
    actions = {"list": (LIST, _list), "cat-manifest": (CAT_MANIFEST, _cat_manifest), "build": (BUILD, _build), "rm": (RM, _rm)}
    if words[0] not in actions:
        raise options.unknown(words[0], tuple(actions), "subcommand", "rocket image")
    command, carry_out = actions[words[0]]
    parsed = options.parse(command, words[1:])
    if parsed.help:
        output.write(options.help_text(command))
        return 0
    return carry_out(context, parsed)


def _signers(record: ImageRecord) -> str:
    verdict = record.verdict
    if verdict.kind == "signed":
        return ", ".join(signer.identity or signer.fingerprint for signer in verdict.signers)
    return "(pinned by image ID)" if verdict.kind == "pinned" else "(NOT VERIFIED)"


def _row(record: ImageRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "labels": dict(record.labels),
        "size": record.file_size,
        "imported_at": record.imported_at,
        "source": record.source,
        "verdict": record.verdict.to_json(),
    }


def _list(context: Context, parsed: options.Parsed) -> int:
    from ..store.store import Store

    store = Store(context.paths)
    records = store.images()
    if parsed.values.flag("--quiet"):
        output.write("".join(f"{record.id}\n" for record in records))
    elif parsed.values.choice("--format", ("table", "json"), "table") == "json":
        output.write(output.json_text([_row(record) for record in records]))
    else:
        full = parsed.values.flag("--full")
        cells = [
            [
                record.id if full else output.short_id(record.id),
                record.name,
                dict(record.labels).get("version"),
                output.size(record.file_size),
                output.when(record.imported_at),
                _signers(record),
            ]
            for record in records
        ]
        output.write(output.table(["ID", "NAME", "VERSION", "SIZE", "IMPORTED", "SIGNED BY"], cells))
    damaged = store.damaged()
    for error in damaged:
        output.note(str(error))
    return 254 if damaged else 0


def _cat_manifest(context: Context, parsed: options.Parsed) -> int:
    from ..store.store import Store

    record = Store(context.paths).resolve(parsed.arguments[0])
    output.write(output.json_text(record.manifest.to_json()))
    return 0


def _rm(context: Context, parsed: options.Parsed) -> int:
    from ..run.names import Names
    from ..store.store import Store

    store = Store(context.paths)

    def remove(text: str) -> None:
        record = store.resolve(text)
        # Whoever prepares a pod holds this lock in common until the pod names its images.
        with store.lock("prepare"):
            store.remove(record.id, Names(context.paths).images_in_use())
        output.write(f"{record.id}\n")

    return several.each(parsed.arguments, remove)


def _build(context: Context, parsed: options.Parsed) -> int:
    from ..image.build import build
    from ..spec.image_manifest import parse_image_manifest
    from ..store.files import read_limited

    values = parsed.values
    for name in ("--manifest", "--output"):
        if not values.text(name):
            raise UsageError("is missing", where=name, hint=f"usage: rocket image build {BUILD.usage}")
    manifest = parse_image_manifest(read_limited(values.text("--manifest"), MANIFEST_LIMIT))
    compression = values.choice("--compression", ("gzip", "bzip2", "xz", "none", "zstd"), "gzip")
    image_id = build(parsed.arguments[0], manifest, values.text("--output"), compression=compression, overwrite=values.flag("--overwrite"))
    output.write(f"{image_id}\n")
    return 0
