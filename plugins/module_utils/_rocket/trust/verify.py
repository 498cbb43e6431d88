# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Is this file signed by someone who is trusted for this name?

The file is read once, through one descriptor. A signature by a trusted key that does not fit the file, or a revoked
trusted signer, refuses the file whatever else signed it; signers that nobody trusts are ignored; each primary key
counts once.

Not handled here: where the signature comes from, what the archive holds.
"""

from __future__ import annotations

import os

from ..errors import TrustError
from ..record import Record
from ..spec.identifier import check_ac_identifier
from ..store.verdict import Signer, Verdict
from . import second_opinion
from .admission import shortfall
from .openpgp.key import PublicKey
from .openpgp.mathematics import fits, too_short
from .openpgp.signature import HASHES, Signature, read_detached
from .openpgp.subkey import Subkey
from .refusals import too_few_keys
from .second_opinion import check_word
from .strangers import no_key, unknown
from .usability import FUTURE, check_clock, date, key_problem, primary_problem, subkey_problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any, Callable, Protocol

    from .key_file import TrustedKey
    from .openpgp.certificate import Certificate

    class Keys(Protocol):
        """What a verifier asks of a keyring."""

        def split(self, name: str) -> tuple[list[TrustedKey], list[TrustedKey]]:
            """Return the keys that are trusted for `name`, and the damaged ones."""

        def list(self) -> list[TrustedKey]:
            """Return all keys, whatever they are trusted for."""


_CHUNK = 1 << 20
_FATAL = ("signature-bad", "key-revoked", "signature-future", "key-malformed")


class _Claim(Record):
    """A signature and a key of the keyring that may have made it; `subkey` when it is not the primary."""

    signature: Signature
    trusted: TrustedKey
    certificate: Certificate
    key: PublicKey
    subkey: Subkey | None

    def signer(self) -> Signer:
        """Return who signed, where the claim is true."""
        identity = self.certificate.identities[0] if self.certificate.identities else ""
        part = self.subkey.key.fingerprint if self.subkey else ""
        return Signer(self.certificate.fingerprint, self.trusted.prefix, identity, self.signature.created, part)


class Verifier:
    """Verify files against a keyring.

    Args:
        keyring: whose keys count.
        clock: returns seconds since the epoch.
        threshold: how many distinct trusted keys have to sign.
        keys: fingerprints of the primary keys that count for that; empty for all trusted ones.
        second_opinion: which program has to accept each signature that counts, too: a word of second_opinion.PROGRAMS.

    Raises:
        UsageError: no such word.
    """

    def __init__(
        self, keyring: Keys, clock: Callable[[], float], threshold: int = 1, keys: Collection[str] = (), second_opinion: str = "none"
    ) -> None:
        if threshold < 1:
            raise ValueError("at least one signer is needed")
        self._second_opinion = check_word(second_opinion)
        self._keyring = keyring
        self._clock = clock
        self._threshold = threshold
        self._keys = keys

    def require_key(self, name: str) -> None:
        """Refuse, before anything is downloaded, a name for which too few keys can be used today.

        Raises:
            SpecError: `name` is not an AC identifier.
            TrustError: ``signer-unknown`` (no key), or why the keys that are there do not count: ``key-expired``,
                ``key-revoked``, ``key-malformed``, ``key-mismatch``, ``algorithm-refused``; ``threshold-unmet`` (fewer than have to
                sign); ``clock-wrong``; ``second-opinion``: the program that is asked for one is not here.
            MissingPackage: ``cryptography`` is not installed.
        """
        check_ac_identifier(name, "name")
        now = check_clock(int(self._clock()), name)
        second_opinion.find(self._second_opinion, name)
        keys, damaged = self._keyring.split(name)
        able: set[str] = set()
        problems: list[TrustError] = []
        for key in keys:
            if key.certificate and (not self._keys or key.fingerprint in self._keys):
                problem = key_problem(key.certificate, now, name)
                if problem is None:
                    able.add(key.fingerprint)
                else:
                    problems.append(problem)
        if len(able) >= self._threshold:
            return
        if able or (keys and not problems and not damaged):
            raise too_few_keys(name, len(able), self._threshold, self._keys)
        for cause in [*problems, *(key.problem for key in damaged)]:
            if cause is not None:
                raise cause
        raise no_key(name)

    def verify(self, fd: int, signature: bytes, name: str) -> Verdict:
        """Return the verdict on the file behind `fd`, read from offset 0; the position of `fd` stays.

        Args:
            fd: a regular file, as distributed (A9).
            signature: content of its ``.aci.asc`` file (A7, A8).
            name: the image's name.

        Raises:
            SpecError: `name` is not an AC identifier.
            TrustError: a class of docs/security-model.md.
            MissingPackage: ``cryptography`` is not installed.
            OSError: the file cannot be read.
        """
        check_ac_identifier(name, "name")
        now = check_clock(int(self._clock()), name)
        signatures = read_detached(signature, f"signature of {name}")
        keys, damaged = self._keyring.split(name)
        claims = [_claims(one, keys) for one in signatures]
        hashes = _hash_file(fd, {claim.signature.hash_algorithm for found in claims for claim in found})
        signers: dict[str, _Claim] = {}
        refused: list[TrustError] = []
        for found in claims:
            counted, problem = _judge(found, hashes, now, name)
            if counted:
                signers.setdefault(counted.certificate.fingerprint, counted)
            elif problem:
                refused.append(problem)
        # The copy that cannot be read may be the one that holds the revocation.
        refused += [key.problem for key in damaged if key.problem and not signers.keys().isdisjoint(_holds(key))]
        fatal = [problem for problem in refused if problem.code in _FATAL]
        if fatal:
            raise _certain(fatal[0], fd, claims)
        if not signers:
            raise _why(signatures, refused, keys, damaged, self._keyring.list(), name)
        lacking = shortfall(list(signers), name, self._threshold, self._keys)
        if lacking is not None:
            raise lacking
        counted_by = [(claim.certificate, claim.key, claim.signature) for claim in signers.values()]
        second_opinion.confirm(self._second_opinion, fd, counted_by, name)
        return Verdict("signed", tuple(claim.signer() for claim in signers.values()), now)


def _why(
    signatures: list[Signature],
    refused: list[TrustError],
    keys: list[TrustedKey],
    damaged: list[TrustedKey],
    known: list[TrustedKey],
    name: str,
) -> TrustError:
    """Return why nobody who is trusted signed the file."""
    if refused:
        return refused[0]
    for key in damaged:
        if key.problem and any(one.issuer and any(map(one.names, _holds(key))) for one in signatures):
            return key.problem
    # A damaged file does not say which subkeys it holds: where there is nothing else, it is the cause.
    if damaged and damaged[0].problem and not keys:
        return damaged[0].problem
    return unknown(signatures, known, damaged, name)


def _holds(key: TrustedKey) -> tuple[str, ...]:
    """Return the fingerprints that a damaged key file goes by: its name, and what was found in it."""
    content = key.problem.facts.get("fingerprint") if key.problem else None
    return (key.fingerprint, str(content)) if content else (key.fingerprint,)


def _certain(error: TrustError, fd: int, claims: list[list[_Claim]]) -> TrustError:
    """Return a refusal that nothing can change any more, with what else is worth knowing about it."""
    if error.code != "signature-bad":
        return error
    from .other_form import explained

    return explained(error, fd, [(claim.key, claim.signature) for found in claims for claim in found])


def _claims(signature: Signature, keys: list[TrustedKey]) -> list[_Claim]:
    found = []
    for trusted in keys:
        certificate = trusted.certificate
        if certificate is None:
            continue
        if signature.names(certificate.fingerprint):
            found.append(_Claim(signature, trusted, certificate, certificate.primary, None))
        found += [
            _Claim(signature, trusted, certificate, subkey.key, subkey)
            for subkey in certificate.subkeys
            if signature.names(subkey.key.fingerprint)
        ]
    # The most special prefix is the one to report.
    return sorted(found, key=lambda claim: -len(claim.trusted.prefix))


def _hash_file(fd: int, algorithms: set[int]) -> dict[int, Any]:
    import hashlib

    hashes = {number: hashlib.new(HASHES[number]) for number in sorted(algorithms) if number in HASHES}
    offset = 0
    while hashes:
        chunk = os.pread(fd, _CHUNK, offset)
        if not chunk:
            break
        offset += len(chunk)
        for begun in hashes.values():
            begun.update(chunk)
    return hashes


def _judge(claims: list[_Claim], hashes: dict[int, Any], now: int, name: str) -> tuple[_Claim | None, TrustError | None]:
    """Return the claim that counts, or why this signature does not count; neither when nobody knows its maker.

    Copies of one key under several prefixes may differ: one that is revoked revokes all, else a good one wins.
    """
    problems: list[TrustError] = []
    counted = None
    for claim in claims:
        problem = _problem(claim, hashes, now, name)
        if problem:
            problems.append(problem)
        elif counted is None:
            counted = claim
    revoked = [problem for problem in problems if problem.code == "key-revoked"]
    if revoked:
        return None, revoked[0]
    if counted is None and problems and not claims[0].signature.issuer and problems[0].code == "signature-bad":
        # It names nobody and fits nobody: a stranger's.
        return None, None
    return counted, problems[0] if problems and counted is None else None


def _problem(claim: _Claim, hashes: dict[int, Any], now: int, name: str) -> TrustError | None:
    """Return why the signature does not count with this key; who may sign comes before what it signs, time last."""
    signature, certificate = claim.signature, claim.certificate
    by_key = key_problem(certificate, now, name)
    by_part = subkey_problem(certificate, claim.subkey, now, name) if claim.subkey else primary_problem(certificate, name)
    for problem in (by_key, by_part):
        if problem and problem.code not in ("key-expired", "signature-future"):
            return problem
    if signature.weak or too_short(claim.key, signature):
        return TrustError(
            f"the signature by {certificate.fingerprint} uses {signature.hash_name}, too weak for {claim.key.label}",
            where=name,
            code="algorithm-refused",
            hint="ask for a signature with SHA-512 (`gpg --digest-algo SHA512`)",
            fingerprint=certificate.fingerprint,
        )
    if not fits(claim.key, signature, signature.digest(hashes[signature.hash_algorithm])):
        return _bad("the file is not what this key signed", claim, name)
    return by_key or by_part or _time_problem(claim, now, name)


def _bad(what: str, claim: _Claim, name: str) -> TrustError:
    fingerprint = claim.certificate.fingerprint
    return TrustError(
        f"bad signature by {fingerprint}: {what}",
        where=name,
        code="signature-bad",
        hint="do not use it; fetch image and signature again, and tell the owner if it stays",
        fingerprint=fingerprint,
    )


def _time_problem(claim: _Claim, now: int, name: str) -> TrustError | None:
    signature, fingerprint = claim.signature, claim.certificate.fingerprint
    if signature.created < max(claim.key.created, claim.certificate.primary.created):
        return _bad("it is older than the key", claim, name)
    if signature.created > now + FUTURE:
        return TrustError(
            f"the signature by {fingerprint} was made in the future, on {date(signature.created)}",
            where=name,
            code="signature-future",
            hint="check this host's clock, then the signer's",
            fingerprint=fingerprint,
        )
    if signature.expires and signature.expires <= now:
        return TrustError(
            f"the signature by {fingerprint} expired on {date(signature.expires)}",
            where=name,
            code="signature-expired",
            hint="ask the owner to sign again",
            fingerprint=fingerprint,
        )
    return None
