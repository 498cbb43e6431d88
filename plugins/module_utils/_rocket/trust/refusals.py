# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What is told where no trusted key vouches for a name or a file."""

from __future__ import annotations

from ..errors import TrustError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from .key_file import TrustedKey
    from .openpgp.signature import Signature


def no_key(name: str) -> TrustError:
    """Return the error for a name that no key is trusted for."""
    return TrustError(
        "no key is trusted for it",
        where=name,
        code="signer-unknown",
        hint=f"get its supplier's key, check the fingerprint with them, then `rocket trust --prefix {name} KEYFILE`",
    )


def too_few_keys(name: str, able: int, threshold: int, keys: Collection[str]) -> TrustError:
    """Return the error for a name that could not be signed by as many keys as have to sign, whoever signs."""
    which = f" of those that the policy counts ({', '.join(keys)})" if keys else ""
    return TrustError(
        f"{able} trusted keys can be used{which}, and {threshold} have to sign",
        where=name,
        code="threshold-unmet",
        hint=f"trust the missing keys (`rocket trust --prefix {name} KEYFILE`); `rocket trust --policy {name}` shows the rule",
    )


def unknown(signatures: list[Signature], damaged: list[TrustedKey], name: str) -> TrustError:
    """Return the error for a file that nobody who is trusted signed."""
    issuers = [one.issuer for one in signatures]
    shown = ", ".join(issuer or "a key that it does not name" for issuer in issuers)
    more = "".join(f"; the key file {key.path} is not taken ({key.problem.code})" for key in damaged if key.problem)
    return TrustError(
        f"signed by {shown}, which is not trusted for it{more}",
        where=name,
        code="signer-unknown",
        hint=f"if the fingerprint is its supplier's: `rocket trust --prefix {name} KEYFILE`",
        fingerprint=issuers[0],
    )
