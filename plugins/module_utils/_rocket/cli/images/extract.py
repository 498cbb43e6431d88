# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket image extract``: what one archive holds, without what it depends on."""

from __future__ import annotations

import os

from ...errors import ArchiveError
from .. import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context

COMMAND = options.Command(
    name="image extract",
    usage="[--rootfs-only] [--overwrite] IMAGE DIRECTORY",
    summary=(
        "Unpack an image, its manifest and its root file system, into a directory; dependencies and whitelists apart. IMAGE is one of "
        "the store or, with a / in it, a file, which need not be trusted to be looked at."
    ),
    options=(
        options.Option("--rootfs-only", "DIRECTORY becomes the root file system itself"),
        options.Option("--overwrite", "remove what is in DIRECTORY before"),
    ),
    arguments=(2, 2),
    examples=(
        ("rocket image extract example.com/shop/web:1.4.0 /tmp/web", "to look around in it"),
        ("rocket image extract --rootfs-only ./web.aci rootfs", "of a file"),
    ),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket image extract``.

    Raises:
        NotFound, Ambiguous: which image is meant.
        ArchiveError, StoreError: it cannot be unpacked.
        UsageError: the directory is not empty.
    """
    from ...image.check import inspect
    from ...image.extract import extract
    from ...image.new_directory import NewDirectory

    image, directory = parsed.arguments
    fd = _open(context, image)
    try:
        with NewDirectory(directory, parsed.values.flag("--overwrite")) as new:
            os.mkdir(f"{new.path}/image", 0o755)
            extraction = extract(fd, f"{new.path}/image")
            if parsed.values.flag("--rootfs-only"):
                new.publish("image/rootfs")
            else:
                manifest = inspect(fd).manifest_bytes
                with open(f"{new.path}/image/manifest", "xb") as file:
                    file.write(manifest)
                new.publish("image")
    finally:
        os.close(fd)
    if extraction.skipped_count:
        output.note(f"{extraction.skipped_count} devices were not made: {', '.join(extraction.skipped[:3])}")
    if not extraction.owners:
        output.note("owners were not set, that takes root")
    output.write(f"{extraction.image_id}\n")
    return 0


def _open(context: Context, image: str) -> int:
    if "/" not in image or not image.startswith(("/", "./", "../")):
        from ...store.store import Store
        from ...store.verify import open_blob

        store = Store(context.paths)
        return open_blob(store, store.resolve(image))
    try:
        return os.open(image, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise ArchiveError(f"cannot be opened ({error.strerror})", where=image, hint="name an image archive") from error
