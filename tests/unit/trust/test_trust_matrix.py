# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What has to be accepted and what has to be refused, with its own message, made by the real GnuPG; damage is done by hand."""

from __future__ import annotations

import gzip

import pytest
from trust_bench import DATA, DAY, NAME, NOW

from _rocket.errors import HostError, TrustError

pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")

from _rocket.image import compress
from _rocket.record import replace
from _rocket.trust import other_form
from _rocket.trust.openpgp import armor, packets

CURVES = ("nistp256", "nistp384", "nistp521")
KINDS = ("rsa2048", "rsa3072", "ed25519", *CURVES)


@pytest.fixture
def trusted(gpg, bench):
    """Make a key once, trust it for a prefix, and return its fingerprint."""

    def make(name="ed25519", algorithm=None, prefix="example.com/shop", **options):
        fingerprint = gpg.key(name, algorithm or name, **options)
        bench.trust(gpg.export(fingerprint), fingerprint, prefix)
        return fingerprint

    return make


@pytest.fixture
def refusal(bench):
    """Return the error of what is refused; one line with the image's name and what to do next."""

    def check(signature, code, **options):
        with pytest.raises(TrustError) as caught:
            bench.verify(signature, **options)
        error = caught.value
        assert error.code == code, str(error)
        assert error.hint and NAME in str(error) and "\n" not in str(error)
        return str(error)

    return check


