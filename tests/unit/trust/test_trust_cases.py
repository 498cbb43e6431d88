# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Every row of the table of cases in docs/security-model.md, with forged keys and signatures."""

from __future__ import annotations

import pytest
from trust_bench import DATA, DAY, NAME, NOW, SIGNED, START

from _rocket.errors import TrustError

pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")

import trust_forge as forge
from trust_forge import Key

OWNER, SUBKEY, STRANGER = Key(1), Key(2), Key(3)
PLAIN = forge.certificate(OWNER)


def with_subkey(**options):
    """A certifying key with one subkey, the one that signs."""
    tail = options.pop("tail", b"")
    return (
        forge.certificate(OWNER, hashed=(forge.flags(1),)) + forge.packet(14, SUBKEY.body) + forge.binding(OWNER, SUBKEY, **options) + tail
    )


VALID = {
    "plain key": (PLAIN, OWNER.detached(DATA)),
    "CRLF in the armor": (PLAIN, OWNER.detached(DATA).replace(b"\n", b"\r\n")),
    "armor header": (PLAIN, OWNER.detached(DATA).replace(b"-----\n\n", b"-----\nVersion: GnuPG v2\nComment: a: b\n\n", 1)),
    "no checksum": (PLAIN, b"\n".join(line for line in OWNER.detached(DATA).split(b"\n") if not line.startswith(b"="))),
    "good, then unknown": (PLAIN, forge.signature_file(OWNER.sign(0, DATA), STRANGER.sign(0, DATA))),
    "unknown, then good": (PLAIN, forge.signature_file(STRANGER.sign(0, b"other"), OWNER.sign(0, DATA))),
    "signing subkey": (with_subkey(), SUBKEY.detached(DATA)),
    "back-signature in the hashed area": (with_subkey(back=False, hashed=(forge.back_signature(OWNER, SUBKEY),)), SUBKEY.detached(DATA)),
    "private packet in the key": (PLAIN + forge.packet(60, b"x"), OWNER.detached(DATA)),
    "issuer not named": (PLAIN, OWNER.detached(DATA, issuer="")),
    "expired signature and a good one": (
        PLAIN,
        forge.signature_file(OWNER.sign(0, DATA, hashed=(forge.subpacket(3, forge.number(DAY, 4)),)), OWNER.sign(0, DATA)),
    ),
    "signature four minutes ahead": (PLAIN, OWNER.detached(DATA, created=NOW + 240)),
    "old weak self-signature, newer strong one": (
        forge.packet(6, OWNER.body)
        + forge.user(OWNER, digest=2)
        + forge.user(OWNER, created=START + 1)[len(forge.packet(13, forge.UID.encode())) :],
        OWNER.detached(DATA),
    ),
}


@pytest.mark.parametrize("case", VALID)
def test_valid(bench, case):
    packets, signature = VALID[case]
    bench.trust(forge.key_file(packets), OWNER.fingerprint)
    verdict = bench.verify(signature)
    assert [signer.fingerprint for signer in verdict.signers] == [OWNER.fingerprint]
    with pytest.raises(TrustError) as caught:
        bench.verify(signature, data=DATA + b"\n")
    assert caught.value.code == ("signer-unknown" if case == "issuer not named" else "signature-bad")


def _block(signature):
    return forge.packet(2, signature)


