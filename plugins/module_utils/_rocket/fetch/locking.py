# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""References become a lock: each is fetched and verified as a host would, and written down with all that it depends on.

What is locked already stays, unless an update is asked for. An OCI image that its registry names by a tag is signed by nobody: its
digest is written down, for whoever reviews the lock to vouch for.

Not handled here: which references there are (run/declared_images.py), the file (host/lock_file.py).
"""

from __future__ import annotations

from ..errors import NotFound, RocketError
from ..record import replace
from ..spec.lock import Lock, Locked, normal_reference
from ..spec.oci_reference import is_oci_reference
from ..store.verdict import Verdict
from .closure import needed
from .fetcher import Fetcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..store.record import ImageRecord
    from ..store.store import Store
    from .fetched import Fetched
    from .options import FetchOptions, Progress
    from .verification import Verifier

    Known = dict[tuple[str, str], Locked]


class Locking:
    """Resolves references for a lock.

    Args:
        store: where the images are fetched to.
        verifier: what trust/ says about files and names.
        options: what the operator said about fetching; policy, platform and lock are chosen here.
        progress: is told (bytes done, bytes in all or 0) while an image comes.
        tell: is told what was fetched for a reference and platform.
        standing: raises where a verdict does not hold under the keys and the policy of today.
    """

    def __init__(
        self,
        store: Store,
        verifier: Verifier,
        options: FetchOptions,
        progress: Progress | None = None,
        tell: Callable[[str, str, Fetched], None] | None = None,
        standing: Callable[[Verdict, str], None] | None = None,
    ) -> None:
        self._store = store
        self._verifier = verifier
        self._options = options
        self._progress = progress
        self._tell = tell
        self._standing = standing

    def resolve(self, references: Iterable[str], platforms: Sequence[str], kept: Lock | None = None) -> Lock:
        """Return the lock of these references for these platforms.

        Args:
            references: as declarations have them; an image ID names its image already and is left out.
            platforms: ``os/arch`` of the hosts.
            kept: what stays as it is where it is still needed; None to ask for all anew.

        Raises:
            RocketError: one of them cannot be had; names the reference, and the platform where there are several.
        """
        wanted = sorted({normal_reference(text) for text in references if not text.startswith("sha512-")})
        former, known = kept or Lock(), {}
        for platform in platforms:
            here: Known = {}
            for reference in wanted:
                self._one(reference, platform, former, here, len(platforms) > 1)
            known.update(_reachable(wanted, platform, here))
        return Lock(tuple(sorted(_for_all(known, platforms), key=lambda image: (image.reference, image.platform))))

    def _one(self, reference: str, platform: str, former: Lock, here: Known, several: bool) -> None:
        if _keep(reference, platform, former, here):
            return
        try:
            fetched = self._fetch(reference, platform)
            self._check(fetched)
        except RocketError as error:
            label = f"{reference} for {platform}" if several else reference
            if reference not in error.where or several:
                error.where = f"{label}: {error.where}" if error.where else label
            raise
        if self._tell is not None:
            self._tell(reference, platform, fetched)
        for key, record in ((reference, fetched.record), *fetched.stands_on):
            if not _keep(key, platform, former, here):
                here[key, platform] = self._locked(key, platform, record)

    def _check(self, fetched: Fetched) -> None:
        """Hold each image against today's trust as a host under this lock will, to whom it is pinned; what was in the store too."""
        for record in (fetched.record, *(record for _key, record in fetched.stands_on)):
            signed = record.verdict.kind == "signed"
            as_locked = replace(record.verdict, pinned=True) if signed else Verdict("pinned", pinned=True)
            if self._standing is not None:
                self._standing(as_locked, record.name)

    def _locked(self, reference: str, platform: str, record: ImageRecord) -> Locked:
        # Where the policy asks for no signature, none is got: that one lies here is an accident of this host.
        wanted = self._verifier.rule(record.name).needs_signature(pinned=False)
        return Locked(
            reference=reference,
            image_id=record.id,
            name=record.name,
            labels=record.labels,
            platform=platform,
            size=record.file_size,
            signed_by=tuple(signer.fingerprint for signer in record.verdict.signers) if wanted else (),
            digest=record.digests[0] if record.digests else "",
            dependencies=tuple(needed(dependency).key for dependency in record.manifest.dependencies),
        )

    def _fetch(self, reference: str, platform: str) -> Fetched:
        # What somebody pinned here before is no reason to accept less than a signature elsewhere.
        options = replace(self._options, platform=platform, pull_policy="update", lock=None, locking=True)
        if is_oci_reference(reference):
            options = replace(options, insecure=tuple({*options.insecure, "image"}))
        return Fetcher(self._store, self._verifier, options, self._progress).get(reference)


def _keep(reference: str, platform: str, former: Lock, here: Known) -> bool:
    """Take what is locked already, with what it depends on; return whether it is."""
    if (reference, platform) in here:
        return True
    try:
        locked = former.find(reference, platform)
    except NotFound:
        return False
    here[reference, platform] = replace(locked, platform=platform)
    if all(_keep(each, platform, former, here) for each in locked.dependencies):
        return True
    # Locked for this platform, while something that it depends on is not: nothing of it can be kept.
    del here[reference, platform]
    return False


def _reachable(wanted: Sequence[str], platform: str, here: Known) -> Known:
    """Return what is wanted, and what it depends on."""
    found: Known = {}
    left = list(wanted)
    while left:
        key = (left.pop(), platform)
        if key not in found:
            found[key] = here[key]
            left += here[key].dependencies
    return found


def _for_all(known: Known, platforms: Sequence[str]) -> Iterable[Locked]:
    """Yield the entries, those that are one image for every platform and claim none as one."""
    for reference in {reference for reference, _platform in known}:
        found = [known[reference, platform] for platform in platforms if (reference, platform) in known]
        claims = {"os", "arch"}.intersection(name for name, _value in found[0].labels)
        same = len(found) == len(platforms) and all(replace(each, platform="") == replace(found[0], platform="") for each in found)
        yield from [replace(found[0], platform="")] if same and not claims else found