def subkey_of(gpg, primary, algorithm="ed25519", usage="sign", expire="never"):
    gpg.run("--quick-add-key", primary, algorithm, usage, expire)
    listing = gpg.run("--with-colons", "--list-keys", primary).decode()
    return [line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr")][-1].lower()


def several(gpg, *fingerprints, data=DATA):
    """Return one file with a signature by each key."""
    users = [word for fingerprint in fingerprints for word in ("--local-user", f"{fingerprint}!")]
    return gpg.run("--armor", *users, "--detach-sign", data=data, at="20240601T000000")


# GnuPG signs with no hash that is shorter than its curve.
SHORT = ((CURVES[1], 256), (CURVES[2], 256), (CURVES[2], 384))
PAIRS = [(kind, size) for kind in KINDS for size in (256, 384, 512) if (kind, size) not in SHORT]


@pytest.mark.parametrize(("kind", "size"), PAIRS)
def test_every_kind_of_key_with_every_hash(gpg, bench, trusted, refusal, kind, size):
    fingerprint = trusted(kind)
    signature = gpg.sign(fingerprint, DATA, "--digest-algo", f"SHA{size}")
    assert [signer.fingerprint for signer in bench.verify(signature).signers] == [fingerprint]
    refusal(signature, "signature-bad", data=DATA[:-1] + b"!")


@pytest.mark.parametrize("kind", ["rsa2048", "ed25519", "nistp256/ecdsa", "nistp384/ecdsa", "nistp521/ecdsa"])
def test_subkeys_of_every_kind(gpg, bench, trusted, kind):
    primary = gpg.key(f"primary of {kind}", "ed25519", "cert")
    subkey = subkey_of(gpg, primary, kind.partition("/")[0] if "/" not in kind else kind)
    trusted(f"primary of {kind}", "ed25519", usage="cert")
    assert bench.verify(gpg.sign(subkey)).signers[0].fingerprint == primary


def test_one_of_several_signatures_is_enough_wherever_it_stands(gpg, bench, trusted):
    good, unknown, other = trusted(), gpg.key("nistp256", "nistp256"), trusted("rsa2048", prefix="example.com/else")
    for order in ((good, unknown, other), (unknown, good, other), (other, unknown, good)):
        assert [signer.fingerprint for signer in bench.verify(several(gpg, *order)).signers] == [good]


def test_one_bad_signature_by_a_trusted_key_refuses_the_good_one(gpg, trusted, refusal):
    first, second = trusted(), trusted("nistp384")
    good, bad = (armor.dearmor(gpg.sign(*pair), armor.SIGNATURE, "x", "x") for pair in ((first,), (second, DATA + b"x")))
    for both in (good + bad, bad + good):
        assert second in refusal(armor.enarmor(both, armor.SIGNATURE), "signature-bad")


def test_an_unknown_key(gpg, trusted, refusal):
    trusted()
    fingerprint = gpg.key("nistp256", "nistp256")
    text = refusal(gpg.sign(fingerprint), "signer-unknown")
    assert f"{fingerprint}, which is not trusted for it" in text and f"rocket trust --prefix {NAME}" in text


@pytest.mark.parametrize("by_subkey", [False, True])
def test_a_key_for_another_prefix(gpg, bench, trusted, refusal, by_subkey):
    trusted("rsa2048")
    name = f"elsewhere {by_subkey}"
    primary = gpg.key(name, "ed25519")
    signer = subkey_of(gpg, primary) if by_subkey else primary
    trusted(name, "ed25519", "example.com/shopping")
    trusted(name, "ed25519", "example.com/else")
    text = refusal(gpg.sign(signer), "signer-unknown")
    assert f"signed by {signer}, which is trusted for example.com/else, example.com/shopping and not for it" in text
    assert f"rocket trust --prefix {NAME}" in text
    assert bench.verify(gpg.sign(signer), name="example.com/else/x").signers


def test_what_is_said_of_each_signer_is_said_of_that_one(gpg, trusted, refusal):
    unknown, elsewhere = gpg.key("nistp256", "nistp256"), trusted("rsa2048", prefix="example.com/else")
    text = refusal(several(gpg, unknown, elsewhere), "signer-unknown")
    assert f"{unknown}, which is not trusted for it, and by {elsewhere}, which is trusted for example.com/else" in text


def test_a_masked_key_is_named_as_such(gpg, bench, refusal):
    fingerprint = gpg.key("ed25519", "ed25519")
    bench.trust(gpg.export(fingerprint), fingerprint, layer="system")
    assert bench.verify(gpg.sign(fingerprint)).signers
    bench.keyring.mask(fingerprint, "example.com/shop")
    assert f"{fingerprint}, which is masked by {bench.paths.local}" in refusal(gpg.sign(fingerprint), "signer-unknown")
    # A mask for other names says nothing about this one.
    bench.keyring.mask(fingerprint, "example.com/else")
    assert "example.com/else" not in refusal(gpg.sign(fingerprint), "signer-unknown")


def test_an_expired_key_and_an_expired_subkey(gpg, bench, trusted, refusal):
    bench.now = NOW - 200 * DAY
    ended = trusted("ends", "ed25519", expire="seconds=20000000")
    primary = gpg.key("its subkey ends", "ed25519", "cert")
    subkey = subkey_of(gpg, primary, expire="seconds=20000000")
    trusted("its subkey ends", "ed25519", usage="cert")
    signatures = gpg.sign(ended), gpg.sign(subkey)
    assert all(bench.verify(signature).signers for signature in signatures)
    bench.now = NOW
    assert f"key {ended} expired on 2024-08-19" in refusal(signatures[0], "key-expired")
    assert f"subkey {subkey} of key {primary} expired on 2024-08-19" in refusal(signatures[1], "key-expired")


def test_an_expired_signature(gpg, bench, trusted, refusal):
    fingerprint = trusted()
    signature = gpg.sign(fingerprint, DATA, "--default-sig-expire", "30d")
    assert "expired on 2024-07-01" in refusal(signature, "signature-expired")
    bench.now = NOW - 200 * DAY
    assert bench.verify(signature).signers


def test_a_signature_from_the_future(gpg, bench, trusted, refusal):
    fingerprint = trusted()
    late = gpg.sign(fingerprint, at="20250101T000600")
    assert "made in the future, on 2025-01-01" in refusal(late, "signature-future")
    bench.now = NOW + 60
    assert bench.verify(late).signers


@pytest.mark.parametrize("when", ["20240201T000000", "20240901T000000"], ids=["before", "after"])
def test_a_revoked_subkey(gpg, trusted, refusal, when):
    """However early the signature was made: who has the key now writes any date."""
    name = f"subkey gone {when}"
    primary = gpg.key(name, "ed25519", "cert")
    subkey = subkey_of(gpg, primary)
    signature = gpg.sign(subkey)
    words = ["--no-batch", "--command-fd", "0", "--edit-key", primary, "key 1", "revkey", "save"]
    gpg.run(*words, data=b"y\n0\n\ny\n", at=when)
    trusted(name, "ed25519", usage="cert")
    text = refusal(signature, "key-revoked")
    assert subkey in text and "its owner revoked this subkey" in text


def test_what_a_revoked_subkey_signed_before_does_not_start_again(gpg, bench):
    """The verdict says which part signed, and the stored copy of the key which parts its owner revoked."""
    from _rocket.trust.standing import check_standing

    primary = gpg.key("stolen part", "ed25519", "cert")
    signature = gpg.sign(subkey_of(gpg, primary))
    bench.keyring.add(gpg.export(primary), primary, "example.com/shop")
    verdict = bench.verify(signature)
    gpg.run("--no-batch", "--command-fd", "0", "--edit-key", primary, "key 1", "revkey", "save", data=b"y\n0\n\ny\n", at="20240901T000000")
    assert bench.keyring.add(gpg.export(primary), primary, "example.com/shop").changed
    with pytest.raises(TrustError) as caught:
        bench.verify(signature)
    assert caught.value.code == "key-revoked"
    with pytest.raises(TrustError, match="which its owner revoked") as caught:
        check_standing(verdict, NAME, bench.paths, ())
    (signer,) = verdict.signers
    assert caught.value.code == "signer-unknown" and f"signed with subkey {signer.part}" in caught.value.what
    assert signer.fingerprint == primary != signer.part
    # A further subkey of the same key goes on, and so does what the primary key signed itself.
    for part in ("", "e" * 40):
        check_standing(replace(verdict, signers=(replace(signer, part=part),)), NAME, bench.paths, ())
    bench.keyring.remove(primary, "example.com/shop")
    with pytest.raises(TrustError):
        check_standing(verdict, NAME, bench.paths, ())


def test_a_subkey_for_encryption_and_a_key_for_certifying(gpg, bench, trusted, refusal):
    primary = gpg.key("signs with a subkey", "rsa2048", "cert,sign")
    signature = gpg.sign(primary)
    primary_only = gpg.key("certifies", "rsa2048", "cert")
    subkey_of(gpg, primary_only, "rsa2048", "encr")
    trusted("certifies", "rsa2048", usage="cert")
    with pytest.raises(RuntimeError):
        gpg.sign(primary_only)
    trusted("signs with a subkey", "rsa2048")
    assert bench.verify(signature).signers


@pytest.mark.parametrize("hash_name", ["SHA1", "MD5"])
def test_weak_hashes(gpg, trusted, refusal, hash_name):
    fingerprint = trusted("rsa2048")
    strong = armor.dearmor(gpg.sign(fingerprint), armor.SIGNATURE, "x", "x")
    if hash_name == "SHA1":
        signature = gpg.sign(fingerprint, DATA, "--digest-algo", "SHA1")
    else:
        # GnuPG makes no MD5 signature any more: its number in the place of the real one's.
        (packet,) = packets.read_packets(strong, "x", "x", 1)
        body = packet.body[:3] + b"\x01" + packet.body[4:]
        signature = armor.enarmor(packets.Packet(2, body).to_bytes(), armor.SIGNATURE)
    assert {"SHA1": "SHA-1", "MD5": "MD5"}[hash_name] in refusal(signature, "algorithm-refused")


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_that_is_cut_anywhere(gpg, trusted, refusal, kind):
    octets = armor.dearmor(gpg.sign(trusted(kind)), armor.SIGNATURE, "x", "x")
    for size in range(1, len(octets)):
        refusal(armor.enarmor(octets[:size], armor.SIGNATURE), "signature-malformed")


def test_a_file_of_a_signature_that_is_cut_anywhere(gpg, bench, trusted):
    signature = gpg.sign(trusted())
    whole = len(signature.rstrip())
    assert bench.verify(signature[:whole]).signers, "the last line end says nothing"
    for size in range(whole):
        with pytest.raises(TrustError) as caught:
            bench.verify(signature[:size])
        assert caught.value.code == ("signature-missing" if size == 0 else "signature-malformed")


@pytest.mark.parametrize("form", compress.FORMATS[1:])
def test_the_uncompressed_archive_was_signed_and_the_compressed_one_is_published(gpg, bench, trusted, refusal, form):
    if form == "zstd":
        from _rocket.image import zstd

        try:
            zstd.Compressor(3)
        except HostError as error:
            pytest.skip(f"missing ability: libzstd ({error})")
    fingerprint = trusted()
    tar = tar_of(DATA)
    squeezed = compressed(form, tar)
    text = refusal(gpg.sign(fingerprint, tar), "signature-bad", data=squeezed)
    assert fingerprint in text and f"the archive before it was compressed ({form})" in text and "(A9)" in text
    assert bench.verify(gpg.sign(fingerprint, squeezed), data=squeezed).signers
    assert "before it was compressed" not in refusal(gpg.sign(fingerprint, tar + b"x"), "signature-bad", data=squeezed)


def test_the_compressed_archive_was_signed_and_the_uncompressed_one_is_published(gpg, trusted, refusal):
    """What it was compressed to cannot be known; that it may have been is said."""
    tar = tar_of(DATA)
    signature = gpg.sign(trusted(), compressed("gzip", tar))
    assert "this file is not compressed: where its compressed form was signed" in refusal(signature, "signature-bad", data=tar)


def tar_of(content):
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        entry = tarfile.TarInfo("rootfs/x")
        entry.size = len(content)
        made.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def compressed(form, data):
    squeeze = compress._compressor(form)
    return squeeze.compress(data) + squeeze.flush()


def test_a_bomb_is_refused_as_the_bad_signature_that_it_is(gpg, trusted, refusal, monkeypatch):
    bounds = other_form.Limits(bytes=1 << 20, entries=4, ratio_after=1 << 16, working_memory=1 << 29, seconds=5)
    monkeypatch.setattr(other_form, "BOUNDS", bounds)
    fingerprint = trusted()
    tar = tar_of(bytes(4 << 20))
    for data in (gzip.compress(tar), gzip.compress(b"x") * 5, gzip.compress(tar)[:-20], b"\x1f\x8b junk"):
        for signed in (tar, b"x" * 5):
            assert "before it was compressed" not in refusal(gpg.sign(fingerprint, signed), "signature-bad", data=data)


def test_nothing_is_decompressed_in_this_process_or_before_the_refusal_is_certain(gpg, bench, trusted, refusal, monkeypatch):
    import os

    from _rocket.image import compression

    asked = []
    real, here = compression.decompressed, os.getpid()

    def watched(stream, limits):
        asked.append(os.getpid())
        return real(stream, limits)

    monkeypatch.setattr(compression, "decompressed", watched)
    fingerprint, stranger = trusted(), gpg.key("nistp256", "nistp256")
    tar = tar_of(DATA)
    squeezed = gzip.compress(tar)
    assert "before it was compressed" in refusal(gpg.sign(fingerprint, tar), "signature-bad", data=squeezed)
    assert here not in asked and asked == [], "the child's list is its own"
    monkeypatch.setattr(other_form, "_digests", lambda fd, signatures: pytest.fail("asked for another refusal, or for none"))
    refusal(gpg.sign(stranger, tar), "signer-unknown", data=squeezed)
    assert bench.verify(gpg.sign(fingerprint, squeezed), data=squeezed).signers
    refusal(gpg.sign(fingerprint, squeezed, "--default-sig-expire", "1d"), "signature-expired", data=squeezed)
    refusal(gpg.sign(fingerprint, squeezed, at="20250101T000600"), "signature-future", data=squeezed)


def test_whatever_the_child_says_the_file_stays_refused(gpg, trusted, refusal, monkeypatch):
    tar = tar_of(DATA)
    monkeypatch.setattr(other_form, "fits", lambda *_values: True)
    assert "before it was compressed" in refusal(gpg.sign(trusted(), b"something else"), "signature-bad", data=gzip.compress(tar))
