# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The path whitelist of an image (D5, M17): every path that is not listed goes.

A listed path is kept as what it is: a directory without what is in it, a symbolic link without its target. Directories on
the way to a listed path stay. Links are not followed: ``/lib/x`` lists nothing where ``lib`` is a link.
"""

from __future__ import annotations

import os

from .remove import remove_at
from .resolve import enter, kernel_openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


def apply_path_whitelist(rootfs: int, whitelist: Iterable[str]) -> int:
    """Remove what `whitelist` does not list below the directory `rootfs`; return how many trees and files went.

    Args:
        rootfs: descriptor of an unpacked root file system that nobody else writes to.
        whitelist: absolute, normalised paths, as ImageManifest.path_whitelist; empty keeps everything.

    Raises:
        StoreError: something cannot be removed.
        OSError: the tree cannot be read.
    """
    listed = {tuple(part for part in path.split("/") if part) for path in whitelist}
    if not listed:
        return 0
    above = {path[:length] for path in listed for length in range(len(path))}
    return _keep(rootfs, (), listed, above, kernel_openat2())


def _keep(directory: int, at: tuple[str, ...], listed: set[tuple[str, ...]], above: set[tuple[str, ...]], openat2: Any) -> int:
    removed = 0
    before = os.fstat(directory)
    with os.scandir(directory) as listing:
        names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in listing]
    for name, is_directory in names:
        path = (*at, name)
        if is_directory and (path in listed or path in above):
            child = enter(directory, os.fsencode(name), openat2)
            try:
                removed += _keep(child, path, listed, above, openat2)
            finally:
                os.close(child)
        elif path not in listed:
            remove_at(directory, name)
            removed += 1
    # What is removed is not part of the image, so its removal is not part of the directory's history either.
    os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
    return removed
