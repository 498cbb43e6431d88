# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Images laid over each other: what the rendered tree holds, worked out from listings alone (D3, D4, D5).

A layer is one visit of an image on the way from the dependencies up. The rules, where the specification is silent too:

* a directory over a directory: the later one's owner, mode and attributes, unless its archive had no entry for it; contents are merged
* anything else over a directory: the whole directory goes
* a directory over anything else: that goes; so a symbolic link is replaced and never followed
* a path stays if every image from its own up to the top has no whitelist, or lists it; the directories above a listed path stay,
  a listed directory stays without what is in it

Not handled here: which images lie over which (store/dependencies.py), making the tree (compose.py).
"""

from __future__ import annotations

from ..record import Record
from .listing import IMPLIED, Line, escaped
from .stream import over_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .limits import Limits


class Layer(Record):
    """One visit of an image.

    Attributes:
        listing: what the image holds by itself (listing.py).
        whitelists: the path whitelists that apply: the image's own and those of the images above it on this way (M17);
            absolute, normalised paths; an empty list lists everything.
    """

    listing: bytes
    whitelists: tuple[tuple[str, ...], ...] = ()


class Node:
    """One path of the tree that is being put together.

    Attributes:
        line: what is there.
        layer: number of the layer that it comes from.
        children: of a directory by escaped name, else None.
    """

    __slots__ = ("children", "layer", "line")

    def __init__(self, line: Line, layer: int) -> None:
        self.line = line
        self.layer = layer
        self.children: dict[bytes, Node] | None = {} if line.is_directory else None


def overlay(layers: Sequence[Layer], limits: Limits) -> Node:
    """Return the tree of `layers`, the lowest first; its root is that of the last one.

    Raises:
        ArchiveError: code ``archive-limit``; more entries or bytes than one archive may have.
        ValueError: there are no layers.
    """
    root: Node | None = None
    entries = 0
    for number, layer in enumerate(layers):
        allowed = [_Allowed(whitelist) for whitelist in layer.whitelists if whitelist]
        for text in layer.listing.splitlines():
            line = Line(text)
            if line.path == b"/":
                root = _replaced(root, Node(line, number))
            elif all(one.keeps(line) for one in allowed):
                entries += 1
                if entries > limits.entries:
                    raise over_limit(f"the image and its dependencies have more than {limits.entries} entries")
                _put(_known(root), line, number)
    return _known(root)


def _known(root: Node | None) -> Node:
    if root is None:
        raise ValueError("a listing begins with its root")
    return root


class _Allowed:
    """One path whitelist."""

    def __init__(self, whitelist: Iterable[str]) -> None:
        self._listed = {b"/".join(map(escaped, path.encode("utf-8", "surrogateescape").split(b"/"))) for path in whitelist}
        self._above = {path[:at] for path in self._listed for at in range(1, len(path)) if path[at : at + 1] == b"/"}

    def keeps(self, line: Line) -> bool:
        return line.path in self._listed or (line.is_directory and line.path in self._above)


def _put(root: Node, line: Line, layer: int) -> None:
    *above, name = line.path.split(b"/")[1:]
    directory = root
    for part in above:
        # Listings name directories first, and what lies in the way of one was replaced when it came.
        directory = _children(directory)[part]
    children = _children(directory)
    children[name] = _replaced(children.get(name), Node(line, layer))


def _children(node: Node) -> dict[bytes, Node]:
    if node.children is None:
        raise ValueError(f"{node.line.path!r} is no directory: the listing is not in order")
    return node.children


def _replaced(old: Node | None, new: Node) -> Node:
    """Return what is at a path when `new` comes over `old`."""
    if old is not None and old.children is not None and new.children is not None:
        if new.line.letter == IMPLIED:
            return old
        new.children = old.children
    return new


def lines(node: Node) -> Iterator[Line]:
    """Yield the lines of a tree in the order of a listing."""
    yield node.line
    if node.children:
        for name in sorted(node.children):
            yield from lines(node.children[name])
