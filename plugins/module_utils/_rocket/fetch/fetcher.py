# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A reference becomes a verified image in the store (docs/spec-conformance.md V4, V8, V10, V11; docs/store.md).

Processes that want the same reference wait for the first and find what it fetched. Not handled here: dependencies,
credentials, formats other than App Container Images.
"""

from __future__ import annotations

import os

from ..errors import FetchError, NotFound, RocketError, StoreError, TrustError, UsageError, printable
from ..plan import Plan, Step
from ..spec.image_name import ImageName
from ..spec.oci_reference import is_oci_reference, parse_oci_reference
from .discovery import Discovery, Endpoint, discover
from .layered import Layered
from .options import FetchOptions
from .reference import FileReference, ImageId, UrlReference, file_url, parse_reference
from .stored import Stored, platform
from .transports.base import FileSink, MemorySink
from .transports.registry import Transports
from .verification import Wanted, check_file, needs_signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..store.record import ImageRecord
    from ..store.store import Store
    from .options import Progress
    from .reference import Reference
    from .transports.base import Transport
    from .verification import Verifier

__all__ = ["FetchOptions", "Fetcher"]

SIGNATURE_LIMIT = 64 << 10
PAGE_LIMIT = 1 << 20
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
        self._progress = progress
        self._stored = Stored(store, self._options)
        self._layered = Layered(store, self._options, progress)

    @property
    def notes(self) -> list[str]:
        """What deserves a word to the operator about images that came, one clause each."""
        return self._layered.notes

    def plan(self, reference: str, state: str = "present") -> Plan:
        """Return what `fetch` would do; ``present`` looks into the store alone, ``latest`` also asks the source.

        Raises:
            UsageError: `state` or `reference` means nothing.
            NotFound: an image ID alone, of an image that is not here.
            FetchError: the source cannot be asked (``latest``).
        """
        if state not in ("present", "latest"):
            raise UsageError(f"{state} is not a state of an image", hint="present or latest")
        if is_oci_reference(reference):
            return self._layered.plan(parse_oci_reference(reference), state)
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
        if not record.etag:
            return "the source gave nothing to compare with"
        transports = Transports(self._options)
        own = isinstance(wanted, UrlReference)
        same = any(self._unchanged(record, place, own, transports) for place in self._places(wanted, transports))
        return "" if same else "the source has another file"

    def fetch(self, reference: str) -> ImageRecord:
        """Return the image that `reference` means, fetched where the pull policy wants it.

        Raises:
            TrustError: nobody trusted signed it.
            FetchError: it could not be had, or is not what was asked for.
            ArchiveError, SpecError: it is no App Container Image.
            NotFound: policy ``never``, or an image ID alone, and it is not here.
            StoreError: the disk refused. Nothing is published on any error.
        """
        if is_oci_reference(reference):
            return self._layered.fetch(parse_oci_reference(reference))
        wanted = parse_reference(reference)
        found = self._present(wanted)
        if found is not None:
            return found
        if isinstance(wanted, ImageId):
            raise _no_source(wanted)
        with self._store.lock(f"fetch {reference}"):
            found = self._present(wanted)
            return self._fetch(wanted) if found is None else found

    def _present(self, wanted: Reference) -> ImageRecord | None:
        record = self._stored.find(wanted)
        policy = self._options.pull_policy
        if record is not None and self._stored.acceptable(record):
            if policy != "update" or isinstance(wanted, (ImageId, FileReference)):
                return record
            return record if self._options.expected_id else None
        if record is not None and self._options.expected_id == record.id:
            return self._stored.pin(record)
        if policy == "never":
            what = "is here without a signature" if record is not None else "is not in the store"
            raise NotFound(f"{wanted} {what}, and nothing is fetched (pull policy never)", hint="fetch it first, or use the policy new")
        return None

    def _fetch(self, wanted: Reference) -> ImageRecord:
        name = self._name(wanted)
        if name is not None and needs_signature(self._options):
            self._verifier.require_key(name.name)
        transports = Transports(self._options)
        failures: list[RocketError] = []
        places = self._places(wanted, transports)
        for place in places:
            try:
                return self._fetch_from(place, wanted, name, transports)
            except StoreError:
                raise
            except RocketError as error:
                if error.code == "deadline":
                    raise
                failures.append(error)
        raise _none_of(failures)

    def _name(self, wanted: Reference) -> ImageName | None:
        if isinstance(wanted, ImageName):
            return wanted
        return ImageName(self._options.name) if self._options.name else None

    def _places(self, wanted: Reference, transports: Transports) -> tuple[Endpoint, ...]:
        if isinstance(wanted, ImageName):
            return self._discover(wanted, transports).endpoints
        if isinstance(wanted, ImageId):
            raise _no_source(wanted)
        image = wanted.url
        path, question, query = image.partition("?")
        signature = self._options.signature or f"{path}.asc{question}{query}"
        return (Endpoint(image, signature if "://" in signature else file_url(signature)),)

    def discover(self, name: str) -> Discovery:
        """Return where the images and keys of a name are said to be.

        Raises:
            FetchError: nothing was discovered.
        """
        transports = Transports(self._options)
        found = self._discover(ImageName.parse(name), transports, keys_only=True)
        self._named_by.update((url, transports) for url in found.pubkeys)
        return found

    def _discover(self, name: ImageName, transports: Transports, keys_only: bool = False) -> Discovery:
        def get(url: str) -> bytes:
            sink = MemorySink()
            transports.of(url).get(url, sink, PAGE_LIMIT, "discovery page", own=True)
            return sink.content

        labels = {"version": "latest", **dict(platform()), **dict(name.labels)}
        return discover(name.name, labels, get, self._options.schemes, keys_only)

    def fetch_key(self, url: str) -> bytes:
        """Return the content of a key's URL, one that `discover` named or the operator's own; nothing is trusted by that.

        Raises:
            FetchError: it could not be had.
        """
        sink = MemorySink()
        transports = self._named_by.get(url) or Transports(self._options)
        transports.of(url).get(url, sink, KEY_LIMIT, "key", own=url not in self._named_by)
        return sink.content

    def _fetch_from(self, place: Endpoint, wanted: Reference, name: ImageName | None, transports: Transports) -> ImageRecord:
        own = not isinstance(wanted, ImageName)
        current = self._stored.find(wanted) if self._options.pull_policy == "update" else None
        if current is not None and self._unchanged(current, place, own, transports):
            confirmed = self._stored.confirm(current, self._verifier)
            if confirmed is not None:
                return confirmed
        signature = None
        if needs_signature(self._options):
            signature = _signature(place, transports.of(place.signature), own)
        return self._download(place, signature, name, isinstance(wanted, ImageName), transports)

    def _unchanged(self, current: ImageRecord, place: Endpoint, own: bool, transports: Transports) -> bool:
        if not self._stored.can_ask(current, place.image):
            return False
        return transports.of(place.image).unchanged(place.image, current.etag, own)

    def _download(
        self, place: Endpoint, signature: bytes | None, name: ImageName | None, discovered: bool, transports: Transports
    ) -> ImageRecord:
        options = self._options
        fd, path = self._store.staging_file()
        try:
            sink = FileSink(fd, path, self._progress)
            response = transports.of(place.image).get(place.image, sink, options.image_limit, "image", own=not discovered)
            if not response.whole and signature is None and not options.expected_id:
                raise FetchError(
                    "the server does not say how long the image is, and no signature can tell",
                    where=place.image,
                    hint="serve it with a Content-Length, or sign it",
                    code="body-truncated",
                )
            host = tuple(label for label in platform() if name is None or name.label(label[0]) is None) if discovered else ()
            inspection, verdict = check_file(fd, signature, place.image, Wanted(name, host), options, self._verifier)
            return self._store.add(path, inspection, verdict, place.image, signature, response.etag)
        finally:
            self._store.discard(path)
            os.close(fd)


def _signature(place: Endpoint, transport: Transport, own: bool) -> bytes:
    """Return the signature of an image; that there is none is a matter of trust, not of the network."""
    sink = MemorySink()
    try:
        transport.get(place.signature, sink, SIGNATURE_LIMIT, "signature", own=own)
    except FetchError as error:
        if error.facts.get("absent") or error.facts.get("status") in (404, 410):
            raise TrustError(
                f"the image is not signed: there is no {printable(place.signature)}",
                where=printable(place.image),
                code="signature-missing",
                hint="ask its supplier to sign it, pin its image ID, or allow it with --insecure-options=image",
            ) from error
        raise
    return sink.content


def _no_source(wanted: ImageId) -> NotFound:
    return NotFound(f"no image with ID {wanted} in the store", hint="fetch it by name, URL or file, with this ID as the expected one")


def _none_of(failures: list[RocketError]) -> RocketError:
    """Return the one error of one place; of several mirrors a summary, as a matter of trust if it was one anywhere."""
    if len(failures) == 1:
        return failures[0]
    first = next((error for error in failures if isinstance(error, TrustError)), failures[0])
    kind = TrustError if isinstance(first, TrustError) else FetchError
    text = "; ".join(str(error) for error in failures)
    return kind(f"none of {len(failures)} places gave the image: {text}", hint="see the first cause", code=first.code)
