# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The layers of an OCI image laid over each other, in memory: what the tree holds, without a file system (docs/oci.md).

No file system means no link that leads out, no owner that cannot be set, no host that does it another way: the same layers
make the same tree everywhere, whoever asks. Links are followed inside the root as on disk (resolve.py), and what contradicts
itself is refused as on disk (unpack.py).

A whiteout hides what came from lower layers, in whatever order it stands in its own: all whiteouts of a layer are applied
when its other entries are in place. Names that the layer itself gave are spared.

Not handled here: content, which is only a place in a file (oci_convert.py), and how a tree gets onto a disk (unpack.py).
"""

from __future__ import annotations

from ..errors import ArchiveError
from .pax import refused
from .stream import over_limit
from .tar import MAX_NAME, Entry, shown, split_name
from .xattrs import travels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .limits import Limits

_PREFIX = b".wh."
_OPAQUE = b".wh..wh..opq"
_MAX_LINKS = 40
_NAMED = 100
_NO_CHILDREN: dict[bytes, Node] = {}


class Node:
    """A file, link or directory; several names can lead to one that is no directory.

    Attributes:
        kind: file, directory, symlink or fifo.
        offset: where the content of a file begins.
        linked: whether several names lead to it.
        children: of a directory, by name.
        own: of a directory that the current layer touched, the names that it gave; None where it did not.
    """

    __slots__ = ("children", "gid", "kind", "link", "linked", "mode", "mtime_ns", "offset", "own", "size", "uid", "xattrs")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.mode = 0o755
        self.uid = self.gid = self.size = self.mtime_ns = self.offset = 0
        self.link = b""
        self.linked = False
        self.xattrs: tuple[tuple[bytes, bytes], ...] = ()
        self.children: dict[bytes, Node] = {} if kind == "directory" else _NO_CHILDREN
        self.own: set[bytes] | None = None

    def dress(self, entry: Entry, xattrs: tuple[tuple[bytes, bytes], ...]) -> None:
        """Take mode, owner, time, size and target of `entry`, and attributes."""
        self.mode, self.uid, self.gid = entry.mode, entry.uid, entry.gid
        self.mtime_ns, self.size, self.link = entry.mtime_ns, entry.size, entry.link
        self.xattrs = xattrs

    def undress(self) -> None:
        """Become a directory that no entry names: the same everywhere."""
        self.mode, self.uid, self.gid, self.mtime_ns, self.xattrs = 0o755, 0, 0, 0, ()


class MergedTree:
    """The tree that layers make; finish_layer() ends each.

    Attributes:
        skipped: kind and name of devices, which are not in the tree; the first 100.
        skipped_count: how many there were.
        dropped_xattrs: extended attributes that do not travel (xattrs.py).
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._root = Node("directory")
        self._touched: list[Node] = []
        self._whiteouts: list[tuple[Entry, tuple[bytes, ...]]] = []
        self._nodes = 1
        self.skipped: list[str] = []
        self.skipped_count = 0
        self.dropped_xattrs = 0

    def place(self, entry: Entry) -> Node | None:
        """Put an entry of the current layer in its place; return the node of a file, whose offset the caller sets, else None.

        Raises:
            ArchiveError: it contradicts what is there, is a whiteout of nothing, or exceeds a limit; names the entry.
        """
        try:
            return self._place(entry, split_name(entry.name, self._limits))
        except ArchiveError as error:
            error.where = error.where or shown(entry.name)
            raise

    def finish_layer(self) -> None:
        """Apply the whiteouts of the current layer; what is placed after belongs to the next.

        Raises:
            ArchiveError: one lies behind a loop of links.
        """
        for entry, parts in self._whiteouts:
            try:
                self._hide(parts)
            except ArchiveError as error:
                error.where = error.where or shown(entry.name)
                raise
        self._whiteouts = []
        for node in self._touched:
            node.own = None
        self._touched = []

    def find(self, path: str) -> Node | None:
        """Return what `path` names, links on the way followed inside the root, the last one not; None where there is nothing."""
        parts = tuple(part for part in path.encode("utf-8", "surrogateescape").split(b"/") if part not in (b"", b"."))
        try:
            parent = self._directory(parts[:-1], make=False)
        except ArchiveError:
            return None
        return parent.children.get(parts[-1]) if parent is not None and parts else None

    def make_directory(self, path: str) -> bool:
        """Have a directory at `path`, which is absolute; return whether there is one."""
        try:
            self._directory(split_name(path.encode("utf-8"), self._limits), make=True)
        except ArchiveError:
            return False
        return True

    def entries(self, top: bytes) -> Iterator[tuple[Entry, int]]:
        """Yield the entries of an archive of the tree below the name `top`, in the order in which build.py writes one.

        With each comes the offset of its content. A name that leads to the file of an earlier one is a hard link to it.

        Raises (while iterating):
            ArchiveError: code ``archive-limit``, a path that is too deep or too long.
        """
        first: dict[Node, bytes] = {}
        yield self._entry(self._root, top + b"/", first), 0
        waiting = [(top + b"/", iter(sorted(self._root.children.items())))]
        while waiting:
            above, rest = waiting[-1]
            name, node = next(rest, (b"", None))
            if node is None:
                waiting.pop()
                continue
            path = above + name + (b"/" if node.kind == "directory" else b"")
            if len(path) > MAX_NAME or len(waiting) >= self._limits.depth:
                raise over_limit(f"the tree is deeper than {self._limits.depth} parts, or a path longer than {MAX_NAME} bytes")
            yield self._entry(node, path, first), node.offset
            if node.kind == "directory":
                waiting.append((path, iter(sorted(node.children.items()))))

    def _entry(self, node: Node, name: bytes, first: dict[Node, bytes]) -> Entry:
        kind, link, size = node.kind, node.link, node.size
        if node.linked and kind == "file" and first.setdefault(node, name) != name:
            kind, link, size = "hardlink", first[node], 0
        return Entry(
            name=name,
            kind=kind,
            mode=0o777 if kind == "symlink" else node.mode,
            uid=node.uid,
            gid=node.gid,
            size=size,
            mtime_ns=node.mtime_ns,
            link=link,
            xattrs=node.xattrs if kind in ("file", "directory") else (),
        )

    def _place(self, entry: Entry, parts: tuple[bytes, ...]) -> Node | None:
        if self._is_whiteout(entry, parts):
            return None
        if entry.kind in ("char", "block"):
            self.skipped_count += 1
            if len(self.skipped) < _NAMED:
                self.skipped.append(f"{entry.kind} {shown(entry.name)[6:]}")
            return None
        kept: tuple[tuple[bytes, bytes], ...] = ()
        if entry.kind in ("file", "directory"):
            kept = tuple(pair for pair in entry.xattrs if travels(pair[0], capabilities=True))
        self.dropped_xattrs += len(entry.xattrs) - len(kept)
        if not parts:
            if entry.kind != "directory":
                raise refused("the root is no directory")
            self._touch(self._root)
            node = self._root
        elif entry.kind == "hardlink":
            self._link(parts, entry)
            return None
        else:
            node = self._node(parts, entry.kind)
        node.dress(entry, kept)
        return node if entry.kind == "file" else None

    def _is_whiteout(self, entry: Entry, parts: tuple[bytes, ...]) -> bool:
        if any(part.startswith(_PREFIX) for part in parts[:-1]):
            raise refused("a whiteout is used as a directory")
        if not parts or not parts[-1].startswith(_PREFIX):
            return False
        hidden = parts[-1][len(_PREFIX) :]
        if entry.kind not in ("file", "hardlink"):
            raise refused(f"a whiteout is a {entry.kind} and has to be a file")
        if hidden in (b"", b".", b".."):
            raise refused("a whiteout hides nothing that can be there")
        if hidden.startswith(_PREFIX) and parts[-1] != _OPAQUE:
            raise refused("a mark of another program that means nothing in a layer")
        self._whiteouts.append((entry, parts))
        return True

    def _node(self, parts: tuple[bytes, ...], kind: str) -> Node:
        """Return the new node at `parts`, or the directory that is there already where a directory is wanted."""
        parent = self._open(parts[:-1])
        name = parts[-1]
        present = parent.children.get(name)
        if present is not None and present.kind == "directory":
            if kind == "directory":
                self._touch(present)
                self._own(parent, name)
                return present
            if present.own is not None:
                raise refused("a directory of this very layer is in its place")
        node = Node(kind)
        self._give(parent, name, node)
        if kind == "directory":
            self._touch(node)
        return node

    def _link(self, parts: tuple[bytes, ...], entry: Entry) -> None:
        target = split_name(entry.link, self._limits)
        if not target:
            raise refused("a hard link leads to the root")
        source = self._directory(target[:-1], make=False)
        node = None if source is None else source.children.get(target[-1])
        if node is None:
            raise refused("a hard link leads to what is not there")
        if node.kind not in ("file", "symlink"):
            raise refused("a hard link leads to neither a file nor a symbolic link")
        parent = self._open(parts[:-1])
        present = parent.children.get(parts[-1])
        if present is node:
            raise refused("a hard link leads to itself")
        if present is not None and present.kind == "directory" and present.own is not None:
            raise refused("a directory of this very layer is in its place")
        node.linked = True
        self._give(parent, parts[-1], node)

    def _give(self, parent: Node, name: bytes, node: Node) -> None:
        parent.children[name] = node
        self._own(parent, name)

    def _own(self, parent: Node, name: bytes) -> None:
        self._touch(parent)
        if parent.own is not None:
            parent.own.add(name)

    def _touch(self, node: Node) -> None:
        if node.own is None:
            node.own = set()
            self._touched.append(node)

    def _open(self, parts: tuple[bytes, ...]) -> Node:
        node = self._directory(parts, make=True)
        if node is None:
            raise refused("a directory cannot be made")
        return node

    def _directory(self, parts: tuple[bytes, ...], make: bool) -> Node | None:
        """Return the directory at `parts`, links followed inside the root; None where there is none and it is not to be made.

        With `make`, what is missing is made, and all directories on the way are touched by the current layer.

        Raises:
            ArchiveError: what is there is no directory, or a link leads nowhere or in a circle.
        """
        way = [self._root]
        todo = [(part, False) for part in reversed(parts)]
        links = 0
        while todo:
            part, of_link = todo.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                if len(way) > 1:
                    way.pop()
                continue
            node = way[-1].children.get(part)
            if node is None:
                if of_link and make:
                    raise refused("a link leads to what is not there")
                if not make:
                    return None
                node = self._new_directory(way[-1], part)
            if node.kind == "symlink":
                links += 1
                if links > _MAX_LINKS:
                    raise refused("links lead to links without an end")
                if node.link.startswith(b"/"):
                    way = way[:1]
                todo.extend((piece, True) for piece in reversed(node.link.split(b"/")))
                continue
            if node.kind != "directory":
                if make:
                    raise refused(f"a {node.kind} is used as a directory")
                return None
            way.append(node)
        if make:
            for node in way:
                self._touch(node)
        return way[-1]

    def _new_directory(self, parent: Node, name: bytes) -> Node:
        self._nodes += 1
        if self._nodes > self._limits.entries:
            raise over_limit(f"the tree has more than {self._limits.entries} directories that no entry names")
        node = Node("directory")
        parent.children[name] = node
        return node

    def _hide(self, parts: tuple[bytes, ...]) -> None:
        parent = self._directory(parts[:-1], make=False)
        if parent is None:
            # Builders name each of what lay in a directory that the very layer replaces by a file.
            return
        waiting = [parent] if parts[-1] == _OPAQUE else []
        if not waiting:
            self._hide_one(parent, parts[-1][len(_PREFIX) :], waiting)
        while waiting:
            node = waiting.pop()
            for name in list(node.children):
                self._hide_one(node, name, waiting)

    def _hide_one(self, parent: Node, name: bytes, waiting: list[Node]) -> None:
        """Take out of a directory what lower layers gave it; a directory that this layer touched waits for the same."""
        node = parent.children.get(name)
        if node is None:
            return
        given = parent.own is not None and name in parent.own
        if node.kind == "directory" and node.own is not None:
            if not given:
                # What the layer put into it stays, what it was before is gone all the same.
                node.undress()
            waiting.append(node)
        elif not given:
            del parent.children[name]
