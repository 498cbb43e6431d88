# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket image export``: an image of the store as the file that it came as, with its signature; or several in a bundle."""

from __future__ import annotations

import os

from ...errors import SpecError, UsageError
from .. import options, output, progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...store.bundle import Gathered
    from ...store.record import ImageRecord
    from ...store.store import Store
    from ..context import Context

COMMAND = options.Command(
    name="image export",
    usage="[--overwrite] IMAGE FILE | --bundle [--overwrite] [--format=table|json] IMAGE... FILE",
    summary=(
        "Write an image of the store to a file, byte by byte as it was published, and its signature, where it has one, beside it as "
        "FILE.asc: any rocket can fetch it from there and verify it as before. With --bundle one FILE holds several images, their "
        "signatures and all that they depend on; `rocket fetch bundle:FILE` takes them from there without network."
    ),
    options=(
        options.Option("--bundle", "one file of the images, their signatures and all that they depend on"),
        options.Option("--overwrite", "replace the files if they exist"),
        options.Option("--format", "of a bundle: table (default), its images; or json", "FORMAT"),
        options.Option("--quiet", "of a bundle: no progress, and no lines about what is in it"),
    ),
    arguments=(2, -1),
    examples=(
        ("rocket image export example.com/shop/web:1.4.0 web.aci", "to carry it to another host"),
        ("rocket image export --bundle example.com/web example.com/db shop.bundle", "both, and all that they depend on"),
    ),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket image export``.

    Raises:
        NotFound, Ambiguous: which image is meant; a dependency that is missing.
        StoreError: code ``damaged``; nothing is written then.
        SpecError: the name of the file (A1).
        UsageError: the file exists.
    """
    from ...store.store import Store

    *images, path = parsed.arguments
    bundle, overwrite = parsed.values.flag("--bundle"), parsed.values.flag("--overwrite")
    if not bundle and (len(images) > 1 or parsed.values.has("--format") or parsed.values.has("--quiet")):
        raise UsageError("is about one image and one file", where="rocket image export", hint="several in one file: --bundle")
    is_image = path.endswith(".aci")
    if not bundle and (not is_image or os.path.basename(path) == ".aci"):
        raise SpecError("the file name of an image ends in .aci", path="FILE", value=path, rule="A1")
    if bundle and is_image:
        raise SpecError("the file name of a bundle does not end in .aci, which is for images", path="FILE", value=path, rule="A1")
    for target in (path,) if bundle else (path, f"{path}.asc"):
        if os.path.lexists(target) and not overwrite:
            raise UsageError("exists", where=target, hint="name another file, or allow overwriting")
    store = Store(context.paths)
    if bundle:
        _bundle(store, images, path, parsed.values)
        return 0
    record = store.resolve(images[0])
    _write(store, record, path, overwrite)
    output.write(f"{record.id}\n")
    return 0


def _bundle(store: Store, images: Sequence[str], path: str, values: options.Values) -> None:
    from ...store.bundle import Gathered

    form, quiet = values.choice("--format", ("table", "json"), "table"), values.flag("--quiet")
    meter = None if quiet else progress.meter()
    # Who collects garbage holds this lock alone: what is gathered stays until it is written.
    with store.lock("prepare", common=True):
        gathered = Gathered(store, map(store.resolve, images))
        try:
            size = gathered.write(path, values.flag("--overwrite"), meter)
        finally:
            if meter is not None:
                progress.clear()
    if form == "json":
        output.write(output.json_text({"file": path, "size": size, **gathered.bundle.to_json()}))
    else:
        output.write(output.table(["ID", "NAME", "VERSION", "SIZE", "SIGNED", "NAMED"], _rows(gathered)))
    if not quiet:
        output.note(f"wrote {path}, {len(gathered.records)} images, {output.size(size)}")
        unsigned = [str(image) for image in gathered.bundle.images if not image.signature_size]
        if unsigned:
            output.note(f"without a signature: {', '.join(unsigned)}; they need a pinned image ID or a lock file where they are fetched")


def _rows(gathered: Gathered) -> list[list[str]]:
    return [
        [
            output.short_id(image.image_id),
            image.name,
            dict(image.labels).get("version", ""),
            output.size(image.size),
            "yes" if image.signature_size else "no",
            "yes" if image.named else "no",
        ]
        for image in gathered.bundle.images
    ]


def _write(store: Store, record: ImageRecord, path: str, overwrite: bool) -> None:
    from ...image.compress import Output
    from ...store.verify import blob_pieces, signature_of

    signature = signature_of(store, record.id)
    with Output(path, "none", overwrite) as file:
        for piece in blob_pieces(store, record):
            file.write(piece)
        if signature is None:
            # One of an older export would be about another file.
            if os.path.lexists(f"{path}.asc"):
                os.unlink(f"{path}.asc")
        else:
            with Output(f"{path}.asc", "none", overwrite) as beside:
                beside.write(signature)
                beside.publish()
        file.publish()
