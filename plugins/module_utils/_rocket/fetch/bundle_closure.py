# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What the images of a bundle stand on: in the bundle or in the store, looked at before anything of it enters the store (D1, M16)."""

from __future__ import annotations

from ..errors import ArchiveError, NotFound
from ..platform import fits
from ..record import replace
from ..store.dependencies import name_of, visits
from ..store.verify import has_blob
from .stored import Stored
from .under_lock import locked_as

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..spec.image_manifest import Dependency
    from ..store.record import ImageRecord
    from ..store.store import Store
    from .options import FetchOptions
    from .verification import Verifier


def check_closure(store: Store, verifier: Verifier, options: FetchOptions, images: Sequence[ImageRecord]) -> None:
    """Refuse images of a bundle that could not be rendered once they are in the store.

    Args:
        store: where they will be.
        verifier: what trust/ says about what is there.
        options: what the operator said.
        images: of the bundle, in its order, as the store has or will have them.

    Raises:
        NotFound: a dependency is in neither, or not in the lock (``not-locked``); names who needs it.
        StoreError: circles, too many, too deep, or not what the manifest says.
        ArchiveError: an image stands before one that it depends on.
    """
    closure = _Closure(store, verifier, options, images)
    for index, image in enumerate(images):
        before = {each.id for each in images[: index + 1]}
        others = {each.id for each in images} - before
        for visit in visits(store, image, closure.choose):
            if visit.image.id in others:
                what = f"{visit.image.name} stands behind {image.name}, which depends on it"
                raise ArchiveError(what, where="bundle.json", hint="write the bundle again: rocket image export --bundle")


class _Closure:
    def __init__(self, store: Store, verifier: Verifier, options: FetchOptions, images: Sequence[ImageRecord]) -> None:
        self._store = store
        self._options = options
        self._images = images
        # An image ID that the operator gave is about what the bundle names.
        self._stored = Stored(store, verifier, replace(options, expected_id=""))

    def choose(self, dependency: Dependency, where: str) -> ImageRecord:
        """Return what a dependency means: under a lock that alone, else an image of the bundle before one of the store.

        Of several in the bundle the last, which will be the newest in the store.
        """
        name = name_of(dependency)
        try:
            locked = locked_as(dependency.image_id or str(name), self._options)
        except NotFound as error:
            error.where = f"{where}: {error.where}" if error.where else where
            raise
        wanted = locked.image_id if locked is not None else dependency.image_id
        fitting = [image for image in self._images if wanted in ("", image.id) and name.matches(image)]
        free = [label for label in self._options.host_labels if name.label(label[0]) is None]
        better = [image for image in fitting if fits(image.labels, free)] or fitting
        if better:
            return better[-1]
        try:
            found = self._store.find_id(wanted) if wanted else self._store.find(name, self._options.host)
        except NotFound as error:
            what = f"the dependency {name} is neither in the bundle nor in the store"
            raise NotFound(what, where=where, hint="write a bundle with it, or fetch it first") from error
        refusal = self._stored.refusal(found) or ("" if has_blob(self._store, found) else "damaged")
        if refusal:
            what = f"the dependency {name} is not in the bundle, and does not do as it is in the store: {refusal}"
            raise NotFound(what, where=where, hint="write a bundle with it, or fetch it first")
        return found
