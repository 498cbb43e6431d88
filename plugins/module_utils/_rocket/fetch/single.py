# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""One image by its name, URL or file, without what it depends on (V4, V8, V10, V11)."""

from __future__ import annotations

from ..errors import Busy, FetchError, NotFound, RocketError, StoreError, TrustError
from ..record import replace
from ..spec.image_name import ImageName
from .download import Arrived, Download
from .fetched import Fetched
from .places import place_of_file, places_of_name
from .reference import FileReference, ImageId, no_source
from .stored import Stored
from .transports.registry import Transports
from .verification import needs_signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import ExitStack

    from ..store.record import ImageRecord
    from ..store.store import Store
    from .discovery import Endpoint
    from .options import FetchOptions, Progress
    from .reference import Reference
    from .transports.base import Response
    from .verification import Verifier


class Elsewhere(Exception):
    """Another process fetches an image that is needed; it holds the store's lock `key`."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Single:
    """Gets single images.

    Args:
        store: where they will be.
        verifier: what trust/ says about files and names.
        options: what the operator said.
        progress: is told (bytes done, bytes in all or 0) while an image comes.

    Attributes:
        stored: the store as these options see it.
    """

    def __init__(self, store: Store, verifier: Verifier, options: FetchOptions, progress: Progress | None) -> None:
        self._store = store
        self._verifier = verifier
        self._options = options
        self._download = Download(store, verifier, options, progress)
        self.stored = Stored(store, verifier, options)

    def obtain(self, wanted: Reference, held: ExitStack, key: str, wait: bool, image_id: str = "") -> Arrived | Fetched:
        """Return an image that is in the store, or has arrived in staging and is locked in `held`.

        Args:
            wanted: what to get.
            held: what keeps the lock.
            key: of the lock.
            wait: whether to wait for another process.
            image_id: that it has to have, where the stored image with it, if there is one, is known not to do.

        Raises:
            Elsewhere: another process fetches it, and `wait` is false.
            RocketError: it cannot be had.
        """
        if not image_id:
            found = self._present(wanted)
            if found is not None:
                return Fetched(found)
        elif self._options.pull_policy == "never":
            raise NotFound(
                f"{wanted} is not in the store as it is needed, and nothing is fetched (pull policy never)", hint="fetch it first"
            )
        if isinstance(wanted, ImageId):
            raise self._without_place(wanted)
        try:
            lock = self._store.lock(key, wait=wait)
        except Busy as error:
            raise Elsewhere(key) from error
        held.callback(lock.close)
        found = None if image_id else self._present(wanted)
        if found is not None:
            return Fetched(found)
        with Transports(self._options) as transports:
            got = self._fetch(wanted, transports, image_id)
            if isinstance(got, Fetched):
                return replace(got, transferred=transports.received)
            got.transferred = transports.received
            return got

    def _without_place(self, wanted: ImageId) -> NotFound:
        """Return the error for an image ID, which has no place where an image, or another signature, could be."""
        record = self.stored.find(wanted)
        if record is None:
            return no_source(wanted)
        return NotFound(
            f"{wanted} is in the store and does not do: {self.stored.refusal(record)}",
            hint=f"fetch it by its name, {record.name}, where its signature can be had",
        )

    def ask(self, record: ImageRecord, wanted: Reference) -> Response | None:
        """Ask the places of what is wanted whether they still have the file of a stored image.

        Returns:
            The answer, of status 304 if so; None where the image's source is none of its places, or does not answer while others may.

        Raises:
            FetchError: its source, the only one, cannot be asked.
        """
        failure, others = None, False
        with Transports(self._options) as transports:
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

    def _present(self, wanted: Reference) -> ImageRecord | None:
        record, policy = self.stored.find(wanted), self._options.pull_policy
        good = record
        if record is not None and not self.stored.acceptable(record):
            good = self.stored.again(record)
        if good is not None:
            if policy != "update" or isinstance(wanted, (ImageId, FileReference)):
                return good
            return good if self._options.expected_id or self.stored.fresh(good, wanted) else None
        if policy == "never":
            what = "is not in the store" if record is None else f"does not do as it is here ({self.stored.refusal(record)})"
            raise NotFound(f"{wanted} {what}, and nothing is fetched (pull policy never)", hint="fetch it first, or use the policy new")
        return None

    def _fetch(self, wanted: Reference, transports: Transports, image_id: str) -> Arrived | Fetched:
        name = self._name(wanted)
        if name is not None and needs_signature(self._options, self._verifier, name.name):
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
                return self._fetch_from(place, wanted, name, transports, image_id)
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
            raise no_source(wanted)
        return (place_of_file(wanted, self._options),)

    def _fetch_from(
        self, place: Endpoint, wanted: Reference, name: ImageName | None, transports: Transports, image_id: str
    ) -> Arrived | Fetched:
        current, answer = self.stored.find(ImageId(image_id) if image_id else wanted), None
        if current is not None and self._options.pull_policy == "update":
            answer = self._ask(current, place, transports)
            if answer is None or answer.status != 304:
                current = None
        kept = self._keep(current, place, wanted, answer, transports) if current is not None else None
        return Fetched(kept) if kept is not None else self._download.get(place, name, wanted, transports)

    def _keep(
        self, current: ImageRecord, place: Endpoint, wanted: Reference, answer: Response | None, transports: Transports
    ) -> ImageRecord | None:
        """Return the stored image where it does, by its own signature or by the one that its place has now; else None.

        Raises:
            TrustError: whoever signed, whatever the file is, is not trusted.
        """
        if answer is not None and self.stored.acceptable(current):
            try:
                return self.stored.confirm(current, wanted, answer)
            except TrustError:
                pass  # Its key ended, say: another may have signed since then, and who did not is refused below.
        if current.verdict.kind != "signed" or not needs_signature(self._options, self._verifier, current.name):
            return None
        signature = self._download.signature(place, transports)
        verdict = self.stored.signed_again(current, signature)
        if verdict is None:
            return None
        if answer is not None:
            return self.stored.renew(current, verdict, wanted, answer, signature)
        return self._store.confirm(current.id, verdict, signature=signature)

    def _ask(self, current: ImageRecord, place: Endpoint, transports: Transports) -> Response | None:
        if not self.stored.can_ask(current, place.image):
            return None
        return transports.of(place.image).ask(place.image, current.etag, place.own)


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
