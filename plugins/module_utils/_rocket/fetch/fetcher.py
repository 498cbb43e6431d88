# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A reference becomes a verified image in the store (docs/spec-conformance.md V4, V8, V10, V11; docs/fetching.md).

Processes that want the same reference wait for the first and find what it fetched. Not handled here: dependencies,
formats other than App Container Images.
"""

from __future__ import annotations

import time

from ..errors import FetchError, NotFound, RocketError, StoreError, TrustError, UsageError
from ..plan import Plan, Step
from ..record import replace
from ..spec.image_name import ImageName
from .download import Download
from .fetched import Fetched
from .options import FetchOptions
from .places import discovered, place_of_file, places_of_name
from .reference import FileReference, ImageId, parse_reference
from .stored import Stored
from .transports.base import MemorySink
from .transports.registry import Transports
from .verification import needs_signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..store.record import ImageRecord
    from ..store.store import Store
    from .discovery import Discovery, Endpoint
    from .options import Progress
    from .reference import Reference
    from .transports.base import Response
    from .verification import Verifier

__all__ = ["FetchOptions", "Fetcher"]

KEY_LIMIT = 1 << 20


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
        self._named_by: dict[str, Transports] = {}
        self._asked: dict[str, Response] = {}
        self._stored = Stored(store, self._options)
        self._download = Download(store, verifier, self._options, progress)

    def plan(self, reference: str, state: str = "present") -> Plan:
        """Return what `fetch` would do; ``present`` looks into the store alone, ``latest`` also asks the source.

        Raises:
            UsageError: `state` or `reference` means nothing.
            NotFound: an image ID alone, of an image that is not here.
            FetchError: the source cannot be asked (``latest``).
        """
        if state not in ("present", "latest"):
            raise UsageError(f"{state} is not a state of an image", hint="present or latest")
        wanted = parse_reference(reference)
        record = self._stored.find(wanted)
        before = None if record is None else {"image_id": record.id, "name": record.name}
        reason = self._reason(wanted, record, state)
        if not reason:
            return Plan(subject=reference, before=before, after=before)
        step = Step(action="fetch", subject=reference, reason=reason)
        return Plan(
            subject=reference, steps=(step,), before=before, after={"image_id": self._options.expected_id or f"fetched from {reference}"}
        )

    def _reason(self, wanted: Reference, record: ImageRecord | None, state: str) -> str:
        if record is None:
            if isinstance(wanted, ImageId):
                raise _no_source(wanted)
            return "not in the store"
        if not self._stored.acceptable(record):
            return "stored without a signature"
        if state == "present" or isinstance(wanted, (ImageId, FileReference)) or self._options.expected_id:
            return ""
        if self._stored.fresh(record, wanted):
            return ""
        if not record.etag:
            return "the source gave nothing to compare with"
        with Transports(self._options) as transports:
            answer = self._asked_anywhere(record, wanted, transports)
        if answer is None or answer.status != 304:
            return "the source has another file"
        self._asked[str(wanted)] = answer
        return ""

    def _asked_anywhere(self, record: ImageRecord, wanted: Reference, transports: Transports) -> Response | None:
        """What the source of a stored image says; None where it is no place of what is wanted, or does not answer while others may."""
        failure, others = None, False
        for place in self._places(wanted, transports):
            try:
                answer = self._ask(record, place, transports)
            except FetchError as error:
                failure = error
                continue
            if answer is not None:
                return answer
            others = True
        if failure is not None and not others:
            raise failure
        return None

    def keep(self, reference: str, write: bool = True) -> Fetched:
        """Return the stored image that `plan` found good enough; where its source was asked, the image's age begins anew.

        Raises:
            NotFound, StoreError: it is gone, or the disk refused.
        """
        wanted = parse_reference(reference)
        record = self._stored.find(wanted)
        if record is None:
            raise NotFound(f"{wanted} is not in the store any more", hint="repeat")
        answer = self._asked.get(str(wanted))
        if answer is not None and write:
            record = self._stored.renew(record, record.verdict, wanted, answer)
        return Fetched(record)

    def fetch(self, reference: str) -> ImageRecord:
        """Return the image that `reference` means, as `get` does, without what is told about the way."""
        return self.get(reference).record

    def get(self, reference: str) -> Fetched:
        """Return the image that `reference` means, fetched where the pull policy wants it.

        Raises:
            TrustError: nobody trusted signed it.
            FetchError: it could not be had, or is not what was asked for.
            ArchiveError, SpecError: it is no App Container Image.
            NotFound: policy ``never``, or an image ID alone, and it is not here.
            StoreError: the disk refused. Nothing is published on any error.
        """
        began = time.monotonic()
        wanted = parse_reference(reference)
        found = self._present(wanted)
        if found is not None:
            return Fetched(found)
        if isinstance(wanted, ImageId):
            raise _no_source(wanted)
        with self._store.lock(f"fetch {reference}"):
            found = self._present(wanted)
            if found is not None:
                return Fetched(found)
            with Transports(self._options) as transports:
                fetched = self._fetch(wanted, transports)
                return replace(fetched, transferred=transports.received, seconds=time.monotonic() - began)

    def _present(self, wanted: Reference) -> ImageRecord | None:
        record = self._stored.find(wanted)
        policy = self._options.pull_policy
        if record is not None and self._stored.acceptable(record):
            if policy != "update" or isinstance(wanted, (ImageId, FileReference)):
                return record
            return record if self._options.expected_id or self._stored.fresh(record, wanted) else None
        if record is not None and self._options.expected_id == record.id:
            return self._stored.pin(record)
        if policy == "never":
            what = "is here without a signature" if record is not None else "is not in the store"
            raise NotFound(f"{wanted} {what}, and nothing is fetched (pull policy never)", hint="fetch it first, or use the policy new")
        return None

    def _fetch(self, wanted: Reference, transports: Transports) -> Fetched:
        name = self._name(wanted)
        if name is not None and needs_signature(self._options):
            self._verifier.require_key(name.name)
        failures: list[RocketError] = []
        places = iter(self._places(wanted, transports))
        place = None
        while True:
            try:
                last, place = place, next(places, None)
                if place is None:
                    raise _none_of(failures)
                if last is not None:
                    # What came from it is of no use to another place, and a page may name many.
                    self._download.forget(last)
                return self._fetch_from(place, wanted, name, transports)
            except StoreError:
                raise
            except RocketError as error:
                if place is None or error.code == "deadline":
                    raise
                failures.append(error)

    def _name(self, wanted: Reference) -> ImageName | None:
        if isinstance(wanted, ImageName):
            return wanted
        return ImageName(self._options.name) if self._options.name else None

    def _places(self, wanted: Reference, transports: Transports) -> Iterable[Endpoint]:
        if isinstance(wanted, ImageName):
            return places_of_name(wanted, transports, self._options)
        if isinstance(wanted, ImageId):
            raise _no_source(wanted)
        return (place_of_file(wanted, self._options),)

    def discover(self, name: str) -> Discovery:
        """Return where the images and keys of a name are said to be.

        Raises:
            FetchError: nothing was discovered.
        """
        transports = Transports(self._options)
        found = discovered(ImageName.parse(name), transports, self._options, keys_only=True)
        self._named_by.update((url, transports) for url in found.pubkeys)
        return found

    def fetch_key(self, url: str) -> bytes:
        """Return the content of a key's URL, one that `discover` named or the operator's own; nothing is trusted by that.

        Raises:
            FetchError: it could not be had.
        """
        sink = MemorySink()
        transports = self._named_by.get(url) or Transports(self._options)
        transports.of(url).get(url, sink, KEY_LIMIT, "key", own=url not in self._named_by)
        return sink.content

    def _fetch_from(self, place: Endpoint, wanted: Reference, name: ImageName | None, transports: Transports) -> Fetched:
        current = self._stored.find(wanted) if self._options.pull_policy == "update" else None
        answer = self._ask(current, place, transports) if current is not None else None
        if current is not None and answer is not None and answer.status == 304:
            confirmed = self._stored.confirm(current, self._verifier, wanted, answer)
            if confirmed is not None:
                return Fetched(confirmed)
        return self._download.get(place, name, wanted, transports)

    def _ask(self, current: ImageRecord, place: Endpoint, transports: Transports) -> Response | None:
        if not self._stored.can_ask(current, place.image):
            return None
        return transports.of(place.image).ask(place.image, current.etag, place.own)


def _no_source(wanted: ImageId) -> NotFound:
    return NotFound(f"no image with ID {wanted} in the store", hint="fetch it by name, URL or file, with this ID as the expected one")


def _none_of(failures: list[RocketError]) -> RocketError:
    """Return the one error of one place; of several mirrors a summary, as a matter of trust if it was one anywhere."""
    if not failures:
        return FetchError("there is no place to fetch it from", hint="check its name and the mirrors", code="discovery-failed")
    if len(failures) == 1:
        return failures[0]
    first = next((error for error in failures if isinstance(error, TrustError)), failures[0])
    kind = TrustError if isinstance(first, TrustError) else FetchError
    text = "; ".join(str(error) for error in failures)
    return kind(f"none of {len(failures)} places gave the image: {text}", hint="see the first cause", code=first.code)
