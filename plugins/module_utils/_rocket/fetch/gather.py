# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The way of an image that is fetched by name, URL or file, with all that it depends on, into the store.

Processes that want the same reference wait for the first and find what it fetched. Not handled here: one image by itself
(single.py), whether anything is to be done (fetcher.py).
"""

from __future__ import annotations

import time
from contextlib import ExitStack

from ..errors import Busy, FetchError
from ..record import replace
from .closure import Closure, Needed, Sum
from .download import Arrived
from .fetched import Fetched
from .reference import parse_reference
from .single import Elsewhere, Single
from .under_lock import under_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..store.store import Store
    from .options import FetchOptions, Progress
    from .reference import Reference
    from .verification import Verifier

# How often a fetch begins again because another process was at one of its images.
_TURNS = 20


class Gather:
    """Fetches one image with what it depends on.

    Args:
        store: where to.
        verifier: what trust/ says about files and names.
        options: what the operator said; about the image itself, `get` is told.
        progress: is told (bytes done, bytes in all or 0) of all together.
    """

    def __init__(self, store: Store, verifier: Verifier, options: FetchOptions, progress: Progress | None) -> None:
        self._store = store
        self._verifier = verifier
        self._options = options
        self._progress = progress

    def get(self, reference: str, options: FetchOptions) -> Fetched:
        """Return the image that a reference means, fetched where `options` want it.

        Raises:
            RocketError: as Fetcher.get().
        """
        began = time.monotonic()
        for _turn in range(_TURNS):
            try:
                fetched = self._get(parse_reference(reference), options)
                came = fetched.place != "store" or fetched.dependencies
                return replace(fetched, seconds=time.monotonic() - began) if came else fetched
            except Elsewhere as elsewhere:
                # With nothing held: two processes that wait for each other's images would wait for ever.
                self._store.lock(elsewhere.key).close()
        raise Busy("other processes fetch the same images again and again", where=reference, hint="wait for them to end, then repeat")

    def _get(self, wanted: Reference, options: FetchOptions) -> Fetched:
        with ExitStack() as held:
            progress = Sum(self._progress)
            got = Single(self._store, self._verifier, options, progress.part()).obtain(wanted, held, f"fetch {wanted}", wait=True)
            if isinstance(got, Fetched) and not got.record.manifest.dependencies:
                return got
            closure = Closure(self._store, lambda need: self._dependency(need, held, progress))
            held.callback(closure.close)
            closure.gather(got, str(wanted))
            entered = closure.enter()
            gone = closure.gone()
            if gone:
                # Garbage collection knows nothing of a fetch. What entered just now is found in the next turn.
                raise Elsewhere(f"fetch {gone}")
            top, rest = (got, entered) if isinstance(got, Fetched) else (entered[-1], entered[:-1])
            return replace(top, dependencies=tuple(rest), stands_on=closure.stands_on)

    def _dependency(self, need: Needed, held: ExitStack, progress: Sum) -> Arrived | Fetched:
        """Return one image that another one depends on; in a thread of its own, with connections of its own.

        Raises:
            Elsewhere: another process fetches it.
            FetchError: what its site has is not what is needed (D1).
        """
        limit = min(need.size, self._options.image_limit) if need.size else self._options.image_limit
        own = replace(self._options, expected_id="", name="", signature="", image_limit=limit)
        with under_lock(need.reference, own, need.key) as (reference, options):
            single = Single(self._store, self._verifier, options, progress.part())
            wanted, key = parse_reference(reference), f"fetch {need.reference}"
            if not need.image_id:
                return single.obtain(wanted, held, key, wait=False)
            found = single.stored.exactly(need.image_id)
            if found is not None:
                return Fetched(found)
            got = single.obtain(wanted, held, f"{key} {need.image_id}", wait=False, image_id=need.image_id)
            if got.record.id != need.image_id:
                if isinstance(got, Arrived):
                    got.close()
                what = f"the site has image {got.record.id} under this name, not {need.image_id} (D1)"
                raise FetchError(what, where=need.reference, hint="ask who built the image", code="digest-mismatch")
            return got
