# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Make a tree from trees that are there: by hard links within the store, by copies anywhere else.

Links cost no space and no reading, so that an image which shares its dependencies with another one costs the difference. What is
linked is never written to: pods get it below an overlay.

Not handled here: what the tree holds (layers.py), syncing and putting it in place (store).
"""

from __future__ import annotations

import errno
import fcntl
import os

from ..errors import StoreError
from .attributes import dress
from .listing import plain
from .tar import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .layers import Node
    from .tar import Entry

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TARGET = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20
_FICLONE = 0x40049409


def compose(tree: Node, layers: Sequence[int], root: int, link: bool) -> None:
    """Make `tree` in the directory `root`.

    Args:
        tree: what it holds, from layers.overlay().
        layers: descriptors of the root directories of its layers, by number.
        root: descriptor of an empty directory that nobody else writes to.
        link: whether what is no directory becomes a hard link to that of the layer; False copies.

    Raises:
        StoreError: a layer is not what its listing says, or the disk refused; names the path.
    """
    _Maker(layers, root, link).fill(tree, root)


class _Maker:
    def __init__(self, layers: Sequence[int], root: int, link: bool) -> None:
        self._layers = layers
        self._root = root
        self._link = link
        self._owners = os.geteuid() == 0
        # Several names of one file stay names of one file in a copy.
        self._copies: dict[tuple[int, int], bytes] = {}

    def fill(self, node: Node, fd: int) -> None:
        """Make what is in the directory `node`, which is open as `fd`, then give it its own attributes."""
        for name in sorted(node.children or ()):
            child = (node.children or {})[name]
            try:
                self._make(child, fd, plain(name))
            except OSError as error:
                raise _explained(error, child) from error
        dress(fd, node.line.entry(), self._owners, capabilities=True)

    def _make(self, node: Node, directory: int, name: bytes) -> None:
        if node.children is not None:
            os.mkdir(name, 0o700, dir_fd=directory)
            fd = os.open(name, _DIRECTORY, dir_fd=directory)
            try:
                self.fill(node, fd)
            finally:
                os.close(fd)
            return
        source = plain(node.line.path)[1:]
        if self._link:
            try:
                os.link(source, name, src_dir_fd=self._layers[node.layer], dst_dir_fd=directory, follow_symlinks=False)
                return
            except OSError as error:
                # One name too many for an inode of this file system.
                if error.errno != errno.EMLINK:
                    raise
        self._copy(node, source, directory, name)

    def _copy(self, node: Node, source: bytes, directory: int, name: bytes) -> None:
        info = os.stat(source, dir_fd=self._layers[node.layer], follow_symlinks=False)
        key = (info.st_dev, info.st_ino)
        if key in self._copies:
            os.link(self._copies[key], name, src_dir_fd=self._root, dst_dir_fd=directory, follow_symlinks=False)
            return
        entry = node.line.entry()
        if entry.kind == "file":
            self._copy_file(self._layers[node.layer], source, entry, directory, name)
        else:
            _make_special(entry, directory, name, self._owners)
        if info.st_nlink > 1:
            self._copies[key] = source

    def _copy_file(self, layer: int, source: bytes, entry: Entry, directory: int, name: bytes) -> None:
        reader = os.open(source, _SOURCE, dir_fd=layer)
        try:
            writer = os.open(name, _TARGET, 0o600, dir_fd=directory)
            try:
                if _content(reader, writer) != entry.size:
                    raise OSError(errno.EIO, "the file is not as long as it was")
                dress(writer, entry, self._owners, capabilities=True)
            finally:
                os.close(writer)
        finally:
            os.close(reader)


def _content(reader: int, writer: int) -> int:
    """Copy a file and return its size: by sharing blocks where the file system can."""
    try:
        fcntl.ioctl(writer, _FICLONE, reader)
        return os.fstat(writer).st_size
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS):
            raise
    size = 0
    while True:
        piece = os.read(reader, _PIECE)
        if not piece:
            return size
        size += len(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(writer, view) :]


def _make_special(entry: Entry, directory: int, name: bytes, owners: bool) -> None:
    """Make a symbolic link or a FIFO."""
    if entry.kind == "symlink":
        os.symlink(entry.link, name, dir_fd=directory)
    else:
        os.mkfifo(name, 0o600, dir_fd=directory)
    if owners:
        os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
    if entry.kind == "fifo":
        os.chmod(name, entry.mode, dir_fd=directory)
    os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=directory, follow_symlinks=False)


def _explained(error: OSError, node: Node) -> StoreError:
    where = shown(plain(node.line.path))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            "there is no space left for the tree", where=where, code="no-space", hint="free space, or collect garbage: rocket gc"
        )
    return StoreError(f"the tree cannot be put together ({error.strerror})", where=where, hint="look at it with: rocket image verify")
