# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Why a signer does not count for a name: nobody trusts the key, it is trusted for other names, or it is masked.

Who signed is what the signature says here; it was not verified, since there is no key to do so with.
"""

from __future__ import annotations

from ..errors import TrustError
from ..spec.identifier import prefix_covers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .key_file import TrustedKey
    from .openpgp.signature import Signature


def no_key(name: str) -> TrustError:
    """Return the error of a name for which there is no key at all."""
    return TrustError(
        "no key is trusted for it",
        where=name,
        code="signer-unknown",
        hint=f"get its supplier's key, check the fingerprint with them, then `rocket trust --prefix {name} KEYFILE`",
    )


def unknown(signatures: list[Signature], keys: Iterable[TrustedKey], damaged: list[TrustedKey], name: str) -> TrustError:
    """Return the error of signatures of which none is by a key that counts for `name`.

    Args:
        signatures: of the file.
        keys: all of the keyring, for other names and masked ones included.
        damaged: key files that should count for `name` and are not taken.
        name: of the image.
    """
    keys = list(keys)
    known = [_known(one, keys, name) for one in signatures]
    makers = [
        f"{one.issuer or 'a key that it does not name'}, which is {why or 'not trusted for it'}" for one, why in zip(signatures, known)
    ]
    more = "".join(f"; the key file {key.path} is not taken ({key.problem.code})" for key in damaged if key.problem)
    return TrustError(
        f"signed by {', and by '.join(dict.fromkeys(makers))}{more}",
        where=name,
        code="signer-unknown",
        hint=_hint(name, any(known)),
        fingerprint=signatures[0].issuer,
    )


def _hint(name: str, known: bool) -> str:
    if known:
        return f"ask its supplier why; only if this key is to sign this name as well: `rocket trust --prefix {name} KEYFILE`"
    return f"if the fingerprint is its supplier's: `rocket trust --prefix {name} KEYFILE`"


def _holds(key: TrustedKey) -> list[str]:
    """Return the fingerprints by which a key of the keyring signs."""
    certificate = key.certificate
    return [key.fingerprint, *(subkey.key.fingerprint for subkey in (certificate.subkeys if certificate else ()))]


def _known(signature: Signature, keys: list[TrustedKey], name: str) -> str:
    """Return what the keyring says of the key that a signature names; empty where it says nothing."""
    found = [key for key in keys if signature.issuer and any(map(signature.names, _holds(key)))]
    masked = [key.path for key in found if key.masked and (not key.prefix or prefix_covers(key.prefix, name))]
    if masked:
        return f"masked by {masked[0]}"
    prefixes = sorted({key.prefix for key in found if key.certificate and key.prefix})
    return f"trusted for {', '.join(prefixes)} and not for it" if prefixes else ""
