# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What of the store nothing needs, as steps of a plan: images with their trees and layers, and the work of dead processes.

What one step takes along is known to the next: a layer that two images share goes with the second of them, and so do the
bytes of a file that two trees share.
"""

from __future__ import annotations

import os

from ..errors import NotFound, RocketError, StoreError
from ..plan import Step
from .blobs import Blobs
from .catalogue import is_image_id
from .dependencies import tree_id, visits, with_dependencies
from .locks import is_locked
from .partial import kept_until
from .trees import TreeRecord, read_tree
from .usage import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .store import Store

ACTION = "remove"


def names(path: str) -> list[str]:
    """Return what is in a directory, sorted; nothing where there is none.

    Raises:
        StoreError: it cannot be listed.
    """
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot be listed: {error.strerror}", where=path, hint="run as the owner of the store") from error


class Unused:
    """What of a store nothing needs; each of its methods leaves out what went with an earlier step.

    Args:
        store: where.
        in_use: IDs of images and trees that pods use; what the images depend on is in use too.
        now: seconds since the epoch.
        used_at: when images were last used by pods that are still to go, seconds since the epoch by image ID.
    """

    def __init__(self, store: Store, in_use: Iterable[str], now: int, used_at: Mapping[str, float]) -> None:
        self._store = store
        self._paths = store.paths
        self._now = now
        self._used_at = used_at
        self._needed = with_dependencies(store, in_use)
        self._images = set(store.ids())
        self._wanted = {*self._needed, *self._trees_of(self._images & self._needed)}
        self._trees = {name: self._tree(name) for name in names(self._paths.trees) if is_image_id(name)}
        self._blobs = Blobs(store)
        self._layers: dict[str, set[str]] = {digest: set() for digest in self._blobs.names()}
        for image_id in self._images if self._layers else ():
            for digest in store.layers_of(image_id):
                self._layers.get(digest, set()).add(image_id)
        self._gone: set[str] = set()
        self._tally = Tally()

    def _tree(self, name: str) -> TreeRecord | None:
        try:
            return read_tree(f"{self._paths.trees}/{name}")
        except StoreError:
            return None

    def _trees_of(self, image_ids: Iterable[str]) -> Iterator[str]:
        """Yield the names of the trees that starting these images would use today."""
        for image_id in image_ids:
            try:
                yield tree_id(visits(self._store, self._store.find_id(image_id)))
            except RocketError:
                continue  # It cannot be started as it is; a pod that holds a tree of it names that tree.

    def _step(self, kind: str, subject: str, reason: str, *places: str, **facts: object) -> Step:
        known = (("kind", kind), ("paths", self._paths), *facts.items())
        return Step(ACTION, subject, reason, known, self._tally.freed(*places))

    def leftovers(self, grace: int) -> Iterator[Step]:
        """Yield unfinished work of dead processes and what was given up; a download that can be gone on with after `grace` seconds."""
        for name in names(self._paths.staging):
            path = f"{self._paths.staging}/{name}"
            kept = kept_until(path, grace)
            # What seems to come from later than now is kept by no clock.
            if not is_locked(path) and not self._now < kept <= self._now + grace:
                yield self._staged(path, "a download that nobody went on with" if kept else "left by a process that ended")
        for name in names(self._paths.garbage):
            path = f"{self._paths.garbage}/{name}"
            yield self._step("garbage", path, "given up", path)
        for name in names(self._paths.locks):
            path = f"{self._paths.locks}/{name}"
            # Whoever lives removes the lock file of a key when it gives the lock up; those of whole words stay.
            if name.startswith("sha512-") and not is_locked(path):
                yield self._step("lock", path, "left by a process that ended", path)

    def _staged(self, path: str, reason: str) -> Step:
        self._gone.add(path)
        return self._step("staging", path, reason, path, kept=kept_until(path, 0))

    def images(self, before: int) -> Iterator[Step]:
        """Yield the unused images whose last import is not after `before`; what each takes along comes later."""
        for image_id in sorted(self._images - self._needed):
            found = self._import_of(image_id)
            if found is not None and found[1] <= before:
                yield self._image(image_id, *found)

    def _import_of(self, image_id: str) -> tuple[str, int] | None:
        try:
            return self._store.import_of(image_id)
        except NotFound:
            return None
        except StoreError:
            return "damaged image", int(os.stat(f"{self._paths.images}/{image_id}").st_mtime)

    def _image(self, image_id: str, name: str, imported: int, why: str = "not in use") -> Step:
        self._images.discard(image_id)
        self._trees.pop(image_id, None)
        places = (f"{self._paths.images}/{image_id}", f"{self._paths.trees}/{image_id}")
        return self._step("image", image_id, f"{name}, {why}", *places, imported=imported)

    def trees(self, before: int) -> Iterator[Step]:
        """Yield the trees of images that are gone, and unused ones of several images that were not rendered after `before`."""
        for name, record in sorted(self._trees.items()):
            if name in self._wanted:
                continue
            if not self._images.issuperset(record.images if record else (name,)):
                yield self._one_tree(name, "an image of it is gone", gone=True)
            elif name not in self._images and record and record.rendered_at <= before:
                yield self._one_tree(name, "not in use")

    def _one_tree(self, name: str, reason: str, gone: bool = False) -> Step:
        del self._trees[name]
        return self._step("tree", name, reason, f"{self._paths.trees}/{name}", gone=gone)

    def layers(self, before: int | None = None, of: Iterable[str] | None = None) -> Iterator[Step]:
        """Yield the layers that no image names any more.

        Args:
            before: leaves out those that somebody wanted after it; None for whenever that was.
            of: the digests to look at; all by default.
        """
        for digest in sorted(self._layers) if of is None else of:
            if self._orphaned(digest) and self._blobs.is_idle(digest, before):
                del self._layers[digest]
                yield self._step("layer", digest, "a layer of no image", self._blobs.path(digest))

    def _orphaned(self, digest: str) -> bool:
        return digest in self._layers and self._images.isdisjoint(self._layers[digest])

    def oldest_first(self) -> Iterator[Step]:
        """Yield all that is unused, whatever its age, least recently used first; what an image takes along comes right after it."""
        uses = self._last_uses()
        order = [(moment, above, "image", image_id) for image_id, (moment, above) in uses.items()]
        for name, record in self._trees.items():
            # One whose image is unused too goes with it.
            if record and name not in self._wanted and name not in self._images and record.image_id not in uses:
                order.append((self._past(record.rendered_at), 0, "tree", name))
        order += [(self._past(self._blobs.last_use(digest)), 0, "layer", digest) for digest in self._layers if self._orphaned(digest)]
        for name in names(self._paths.staging):
            path = f"{self._paths.staging}/{name}"
            if path not in self._gone and not is_locked(path):
                order.append((self._past(kept_until(path, 0)), 0, "staging", path))
        for _moment, _above, kind, subject in sorted(order):
            yield from self._take(kind, subject)

    def _take(self, kind: str, subject: str) -> Iterator[Step]:
        if kind == "staging":
            yield self._staged(subject, "a download that was cut")
        elif kind == "layer":
            yield from self.layers(of=(subject,))
        elif kind == "tree" and subject in self._trees:
            yield self._one_tree(subject, "not in use")
        elif kind == "image":
            found = self._import_of(subject)
            if found is not None:
                layers = self._store.layers_of(subject)
                yield self._image(subject, *found, why="least recently used")
                yield from self.trees(-1)
                yield from self.layers(of=layers)

    def _past(self, moment: float) -> int:
        """Return a time that is not later than now: what comes from the future was not used less recently than anything else."""
        return int(min(moment, self._now))

    def _last_uses(self) -> dict[str, tuple[int, int]]:
        """Return by unused image when it was last used, and how many unused images depend on it.

        Using an image is using what it depends on, and what depends on another one goes before it.
        """
        unused = sorted(self._images - self._needed)
        own = {image_id: self._past(max(self._store.last_use(image_id), self._used_at.get(image_id, 0))) for image_id in unused}
        moments, above = dict(own), dict.fromkeys(unused, 0)
        for image_id in unused:
            for other in with_dependencies(self._store, (image_id,)) - {image_id}:
                if other in moments:
                    moments[other] = max(moments[other], own[image_id])
                    above[other] += 1
        return {image_id: (moments[image_id], above[image_id]) for image_id in unused}
