# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Who vouches for an OCI image: the operator by a digest, the policy that asks for nobody, or an option (docs/oci.md)."""

from __future__ import annotations

from ..errors import TrustError, printable
from ..record import replace
from .verification import admitted, made

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..spec.oci_reference import OciReference
    from ..store.verdict import Verdict
    from .options import FetchOptions
    from .sources.base import OciImage
    from .verification import Verifier


def check_rule(name: str, options: FetchOptions, verifier: Verifier) -> None:
    """Refuse a name whose images have to be signed.

    Raises:
        TrustError: ``policy-unmet``, ``policy-refused``, ``policy-malformed``.
    """
    rule = verifier.rule(name)
    if rule.require == "signed" and not options.unverified:
        raise TrustError(
            f"OCI images have no signature here, and {rule}",
            where=name,
            code="policy-unmet",
            hint="export it, sign it and fetch that; or have the policy say `pinned` for it, and pin its digest",
        )


def verdict_on(wanted: OciReference, image: OciImage, options: FetchOptions, verifier: Verifier) -> Verdict:
    """Return why an image may enter the store.

    Raises:
        TrustError: ``signature-missing``, which says what to pin, or as check_rule().
    """
    name = image.name.name
    check_rule(name, options, verifier)
    if options.expected_id or wanted.digest:
        return admitted(made("pinned", options, "" if options.expected_id else wanted.digest), name, options, verifier)
    if options.unverified or verifier.rule(name).require == "open":
        return admitted(made("insecure", options), name, options, verifier)
    pinned = replace(wanted, digest=image.digests[0])
    raise TrustError(
        "nobody vouches for it: OCI images have no signature here, and no digest is pinned",
        where=printable(str(wanted), 300),
        code="signature-missing",
        hint=f"if this is the image that you mean, pin it: {pinned}; or allow it with --insecure-options=image",
    )
