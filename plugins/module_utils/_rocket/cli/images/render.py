# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket image render``: the root file system that a pod would get, as a directory of one's own."""

from __future__ import annotations

import os

from .. import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...store.store import Store
    from ..context import Context

COMMAND = options.Command(
    name="image render",
    usage="[--overwrite] IMAGE DIRECTORY",
    summary="Copy the root file system of an image, with its dependencies and whitelists applied, into a directory.",
    options=(options.Option("--overwrite", "remove what is in DIRECTORY before"),),
    arguments=(2, 2),
    examples=(("rocket image render example.com/shop/web:1.4.0 /tmp/web", "what a pod would start with"),),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket image render``.

    Raises:
        NotFound, Ambiguous: which image is meant, or a dependency is missing.
        StoreError: the image cannot be rendered, or its tree was changed.
        UsageError: the directory is not empty.
    """
    from ...image.new_directory import NewDirectory
    from ...store.store import Store

    image, directory = parsed.arguments
    store = Store(context.paths)
    record = store.resolve(image)
    with NewDirectory(directory, parsed.values.flag("--overwrite")) as new:
        os.mkdir(f"{new.path}/rootfs", 0o700)
        # Who collects garbage holds this lock alone; the pod that would keep the tree does not exist.
        with store.lock("prepare", common=True):
            _copy(store, os.path.dirname(store.tree(record.id)), f"{new.path}/rootfs")
        new.publish("rootfs")
    output.write(f"{record.id}\n")
    return 0


def _copy(store: Store, place: str, target: str) -> None:
    from ...image.compose import compose
    from ...image.layers import Layer, overlay
    from ...image.limits import DEFAULT
    from ...store.trees import listing_of, open_root
    from ...store.verify import verify_tree

    verify_tree(store, os.path.basename(place))
    source, new = open_root(place), os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        compose(overlay([Layer(listing_of(place))], DEFAULT), [source], new, link=False)
    finally:
        os.close(source)
        os.close(new)
