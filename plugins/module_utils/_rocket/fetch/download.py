# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""One place of an image: signature, file, verification (V8, V11; docs/store.md, "Fetching").

What was verified waits in staging, so that an image and all that it depends on enter the store together. A file that was cut
is gone on with where something can tell afterwards that it is right: a signature or a pinned image ID. If that says no, the file
comes once more from its beginning.
"""

from __future__ import annotations

from ..errors import ArchiveError, FetchError, SpecError, TrustError, printable
from ..spec.image_name import ImageName
from ..store.record import new_record
from ..store.staged_tree import StagedTree
from .fetched import Fetched
from .transports.base import FileSink, MemorySink
from .verification import Wanted, check_file, needs_signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..store.partial import Partial
    from ..store.record import ImageRecord
    from ..store.store import Store
    from .discovery import Endpoint
    from .options import FetchOptions, Progress
    from .reference import Reference
    from .transports.base import Response
    from .transports.registry import Transports
    from .verification import Verifier

SIGNATURE_LIMIT = 64 << 10
# After these a further fetch may go on where this one was cut.
_PASSING = ("deadline", "too-slow", "network-unreachable", "proxy-failed")


def may_go_on(error: FetchError) -> bool:
    """Whether a further fetch may go on where this one failed."""
    return bool(error.facts.get("transient")) or error.code in _PASSING


class Arrived:
    """A verified file in staging; enter() puts it into the store, close() gives it up.

    Attributes:
        record: the image as the store will have it.
        resumed: bytes that an earlier try had brought.
        transferred: bytes of content that came over the network for it.
    """

    def __init__(
        self,
        partial: Partial,
        record: ImageRecord,
        manifest: bytes,
        signature: bytes | None,
        resumed: int,
        tree: StagedTree | None = None,
    ) -> None:
        self.record = record
        self.resumed = resumed
        self.transferred = 0
        self._partial = partial
        self._manifest = manifest
        self._signature = signature
        self._tree = tree

    def enter(self, store: Store) -> Fetched:
        """Put the image into the store.

        Raises:
            StoreError: the disk refused; nothing of it is in the store.
        """
        place = "file" if self.record.source.startswith(("file:", "bundle:")) else "network"
        record = store.add(self._partial.path, self.record, self._manifest, self._signature)
        return Fetched(record, place, self.transferred, resumed=self.resumed)

    def enter_tree(self) -> None:
        """Put its root file system, where one was made, behind the image that entered.

        Raises:
            StoreError: the disk refused.
        """
        if self._tree is not None:
            self._tree.enter()

    def close(self) -> None:
        """Remove what is left in staging."""
        try:
            if self._tree is not None:
                self._tree.close()
        finally:
            self._partial.close()


class Download:
    """Downloads into the staging of a store.

    Args:
        store: whose staging.
        verifier: what trust/ says about files.
        options: what the operator said.
        progress: is told (bytes done, bytes in all or 0) while an image comes.

    Attributes:
        progress: the same; another one may take its place.
    """

    def __init__(self, store: Store, verifier: Verifier, options: FetchOptions, progress: Progress | None) -> None:
        self._store = store
        self._verifier = verifier
        self._options = options
        self.progress = progress

    def get(self, place: Endpoint, name: ImageName | None, wanted: Reference, transports: Transports) -> Arrived:
        """Return the image at a place, verified; the caller closes it.

        Args:
            place: where it is.
            name: what it has to be called, where that is known.
            wanted: what was asked for.
            transports: of this fetch.

        Raises:
            TrustError, FetchError, ArchiveError, SpecError, StoreError: nothing of it is left.
        """
        needed = needs_signature(self._options, self._verifier, name.name if name is not None else "")
        signature = self.signature(place, transports) if needed else None
        for again in (False, True):
            partial = self._store.partial(place.image)
            arrived, keep = None, False
            try:
                if again or (signature is None and not self._options.expected_id):
                    partial.remember(None)
                try:
                    response = self._receive(place, signature, partial, transports)
                except FetchError as error:
                    keep = may_go_on(error)
                    raise
                except KeyboardInterrupt:
                    keep = True
                    raise
                try:
                    arrived = self._checked(place, name, wanted, signature, partial, response)
                    return arrived
                except (TrustError, FetchError, ArchiveError, SpecError):
                    if not response.resumed:
                        raise
            finally:
                if arrived is None:
                    partial.close(keep)
        raise FetchError("a download that started over was gone on with", where=printable(place.image), code="range-mismatch")

    def signature(self, place: Endpoint, transports: Transports) -> bytes:
        """Return the signature that a place has for its image.

        Raises:
            TrustError: ``signature-missing``.
            FetchError: it cannot be had.
        """
        return _signature(place, transports)

    def forget(self, place: Endpoint) -> None:
        """Give up what came of a place before it was cut."""
        self._store.partial(place.image).close()

    def _receive(self, place: Endpoint, signature: bytes | None, partial: Partial, transports: Transports) -> Response:
        options = self._options
        decided = signature is not None or bool(options.expected_id)
        sink = FileSink(partial.fd, partial.path, self.progress, partial if decided else None)
        response = transports.of(place.image).get(place.image, sink, options.image_limit, "image", own=place.own)
        if not response.whole and not decided:
            raise FetchError(
                "the server does not say how long the image is, and no signature can tell",
                where=place.image,
                hint="serve it with a Content-Length, or sign it",
                code="body-truncated",
            )
        return response

    def _checked(
        self, place: Endpoint, name: ImageName | None, wanted: Reference, signature: bytes | None, partial: Partial, response: Response
    ) -> Arrived:
        # What we filled in for a name only feeds the template; os and arch of an image still have to be this host's.
        named = isinstance(wanted, ImageName)
        host = tuple(label for label in self._options.host_labels if name is None or name.label(label[0]) is None) if named else ()
        tree = StagedTree(self._store) if self._options.render else None
        arrived = None
        try:
            said = (partial.fd, signature, place.image, Wanted(name, host), self._options, self._verifier, tree)
            inspection, verdict = check_file(*said)
            record = new_record(inspection, verdict, place.image, response.etag, max_age=response.max_age or 0, reference=str(wanted))
            arrived = Arrived(partial, record, inspection.manifest_bytes, signature, response.resumed, tree)
            return arrived
        finally:
            if arrived is None and tree is not None:
                tree.close()


def _signature(place: Endpoint, transports: Transports) -> bytes:
    """Return the signature of an image; that there is none is a matter of trust, not of the network."""
    sink = MemorySink()
    try:
        transports.of(place.signature).get(place.signature, sink, SIGNATURE_LIMIT, "signature", own=place.own)
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
