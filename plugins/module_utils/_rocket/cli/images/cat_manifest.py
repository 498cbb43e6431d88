# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket image cat-manifest``: the manifest of an image of the store, or of a file."""

from __future__ import annotations

from .. import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context

COMMAND = options.Command(
    name="image cat-manifest",
    usage="IMAGE",
    summary=(
        "Show the manifest of an image. IMAGE is a name with labels, an image ID or the beginning of one, of an image of the store; or a "
        "file, which needs a / in it."
    ),
    arguments=(1, 1),
    examples=(
        ("rocket image cat-manifest example.com/shop/web:1.4.0", "the newest import of that version"),
        ("rocket image cat-manifest ./web.aci", "a file; nobody has vouched for it"),
    ),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket image cat-manifest``; raises NotFound, Ambiguous or StoreError, ArchiveError or SpecError for a file."""
    from ...fetch.reference import FileReference, parse_reference
    from ...image.check import inspect
    from ...store.store import Store

    reference = parse_reference(parsed.arguments[0])
    found = inspect(reference.path) if isinstance(reference, FileReference) else Store(context.paths).resolve(parsed.arguments[0])
    output.write(output.json_text(found.manifest.to_json()))
    return 0