GOOD = OWNER.sign(0, DATA)
SIGNATURES = {
    "empty": (b"", "signature-missing"),
    "white space": (b" \n", "signature-missing"),
    "junk": (b"not a signature\n", "signature-malformed"),
    "binary junk": (b"\xff\xfe\xfd", "signature-malformed"),
    "binary": (_block(GOOD), "signature-not-armored"),
    "text before": (b"hello\n" + forge.signature_file(GOOD), "signature-malformed"),
    "text after": (forge.signature_file(GOOD) + b"hello\n", "signature-malformed"),
    "two blocks": (forge.signature_file(GOOD) * 2, "signature-malformed"),
    "a key": (forge.key_file(PLAIN), "signature-malformed"),
    "a key in signature armor": (
        forge.armor.enarmor(PLAIN, "SIGNATURE"),
        "signature-malformed",
    ),
    "literal packet beside": (forge.armor.enarmor(forge.packet(11, b"b\0\0\0\0\0x") + _block(GOOD), "SIGNATURE"), "signature-malformed"),
    "marker packet beside": (forge.armor.enarmor(_block(GOOD) + forge.packet(10, b"PGP"), "SIGNATURE"), "signature-malformed"),
    "17 signatures": (forge.signature_file(*[GOOD] * 17), "signature-malformed"),
    "1000 signatures": (forge.signature_file(*[GOOD] * 1000), "signature-malformed"),
    "packet length too long": (forge.armor.enarmor(b"\xc2\xff\x00\x01\x00\x00" + GOOD, "SIGNATURE"), "signature-malformed"),
    "packet cut": (forge.armor.enarmor(_block(GOOD)[:-1], "SIGNATURE"), "signature-malformed"),
    "partial length": (forge.armor.enarmor(b"\xc2\xe7" + GOOD + b"\x00" * 200, "SIGNATURE"), "signature-malformed"),
    "integer longer than it says": (forge.signature_file(GOOD + b"\0"), "signature-malformed"),
    "integer with a zero in front": (forge.signature_file(GOOD[:-34] + forge.number(264, 2) + b"\0" + GOOD[-32:]), "signature-malformed"),
    "hashed area that lies": (forge.signature_file(GOOD[:4] + b"\xff\xff" + GOOD[6:]), "signature-malformed"),
    "no time": (OWNER.detached(DATA, stated=False), "signature-malformed"),
    "two times": (OWNER.detached(DATA, hashed=(forge.subpacket(2, forge.number(START, 4)),)), "signature-malformed"),
    "two makers": (OWNER.detached(DATA, unhashed=(forge.subpacket(16, b"12345678"),)), "signature-malformed"),
    "text mode": (OWNER.detached(DATA, kind=1), "signature-unsupported"),
    "certification as document signature": (OWNER.detached(DATA, kind=0x10), "signature-unsupported"),
    "critical notation": (OWNER.detached(DATA, hashed=(forge.subpacket(20, b"x" * 10, True),)), "signature-unsupported"),
    "critical user ID": (OWNER.detached(DATA, hashed=(forge.subpacket(28, b"x", True),)), "signature-unsupported"),
    "critical unknown subpacket": (OWNER.detached(DATA, hashed=(forge.subpacket(99, b"", True),)), "signature-unsupported"),
    **{f"version {number}": (OWNER.detached(DATA, version=number), "signature-unsupported") for number in (2, 3, 5, 6)},
    "other data": (OWNER.detached(DATA + b"x"), "signature-bad"),
    "good, then bad": (forge.signature_file(GOOD, OWNER.sign(0, b"x")), "signature-bad"),
    "bad, then good": (forge.signature_file(OWNER.sign(0, b"x"), GOOD), "signature-bad"),
    "another algorithm named": (OWNER.detached(DATA, sign_as=19), "signature-bad"),
    "older than the key": (OWNER.detached(DATA, created=START - 1), "signature-bad"),
    "expired": (OWNER.detached(DATA, hashed=(forge.subpacket(3, forge.number(DAY, 4)),)), "signature-expired"),
    "future": (OWNER.detached(DATA, created=NOW + 301), "signature-future"),
    "future beside a good one": (forge.signature_file(GOOD, OWNER.sign(0, DATA, created=NOW + DAY)), "signature-future"),
    "larger than 64 KiB": (
        OWNER.detached(DATA).replace(b"-----\n\n", b"-----\nComment: " + b"x" * (64 << 10) + b"\n\n", 1),
        "signature-malformed",
    ),
    "first octets of the digest changed": (forge.signature_file(GOOD[:-69] + bytes((GOOD[-69] ^ 1,)) + GOOD[-68:]), "signature-bad"),
    "unknown signer": (STRANGER.detached(DATA), "signer-unknown"),
    "stranger who names the owner": (STRANGER.detached(DATA, issuer=OWNER.fingerprint), "signature-bad"),
    "MD5": (OWNER.detached(DATA, digest=1), "algorithm-refused"),
    "SHA-1": (OWNER.detached(DATA, digest=2), "algorithm-refused"),
}


