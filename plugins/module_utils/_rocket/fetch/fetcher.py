# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A reference becomes a verified image in the store (docs/spec-conformance.md V4, V8, V10, V11; docs/fetching.md).

Processes that want the same reference wait for the first and find what it fetched. Not handled here: one image by itself
(single.py, layered.py), bundles (bundled.py), gathering what an image depends on (closure.py), what a lock file says (under_lock.py).
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager

from ..errors import Busy, FetchError, NotFound, UsageError
from ..plan import Plan, Step
from ..record import replace
from ..spec.bundle import is_bundle_reference
from ..spec.oci_reference import is_oci_reference, parse_oci_reference
from .bundled import Bundles
from .closure import Closure, Needed, Sum
from .download import Arrived
from .fetched import Fetched
from .layered import Layered
from .options import FetchOptions
from .reference import FileReference, ImageId, parse_reference
from .rendering import plan_trees, render
from .single import Elsewhere, Single, no_source
from .under_lock import fixed, locked_as, narrowed, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..store.record import ImageRecord
    from ..store.store import Store
    from .options import Progress
    from .reference import Reference
    from .transports.base import Response
    from .verification import Verifier

__all__ = ["FetchOptions", "Fetcher"]

# How often a fetch begins again because another process was at one of its images.
_TURNS = 20


class Fetcher:
    """Fetches images into a store.

    Args:
        store: where to.
        verifier: what trust/ says about files and names.
        options: what the operator said.
        progress: is told (bytes done, bytes in all or 0) while an image comes.

    Raises:
        UsageError, SpecError: the options mean nothing.
    """

    def __init__(self, store: Store, verifier: Verifier, options: FetchOptions | None = None, progress: Progress | None = None) -> None:
        self._store = store
        self._verifier = verifier
        self._options = (options or FetchOptions()).check()
        self._progress = progress
        self._asked: dict[str, Response] = {}

    def plan(self, reference: str, state: str = "present") -> Plan:
        """Return what `fetch` would do; ``present`` looks into the store alone, ``latest`` also asks the source.

        Raises:
            UsageError: `state` or `reference` means nothing.
            NotFound: an image ID alone, of an image that is not here; under a lock, code ``not-locked``.
            FetchError: the source cannot be asked (``latest``).
        """
        if state not in ("present", "latest"):
            raise UsageError(f"{state} is not a state of an image", hint="present or latest")
        return plan_trees(self._store, self._options, self._plan(reference, state))

    def _plan(self, reference: str, state: str) -> Plan:
        if is_bundle_reference(reference):
            return self._bundles().plan(reference)
        with self._locked(reference) as (reference, options):
            if is_oci_reference(reference):
                return self._layered(options).plan(parse_oci_reference(reference), state)
            wanted, single = parse_reference(reference), self._single(options)
            record = single.stored.find(wanted)
            before = None if record is None else {"image_id": record.id, "name": record.name}
            reason = self._reason(wanted, record, state, single, options)
        if not reason:
            return Plan(subject=reference, before=before, after=before)
        step = Step(action="fetch", subject=reference, reason=reason)
        after = {"image_id": options.expected_id or f"fetched from {reference}"}
        return Plan(subject=reference, steps=(step,), before=before, after=after)

    def _reason(self, wanted: Reference, record: ImageRecord | None, state: str, single: Single, options: FetchOptions) -> str:
        if record is None:
            if isinstance(wanted, ImageId):
                raise no_source(wanted)
            return "not in the store"
        if not single.stored.acceptable(record):
            return "stored without a signature"
        lacking = single.stored.lacking(record)
        if lacking:
            return lacking
        if state == "present" or isinstance(wanted, (ImageId, FileReference)) or options.expected_id:
            return ""
        if single.stored.fresh(record, wanted):
            return ""
        if not record.etag:
            return "the source gave nothing to compare with"
        answer = single.ask(record, wanted)
        if answer is None or answer.status != 304:
            return "the source has another file"
        self._asked[str(wanted)] = answer
        return ""

    def keep(self, reference: str, write: bool = True) -> Fetched:
        """Return the stored image that `plan` found good enough; where its source was asked, the image's age begins anew.

        Raises:
            NotFound, StoreError: it is gone, or the disk refused.
        """
        if is_bundle_reference(reference):
            return self._bundles().keep(reference)
        with self._locked(reference) as (reference, options):
            if is_oci_reference(reference):
                return self._layered(options).keep(parse_oci_reference(reference))
            wanted, stored = parse_reference(reference), self._single(options).stored
            record = stored.find(wanted)
            if record is None:
                raise NotFound(f"{wanted} is not in the store any more", hint="repeat")
            answer = self._asked.get(str(wanted))
            if answer is not None and write:
                record = stored.renew(record, record.verdict, wanted, answer)
            return Fetched(record)

    def fetch(self, reference: str) -> ImageRecord:
        """Return the image that `reference` means, as `get` does, without what is told about the way."""
        return self.get(reference).record

    def get(self, reference: str) -> Fetched:
        """Return the image that `reference` means, fetched where the pull policy wants it, with all that it depends on.

        Raises:
            TrustError: nobody trusted signed it, or something that it depends on.
            FetchError: it could not be had, or is not what was asked for.
            ArchiveError, SpecError: it is no image.
            NotFound: policy ``never``, or an image ID alone, and it is not here; or the lock does not name it (``not-locked``).
            Busy: other processes fetch the same images and do not come to an end.
            StoreError: the disk refused. Nothing is published on any error, but an image whose root file system cannot be made.
        """
        return render(self._store, self._options, self._fetched(reference))

    def _fetched(self, reference: str) -> Fetched:
        if is_bundle_reference(reference):
            return self._bundles().get(reference)
        with self._locked(reference) as (reference, options):
            if is_oci_reference(reference):
                return self._layered(options).get(parse_oci_reference(reference))
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
        with self._locked(need.reference, own, need.key) as (reference, options):
            single = Single(self._store, self._verifier, options, progress.part())
            wanted, key = parse_reference(reference), f"fetch {need.reference}"
            if not need.image_id:
                return single.obtain(wanted, held, key, wait=False)
            found = single.stored.exactly(need.image_id)
            if found is not None:
                return Fetched(found)
            got = single.obtain(wanted, held, f"{key} {need.image_id}", wait=False, anew=True)
            if got.record.id != need.image_id:
                if isinstance(got, Arrived):
                    got.close()
                what = f"the site has image {got.record.id} under this name, not {need.image_id} (D1)"
                raise FetchError(what, where=need.reference, hint="ask who built the image", code="digest-mismatch")
            return got

    @contextmanager
    def _locked(self, reference: str, options: FetchOptions | None = None, key: str = "") -> Iterator[tuple[str, FetchOptions]]:
        """Give what is asked for and how: under a lock the very image that it names as `key`; errors of the block say what drifted."""
        own = options or self._options
        locked = locked_as(key or reference, own)
        if locked is None:
            yield reference, own
            return
        try:
            yield fixed(reference, locked), narrowed(own, locked)
        except FetchError as error:
            told(error, locked)
            raise

    def _single(self, options: FetchOptions) -> Single:
        return Single(self._store, self._verifier, options, self._progress)

    def _layered(self, options: FetchOptions) -> Layered:
        return Layered(self._store, options, self._progress)

    def _bundles(self) -> Bundles:
        return Bundles(self._store, self._verifier, self._options, self._progress)
