# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket image build``: a directory or a tar becomes an image."""

from __future__ import annotations

import os

from ...errors import UsageError
from ...image.compression import FORMATS
from .. import options, output, progress, words
from .manifest_options import OPTIONS, manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...image.build import Source
    from ..context import Context

MANIFEST_LIMIT = 1 << 20

COMMAND = options.Command(
    name="image build",
    usage="--output=FILE.aci [--manifest=FILE] [options] DIRECTORY|TAR [-- ARGUMENT...]",
    summary=(
        "Make an image from a directory or a tar, its root file system, and show the image ID: the same input gives the same one. A tar "
        "may be compressed; that of an image brings its manifest along. Options change what the manifest says; in a list they replace the "
        "item of that name, or add one."
    ),
    options=(
        options.Option("--output", "the image to write, *.aci", "FILE"),
        options.Option("--manifest", "the image manifest, JSON; without it one is made of the options", "FILE"),
        *OPTIONS,
        options.Option("--compression", f"{', '.join(FORMATS)} (default gzip; only rocket reads zstd)", "FORM"),
        options.Option("--owner", "numbers of the owner of all files, as 0:0 (default: as they are)", "UID:GID"),
        options.Option("--mtime", "later times become this one (default: SOURCE_DATE_EPOCH, else 0)", "SECONDS"),
        options.Option("--overwrite", "replace the output if it exists, a published version too"),
        options.Option("--strict", "what is only warned of is an error"),
        options.Option("--quiet", "say nothing but the image ID and errors"),
    ),
    arguments=(1, 1),
    apart=True,
    examples=(
        (
            "rocket image build --name=example.com/shop/web --label=version=1.4.0 \\\n"
            "      --user=0 --group=0 --exec=/bin/web --output=web.aci rootfs/ -- --port=80",
            "a directory becomes an image; then sign it: rocket image sign web.aci",
        ),
        (
            "rocket image build --manifest=web.json --output=web.aci rootfs.tar.xz",
            "from a tar, as docker export or mmdebstrap make it, with a manifest file",
        ),
        ("rocket image build --label=version=1.4.1 --output=new.aci old.aci", "the same files under another version"),
    ),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket image build``; raises SpecError, UsageError or ArchiveError, and then no output is there."""
    from ...image.build import build, check_output, open_source, owner_of

    values = parsed.values
    place = values.text("--output")
    if not place:
        raise UsageError("is missing", where="--output", hint="name the image to write: --output=web.aci")
    compression = values.choice("--compression", FORMATS, "gzip")
    mtime = words.number(values.text("--mtime"), "--mtime") if values.has("--mtime") else None
    owner = owner_of(values.text("--owner"), "--owner") if values.has("--owner") else None
    overwrite = values.flag("--overwrite")
    check_output(place, compression, overwrite)
    meter = None if values.flag("--quiet") else progress.meter()
    try:
        with open_source(parsed.arguments[0], meter) as source:
            made = manifest(_base(values, source), values, parsed.rest)
            said: list[str] = []
            first = (source, made, place, compression, overwrite, mtime, owner)
            image_id = build(*first, review=lambda found: _review(values, found, said), progress=meter)
    finally:
        if meter is not None:
            progress.clear()
    if overwrite and os.path.lexists(f"{place}.asc"):
        said.append(f"{place}.asc is from before; sign what is there now: rocket image sign --overwrite {place}")
    for text in () if values.flag("--quiet") else said:
        output.note(f"warning: {text}")
    output.write(f"{image_id}\n")
    return 0


def _base(values: options.Values, source: Source) -> Any:
    """Return the manifest to begin with: the file's, else the image's, else none."""
    from ...spec.reading import load
    from ...store.files import read_limited

    if values.has("--manifest"):
        path = values.text("--manifest")
        return load(read_limited(path, MANIFEST_LIMIT), path)
    return load(source.manifest, "manifest of the image") if source.manifest else {}


def _review(values: options.Values, found: tuple[str, ...], said: list[str]) -> None:
    if found and values.flag("--strict"):
        raise UsageError("; ".join(found), where="--strict", hint="put it right, or leave --strict out")
    said += found