@pytest.mark.parametrize("case", SIGNATURES)
def test_refused_signature(bench, case):
    signature, code = SIGNATURES[case]
    bench.trust(forge.key_file(PLAIN), OWNER.fingerprint)
    with pytest.raises(TrustError) as caught:
        bench.verify(signature)
    assert caught.value.code == code, str(caught.value)
    assert NAME in str(caught.value)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


PRIMARY = forge.packet(6, OWNER.body)
MD5_REVOKED = PRIMARY + forge.revocation(OWNER, digest=1) + forge.user(OWNER)
UNBOUND = forge.certificate(OWNER, hashed=(forge.flags(1),)) + forge.packet(14, SUBKEY.body)
FOREIGN = UNBOUND + forge.binding(OWNER, SUBKEY, signer=STRANGER)
WRONG_BACK = forge.back_signature(OWNER, SUBKEY, signer=STRANGER)


def flip(packets, where, bit=1):
    where %= len(packets)
    return packets[:where] + bytes((packets[where] ^ bit,)) + packets[where + 1 :]


WEAK_LATER = PLAIN + forge.user(OWNER, created=START + DAY, digest=2)[len(forge.packet(13, forge.UID.encode())) :]
KEYS = {
    "subkey unbound": (UNBOUND, SUBKEY, "signer-unknown", "not bound"),
    "subkey bound by a stranger": (FOREIGN, SUBKEY, "signer-unknown", "another key"),
    "subkey bound by owner and stranger": (
        with_subkey() + forge.binding(OWNER, SUBKEY, signer=STRANGER),
        SUBKEY,
        "signer-unknown",
        "another key",
    ),
    "subkey without back-signature": (with_subkey(back=False), SUBKEY, "signer-unknown", "no back-signature"),
    "back-signature by a stranger": (with_subkey(back=WRONG_BACK), SUBKEY, "signer-unknown", "back-signature"),
    "subkey for encryption": (with_subkey(flag=12), SUBKEY, "signer-unknown", "not for signing"),
    "primary for certification": (with_subkey(), OWNER, "signer-unknown", "not for signing"),
    "flags that no signature covers": (
        forge.certificate(OWNER, hashed=(), unhashed=(forge.flags(3),)),
        OWNER,
        "signer-unknown",
        "not for signing",
    ),
    "primary without flags": (forge.certificate(OWNER, hashed=()), OWNER, "signer-unknown", "not for signing"),
    "back-signature SHA-1": (with_subkey(back=forge.back_signature(OWNER, SUBKEY, digest=2)), SUBKEY, "algorithm-refused", "SHA-1"),
    "binding SHA-1": (with_subkey(digest=2), SUBKEY, "algorithm-refused", "SHA-1"),
    "key expired": (
        forge.certificate(OWNER, hashed=(forge.flags(3), forge.key_expires(200 * DAY))),
        OWNER,
        "key-expired",
        OWNER.fingerprint,
    ),
    "key expired before the signature": (
        forge.certificate(OWNER, hashed=(forge.flags(3), forge.key_expires(DAY))),
        OWNER,
        "key-expired",
        OWNER.fingerprint,
    ),
    "self-signature expired": (
        forge.certificate(OWNER, hashed=(forge.flags(3), forge.subpacket(3, forge.number(DAY, 4)))),
        OWNER,
        "key-expired",
        "2024-01-02",
    ),
    "subkey expired": (with_subkey(hashed=(forge.key_expires(200 * DAY),)), SUBKEY, "key-expired", SUBKEY.fingerprint),
    "primary of the subkey expired": (
        forge.certificate(OWNER, hashed=(forge.flags(1), forge.key_expires(200 * DAY)))
        + forge.packet(14, SUBKEY.body)
        + forge.binding(OWNER, SUBKEY),
        SUBKEY,
        "key-expired",
        OWNER.fingerprint,
    ),
    "revoked, hard": (PRIMARY + forge.revocation(OWNER, reason=2) + forge.user(OWNER), OWNER, "key-revoked", "revoked"),
    "revoked, soft, signed earlier": (PRIMARY + forge.revocation(OWNER, SIGNED + DAY) + forge.user(OWNER), OWNER, "key-revoked", "revoked"),
    "revoked with MD5": (MD5_REVOKED, OWNER, "key-revoked", "revoked"),
    "all user IDs revoked": (PLAIN + forge.identity_revocation(OWNER), OWNER, "key-revoked", "user IDs"),
    "subkey revoked": (with_subkey(tail=forge.subkey_revocation(OWNER, SUBKEY)), SUBKEY, "key-revoked", "subkey"),
    "self-signature SHA-1": (forge.certificate(OWNER, digest=2), OWNER, "algorithm-refused", "SHA-1"),
    "newest self-signature SHA-1": (WEAK_LATER, OWNER, "algorithm-refused", "SHA-1"),
    "key cut": (PLAIN[:-1], OWNER, "key-malformed", ""),
    "no user ID": (PRIMARY, OWNER, "key-malformed", "no self-signature"),
    "user ID without self-signature": (PRIMARY + forge.packet(13, b"x"), OWNER, "key-malformed", "self-signature"),
    "second user ID without self-signature": (PLAIN + forge.packet(13, b"x"), OWNER, "key-malformed", "self-signature"),
    "self-signature damaged": (flip(PLAIN, -1), OWNER, "key-malformed", "does not verify"),
    "self-signature of another user ID": (PLAIN.replace(b"Owner <", b"0wner <"), OWNER, "key-malformed", "does not verify"),
    "self-signature by a stranger": (
        forge.certificate(OWNER, signer=STRANGER, issuer=OWNER.fingerprint),
        OWNER,
        "key-malformed",
        "does not verify",
    ),
    "self-signature older than the key": (forge.certificate(OWNER, created=START - 1), OWNER, "key-malformed", "older"),
    "self-signature with a critical notation": (
        forge.certificate(OWNER, hashed=(forge.flags(3), forge.subpacket(20, b"12345678", True))),
        OWNER,
        "key-malformed",
        "critical notation",
    ),
    "self-signature from the future": (forge.certificate(OWNER, created=NOW + DAY), OWNER, "signature-future", "clock"),
    "revocation damaged": (PRIMARY + flip(forge.revocation(OWNER), -1) + forge.user(OWNER), OWNER, "key-malformed", "revocation"),
    "revocation by a stranger": (
        PRIMARY + forge.packet(2, STRANGER.sign(0x20, OWNER.hashed())) + forge.user(OWNER),
        OWNER,
        "key-malformed",
        "revocation",
    ),
    "revocation shown as certification": (PLAIN + forge.revocation(OWNER), OWNER, "key-malformed", "no place"),
    "subkey revocation damaged": (
        with_subkey(tail=flip(forge.subkey_revocation(OWNER, SUBKEY), -1)),
        SUBKEY,
        "key-malformed",
        "revocation",
    ),
    "subkey revocation by a stranger": (
        with_subkey(tail=forge.packet(2, STRANGER.sign(0x28, OWNER.hashed() + SUBKEY.hashed()))),
        SUBKEY,
        "signer-unknown",
        "",
    ),
    "subkey binding damaged": (flip(with_subkey(back=False), -1), SUBKEY, "key-malformed", "binding"),
    "length that lies": (flip(PLAIN, 5), OWNER, "key-malformed", ""),
    "certification by a stranger": (PLAIN + forge.packet(2, STRANGER.sign(0x10, b"x")), OWNER, "key-malformed", "by others"),
    "two certificates": (PLAIN + forge.certificate(STRANGER), OWNER, "key-mismatch", "more than one"),
    "two certificates, other order": (forge.certificate(STRANGER) + PLAIN, OWNER, "key-mismatch", "more than one"),
    "another key in the file": (forge.certificate(STRANGER), STRANGER, "key-mismatch", STRANGER.fingerprint),
}


