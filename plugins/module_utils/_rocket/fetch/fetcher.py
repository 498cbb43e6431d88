# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A reference becomes a verified image in the store (docs/spec-conformance.md V4, V8, V10, V11; docs/fetching.md).

Where everything is there, this and the store are all that is imported. Not handled here: getting images and what they depend on
(gather.py), OCI images (layered.py), bundles (bundled.py), what a lock file says (under_lock.py).
"""

from __future__ import annotations

from ..errors import NotFound, UsageError
from ..plan import Plan, Step
from ..spec.oci_reference import is_oci_reference, parse_oci_reference
from .fetched import Fetched
from .options import FetchOptions
from .reference import FileReference, ImageId, is_bundle_reference, no_source, parse_reference
from .stored import Stored
from .under_lock import under_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..store.record import ImageRecord
    from ..store.store import Store
    from .bundled import Bundles
    from .layered import Layered
    from .options import Progress
    from .reference import Reference
    from .transports.base import Response
    from .verification import Verifier

__all__ = ["FetchOptions", "Fetcher"]


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
        plan = self._plan(reference, state)
        if not self._options.render:
            return plan
        from .rendering import plan_trees

        return plan_trees(self._store, self._options, plan)

    def _plan(self, reference: str, state: str) -> Plan:
        if is_bundle_reference(reference):
            return self._bundles().plan(reference)
        with under_lock(reference, self._options) as (reference, options):
            if is_oci_reference(reference):
                return self._layered(options).plan(parse_oci_reference(reference), state)
            wanted, stored = parse_reference(reference), Stored(self._store, options, self._verifier)
            record = stored.find(wanted)
            before = None if record is None else {"image_id": record.id, "name": record.name}
            reason = self._reason(wanted, record, state, stored, options)
        if not reason:
            return Plan(subject=reference, before=before, after=before)
        step = Step(action="fetch", subject=reference, reason=reason)
        after = {"image_id": options.expected_id or f"fetched from {reference}"}
        return Plan(subject=reference, steps=(step,), before=before, after=after)

    def _reason(self, wanted: Reference, record: ImageRecord | None, state: str, stored: Stored, options: FetchOptions) -> str:
        if record is None:
            if isinstance(wanted, ImageId):
                raise no_source(wanted)
            return "not in the store"
        refusal = stored.refusal(record)
        # An image ID alone has no place where another signature could be; the start of a pod says what is wrong.
        if refusal and not (isinstance(wanted, ImageId) and stored.acceptable(record)):
            return refusal
        lacking = stored.lacking(record)
        if lacking:
            return lacking
        if state == "present" or isinstance(wanted, (ImageId, FileReference)) or options.expected_id:
            return ""
        if stored.fresh(record, wanted):
            return ""
        if not record.etag:
            return "the source gave nothing to compare with"
        from .single import Single

        answer = Single(self._store, self._verifier, options, self._progress).ask(record, wanted)
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
        with under_lock(reference, self._options) as (reference, options):
            if is_oci_reference(reference):
                return self._layered(options).keep(parse_oci_reference(reference))
            wanted, stored = parse_reference(reference), Stored(self._store, options)
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
        fetched = self._fetched(reference)
        if not self._options.render:
            return fetched
        from .rendering import render

        return render(self._store, self._options, fetched)

    def _fetched(self, reference: str) -> Fetched:
        if is_bundle_reference(reference):
            return self._bundles().get(reference)
        with under_lock(reference, self._options) as (reference, options):
            if is_oci_reference(reference):
                return self._layered(options).get(parse_oci_reference(reference))
            from .gather import Gather

            return Gather(self._store, self._verifier, self._options, self._progress).get(reference, options)

    def _layered(self, options: FetchOptions) -> Layered:
        from .layered import Layered

        return Layered(self._store, options, self._progress)

    def _bundles(self) -> Bundles:
        from .bundled import Bundles

        return Bundles(self._store, self._verifier, self._options, self._progress)
