# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""An armored key for review: what a person compares before trusting it."""

from __future__ import annotations

from ..record import Record
from .openpgp.certificate import Certificate, read_certificate
from .usability import check_clock, date, key_problem, subkey_problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class KeyDescription(Record):
    """What a key file says.

    Attributes:
        fingerprint: 40 lower-case hex digits.
        identities: user IDs, escaped for display.
        algorithm: ``Ed25519``, ``RSA 4096``.
        created: seconds since the epoch.
        expires: seconds since the epoch; 0 for never.
        problem: why it cannot be used now; empty when it can.
        signing: (fingerprint, algorithm, expires, problem) of each key in it that signs or claims to.
        dropped: certifications by others, which are not stored.
    """

    fingerprint: str
    identities: tuple[str, ...]
    algorithm: str
    created: int
    expires: int
    problem: str
    signing: tuple[tuple[str, str, int, str], ...]
    dropped: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the description for results."""
        names = ("fingerprint", "algorithm", "expires", "problem")
        return {**self.__dict__, "identities": list(self.identities), "signing": [dict(zip(names, key)) for key in self.signing]}

    def lines(self) -> list[str]:
        """Return the lines a person reviews, in rkt's words."""
        found = [f"gpg key fingerprint is: {grouped(self.fingerprint)}"]
        found += [f"\t{identity}" for identity in self.identities]
        ends = f"expires {date(self.expires)}" if self.expires else "never expires"
        found.append(f"\t{self.algorithm}, made {date(self.created)}, {ends}")
        for fingerprint, algorithm, expires, problem in self.signing:
            if fingerprint != self.fingerprint:
                ends = f", expires {date(expires)}" if expires else ""
                found.append(f"\tsubkey {grouped(fingerprint)}: {algorithm}{ends}{f' (does not count: {problem})' if problem else ''}")
        if self.problem:
            found.append(f"\tcannot be used: {self.problem}")
        return found


def grouped(fingerprint: str) -> str:
    """Return a fingerprint as people compare it: ``0CD8 4006 …``."""
    return " ".join(fingerprint[at : at + 4] for at in range(0, len(fingerprint), 4)).upper()


def describe_certificate(certificate: Certificate, now: int) -> KeyDescription:
    """Return the description of a certificate at `now`, seconds since the epoch."""
    primary = certificate.primary
    problem = key_problem(certificate, now, "")
    signing = [(primary.fingerprint, primary.label, certificate.expires, "")] if certificate.may_sign else []
    for subkey in certificate.subkeys:
        found = subkey_problem(certificate, subkey, now, "")
        signing.append((subkey.key.fingerprint, subkey.key.label, subkey.expires, subkey.reason or (found.what if found else "")))
    return KeyDescription(
        primary.fingerprint,
        certificate.identities,
        primary.label,
        primary.created,
        certificate.expires,
        problem.what if problem else "",
        tuple(signing),
        certificate.dropped,
    )


def describe(armored: bytes, where: str, now: int) -> KeyDescription:
    """Return what an armored key file says; it is verified, not trusted.

    Args:
        armored: the file.
        where: its path or URL, for messages.
        now: seconds since the epoch.

    Raises:
        TrustError: ``key-malformed``, ``key-mismatch`` (more than one certificate), ``algorithm-refused``,
            ``clock-wrong``.
        MissingPackage: ``cryptography`` is not installed.
    """
    return describe_certificate(read_certificate(armored, where), check_clock(now, where))