@pytest.mark.parametrize("case", KEYS)
def test_refused_key(bench, case):
    packets, signer, code, words = KEYS[case]
    path = bench.trust(forge.key_file(packets), OWNER.fingerprint)
    with pytest.raises(TrustError) as caught:
        bench.verify(signer.detached(DATA))
    assert caught.value.code == code, str(caught.value)
    assert words in str(caught.value)
    assert NAME in str(caught.value) or path in str(caught.value)
    assert caught.value.hint
    with pytest.raises(TrustError):
        bench.verify(signer.detached(DATA), data=DATA + b"x")


def test_threshold_counts_distinct_primary_keys(bench):
    second = Key(4)
    bench.trust(forge.key_file(PLAIN), OWNER.fingerprint)
    bench.trust(forge.key_file(forge.certificate(second)), second.fingerprint, "example.com")
    both = bench.verify(forge.signature_file(second.sign(0, DATA), OWNER.sign(0, DATA)), threshold=2)
    assert [signer.fingerprint for signer in both.signers] == [second.fingerprint, OWNER.fingerprint]
    for twice in (
        forge.signature_file(GOOD, GOOD),
        forge.signature_file(GOOD, OWNER.sign(0, DATA, created=SIGNED + 1)),
        forge.signature_file(GOOD, STRANGER.sign(0, DATA)),
    ):
        with pytest.raises(TrustError) as caught:
            bench.verify(twice, threshold=2)
        assert caught.value.code == "threshold-unmet"


