# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What the store already has for a reference, and whether it is good enough under the options of today."""

from __future__ import annotations

import os
import time

from ..errors import FetchError, NotFound, RocketError, StoreError, TrustError
from ..platform import fits
from ..record import replace
from ..spec.image_name import ImageName
from ..store.dependencies import find, name_of, visits
from ..store.verify import digest_fits, has_blob, open_blob
from .reference import FileReference, ImageId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..spec.image_manifest import Dependency
    from ..store.record import ImageRecord
    from ..store.store import Store
    from ..store.verdict import Verdict
    from .options import FetchOptions
    from .reference import Reference
    from .transports.base import Response
    from .verification import Verifier

_SIGNATURE_LIMIT = 64 << 10
_BLOCK = 1 << 20


class Stored:
    """The store as one fetch sees it.

    Args:
        store: where images are.
        verifier: what trust/ says about them today.
        options: what the operator said.
    """

    def __init__(self, store: Store, verifier: Verifier, options: FetchOptions) -> None:
        self._store = store
        self._verifier = verifier
        self._options = options

    def find(self, wanted: Reference) -> ImageRecord | None:
        """Return the stored image for a reference, whatever its verdict; None where it is absent, damaged or set aside.

        Raises:
            Ambiguous: the beginning of several image IDs.
            FetchError: the stored image is not the one that was pinned together with an ID.
        """
        record = self._find(wanted)
        return record if record is not None and has_blob(self._store, record) else None

    def _find(self, wanted: Reference) -> ImageRecord | None:
        expected = self._options.expected_id
        try:
            if isinstance(wanted, ImageId):
                return self._store.find_id(wanted.text)
            if expected:
                return self._pinned(wanted, expected)
            if isinstance(wanted, ImageName):
                return self._by_name(wanted)
        except NotFound:
            return None
        except StoreError as error:
            # Damage is healed by fetching again; anything else stops.
            if error.code != "damaged":
                raise
            return None
        if isinstance(wanted, FileReference):
            return self._by_digest(wanted.path)
        return self._by_source(wanted.url)

    def _pinned(self, wanted: Reference, expected: str) -> ImageRecord:
        record = self._store.find_id(expected)
        name = wanted if isinstance(wanted, ImageName) else ImageName(self._options.name or record.name)
        if not name.matches(record.manifest):
            raise FetchError(
                f"the pinned image is {record.name}, not {name} (V7)",
                where=record.id,
                hint="pin the ID of the image you name",
                code="name-mismatch",
            )
        return record

    def _by_name(self, wanted: ImageName) -> ImageRecord | None:
        """The newest image whose os and arch, where the operator left them to us, are those of the hosts."""
        record = self._store.find(wanted, self._options.host)
        left = (label for label in self._options.host_labels if wanted.label(label[0]) is None)
        return record if fits(record.labels, left) else None

    def _by_source(self, url: str) -> ImageRecord | None:
        fitting = [record for record in self._store.images() if record.source == url and self._named(record)]
        return max(fitting, key=lambda record: record.imported_at) if fitting else None

    def _by_digest(self, path: str) -> ImageRecord | None:
        try:
            size = os.stat(path).st_size
            fitting = [record for record in self._store.images() if record.file_size == size and self._named(record)]
            digest = f"sha512-{file_digest(path)}" if fitting else ""
        except OSError as error:
            raise FetchError(
                f"the image cannot be read: {error.strerror}", where=path, hint="check the path and its permissions", code="file-unreadable"
            ) from error
        return next((record for record in fitting if record.file_digest == digest), None)

    def _named(self, record: ImageRecord) -> bool:
        return self._options.name in ("", record.name)

    def acceptable(self, record: ImageRecord) -> bool:
        """Return whether the stored verdict is good enough today; raises as refusal()."""
        return not self.refusal(record)

    def refusal(self, record: ImageRecord) -> str:
        """Return in a few words why the stored verdict does not do today; empty when it does.

        Raises:
            TrustError: nothing would do: ``policy-refused``, ``policy-malformed``.
        """
        options, verdict = self._options, record.verdict
        rule = self._verifier.rule(record.name)
        if options.locking and not options.unverified and not rule.needs_signature(pinned=False):
            return ""
        wants_signer = (options.signed or options.locking) and not options.unverified
        wants_pin = options.expected_id and verdict.kind != "signed" and not verdict.by_pin
        if wants_pin or (wants_signer and verdict.kind != "signed"):
            return "stored without a signature"
        try:
            self._verifier.check(verdict, record.name, options.insecure)
        except TrustError as error:
            return "stored without a signature" if error.code == "verdict-insecure" else error.what
        return ""

    def lacking(self, record: ImageRecord) -> str:
        """Return in a few words what an image depends on and the store does not have, or not good enough; empty for nothing."""
        if not record.manifest.dependencies:
            return ""
        try:
            visits(self._store, record, self._dependency)
        except RocketError as error:
            if error.code in ("not-locked", "policy-refused", "policy-malformed"):
                raise
            return str(error)
        return ""

    def _dependency(self, dependency: Dependency, where: str) -> ImageRecord:
        options, lock = replace(self._options, expected_id=""), self._options.lock
        if lock is None:
            found = find(self._store, dependency, where)
        else:
            locked = lock.find(dependency.image_id or str(name_of(dependency)), options.host)
            found = self._store.find_id(locked.image_id)
            options = replace(options, signed=bool(locked.signed_by))
        refusal = Stored(self._store, self._verifier, options).refusal(found) or ("" if has_blob(self._store, found) else "damaged")
        if refusal:
            raise NotFound(f"it depends on {found.name}: {refusal}", where=where)
        return found

    def exactly(self, image_id: str) -> ImageRecord | None:
        """Return the stored image with this image ID; None where it is absent, damaged or not good enough."""
        try:
            record = self._store.find_id(image_id)
        except RocketError:
            return None  # It is fetched then, and whoever fetches it is told what is wrong.
        return record if not self.refusal(record) and has_blob(self._store, record) else None

    def again(self, record: ImageRecord, digest: str = "") -> ImageRecord | None:
        """Return a stored image with a verdict that does today, found from what the store has of it; None where it has to be fetched.

        Args:
            record: of the image.
            digest: of the OCI image that it was made of, where that is what was pinned.

        Raises:
            TrustError: nothing would do.
        """
        from .verification import admitted, made, needs_signature

        options = self._options
        pinned = bool(digest) or options.expected_id == record.id
        if not digest and needs_signature(options, self._verifier, record.name):
            verdict = self._signed_again(record)
        elif pinned and record.verdict.kind == "signed" and self._verifier.rule(record.name).require == "pinned":
            verdict = record.verdict
        else:
            verdict = made("pinned" if pinned else "insecure", options, digest)
        if verdict is None or not self._whole(record):
            return None
        verdict = replace(verdict, pinned=pinned or record.verdict.by_pin)
        return self._store.confirm(record.id, admitted(verdict, record.name, options, self._verifier))

    def can_ask(self, record: ImageRecord, url: str) -> bool:
        """Whether the source may be asked if it still has the file of the record: an unsigned one is fetched anew."""
        return bool(record.etag) and record.source == url and (record.verdict.kind == "signed" or self.acceptable(record))

    def fresh(self, record: ImageRecord, wanted: Reference) -> bool:
        """Whether the source said that for this time nobody has to ask again for this very reference."""
        age = int(time.time()) - record.checked_at
        return record.reference == str(wanted) and 0 <= age < record.max_age

    def renew(
        self, record: ImageRecord, verdict: Verdict, wanted: Reference, answer: Response, signature: bytes | None = None
    ) -> ImageRecord:
        """Write down that the source has just confirmed an image, and for how long that is good."""
        max_age = record.max_age if answer.max_age is None else answer.max_age
        now = int(time.time())
        return self._store.confirm(record.id, verdict, signature=signature, checked_at=now, max_age=max_age, reference=str(wanted))

    def signed_again(self, record: ImageRecord, signature: bytes) -> Verdict | None:
        """Return the verdict on a stored image by another signature than it came with; None where it has to be fetched.

        Raises:
            TrustError: this signature is by nobody whose signature of any file would do, or the policy asks for more.
        """
        from .verification import admitted

        try:
            fd = open_blob(self._store, record)
        except StoreError:
            return None  # Damaged: a full fetch heals it.
        try:
            if not digest_fits(fd, record):
                return None
            verdict = self._verifier.verify(fd, signature, record.name)
        except TrustError as error:
            if error.code == "signature-bad":
                return None  # Of another file, which may be what the source has now.
            raise
        finally:
            os.close(fd)
        return admitted(replace(verdict, pinned=record.verdict.pinned), record.name, self._options, self._verifier)

    def confirm(self, record: ImageRecord, wanted: Reference, answer: Response) -> ImageRecord | None:
        """Verify again what is stored when the source says that it is unchanged; None where it has to be fetched.

        Raises:
            TrustError: its signature does not do any more.
        """
        from .verification import admitted, needs_signature

        if not self._whole(record):
            return None
        if record.verdict.kind != "signed" or not needs_signature(self._options, self._verifier, record.name):
            return self.renew(record, record.verdict, wanted, answer)
        verdict = self._verified(record)
        if verdict is None:
            return None
        verdict = replace(verdict, pinned=record.verdict.pinned)
        return self.renew(record, admitted(verdict, record.name, self._options, self._verifier), wanted, answer)

    def _signed_again(self, record: ImageRecord) -> Verdict | None:
        """Return the verdict on the signature that came with a stored image; None where it does not do, for its source may have another."""
        try:
            return self._verified(record)
        except TrustError:
            return None

    def _verified(self, record: ImageRecord) -> Verdict | None:
        directory = f"{self._store.paths.images}/{record.id}"
        try:
            from ..store.files import read_limited

            signature = read_limited(f"{directory}/aci.asc", _SIGNATURE_LIMIT)
            fd = os.open(f"{directory}/aci", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (OSError, StoreError):
            # Damaged: a full fetch heals it.
            return None
        try:
            return self._verifier.verify(fd, signature, record.name)
        finally:
            os.close(fd)

    def _whole(self, record: ImageRecord) -> bool:
        try:
            self._store.verify(record.id)
        except (NotFound, StoreError):
            # Damaged or gone: a full fetch heals it.
            return False
        return True


def file_digest(path: str, algorithm: str = "sha512") -> str:
    """Return the hex digest of a file; raises OSError."""
    import hashlib

    digest = hashlib.new(algorithm)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        while True:
            block = os.read(fd, _BLOCK)
            if not block:
                return digest.hexdigest()
            digest.update(block)
    finally:
        os.close(fd)
