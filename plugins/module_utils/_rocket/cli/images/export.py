# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket image export``: an image of the store as the file that it came as, with its signature."""

from __future__ import annotations

import os

from ...errors import SpecError, UsageError
from .. import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...store.record import ImageRecord
    from ...store.store import Store
    from ..context import Context

COMMAND = options.Command(
    name="image export",
    usage="[--overwrite] IMAGE FILE",
    summary=(
        "Write an image of the store to a file, byte by byte as it was published, and its signature, where it has one, beside it as "
        "FILE.asc: any rocket can fetch it from there and verify it as before."
    ),
    options=(options.Option("--overwrite", "replace the files if they exist"),),
    arguments=(2, 2),
    examples=(("rocket image export example.com/shop/web:1.4.0 web.aci", "to carry it to another host"),),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket image export``.

    Raises:
        NotFound, Ambiguous: which image is meant.
        StoreError: code ``damaged``; nothing is written then.
        SpecError: the name of the file (A1).
        UsageError: the file exists.
    """
    from ...store.store import Store

    image, path = parsed.arguments
    if not path.endswith(".aci") or os.path.basename(path) == ".aci":
        raise SpecError("the file name of an image ends in .aci", path="FILE", value=path, rule="A1")
    overwrite = parsed.values.flag("--overwrite")
    for target in (path, f"{path}.asc"):
        if os.path.lexists(target) and not overwrite:
            raise UsageError("exists", where=target, hint="name another file, or allow overwriting")
    store = Store(context.paths)
    record = store.resolve(image)
    _write(store, record, path, overwrite)
    output.write(f"{record.id}\n")
    return 0


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