def test_primary_and_its_subkey_are_one_signer(bench):
    packets = PLAIN + forge.packet(14, SUBKEY.body) + forge.binding(OWNER, SUBKEY)
    bench.trust(forge.key_file(packets), OWNER.fingerprint)
    both = forge.signature_file(OWNER.sign(0, DATA), SUBKEY.sign(0, DATA))
    assert len(bench.verify(both).signers) == 1
    with pytest.raises(TrustError) as caught:
        bench.verify(both, threshold=2)
    assert caught.value.code == "threshold-unmet"


def test_revocation_under_one_prefix_revokes_the_copy_under_another(bench):
    bench.trust(forge.key_file(PLAIN), OWNER.fingerprint, "example.com/shop")
    bench.trust(forge.key_file(PRIMARY + forge.revocation(OWNER) + forge.user(OWNER)), OWNER.fingerprint, "example.com")
    with pytest.raises(TrustError) as caught:
        bench.verify(OWNER.detached(DATA))
    assert caught.value.code == "key-revoked"


def test_damaged_copy_of_the_signer_refuses_because_it_may_hold_the_revocation(bench):
    bench.trust(forge.key_file(PLAIN), OWNER.fingerprint, "example.com/shop")
    bench.trust(forge.key_file(PRIMARY + flip(forge.revocation(OWNER), -1) + forge.user(OWNER)), OWNER.fingerprint, "example.com")
    with pytest.raises(TrustError) as caught:
        bench.verify(OWNER.detached(DATA))
    assert caught.value.code == "key-malformed"


def test_damaged_file_of_another_key_does_not_block_and_is_named(bench):
    bench.trust(forge.key_file(PLAIN), OWNER.fingerprint)
    path = bench.trust(b"junk", STRANGER.fingerprint, "example.com")
    odd = bench.trust(forge.key_file(PLAIN), "owner.asc", "example.com")
    assert bench.verify(OWNER.detached(DATA)).signers
    assert sorted((error.where, error.code) for error in bench.keyring.problems(NAME)) == sorted(
        [(path, "key-malformed"), (odd, "key-mismatch")]
    )
    with pytest.raises(TrustError) as caught:
        bench.verify(STRANGER.detached(DATA))
    assert (caught.value.code, caught.value.where) == ("key-malformed", path)
    with pytest.raises(TrustError) as caught:
        bench.verify(SUBKEY.detached(DATA))
    assert caught.value.code == "signer-unknown"
    assert path in str(caught.value)


