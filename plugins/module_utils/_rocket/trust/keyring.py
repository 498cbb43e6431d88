# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The trusted keys of a host, by prefix (A11): read, planned and changed.

A damaged key file does not block the others: it is left out and named by `problems`. What is stored is a canonical
copy, so that a later change of any octet is seen.

Not handled here: where keys come from (discovery asks for a pinned fingerprint).
"""

from __future__ import annotations

import os

from ..audit.log import record as write_down
from ..errors import TrustError, UsageError, printable
from ..plan import Plan, Step
from ..spec.identifier import check_ac_identifier
from . import key_file, layout
from .key_file import TrustedKey, trusted_key
from .openpgp.certificate import Certificate, read_certificate
from .usability import check_clock, key_problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..paths import Paths

    TrustedKeys = list[TrustedKey]
    Problems = list[TrustError]


def check_fingerprint(text: str) -> str:
    """Return a full fingerprint as 40 lower-case hex digits; spaces, colons and upper case are accepted.

    Raises:
        UsageError: it is not complete; key IDs can be forged.
    """
    plain = layout.plain_fingerprint(text)
    if not layout.is_fingerprint(plain):
        raise UsageError(
            f"a fingerprint has 40 hex digits, not {printable(text)}",
            where="fingerprint",
            hint="a shorter key ID can be forged: use `gpg --fingerprint`",
        )
    return plain


def check_prefix(prefix: str | None) -> str:
    """Return the prefix of a key, empty for None (root keys).

    Raises:
        UsageError: it ends in ``/`` or ``/*``; the message spells it right.
        SpecError: it is not an AC identifier (T1).
    """
    if prefix is None:
        return layout.ROOT
    plain = prefix
    while plain.endswith(("/", "/*")):
        plain = plain[:-1] if plain.endswith("/") else plain[:-2]
    if plain != prefix:
        check_ac_identifier(plain, "prefix")
        raise UsageError(
            f"a prefix covers what is below it without a mark, not {printable(prefix)}", where="prefix", hint=f"write `--prefix {plain}`"
        )
    return check_ac_identifier(prefix, "prefix")


def _declared(certificate: Certificate, prefix: str) -> dict[str, Any]:
    return {
        "fingerprint": certificate.fingerprint,
        "prefix": prefix or None,
        "identities": list(certificate.identities),
        "algorithm": certificate.primary.label,
        "expires": certificate.expires or None,
        "revoked": certificate.revoked or None,
        "signing_subkeys": [subkey.key.fingerprint for subkey in certificate.subkeys if not subkey.code],
    }


def _refuse_rollback(stored: Certificate, offered: Certificate, where: str) -> None:
    """Refuse a copy that takes back what the stored one says."""
    if not set(stored.revocations) <= set(offered.revocations):
        raise TrustError(
            f"this copy of key {offered.fingerprint} leaves out a revocation that is stored",
            where=where,
            code="key-revoked",
            hint="get the current copy from the owner; a revocation is not taken back",
            fingerprint=offered.fingerprint,
        )
    if offered.certified_at < stored.certified_at:
        raise TrustError(
            f"this copy of key {offered.fingerprint} is older than the stored one",
            where=where,
            code="key-outdated",
            hint="declare the current copy (`rocket trust --list` names the stored file)",
            fingerprint=offered.fingerprint,
        )


class Keyring:
    """The trusted keys of a host.

    Args:
        paths: of the host.
        clock: returns seconds since the epoch; time.time when None.
    """

    def __init__(self, paths: Paths, clock: Callable[[], float] | None = None) -> None:
        self._paths = paths
        self._clock = clock

    def _now(self, where: str) -> int:
        import time

        return check_clock(int((self._clock or time.time)()), where)

    def _covering(self, name: str) -> TrustedKeys:
        return [
            trusted_key(found) for prefix in layout.prefixes_of(name) for found in layout.entries(self._paths, prefix) if not found.masked
        ]

    def keys_for(self, name: str) -> TrustedKeys:
        """Return the keys that are trusted for the image name `name`: root keys and those of every covering prefix.

        Raises:
            SpecError: `name` is not an AC identifier (T1).
            TrustError: a directory cannot be read, or may be written by everyone.
            MissingPackage: ``cryptography`` is not installed.
        """
        return [key for key in self._covering(name) if key.certificate]

    def problems(self, name: str) -> Problems:
        """Return the errors of the key files that should count for `name` and do not; raises as keys_for."""
        return [key.problem for key in self._covering(name) if key.problem]

    def split(self, name: str) -> tuple[TrustedKeys, TrustedKeys]:
        """Return the keys of keys_for, and the damaged ones; each file is read once."""
        found = self._covering(name)
        return [key for key in found if key.certificate], [key for key in found if key.problem]

    def list(self) -> TrustedKeys:
        """Return every key file that counts, masked and damaged ones included; raises as keys_for."""
        return [trusted_key(found) for prefix in layout.all_prefixes(self._paths) for found in layout.entries(self._paths, prefix)]

    def _local(self, prefix: str, fingerprint: str) -> str:
        return f"{layout.directory(self._paths.trusted_keys()[1], prefix)}/{fingerprint}"

    def _vendor_has(self, prefix: str, fingerprint: str) -> bool:
        return os.path.lexists(f"{layout.directory(self._paths.trusted_keys()[0], prefix)}/{fingerprint}")

    def plan_add(self, armored: bytes, fingerprint: str, prefix: str | None) -> Plan:
        """Plan to trust the key `armored` for `prefix`, or for every name when None.

        Args:
            armored: the key file; exactly one certificate.
            fingerprint: the full fingerprint that was reviewed.
            prefix: an AC identifier, or None for root.d.

        Raises:
            UsageError: a fingerprint that is not complete, a prefix that ends in ``/`` or ``/*``.
            SpecError: a prefix that is not an AC identifier.
            TrustError: ``key-mismatch`` (another key than reviewed, or several), ``key-malformed``,
                ``algorithm-refused``, ``key-expired``, ``key-revoked`` (also for a copy that leaves a stored revocation
                out), ``key-outdated``, ``clock-wrong``.
            MissingPackage: ``cryptography`` is not installed.
        """
        wanted, covered = check_fingerprint(fingerprint), check_prefix(prefix)
        where = f"key for {covered or 'every name'}"
        offered = read_certificate(armored, where)
        if offered.fingerprint != wanted:
            raise TrustError(
                f"the file holds key {offered.fingerprint}, not the reviewed {wanted}",
                where=where,
                code="key-mismatch",
                hint="ask the owner for the fingerprint over another channel before trusting either",
                fingerprint=offered.fingerprint,
            )
        content = offered.canonical()
        offered = read_certificate(content, where)
        stored, reason = self._compare(wanted, covered, offered, content)
        before = _declared(stored, covered) if stored else None
        after = _declared(offered, covered)
        if not reason:
            return Plan(wanted, (), before, after)
        if not stored:
            problem = key_problem(offered, self._now(where), where)
            if problem:
                raise problem
        facts = (("path", self._local(covered, wanted)), ("content", content), ("prefix", covered or None))
        return Plan(wanted, (Step("trust", wanted, reason, facts),), before, after)

    def _compare(self, fingerprint: str, prefix: str, offered: Certificate, content: bytes) -> tuple[Certificate | None, str]:
        """Return the stored certificate, if there is one, and why a step is needed; empty when none is."""
        where = prefix or "every name"
        found = layout.entry(self._paths, prefix, fingerprint)
        if found is None:
            return None, f"not trusted for {where}"
        if found.masked:
            return None, f"masked for {where}"
        try:
            stored = key_file.load(found)
        except TrustError as error:
            return None, f"the stored copy is refused: {error.code}"
        _refuse_rollback(stored, offered, found.path)
        return stored, "" if stored.canonical() == content else "the stored copy differs"

    def plan_keep(self, fingerprint: str, prefix: str | None) -> Plan | None:
        """Return the plan of a key that is trusted for exactly `prefix` already, or None where the key itself is needed.

        One that has ended is needed anew: its owner may have given it more time.

        Raises:
            UsageError, SpecError: as plan_add.
            TrustError: the keyring cannot be read; ``clock-wrong``.
            MissingPackage: ``cryptography`` is not installed.
        """
        wanted, covered = check_fingerprint(fingerprint), check_prefix(prefix)
        found = layout.entry(self._paths, covered, wanted)
        if found is None:
            return None
        try:
            stored = key_file.load(found)
        except TrustError:
            return None  # A mask, or a copy that is refused: what is offered replaces it.
        problem = key_problem(stored, self._now(found.path), found.path)
        if problem and problem.code == "key-expired":
            return None
        declared = _declared(stored, covered)
        return Plan(wanted, (), declared, declared)

    def plan_remove(self, fingerprint: str, prefix: str | None) -> Plan:
        """Plan to trust the key no longer for exactly `prefix` (None: root.d); a vendor's key is masked.

        Raises:
            UsageError, SpecError: as plan_add.
            TrustError: the keyring cannot be read.
        """
        wanted, covered = check_fingerprint(fingerprint), check_prefix(prefix)
        found = layout.entry(self._paths, covered, wanted)
        if found is None or found.masked:
            return Plan(wanted)
        before = {"fingerprint": wanted, "prefix": covered or None}
        if self._vendor_has(covered, wanted):
            return self._plan_mask(wanted, covered, before)
        facts = (("path", self._local(covered, wanted)), ("content", None), ("prefix", covered or None))
        return Plan(wanted, (Step("untrust", wanted, f"trusted for {covered or 'every name'}", facts),), before)

    def plan_mask(self, fingerprint: str, prefix: str | None) -> Plan:
        """Plan an empty local file, so that no key of this place counts, the vendor's present or future one included.

        Raises:
            UsageError, SpecError: as plan_add.
            TrustError: the keyring cannot be read.
        """
        wanted, covered = check_fingerprint(fingerprint), check_prefix(prefix)
        found = layout.entry(self._paths, covered, wanted)
        if found and found.masked:
            return Plan(wanted)
        return self._plan_mask(wanted, covered, {"fingerprint": wanted, "prefix": covered or None} if found else None)

    def _plan_mask(self, fingerprint: str, prefix: str, before: dict[str, Any] | None) -> Plan:
        facts = (("path", self._local(prefix, fingerprint)), ("content", b""), ("prefix", prefix or None))
        reason = f"trusted for {prefix or 'every name'} by the vendor" if before else "not masked"
        return Plan(fingerprint, (Step("mask", fingerprint, reason, facts),), before)

    def apply(self, plan: Plan) -> None:
        """Carry out a plan of this keyring.

        Raises:
            StoreError: the file system or the audit log refuses.
            NotFound: a key to remove is gone since the plan was made.
        """
        for step in plan.steps:
            facts = dict(step.facts)
            write_down(self._paths, step.action, step.subject, prefix=facts["prefix"], path=facts["path"], reason=step.reason)
            if facts["content"] is None:
                key_file.remove(facts["path"])
            else:
                key_file.write(facts["path"], facts["content"])

    def add(self, armored: bytes, fingerprint: str, prefix: str | None) -> Plan:
        """Trust a key; return the applied plan. Raises as plan_add and apply."""
        return self._applied(self.plan_add(armored, fingerprint, prefix))

    def remove(self, fingerprint: str, prefix: str | None) -> Plan:
        """Trust a key no longer; return the applied plan. Raises as plan_remove and apply."""
        return self._applied(self.plan_remove(fingerprint, prefix))

    def mask(self, fingerprint: str, prefix: str | None) -> Plan:
        """Mask a key; return the applied plan. Raises as plan_mask and apply."""
        return self._applied(self.plan_mask(fingerprint, prefix))

    def _applied(self, plan: Plan) -> Plan:
        self.apply(plan)
        return plan
