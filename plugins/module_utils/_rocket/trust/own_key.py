# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""One key, seen by whoever holds it: may it sign images, and is a signature that it made one that others will accept?

The same rules as for images that are fetched, with this key in the place of the trusted ones.
"""

from __future__ import annotations

from ..errors import TrustError
from .describe import grouped
from .key_file import TrustedKey
from .openpgp.certificate import read_certificate
from .usability import check_clock, key_problem, subkey_problem
from .verify import Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .openpgp.signature import Signature

_HINT = "sign with another key, or give this one a signing subkey that is RSA from 2048 bits, Ed25519, P-256, P-384 or P-521"


class OwnKey:
    """A certificate that counts for every name; a keyring of one for a Verifier.

    Args:
        armored: the public key, as ``gpg --armor --export`` writes it.
        clock: returns seconds since the epoch.

    Raises:
        TrustError: ``key-malformed``, ``key-mismatch``, ``algorithm-refused``: it would not be taken as a trusted key either.
        MissingPackage: ``cryptography`` is not installed.
    """

    def __init__(self, armored: bytes, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._certificate = read_certificate(armored, "the key to sign with")
        self.fingerprint = self._certificate.fingerprint
        self.identity = self._certificate.identities[0] if self._certificate.identities else ""

    def __str__(self) -> str:
        return f"{grouped(self.fingerprint)} {self.identity}".rstrip()

    def check_usable(self, part: str = "") -> None:
        """Check that a signature made now counts: by the key itself or one of its subkeys, or by exactly the subkey `part`.

        Raises:
            TrustError: ``key-expired``, ``key-revoked``, ``signature-future``, ``algorithm-refused``, ``signer-unknown``,
                ``clock-wrong``; names the key.
        """
        now = check_clock(int(self._clock()), "the key to sign with")
        whole = key_problem(self._certificate, now, "")
        if whole is not None:
            raise self._unusable(whole.what, whole.code, "extend it (`gpg --quick-set-expire`) or sign with another key")
        reasons = []
        if not part:
            if self._certificate.may_sign:
                return
            reasons.append("the key itself is not for signing")
        for subkey in self._certificate.subkeys:
            if part in ("", subkey.key.fingerprint):
                problem = subkey_problem(self._certificate, subkey, now, "")
                if problem is None:
                    return
                reasons.append(f"subkey {subkey.key.fingerprint}: {subkey.reason or problem.what}")
        raise self._unusable("; ".join(reasons) or f"it has no subkey {part}", "signer-unknown", _HINT)

    def _unusable(self, what: str, code: str, hint: str) -> TrustError:
        return TrustError(f"key {self.fingerprint} cannot sign images: {what}", code=code, hint=hint, fingerprint=self.fingerprint)

    def made(self, signature: Signature) -> bool:
        """Tell whether a signature names this key or a subkey of it as its maker."""
        parts = [self.fingerprint, *(subkey.key.fingerprint for subkey in self._certificate.subkeys)]
        return any(map(signature.names, parts))

    def split(self, name: str) -> tuple[list[TrustedKey], list[TrustedKey]]:
        """Return this key as one that is trusted for `name`, and no damaged ones."""
        return [TrustedKey(self.fingerprint, name, "local", "", certificate=self._certificate)], []

    def list(self) -> list[TrustedKey]:
        """Return nothing: there are no other keys."""
        return []

    def check_signature(self, fd: int, signature: bytes, name: str) -> None:
        """Check that `signature` is good for the file behind `fd` and made by this key; raises TrustError as Verifier.verify."""
        Verifier(self, self._clock).verify(fd, signature, name)
