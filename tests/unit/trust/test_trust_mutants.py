# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Mutants of good keys and signatures: never accepted with other data, never another exception than TrustError."""

from __future__ import annotations

import random

import pytest
from trust_bench import DATA, DAY, NOW, START

from _rocket.errors import TrustError

pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")

import trust_forge as forge
from trust_forge import Key

from _rocket.trust.openpgp import armor
from _rocket.trust.openpgp.certificate import read_certificate
from _rocket.trust.usability import key_problem, subkey_problem

OWNER, SUBKEY = Key(1), Key(2)
COUNT = 2000


def mutant(data, chance):
    """Return `data` with one to three small damages."""
    changed = bytearray(data)
    for _try in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(changed))
        kind = chance.randrange(6)
        if kind < 3:
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 3:
            changed[at] = chance.choice((0, 1, 4, 0x7F, 0x80, 0xC2, 0xFF))
        elif kind == 4:
            del changed[at : at + chance.choice((1, 2, 8))]
        else:
            part = changed[at : at + chance.choice((1, 4, 40))]
            changed[at:at] = part
        if not changed:
            changed = bytearray(b"\0")
    return bytes(changed)


def accepted(bench, signature, data):
    try:
        return bench.verify(signature, data=data)
    except TrustError as error:
        assert error.code in CODES, error.code
        return None


CODES = {
    "signature-missing",
    "signature-not-armored",
    "signature-malformed",
    "signature-unsupported",
    "signature-bad",
    "signature-expired",
    "signature-future",
    "signer-unknown",
    "algorithm-refused",
    "key-malformed",
    "key-mismatch",
    "key-expired",
    "key-revoked",
}


@pytest.mark.parametrize("armored", [True, False])
def test_mutants_of_a_signature(bench, armored):
    chance = random.Random(20)
    bench.trust(forge.key_file(forge.certificate(OWNER)), OWNER.fingerprint)
    body = OWNER.sign(0, DATA, hashed=(forge.subpacket(3, forge.number(4 * 365 * DAY, 4)),), unhashed=(forge.subpacket(100, b"loose"),))
    good = forge.signature_file(body) if armored else forge.packet(2, body)
    survivors = 0
    for _try in range(COUNT):
        made = mutant(good, chance)
        made = made if armored else armor.enarmor(made, armor.SIGNATURE)
        assert accepted(bench, made, DATA + b"x") is None
        found = accepted(bench, made, DATA)
        if found:
            survivors += 1
            (signer,) = found.signers
            assert (signer.fingerprint, signer.signed_at) == (OWNER.fingerprint, forge.SIGNED)
    # Only what no signature covers may change; were nothing accepted, the test would prove nothing.
    assert 0 < survivors < COUNT // 4


def state(certificate):
    """What a certificate permits; damage may take from it and never add."""
    problem = key_problem(certificate, NOW, "")
    usable = {part.key.fingerprint for part in certificate.subkeys if not problem and not subkey_problem(certificate, part, NOW, "")}
    return usable | ({certificate.fingerprint} if certificate.may_sign and not problem else set())


def _keys():
    primary = forge.packet(6, OWNER.body)
    ended = (
        forge.packet(6, OWNER.body)
        + forge.user(OWNER)
        + forge.user(OWNER, "Second", hashed=(forge.flags(3), forge.key_expires(DAY)), created=START + 9)
    )
    expired_subkey = forge.binding(OWNER, SUBKEY) + forge.binding(OWNER, SUBKEY, created=START + 9, hashed=(forge.key_expires(DAY),))
    certifying = forge.certificate(OWNER, hashed=(forge.flags(1),)) + forge.packet(14, SUBKEY.body)
    return {
        "good": (forge.certificate(OWNER) + forge.packet(14, SUBKEY.body) + forge.binding(OWNER, SUBKEY), 2),
        "revoked": (primary + forge.revocation(OWNER) + forge.user(OWNER), 0),
        "expired by its newest self-signature": (ended, 0),
        "subkey revoked": (certifying + forge.binding(OWNER, SUBKEY) + forge.subkey_revocation(OWNER, SUBKEY), 0),
        "subkey expired by its newest binding": (certifying + expired_subkey, 0),
        "subkey not for signing": (certifying + forge.binding(OWNER, SUBKEY, flag=4), 0),
    }


KEYS = _keys()


@pytest.mark.parametrize("case", KEYS)
def test_mutants_of_a_key_gain_nothing(case):
    """One flipped bit, at every place of the binary form: a stored key never permits more than before."""
    packets, count = KEYS[case]
    permitted = state(read_certificate(forge.key_file(packets), "key"))
    assert len(permitted) == count
    chance = random.Random(7)
    tries = [packets[:at] + bytes((packets[at] ^ (1 << chance.randrange(8)),)) + packets[at + 1 :] for at in range(len(packets))]
    tries += [mutant(packets, chance) for _try in range(COUNT // 4)]
    survivors = 0
    for made in tries:
        try:
            found = read_certificate(forge.key_file(made), "key")
        except TrustError as error:
            assert error.code in CODES, error.code
            continue
        if found.dropped or found.fingerprint != OWNER.fingerprint:
            continue
        survivors += 1
        # Cutting whole packets off is not damage but another, older copy: see the refusal of older copies.
        assert state(found) <= permitted or len(made) < len(packets), made.hex()
    assert survivors < len(tries) // 2


def test_mutants_of_armored_keys_end_in_trust_errors():
    chance = random.Random(3)
    good = forge.key_file(KEYS["good"][0])
    outcomes = set()
    for _try in range(COUNT):
        try:
            outcomes.add(read_certificate(mutant(good, chance), "key").fingerprint)
        except TrustError as error:
            outcomes.add(error.code)
    assert outcomes <= CODES | {OWNER.fingerprint}
    assert "key-malformed" in outcomes
