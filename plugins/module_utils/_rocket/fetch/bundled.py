# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The images of a bundle come into the store: each verified by its own name as if the network had brought it, all of them or none.

Nothing that the bundle says is relied on: it is compared with what the images themselves say. While a bundle is fetched nothing is asked of
anybody: what an image depends on is in the bundle or in the store.

Not handled here: the file (image/bundle.py, bundle_file.py), what an image stands on (bundle_closure.py).
"""

from __future__ import annotations

import time
from contextlib import ExitStack

from ..errors import FetchError, NotFound, TrustError, UsageError, printable
from ..plan import Plan, Step
from ..platform import fits
from ..record import replace
from ..spec.bundle import bundle_path
from ..spec.image_name import ImageName
from ..store.record import new_record
from .bundle_closure import check_closure
from .bundle_file import BundleFile
from .closure import Sum, enter_together
from .download import Arrived
from .fetched import Fetched
from .reference import ImageId
from .stored import Stored
from .under_lock import locked_image, narrowed
from .verification import Wanted, check_file, needs_signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from ..image.check import Inspection
    from ..spec.bundle import Bundled
    from ..store.record import ImageRecord
    from ..store.store import Store
    from .options import FetchOptions, Progress
    from .verification import Verifier

    Got = Union[Arrived, Fetched]


class Bundles:
    """Fetches bundles into a store.

    Args:
        store: where to.
        verifier: what trust/ says about files and names.
        options: what the operator said.
        progress: is told (bytes done, bytes in all) while images come.
    """

    def __init__(self, store: Store, verifier: Verifier, options: FetchOptions, progress: Progress | None = None) -> None:
        self._store = store
        self._verifier = verifier
        self._options = options
        self._progress = progress

    def plan(self, reference: str) -> Plan:
        """Return what `get` would do; the images in the bundle are not read for that.

        Raises:
            FetchError, ArchiveError, SpecError: the file is no bundle, or not as the options want it.
            TrustError: an image has no signature and needs one, or no key is trusted for its name.
            NotFound: an image is not in the lock (``not-locked``).
        """
        with BundleFile(bundle_path(reference)) as file:
            steps, present = [], []
            for image, options in self._asked(file):
                record = self._find(file, image, options)
                reason = self._reason(record, options)
                if record is not None:
                    present.append(record)
                if reason:
                    self._check_allowed(file, image, options)
                    steps.append(Step(action="fetch", subject=f"{image} {image.image_id}", reason=reason))
            if not steps:
                check_closure(self._store, self._verifier, self._options, present)
            before = {"images": [record.id for record in present]}
            after = {"images": [image.image_id for image in file.bundle.images]}
        return Plan(subject=reference, steps=tuple(steps), before=before, after=after)

    def keep(self, reference: str) -> Fetched:
        """Return the stored images that `plan` found good enough.

        Raises:
            NotFound, StoreError: one is gone, or damaged.
        """
        with BundleFile(bundle_path(reference)) as file:
            found: list[Fetched] = []
            for image, options in self._asked(file):
                record = self._find(file, image, options)
                if record is None:
                    raise NotFound(f"{image} is not in the store any more", where=file.shown, hint="repeat")
                found.append(Fetched(record))
            return self._told(file, found)

    def get(self, reference: str) -> Fetched:
        """Return the images that a bundle names, put into the store with all others in it where they are missing.

        Raises:
            TrustError: nobody trusted signed one of them.
            FetchError: the file cannot be read; an image is not what the bundle or the operator says.
            ArchiveError, SpecError: it is no bundle, or one of them no image.
            NotFound: policy ``never``; a dependency that is neither in it nor in the store; not in the lock (``not-locked``).
            StoreError: the disk refused, or what images depend on is not as it has to be. Nothing is published on any error.
        """
        began = time.monotonic()
        with BundleFile(bundle_path(reference)) as file, self._store.lock(f"fetch {file.source}"), ExitStack() as staged:
            asked = self._asked(file)
            stored = [self._present(file, image, options) for image, options in asked]
            coming = [pair for pair, record in zip(asked, stored) if record is None]
            for image, options in coming:
                # All of it before the first byte is copied.
                self._check_allowed(file, image, options)
            progress = Sum(self._progress, sum(image.size for image, _options in coming))
            got: list[Got] = []
            for (image, options), record in zip(asked, stored):
                if record is not None:
                    got.append(Fetched(record))
                    continue
                arrived = self._arrive(file, image, options, progress.part())
                staged.callback(arrived.close)
                got.append(arrived)
            check_closure(self._store, self._verifier, self._options, [each.record for each in got])
            entered = enter_together(self._store, [each for each in got if isinstance(each, Arrived)])
            came = {fetched.record.id: replace(fetched, seconds=time.monotonic() - began) for fetched in entered}
            return self._told(file, [came.get(each.record.id) or Fetched(each.record) for each in got])

    def _asked(self, file: BundleFile) -> list[tuple[Bundled, FetchOptions]]:
        """Return each image with the options that count for it: what the operator said about one image is about the one that is named."""
        options, named = self._options, [image for image in file.bundle.images if image.named]
        if options.signature:
            raise UsageError("a bundle holds the signatures of its images", where="signature", hint="leave it away")
        if (options.expected_id or options.name) and len(named) > 1:
            what = "an image ID" if options.expected_id else "a name"
            raise UsageError(f"{what} is about one image, the bundle names {len(named)}", where=file.shown, hint="leave it away")
        if options.name not in ("", named[0].name):
            what = f"the bundle names {named[0].name}, not {options.name}"
            raise FetchError(what, where=file.shown, hint="ask who wrote the bundle", code="name-mismatch")
        if options.expected_id not in ("", named[0].image_id):
            raise _mismatch(file.shown, named[0].image_id, options.expected_id)
        found = []
        for image in file.bundle.images:
            own = options if image.named else replace(options, expected_id="", signed=False)
            locked = locked_image(image.image_id, str(image), own)
            found.append((image, narrowed(own, locked) if locked is not None else own))
        return found

    def _find(self, file: BundleFile, image: Bundled, options: FetchOptions) -> ImageRecord | None:
        """Return the stored image, whatever its verdict; the bundle has to say of it what it says itself."""
        record = Stored(self._store, self._verifier, options).find(ImageId(image.image_id))
        if record is not None:
            _check_said(image, record.name, record.labels, file.where(image))
        return record

    def _reason(self, record: ImageRecord | None, options: FetchOptions) -> str:
        if record is None:
            return "not in the store"
        return Stored(self._store, self._verifier, options).refusal(record)

    def _present(self, file: BundleFile, image: Bundled, options: FetchOptions) -> ImageRecord | None:
        record = self._find(file, image, options)
        reason = self._reason(record, options)
        if not reason:
            return record
        if options.pull_policy == "never":
            what = "is not in the store" if record is None else f"does not do as it is here ({reason})"
            raise NotFound(f"{image} {what}, and nothing is fetched (pull policy never)", hint="use the policy new")
        return None

    def _check_allowed(self, file: BundleFile, image: Bundled, options: FetchOptions) -> None:
        """Refuse what cannot be accepted whatever the image is."""
        if image.size > options.image_limit:
            raise FetchError(
                f"the image has more than {options.image_limit} bytes",
                where=file.where(image),
                hint="raise the limit if it should be that large",
                code="body-too-large",
            )
        if not needs_signature(options, self._verifier, image.name):
            return
        if not image.signature_size:
            raise TrustError(
                "the image is not signed",
                where=file.where(image),
                code="signature-missing",
                hint="pin its image ID, name it in a lock file, or allow it with --insecure-options=image",
            )
        self._verifier.require_key(image.name)

    def _arrive(self, file: BundleFile, image: Bundled, options: FetchOptions, progress: Progress | None) -> Arrived:
        """Return one image, copied into staging and verified there, where nobody can change it any more."""
        partial = self._store.partial(f"{file.source}#{image.image_id}")
        arrived = None
        try:
            file.copy(image, partial.fd, partial.path, progress)
            signature = file.signature(image) if needs_signature(options, self._verifier, image.name) else None
            where = file.where(image)
            inspection, verdict = check_file(partial.fd, signature, where, Wanted(ImageName(image.name)), options, self._verifier)
            if inspection.image_id != image.image_id:
                raise _mismatch(where, inspection.image_id, image.image_id)
            _check_said(image, inspection.manifest.name, _labels(inspection), where)
            record = new_record(inspection, verdict, file.source, reference=file.source)
            arrived = Arrived(partial, record, inspection.manifest_bytes, signature, 0)
            return arrived
        finally:
            if arrived is None:
                partial.close()

    def _told(self, file: BundleFile, got: list[Fetched]) -> Fetched:
        pairs = list(zip(file.bundle.images, got))
        named = tuple(each for image, each in pairs if image.named)
        here = self._options.host
        foreign = [each.record for each in named if not fits(each.record.labels, self._options.host_labels)]
        return replace(
            named[-1],
            dependencies=tuple(each for image, each in pairs if not image.named and each.place != "store"),
            named=named,
            notes=tuple(f"{record.name} {record.id} is not for {here}" for record in foreign),
        )


def _labels(inspection: Inspection) -> tuple[tuple[str, str], ...]:
    return tuple((label.name, label.value) for label in inspection.manifest.labels)


def _check_said(image: Bundled, name: str, labels: tuple[tuple[str, str], ...], where: str) -> None:
    """Compare what the bundle says of an image with what its manifest says."""
    hint = "the bundle lies about what is in it: ask who wrote it"
    if name != image.name:
        raise FetchError(f"the image is {name}, the bundle calls it {image.name}", where=where, hint=hint, code="name-mismatch")
    if tuple(sorted(labels)) != image.labels:
        shown = ", ".join(f"{label}={value}" for label, value in sorted(labels))
        raise FetchError(f"the image has other labels: {printable(shown, 300)}", where=where, hint=hint, code="label-mismatch")


def _mismatch(where: str, found: str, expected: str) -> FetchError:
    return FetchError(
        f"the image has the ID {found}, not {expected}",
        where=where,
        hint="it is another image than was said: find out why before you use it",
        code="digest-mismatch",
        found=found,
        expected=expected,
    )
