# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""An OCI image becomes an App Container Image of the store, with a record and a verdict like any other (docs/oci.md).

OCI images carry no signature that is known here. One may enter because the operator pinned it, by a digest of its own in the
reference or by the image ID that it becomes here, or because an option lets in what nobody vouches for. What is pinned is
compared before any layer is read; with an image ID alone that cannot be, and the layers are read by the sandbox first.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager

from ..errors import ArchiveError, FetchError, NotFound, RocketError, SpecError, UsageError, printable
from ..plan import Plan, Step
from ..platform import fits
from ..record import replace
from ..spec.oci_reference import RegistryReference
from ..store.blobs import Blobs
from ..store.record import new_record
from ..store.verify import has_blob
from .fetched import Fetched
from .layered_verdict import check_rule, verdict_on
from .reference import ImageId
from .sources.opener import open_source
from .stored import Stored
from .transports.base import too_large

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..image.oci_config import ImageConfig
    from ..image.oci_convert import Conversion, Layer
    from ..spec.oci_reference import OciReference
    from ..store.record import ImageRecord
    from ..store.store import Store
    from ..store.verdict import Verdict
    from .options import FetchOptions, Progress
    from .sources.base import LayeredSource, OciImage
    from .verification import Verifier


class Layered:
    """Fetches OCI images into a store.

    Args:
        store: where to.
        verifier: what trust/ says about names and verdicts.
        options: what the operator said.
        progress: is told (bytes done, bytes in all) while layers come.
    """

    def __init__(self, store: Store, verifier: Verifier, options: FetchOptions, progress: Progress | None = None) -> None:
        self._store = store
        self._verifier = verifier
        self._options = options
        self._progress = progress
        self._stored = Stored(store, verifier, options)
        self._arch = dict(options.host_labels)["arch"]

    def plan(self, wanted: OciReference, state: str) -> Plan:
        """Return what `fetch` would do; ``present`` asks no registry, ``latest`` does where no digest says which image.

        Raises:
            FetchError: the source cannot be read or asked.
        """
        with _named(wanted):
            return self._plan(wanted, state)

    def _plan(self, wanted: OciReference, state: str) -> Plan:
        record = self._find(wanted)
        before = None if record is None else {"image_id": record.id, "name": record.name}
        reason = self._reason(wanted, record, state)
        if not reason:
            return Plan(subject=str(wanted), before=before, after=before)
        if isinstance(wanted, RegistryReference):
            check_rule(wanted.image_name().name, self._options, self._verifier)
        step = Step(action="fetch", subject=str(wanted), reason=reason)
        after = {"image_id": self._options.expected_id or f"made of {wanted}"}
        return Plan(subject=str(wanted), steps=(step,), before=before, after=after)

    def _reason(self, wanted: OciReference, record: ImageRecord | None, state: str) -> str:
        if record is None:
            return "not in the store"
        refusal = self._stored.refusal(record)
        if refusal:
            return "stored without being pinned" if refusal == "stored without a signature" else refusal
        if state == "present" or self._is_fixed(wanted):
            return ""
        with self._open(wanted) as source:
            return "" if source.image(self._arch).digests[-1] in record.digests else "the registry has another image"

    def keep(self, wanted: OciReference) -> Fetched:
        """Return the stored image that `plan` found good enough.

        Raises:
            NotFound, StoreError: it is gone, or damaged.
        """
        with _named(wanted):
            record = self._find(wanted)
        if record is None:
            raise NotFound(f"{wanted} is not in the store any more", hint="repeat")
        return Fetched(record)

    def get(self, wanted: OciReference) -> Fetched:
        """Return the image that `wanted` means, fetched and converted where the pull policy wants it.

        Raises:
            TrustError: nobody vouches for it.
            FetchError: it could not be had, or is not what was pinned.
            ArchiveError, SpecError: it is no image that can be converted.
            NotFound: policy ``never``, and it is not here.
            StoreError: the disk refused. Nothing is published on any error.
        """
        if self._options.signature:
            raise UsageError("OCI images have no such signature", where="signature", hint="pin the digest, or export, sign and fetch")
        began = time.monotonic()
        with _named(wanted):
            found = self._present(wanted)
            if found is not None:
                return Fetched(found)
            with self._store.lock(f"fetch {wanted}"):
                found = self._present(wanted)
                if found is not None:
                    return Fetched(found)
                return replace(self._fetch(wanted), seconds=time.monotonic() - began)

    def _is_fixed(self, wanted: OciReference) -> bool:
        """Whether asking again could bring nothing else; what lies on this host was just asked."""
        return bool(wanted.digest or self._options.expected_id) or not isinstance(wanted, RegistryReference)

    def _find(self, wanted: OciReference) -> ImageRecord | None:
        """Return the stored image for a reference, whatever its verdict; what lies on this host is looked at for that."""
        if self._options.expected_id:
            return self._stored.find(ImageId(self._options.expected_id))
        if isinstance(wanted, RegistryReference):
            found = self._store.converted(wanted.image_name(), wanted.digest)
        else:
            with self._open(wanted) as source:
                image = source.image(self._arch)
            self._check_pinned(wanted, image)
            found = self._store.converted(image.name, image.digests[-1])
        return next((each for each in found if has_blob(self._store, each) and fits(each.labels, self._options.host_labels)), None)

    def _present(self, wanted: OciReference) -> ImageRecord | None:
        record, policy = self._find(wanted), self._options.pull_policy
        if record is not None and (policy != "update" or self._is_fixed(wanted)):
            if self._stored.acceptable(record):
                return record
            check_rule(record.name, self._options, self._verifier)
            if self._options.expected_id or wanted.digest or self._options.unverified:
                return self._stored.again(record, "" if self._options.expected_id else wanted.digest)
        if policy == "never":
            what = "is here without being pinned" if record is not None else "is not in the store"
            raise NotFound(f"{wanted} {what}, and nothing is fetched (pull policy never)", hint="fetch it first, or use the policy new")
        return None

    def _open(self, wanted: OciReference) -> LayeredSource:
        return open_source(wanted, self._store, self._options)

    def _fetch(self, wanted: OciReference) -> Fetched:
        if isinstance(wanted, RegistryReference):
            # Before anybody is asked.
            check_rule(wanted.image_name().name, self._options, self._verifier)
        with self._open(wanted) as source:
            image = source.image(self._arch)
            self._check_pinned(wanted, image)
            verdict = verdict_on(wanted, image, self._options, self._verifier)
            for record in self._store.converted(image.name, image.digests[-1]):
                if has_blob(self._store, record) and self._stored.acceptable(record) and not self._options.expected_id:
                    # The tag leads where it led before, or another digest leads to the same image.
                    return Fetched(self._store.confirm(record.id, record.verdict, image.digests), transferred=source.received)
            place = "network" if isinstance(wanted, RegistryReference) else "file"
            record, notes = self._convert(wanted, source, image, verdict)
            return Fetched(record, place, source.received, notes=notes)

    def _check_pinned(self, wanted: OciReference, image: OciImage) -> None:
        if wanted.digest and wanted.digest not in image.digests:
            from .sources.base import mismatch

            raise mismatch("image", image.digests[0], wanted.digest)

    def _convert(
        self, wanted: OciReference, source: LayeredSource, image: OciImage, verdict: Verdict
    ) -> tuple[ImageRecord, tuple[str, ...]]:
        from ..image.oci_config import parse_config

        if image.size > self._options.image_limit:
            raise too_large(str(wanted), "image", self._options.image_limit)
        config = parse_config(image.config, image.config_digest)
        layers = self._layers(source, image)
        fd, path = self._store.staging_file()
        try:
            conversion = self._made(layers, config, image, fd, source)
            inspection = conversion.inspection
            expected = self._options.expected_id
            if expected and inspection.image_id != expected:
                raise FetchError(
                    f"the image becomes {inspection.image_id} here, not the pinned {expected}",
                    hint="another image, or the same under another name or tag: find out why before you pin it anew",
                    code="digest-mismatch",
                    found=inspection.image_id,
                    expected=expected,
                )
            kept = tuple(layer.digest for layer in image.layers) if source.stays else ()
            made = new_record(inspection, verdict, str(_resolved(wanted, image)), reference=str(wanted))
            record = self._store.add(path, replace(made, digests=image.digests, layers=kept), inspection.manifest_bytes)
        finally:
            self._store.discard(path)
            os.close(fd)
        return record, _notes(record.name, conversion)

    def _layers(self, source: LayeredSource, image: OciImage) -> tuple[Layer, ...]:
        """Return where the layers lie, those of a registry got where they are not in the store."""
        if not source.stays:
            return image.files
        blobs, done = Blobs(self._store), [0]

        def count(number: int) -> None:
            done[0] += number
            if self._progress is not None:
                self._progress(done[0], image.size)

        found = []
        for layer in image.layers:
            before = done[0]
            found.append(source.layer(layer, blobs, count))
            # One that was here counts as done.
            count(before + layer.size - done[0])
        return tuple(found)

    def _made(self, layers: tuple[Layer, ...], config: ImageConfig, image: OciImage, fd: int, source: LayeredSource) -> Conversion:
        from ..image.oci_convert import convert

        spool, path = self._store.staging_file()
        try:
            return convert(layers, config, image.name, fd, spool)
        except ArchiveError:
            if source.stays:
                self._forget_damaged(image)
            raise
        finally:
            self._store.discard(path)
            os.close(spool)

    def _forget_damaged(self, image: OciImage) -> None:
        """Remove the layers of the store that are not what they were when they came, so that a repeated fetch gets them anew."""
        from .stored import file_digest

        blobs = Blobs(self._store)
        for layer in image.layers:
            algorithm = layer.digest.partition(":")[0]
            if f"{algorithm}:{file_digest(blobs.path(layer.digest), algorithm)}" != layer.digest:
                blobs.discard(layer.digest)


def _notes(name: str, conversion: Conversion) -> tuple[str, ...]:
    found = []
    if conversion.skipped_count:
        found.append(f"{conversion.skipped_count} devices are not in the image ({', '.join(conversion.skipped[:3])})")
    if conversion.dropped_xattrs:
        found.append(f"{conversion.dropped_xattrs} extended attributes do not travel")
    return tuple(f"{name}: {text}" for text in (*found, *(printable(warning, 300) for warning in conversion.warnings)))


@contextmanager
def _named(wanted: OciReference) -> Iterator[None]:
    """Name the image in errors that do not say what they are about, or say only where in a document or layer."""
    try:
        yield
    except RocketError as error:
        if not error.where or isinstance(error, (ArchiveError, SpecError)):
            error.where = f"{printable(str(wanted), 300)}{f': {error.where}' if error.where else ''}"
        raise


def _resolved(wanted: OciReference, image: OciImage) -> OciReference:
    """Return the reference with the digest that it led to, and the whole path."""
    digest = wanted.digest or (image.digests[0] if image.digests else "")
    if isinstance(wanted, RegistryReference):
        return replace(wanted, digest=digest)
    return replace(wanted, digest=digest, path=os.path.abspath(wanted.path))