@pytest.mark.parametrize(("curve", "digest"), [("nistp384", 8), ("nistp521", 8), ("nistp521", 9)])
def test_a_hash_that_is_shorter_than_the_curve(bench, curve, digest):
    key = Key(5, algorithm=curve)
    bench.trust(forge.key_file(forge.certificate(key)), key.fingerprint)
    assert bench.verify(key.detached(DATA)).signers
    for case in ({}, {"data": DATA + b"x"}):
        with pytest.raises(TrustError) as caught:
            bench.verify(key.detached(DATA, digest=digest), **case)
        assert caught.value.code == "algorithm-refused" and "too weak for ECDSA" in str(caught.value)
    subkey = forge.packet(14, SUBKEY.body)
    for packets in (
        forge.certificate(key, digest=digest),
        forge.certificate(key) + subkey + forge.binding(key, SUBKEY, digest=digest),
    ):
        with pytest.raises(TrustError) as caught:
            bench.keyring.plan_add(forge.key_file(packets), key.fingerprint, None)
        assert caught.value.code == "algorithm-refused" and "certified with SHA-" in str(caught.value)


def test_stranger_who_names_nobody_is_ignored(bench):
    bench.trust(forge.key_file(PLAIN), OWNER.fingerprint)
    assert bench.verify(forge.signature_file(STRANGER.sign(0, DATA, issuer=""), GOOD)).signers


def test_revoked_signer_refuses_the_file_that_another_signed(bench):
    second = Key(4)
    bench.trust(forge.key_file(PRIMARY + forge.revocation(OWNER) + forge.user(OWNER)), OWNER.fingerprint)
    bench.trust(forge.key_file(forge.certificate(second)), second.fingerprint)
    for order in ((OWNER, second), (second, OWNER)):
        with pytest.raises(TrustError) as caught:
            bench.verify(forge.signature_file(*(key.sign(0, DATA) for key in order)))
        assert caught.value.code == "key-revoked"


def test_clock_before_2000_is_refused(bench):
    bench.trust(forge.key_file(PLAIN), OWNER.fingerprint)
    bench.now = 946684799
    with pytest.raises(TrustError) as caught:
        bench.verify(OWNER.detached(DATA))
    assert caught.value.code == "clock-wrong"


def test_rsa_signatures_with_leading_zeros(bench):
    """OpenPGP strips them; one in 256 signatures would fail without padding."""
    key = Key(algorithm=2048)
    bench.trust(forge.key_file(forge.certificate(key)), key.fingerprint)
    for count in range(4000):
        body = key.sign(0, DATA, created=SIGNED + count)
        if body[-257 - 1 :][:2] != forge.number(2048, 2) and len(body) < len(GOOD) - 68 + 2 + 256:
            assert bench.verify(forge.signature_file(body)).signers
            return
    pytest.fail("no signature with a leading zero octet")


def test_ed25519_signatures_with_leading_zeros(bench):
    bench.trust(forge.key_file(PLAIN), OWNER.fingerprint)
    for count in range(4000):
        body = OWNER.sign(0, DATA, created=SIGNED + count)
        if len(body) < len(GOOD):
            assert bench.verify(forge.signature_file(body)).signers
            return
    pytest.fail("no signature with a leading zero octet")


def test_the_file_is_read_from_its_start_whatever_the_position(bench):
    import os

    from _rocket.trust.verify import Verifier

    bench.trust(forge.key_file(PLAIN), OWNER.fingerprint)
    with open(bench.file, "wb+") as stream:
        stream.write(b"evil" + DATA)
        stream.flush()
        stream.seek(4)
        verifier = Verifier(bench.keyring, lambda: NOW)
        with pytest.raises(TrustError) as caught:
            verifier.verify(stream.fileno(), OWNER.detached(DATA), NAME)
        assert caught.value.code == "signature-bad"
        assert os.lseek(stream.fileno(), 0, os.SEEK_CUR) == 4
