# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""An image and all that it depends on: gathered side by side, checked together, put into the store together (D1, M16).

Each image is fetched by its own name, verified as what is asked for by name is verified, and waits in staging until all are there. One
that cannot be had keeps the others from entering.

Not handled here: fetching one image (`obtain` is passed in), laying them over each other (store/render.py).
"""

from __future__ import annotations

import threading

from ..errors import FetchError, RocketError, StoreError
from ..record import Record
from ..store.dependencies import MAX_DEPTH, MAX_VISITS, name_of, visits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Union

    from ..spec.image_manifest import Dependency
    from ..store.record import ImageRecord
    from ..store.store import Store
    from .download import Arrived
    from .fetched import Fetched
    from .options import Progress

    Got = Union[Arrived, Fetched]

WORKERS = 4


class Needed(Record):
    """One thing that a manifest asks for; equal for all that ask for the same.

    Attributes:
        reference: name and labels.
        image_id: the image ID that it has to have; empty for any.
        size: bytes of its file; 0 for any.
    """

    reference: str
    image_id: str = ""
    size: int = 0

    @property
    def key(self) -> str:
        """What a lock file has it under: the image ID where one is given, as the name may mean another image for others."""
        return self.image_id or self.reference


def needed(dependency: Dependency) -> Needed:
    """Return what a dependency asks for."""
    return Needed(str(name_of(dependency)), dependency.image_id, dependency.size)


class Sum:
    """Progress of several downloads as that of one.

    Args:
        progress: is told (bytes done, bytes in all or 0 where some do not say) of all together.
        total: bytes in all, where that is known before.
    """

    def __init__(self, progress: Progress | None, total: int = 0) -> None:
        self._progress = progress
        self._total = total
        self._parts: list[tuple[int, int]] = []
        self._lock = threading.Lock()

    def part(self) -> Progress | None:
        """Return what one further download tells."""
        if self._progress is None:
            return None
        with self._lock:
            self._parts.append((0, 0))
            number = len(self._parts) - 1

        def tell(done: int, total: int) -> None:
            with self._lock:
                self._parts[number] = (done, total)
                known = all(each[1] for each in self._parts if each[0])
                total = self._total or (sum(each[1] for each in self._parts) if known else 0)
                if self._progress is not None:
                    self._progress(sum(each[0] for each in self._parts), total)

        return tell


def side_by_side(work: Callable[[Needed], Got], needs: Sequence[Needed]) -> tuple[dict[Needed, Got], dict[Needed, Exception]]:
    """Do `work` for each need in a few threads; return what came of it, and the errors.

    The threads die with the process: whoever interrupts a long fetch does not wait for the rest of it.
    """
    left = list(reversed(needs))
    got: dict[Needed, Got] = {}
    failures: dict[Needed, Exception] = {}
    lock = threading.Lock()

    def run() -> None:
        while True:
            with lock:
                if not left or failures:
                    return
                need = left.pop()
            try:
                found = work(need)
            except Exception as error:  # noqa: BLE001 - not swallowed: it is raised in the thread that waits
                with lock:
                    failures[need] = error
            else:
                with lock:
                    got[need] = found

    threads = [threading.Thread(target=run, name=f"rocket-fetch-{number}", daemon=True) for number in range(min(WORKERS, len(needs)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got, failures


def enter_together(store: Store, arrived: Sequence[Arrived]) -> list[Fetched]:
    """Put images into the store in this order, then their trees; on an error what entered before goes again.

    Raises:
        StoreError: the disk refused.
    """
    known = set(store.ids())
    done: list[Fetched] = []
    try:
        for each in arrived:
            done.append(each.enter(store))
        for each in arrived:
            each.enter_tree()
    except StoreError:
        for fetched in done:
            if fetched.record.id not in known:
                store.remove(fetched.record.id)
        raise
    return done


class Closure:
    """The images of one fetch.

    Args:
        store: where they will be.
        obtain: returns one image, arrived in staging or in the store already; called in several threads.

    Attributes:
        arrived: what came and is not in the store yet.
    """

    def __init__(self, store: Store, obtain: Callable[[Needed], Got]) -> None:
        self._store = store
        self._obtain = obtain
        self._got: dict[Needed, Got] = {}
        self.arrived: list[Arrived] = []

    def gather(self, top: Got, reference: str) -> None:
        """Get all that `top`, which was asked for as `reference`, depends on, level by level.

        Raises:
            RocketError: one of them cannot be had; names who needs it.
            FetchError, StoreError: they are too many or too deep, go in a circle, or are not what the manifest says.
        """
        self._keep(top)
        # Who goes round in a circle must not wait for itself.
        self._got[Needed(reference)] = top
        level: list[Got] = [top]
        for _depth in range(MAX_DEPTH + 1):
            wanted = self._wanted(got.record for got in level)
            if not wanted:
                break
            if len(self._got) + len(wanted) > MAX_VISITS:
                raise FetchError(
                    f"it depends on more than {MAX_VISITS} images",
                    where=top.record.name,
                    hint="build it with fewer dependencies",
                    code="dependencies",
                )
            level = self._level(wanted)
        visits(self._store, top.record, lambda dependency, _where: self._got[needed(dependency)].record)

    @property
    def stands_on(self) -> tuple[tuple[str, ImageRecord], ...]:
        """Reference and image of each dependency, as a lock file names it."""
        return tuple((need.key, got.record) for need, got in list(self._got.items())[1:])

    def enter(self) -> list[Fetched]:
        """Put all that arrived into the store, dependencies first; on an error what entered before goes again.

        Raises:
            StoreError: the disk refused.
        """
        return enter_together(self._store, self.arrived[::-1])

    def gone(self) -> str:
        """Return the reference of an image that is not in the store, where it was found before; empty where all are there."""
        there = set(self._store.ids())
        return next((need.reference for need, got in self._got.items() if got.record.id not in there), "")

    def close(self) -> None:
        """Remove what is left in staging."""
        for arrived in self.arrived:
            arrived.close()

    def _wanted(self, records: Iterable[ImageRecord]) -> dict[Needed, str]:
        """Return what these images depend on and nobody has asked for yet, with who asks."""
        wanted: dict[Needed, str] = {}
        for record in records:
            for index, dependency in enumerate(record.manifest.dependencies):
                wanted.setdefault(needed(dependency), f"{record.name}: dependencies[{index}]")
        return {need: where for need, where in wanted.items() if need not in self._got}

    def _level(self, wanted: dict[Needed, str]) -> list[Got]:
        got, failures = side_by_side(self._obtain, list(wanted))
        for need, each in got.items():
            self._got[need] = each
            self._keep(each)
        for need, error in failures.items():
            if isinstance(error, RocketError):
                error.where = f"{wanted[need]}: {error.where}" if error.where else wanted[need]
            raise error
        return [self._got[need] for need in wanted]

    def _keep(self, got: Got) -> None:
        from .download import Arrived

        if isinstance(got, Arrived):
            self.arrived.append(got)
