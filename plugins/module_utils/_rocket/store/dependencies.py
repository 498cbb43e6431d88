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
    from collections.abc import Iterable

    from ..spec.image_manifest import Dependency
    from .catalogue import Catalogue
    from .record import ImageRecord

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


def visits(catalogue: Catalogue, top: ImageRecord) -> tuple[Visit, ...]:
    """Return the visits of `top` and its dependencies in the order of writing: depth first, as listed, each image after its own.

    Raises:
        NotFound: a dependency is not in the store; names it and who needs it.
        StoreError: code ``dependencies``; a cycle (shown), too deep, too many, or not what the manifest says (D1, M16).
    """
    found: list[Visit] = []
    _visit(catalogue, top, (), found)
    return tuple(found)


def _visit(catalogue: Catalogue, image: ImageRecord, above: tuple[ImageRecord, ...], found: list[Visit]) -> None:
    chain = (*above, image)
    if image.id in [other.id for other in above]:
        raise _refused(f"depends on itself: {' -> '.join(record.name for record in chain)}", chain)
    if len(above) > MAX_DEPTH:
        raise _refused(f"has dependencies more than {MAX_DEPTH} deep", chain)
    for index, dependency in enumerate(image.manifest.dependencies):
        _visit(catalogue, find(catalogue, dependency, f"{image.name}: dependencies[{index}]"), chain, found)
    found.append(Visit(image, chain))
    if len(found) > MAX_VISITS:
        raise _refused(f"is made of more than {MAX_VISITS} images", chain)


def _refused(what: str, chain: tuple[ImageRecord, ...]) -> StoreError:
    return StoreError(f"image {chain[0].name} {what}", hint="build it with fewer dependencies", code="dependencies", image_id=chain[0].id)


def name_of(dependency: Dependency) -> ImageName:
    """Return the name and labels that a dependency asks for."""
    return ImageName(dependency.image_name, tuple(sorted((label.name, label.value) for label in dependency.labels)))


def find(catalogue: Catalogue, dependency: Dependency, where: str) -> ImageRecord:
    """Return the image that a manifest depends on.

    Args:
        catalogue: where.
        dependency: what the manifest says.
        where: the manifest and the JSON path in it, for messages.

    Raises:
        NotFound: it is not in the store.
        StoreError: code ``dependencies``; the image is not what the manifest says about it (D1, M16), or is damaged.
    """
    name = name_of(dependency)
    try:
        image = catalogue.find_id(dependency.image_id) if dependency.image_id else catalogue.find(name)
    except NotFound as error:
        raise NotFound(f"the dependency {name} is not in the store", where=where, hint=f"fetch it first: rocket fetch {name}") from error
    if not name.matches(image):
        raise _other(where, f"image {image.id} is {image.name}, not {name} (D1)")
    if dependency.size and dependency.size != image.file_size:
        raise _other(where, f"image {image.name} has {image.file_size} bytes, not {dependency.size} (M16)")
    return image


def _other(where: str, what: str) -> StoreError:
    return StoreError(what, where=where, hint="fetch the one that was meant, or ask who built the image", code="dependencies")


def tree_id(made_of: tuple[Visit, ...]) -> str:
    """Return the name of the tree that `visits` returned: the image ID where that alone says what is in it.

    Which whitelists apply to whom follows from the images in their order: each says how many it depends on.
    """
    if len(made_of) == 1 and not made_of[0].whitelists:
        return made_of[0].image.id
    return digest({"format": 1, "layers": [visit.image.id for visit in made_of]})


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
                todo.append(find(catalogue, dependency, image_id).id)
            except RocketError:
                continue  # It is not there to be kept.
    return frozenset(needed)
