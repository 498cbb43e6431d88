# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket image build``: a directory becomes an image."""

from __future__ import annotations

from ...errors import UsageError
from .. import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context

MANIFEST_LIMIT = 1 << 20

COMMAND = options.Command(
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


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket image build``; raises SpecError, UsageError or ArchiveError, and then no output is there."""
    from ...image.build import build
    from ...image.compression import FORMATS
    from ...spec.image_manifest import parse_image_manifest
    from ...store.files import read_limited

    values = parsed.values
    for name in ("--manifest", "--output"):
        if not values.text(name):
            raise UsageError("is missing", where=name, hint=f"usage: rocket image build {COMMAND.usage}")
    manifest = parse_image_manifest(read_limited(values.text("--manifest"), MANIFEST_LIMIT))
    compression = values.choice("--compression", FORMATS, "gzip")
    image_id = build(parsed.arguments[0], manifest, values.text("--output"), compression=compression, overwrite=values.flag("--overwrite"))
    output.write(f"{image_id}\n")
    return 0
