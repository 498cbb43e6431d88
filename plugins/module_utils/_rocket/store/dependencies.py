# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Which images of the store make up one image: its dependencies and theirs, in the order in which they are laid over each other (D1, D3).

A dependency is the newest import of its name with its labels, or the very image that its ``imageID`` names; what the manifest
says about it holds, else nothing is rendered.

Not handled here: getting dependencies that are absent (fetch), laying them over each other (image/layers.py).
"""

from __future__ import annotations

from ..errors import NotFound, RocketError, StoreError
from ..record import Record
from ..spec.canonical import digest
from ..spec.image_name import ImageName
from .trees import read_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..spec.image_manifest import Dependency
    from .catalogue import Catalogue
    from .record import ImageRecord

    Choice = Callable[[Dependency, str], ImageRecord]

MAX_DEPTH = 32
MAX_VISITS = 256


class Visit(Record):
    """One image on one way from the dependencies up.

    Attributes:
        image: the image.
        chain: it and the images above it on this way, the top one first; each one's path whitelist applies (D5).
    """

    image: ImageRecord
    chain: tuple[ImageRecord, ...]

    @property
    def whitelists(self) -> tuple[tuple[str, ...], ...]:
        """The path whitelists that apply."""
        return tuple(record.manifest.path_whitelist for record in self.chain if record.manifest.path_whitelist)


def visits(catalogue: Catalogue, top: ImageRecord, choose: Choice | None = None) -> tuple[Visit, ...]:
    """Return the visits of `top` and its dependencies in the order of writing: depth first, as listed, each image after its own.

    Args:
        catalogue: where the images are.
        top: the image that is wanted.
        choose: returns the image of a dependency, given what the manifest says and where; `find` unless somebody knows better.

    Raises:
        NotFound: a dependency is not in the store; names it and who needs it.
        StoreError: code ``dependencies``; a cycle (shown), too deep, too many, or not what the manifest says (D1, M16).
    """
    found: list[Visit] = []
    _visit(choose or (lambda dependency, where: find(catalogue, dependency, where)), top, (), found)
    return tuple(found)


def _visit(choose: Choice, image: ImageRecord, above: tuple[ImageRecord, ...], found: list[Visit]) -> None:
    chain = (*above, image)
    if image.id in [other.id for other in above]:
        raise _refused(f"depends on itself: {' -> '.join(record.name for record in chain)}", chain)
    if len(above) > MAX_DEPTH:
        raise _refused(f"has dependencies more than {MAX_DEPTH} deep", chain)
    for index, dependency in enumerate(image.manifest.dependencies):
        where = f"{image.name}: dependencies[{index}]"
        _visit(choose, checked(choose(dependency, where), dependency, where), chain, found)
    found.append(Visit(image, chain))
    if len(found) > MAX_VISITS:
        raise _refused(f"is made of more than {MAX_VISITS} images", chain)


def recorded(catalogue: Catalogue, ids: Sequence[str]) -> tuple[Visit, ...]:
    """Return the visits that were written down as the IDs of their images, in the order of writing.

    Which image depends on which follows from that order: each one says how many there are before it.

    Raises:
        NotFound: an image is not in the store any more.
        StoreError: code ``dependencies``; the IDs are not those of an image and all that it depends on.
    """
    left = list(ids)

    def above(chain: tuple[ImageRecord, ...]) -> list[Visit]:
        if not left:
            raise _other(chain[0].name, "fewer images were written down than it depends on")
        image = catalogue.find_id(left.pop())
        own = (*chain, image)
        before: list[Visit] = []
        for index in reversed(range(len(image.manifest.dependencies))):
            under = above(own)
            checked(under[-1].image, image.manifest.dependencies[index], f"{image.name}: dependencies[{index}]")
            before = under + before
        return [*before, Visit(image, own)]

    found = above(())
    if left:
        raise _other(found[-1].image.name, "more images were written down than it depends on")
    return tuple(found)


def _refused(what: str, chain: tuple[ImageRecord, ...]) -> StoreError:
    return StoreError(f"image {chain[0].name} {what}", hint="build it with fewer dependencies", code="dependencies", image_id=chain[0].id)


def name_of(dependency: Dependency) -> ImageName:
    """Return the name and labels that a dependency asks for."""
    return ImageName(dependency.image_name, tuple(sorted((label.name, label.value) for label in dependency.labels)))


def find(catalogue: Catalogue, dependency: Dependency, where: str, platform: str = "") -> ImageRecord:
    """Return the image that a manifest depends on.

    Args:
        catalogue: where.
        dependency: what the manifest says.
        where: the manifest and the JSON path in it, for messages.
        platform: ``os/arch`` of the hosts that it is for; by default this one's.

    Raises:
        NotFound: it is not in the store.
        StoreError: it is damaged.
    """
    name = name_of(dependency)
    try:
        return catalogue.find_id(dependency.image_id) if dependency.image_id else catalogue.find(name, platform)
    except NotFound as error:
        raise NotFound(f"the dependency {name} is not in the store", where=where, hint=f"fetch it first: rocket fetch {name}") from error


def checked(image: ImageRecord, dependency: Dependency, where: str) -> ImageRecord:
    """Return `image`, which a manifest depends on.

    Raises:
        StoreError: code ``dependencies``; the image is not what the manifest says about it (D1, M16).
    """
    name = name_of(dependency)
    if dependency.image_id not in ("", image.id):
        raise _other(where, f"it is image {image.id}, not {dependency.image_id} (D1)")
    if not name.matches(image):
        raise _other(where, f"image {image.id} is {image.name}, not {name} (D1)")
    if dependency.size and dependency.size != image.file_size:
        raise _other(where, f"image {image.name} has {image.file_size} bytes, not {dependency.size} (M16)")
    return image


def _other(where: str, what: str) -> StoreError:
    return StoreError(what, where=where, hint="fetch the one that was meant, or ask who built the image", code="dependencies")


def tree_id(made_of: tuple[Visit, ...]) -> str:
    """Return the name of the tree that `visits` returned: the image ID where that alone says what is in it."""
    if len(made_of) == 1 and not made_of[0].whitelists:
        return made_of[0].image.id
    return layered_tree_id([visit.image.id for visit in made_of])


def layered_tree_id(ids: Sequence[str]) -> str:
    """Return the name of the tree of several images, by their IDs in the order of writing: what is filtered follows from them."""
    return digest({"format": 1, "layers": list(ids)})


def with_dependencies(catalogue: Catalogue, ids: Iterable[str]) -> frozenset[str]:
    """Return IDs of images and trees, and those of all images that these depend on or were made of; what is damaged needs nothing."""
    needed: set[str] = set()
    todo = list(ids)
    while todo:
        image_id = todo.pop()
        if image_id in needed:
            continue
        needed.add(image_id)
        try:
            tree = read_tree(f"{catalogue.paths.trees}/{image_id}")
            todo += tree.images if tree else ()
            dependencies = catalogue.find_id(image_id).manifest.dependencies
        except RocketError:
            continue  # Nobody can run it now; whoever asks for it learns why.
        for dependency in dependencies:
            try:
                todo.append(checked(find(catalogue, dependency, image_id), dependency, image_id).id)
            except RocketError:
                continue  # It is not there to be kept.
    return frozenset(needed)
