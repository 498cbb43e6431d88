# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Is a key usable at a time? Now, and for a signature made then."""

from __future__ import annotations

from ..errors import TrustError
from .openpgp.certificate import Certificate
from .openpgp.subkey import Subkey

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

FUTURE = 300
_YEAR_2000 = 946684800


def check_clock(now: int, where: str) -> int:
    """Return `now`, seconds since the epoch, when the clock can be right.

    Raises:
        TrustError: ``clock-wrong``: before the year 2000; nothing could expire.
    """
    if now < _YEAR_2000:
        raise TrustError("this host's clock is before the year 2000", where=where, code="clock-wrong", hint="set the clock, then repeat")
    return now


def date(seconds: int) -> str:
    """Return the day of `seconds` since the epoch, UTC: ``2026-11-22``."""
    import time

    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def key_problem(certificate: Certificate, now: int, where: str) -> TrustError | None:
    """Return why nothing signed under this certificate counts now, or None.

    The codes are ``key-revoked``, ``key-expired``, ``signature-future``.
    """
    fingerprint = certificate.fingerprint
    if certificate.revoked:
        return TrustError(
            f"key {fingerprint} is revoked: {certificate.revoked}",
            where=where,
            code="key-revoked",
            hint=f"remove it with `rocket trust --remove {fingerprint}`, and ask the owner for the key that replaces it",
            fingerprint=fingerprint,
        )
    if certificate.certified_at > now + FUTURE or certificate.primary.created > now + FUTURE:
        return TrustError(
            f"key {fingerprint} was certified in the future, on {date(max(certificate.certified_at, certificate.primary.created))}",
            where=where,
            code="signature-future",
            hint="check this host's clock",
            fingerprint=fingerprint,
        )
    if certificate.expires and certificate.expires <= now:
        return _expired(f"key {fingerprint}", certificate.expires, fingerprint, where)
    return None


def _expired(what: str, when: int, fingerprint: str, where: str) -> TrustError:
    return TrustError(
        f"{what} expired on {date(when)}",
        where=where,
        code="key-expired",
        hint="get the key with its new expiry from its owner and trust it again (`rocket trust --prefix PREFIX KEYFILE`)",
        fingerprint=fingerprint,
    )


def subkey_problem(certificate: Certificate, subkey: Subkey, now: int, where: str) -> TrustError | None:
    """Return why signatures of this subkey do not count now, or None.

    The codes are ``key-revoked``, ``key-expired``, ``signature-future``, ``algorithm-refused``, ``signer-unknown``.
    """
    named = f"subkey {subkey.key.fingerprint} of key {certificate.fingerprint}"
    if subkey.code:
        return TrustError(
            f"signed by {named}, which does not count: {subkey.reason}",
            where=where,
            code=subkey.code,
            hint="ask the owner for a signature by a good key and for the current certificate, then `rocket trust --prefix PREFIX KEYFILE`",
            fingerprint=certificate.fingerprint,
        )
    if subkey.bound_at > now + FUTURE or subkey.key.created > now + FUTURE:
        return TrustError(
            f"{named} was made in the future",
            where=where,
            code="signature-future",
            hint="check this host's clock",
            fingerprint=certificate.fingerprint,
        )
    if subkey.expires and subkey.expires <= now:
        return _expired(named, subkey.expires, certificate.fingerprint, where)
    return None


def primary_problem(certificate: Certificate, where: str) -> TrustError | None:
    """Return why signatures of the primary key itself do not count, or None; the code is ``signer-unknown``."""
    if certificate.may_sign:
        return None
    return TrustError(
        f"signed by key {certificate.fingerprint} itself, which is not for signing data",
        where=where,
        code="signer-unknown",
        hint="its owner signs with a signing subkey",
        fingerprint=certificate.fingerprint,
    )
