# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What the real GnuPG makes: algorithms, subkeys, ends and revocations."""

from __future__ import annotations

import pytest
from trust_bench import DATA, DAY, NAME, NOW

from _rocket.errors import TrustError

pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")
ALGORITHMS = ("rsa2048", "rsa4096", "ed25519", "nistp256", "nistp384", "nistp521")


def refused(bench, signature, code, **options):
    with pytest.raises(TrustError) as caught:
        bench.verify(signature, **options)
    assert caught.value.code == code, str(caught.value)
    return caught.value


def subkey_of(gpg, primary, algorithm, usage, expire="never"):
    gpg.run("--quick-add-key", primary, algorithm, usage, expire)
    listing = gpg.run("--with-colons", "--list-keys", primary).decode()
    return [line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr")][-1]


@pytest.mark.spec("A7")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_good_signature_is_accepted_and_another_file_is_not(gpg, bench, algorithm):
    fingerprint = gpg.key(algorithm, algorithm)
    plan = bench.keyring.add(gpg.export(fingerprint), fingerprint, "example.com/shop")
    assert plan.changed
    signature = gpg.sign(fingerprint)
    verdict = bench.verify(signature)
    assert verdict.kind == "signed"
    (signer,) = verdict.signers
    assert (signer.fingerprint, signer.prefix) == (fingerprint, "example.com/shop")
    assert signer.identity == f"{algorithm} <{algorithm}@example.com>"
    assert signer.signed_at == 1717200000
    error = refused(bench, signature, "signature-bad", data=DATA + b"x")
    assert fingerprint in str(error)
    refused(bench, signature, "signature-bad", data=DATA[:-1])
    refused(bench, signature, "signature-bad", data=b"")


@pytest.mark.parametrize("hash_name", ["SHA256", "SHA384", "SHA512"])
def test_each_accepted_hash(gpg, bench, hash_name):
    fingerprint = gpg.key("ed25519", "ed25519")
    bench.trust(gpg.export(fingerprint), fingerprint)
    assert bench.verify(gpg.sign(fingerprint, DATA, "--digest-algo", hash_name)).signers


def test_binary_signature_is_refused_with_the_way_to_armor_it(gpg, bench):
    fingerprint = gpg.key("ed25519", "ed25519")
    bench.trust(gpg.export(fingerprint), fingerprint)
    binary = gpg.run("--no-armor", "--local-user", fingerprint, "--detach-sign", data=DATA, at="20240601T000000")
    assert "--armor" in str(refused(bench, binary, "signature-not-armored"))


@pytest.mark.parametrize("form", ["--clear-sign", "--sign", "--store"])
def test_inline_messages_are_refused(gpg, bench, form):
    fingerprint = gpg.key("ed25519", "ed25519")
    bench.trust(gpg.export(fingerprint), fingerprint)
    message = gpg.run("--armor", "--local-user", fingerprint, form, data=DATA, at="20240601T000000")
    refused(bench, message, "signature-malformed")


def test_text_mode_is_refused(gpg, bench):
    fingerprint = gpg.key("ed25519", "ed25519")
    bench.trust(gpg.export(fingerprint), fingerprint)
    refused(bench, gpg.sign(fingerprint, DATA, "--textmode"), "signature-unsupported")


def test_critical_notation_is_refused(gpg, bench):
    fingerprint = gpg.key("ed25519", "ed25519")
    bench.trust(gpg.export(fingerprint), fingerprint)
    refused(bench, gpg.sign(fingerprint, DATA, "--sig-notation", "!a@example.com=b"), "signature-unsupported")
    assert bench.verify(gpg.sign(fingerprint, DATA, "--sig-notation", "a@example.com=b")).signers


def test_signing_subkey_of_a_certifying_key(gpg, bench):
    primary = gpg.key("certifier", "ed25519", "cert")
    subkey = subkey_of(gpg, primary, "rsa2048", "sign")
    encryption = subkey_of(gpg, primary, "cv25519", "encr")
    bench.keyring.add(gpg.export(primary), primary, "example.com")
    assert bench.verify(gpg.sign(subkey)).signers[0].fingerprint == primary
    (found,) = bench.keyring.keys_for(NAME)
    codes = [(part.key.fingerprint, part.code) for part in found.certificate.subkeys]
    assert codes == [(subkey.lower(), ""), (encryption.lower(), "signer-unknown")]


def test_signature_and_key_that_end(gpg, bench):
    fingerprint = gpg.key("ending", "ed25519", expire="seconds=31536000")
    bench.trust(gpg.export(fingerprint), fingerprint)
    signature = gpg.sign(fingerprint)
    bench.now = NOW - 3 * DAY
    assert bench.verify(signature).signers
    refused(bench, gpg.sign(fingerprint, DATA, "--default-sig-expire", "30d"), "signature-expired")
    bench.now = NOW
    assert fingerprint in str(refused(bench, signature, "key-expired"))


def test_extended_key_counts_and_the_old_copy_does_not_come_back(gpg, bench):
    fingerprint = gpg.key("extended", "ed25519", expire="seconds=8640000")
    old = gpg.export(fingerprint)
    gpg.run("--quick-set-expire", fingerprint, "5y", at="20240301T000000")
    new = gpg.export(fingerprint)
    bench.now = NOW - 350 * DAY
    bench.keyring.add(old, fingerprint, "example.com")
    bench.now = NOW
    assert [step.reason for step in bench.keyring.add(new, fingerprint, "example.com").steps] == ["the stored copy differs"]
    assert bench.verify(gpg.sign(fingerprint)).signers
    with pytest.raises(TrustError) as caught:
        bench.keyring.add(old, fingerprint, "example.com")
    assert caught.value.code == "key-outdated"


def test_revoked_key(gpg, bench):
    fingerprint = gpg.key("revoked", "ed25519")
    signature, before = gpg.sign(fingerprint), gpg.export(fingerprint)
    with open(f"{gpg.home}/openpgp-revocs.d/{fingerprint.upper()}.rev", encoding="utf-8") as stream:
        revocation = stream.read().replace(":-----BEGIN", "-----BEGIN")
    gpg.run("--import", data=revocation.encode())
    after = gpg.export(fingerprint)
    with pytest.raises(TrustError) as caught:
        bench.keyring.plan_add(after, fingerprint, "example.com")
    assert caught.value.code == "key-revoked"
    bench.keyring.add(before, fingerprint, "example.com")
    assert bench.verify(signature).signers
    assert bench.keyring.add(after, fingerprint, "example.com").changed
    refused(bench, signature, "key-revoked")
    with pytest.raises(TrustError) as caught:
        bench.keyring.plan_add(before, fingerprint, "example.com")
    assert caught.value.code == "key-revoked"


def test_revoked_user_id_leaves_the_other(gpg, bench):
    fingerprint = gpg.key("renamed", "ed25519")
    gpg.run("--quick-add-uid", fingerprint, "New Name <new@example.com>")
    gpg.run("--quick-revoke-uid", fingerprint, "renamed <renamed@example.com>", at="20240201T000000")
    bench.keyring.add(gpg.export(fingerprint), fingerprint, "example.com")
    assert bench.verify(gpg.sign(fingerprint)).signers[0].identity == "New Name <new@example.com>"


def test_certifications_by_others_are_not_stored(gpg, bench):
    fingerprint, other = gpg.key("certified", "ed25519"), gpg.key("ed25519", "ed25519")
    gpg.run("--local-user", other, "--quick-sign-key", fingerprint.upper())
    exported = gpg.export(fingerprint)
    path = bench.trust(exported, fingerprint)
    assert "key-malformed" in str(refused(bench, gpg.sign(fingerprint), "key-malformed").code)
    with open(path, "rb") as stream:
        before = stream.read()
    bench.keyring.add(exported, fingerprint, "example.com/shop")
    with open(path, "rb") as stream:
        after = stream.read()
    assert len(after) < len(before)
    assert bench.verify(gpg.sign(fingerprint)).signers
    assert not bench.keyring.plan_add(exported, fingerprint, "example.com/shop").changed


@pytest.mark.parametrize("algorithm", ["rsa1024", "dsa2048"])
def test_weak_keys(gpg, bench, algorithm):
    fingerprint = gpg.key(algorithm, algorithm)
    bench.trust(gpg.export(fingerprint), fingerprint)
    assert fingerprint in str(refused(bench, gpg.sign(fingerprint), "algorithm-refused"))
    with pytest.raises(TrustError) as caught:
        bench.keyring.plan_add(gpg.export(fingerprint), fingerprint, None)
    assert caught.value.code == "algorithm-refused"


def test_sha1_signature(gpg, bench):
    fingerprint = gpg.key("rsa2048", "rsa2048")
    bench.trust(gpg.export(fingerprint), fingerprint)
    refused(bench, gpg.sign(fingerprint, DATA, "--digest-algo", "SHA1"), "algorithm-refused")


def test_sha1_self_signature(gpg, bench):
    environment = ("--cert-digest-algo", "SHA1")
    gpg.run(*environment, "--quick-gen-key", "sha1 <sha1@example.com>", "rsa2048", "sign,cert", "never")
    fingerprint = gpg.key_of("sha1 <sha1@example.com>")
    bench.trust(gpg.export(fingerprint), fingerprint)
    refused(bench, gpg.sign(fingerprint), "algorithm-refused")


def test_secret_key_is_refused_by_name(gpg, bench):
    fingerprint = gpg.key("ed25519", "ed25519")
    secret = gpg.run("--armor", "--export-secret-keys", fingerprint)
    with pytest.raises(TrustError) as caught:
        bench.keyring.plan_add(secret, fingerprint, None)
    assert caught.value.code == "key-malformed"
    assert "PRIVATE KEY" in str(caught.value)


def test_two_exported_keys_in_one_file(gpg, bench):
    first, second = gpg.key("ed25519", "ed25519"), gpg.key("nistp256", "nistp256")
    for both in (gpg.run("--armor", "--export", first, second), gpg.export(first) + gpg.export(second)):
        with pytest.raises(TrustError) as caught:
            bench.keyring.plan_add(both, first, None)
        assert caught.value.code == "key-mismatch"
