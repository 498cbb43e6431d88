# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The second opinion of the real gpgv and sqv, and of programs that lie, hang, die or belong to somebody else."""

from __future__ import annotations

import os

import pytest
from trust_bench import DATA, NAME, NOW

from _rocket import command
from _rocket.errors import TrustError, UsageError
from _rocket.trust import second_opinion
from _rocket.trust.verify import Verifier

pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")

import trust_forge as forge
from trust_forge import Key

ALGORITHMS = ("rsa2048", "rsa4096", "ed25519", "nistp256", "nistp384", "nistp521")
PROGRAMS = ("gpgv", "sqv")
OWNER, SECOND, SUBKEY, STRANGER = Key(1), Key(4), Key(2), Key(3)
GOOD = OWNER.detached(DATA)


def named(key):
    """Return a key file whose self-signature names its maker by the key ID too, which is all that gpgv 2.2 knows a maker by."""
    return forge.key_file(forge.certificate(key, unhashed=(forge.subpacket(16, bytes.fromhex(key.fingerprint[-16:])),)))


@pytest.fixture(params=PROGRAMS)
def word(request, program):
    """Each program that is here."""
    program(request.param)
    return request.param


@pytest.fixture
def fake(bench, tmp_path, monkeypatch):
    """Put a script in the place of gpgv and of sqv, and trust a key; return what verifies with its opinion."""
    place = tmp_path / "programs"
    place.mkdir(mode=0o755)
    monkeypatch.setattr(command, "SEARCHED", (str(place),))
    bench.trust(named(OWNER), OWNER.fingerprint)

    def make(script, name="gpgv"):
        path = place / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    make.place = place
    return make


def refused(bench, word, signature=GOOD, **options):
    with pytest.raises(TrustError) as caught:
        bench.verify(signature, second_opinion=word, **options)
    error = caught.value
    assert error.code == "second-opinion", str(error)
    assert error.hint and "\n" not in str(error)
    return error


def lines(fingerprint=OWNER.fingerprint, created=forge.SIGNED, good="GOODSIG", kind="00"):
    """Return a script that says what gpgv says of a good signature."""
    return (
        f"echo '[GNUPG:] {good} {fingerprint[-16:].upper()} Owner'\n"
        f"echo '[GNUPG:] VALIDSIG {fingerprint.upper()} 2024-05-30 {created} 0 4 0 22 10 {kind} {fingerprint.upper()}'"
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_both_accept_what_gnupg_made(gpg, bench, word, algorithm):
    fingerprint = gpg.key(algorithm, algorithm)
    bench.keyring.add(gpg.export(fingerprint), fingerprint, "example.com/shop")
    verdict = bench.verify(gpg.sign(fingerprint), second_opinion=word)
    assert [signer.fingerprint for signer in verdict.signers] == [fingerprint]


def test_a_subkey_and_a_stranger_beside_it(gpg, bench, word):
    """gpgv's exit status refuses a good signature beside an unknown one; it is asked for the good one alone."""
    primary, other = gpg.key("apart", "ed25519", "cert"), gpg.key("rsa2048", "rsa2048")
    gpg.run("--quick-add-key", primary, "ed25519", "sign", "never")
    bench.keyring.add(gpg.export(primary), primary, "example.com/shop")
    both = gpg.run("--armor", "--local-user", primary, "--local-user", other, "--detach-sign", data=DATA, at="20240601T000000")
    verdict = bench.verify(both, second_opinion=word)
    assert [signer.fingerprint for signer in verdict.signers] == [primary]


def test_every_signer_that_counted_is_confirmed(bench, word):
    for key in (OWNER, SECOND):
        bench.trust(named(key), key.fingerprint)
    both = forge.signature_file(OWNER.sign(0, DATA), SECOND.sign(0, DATA))
    assert len(bench.verify(both, threshold=2, second_opinion=word).signers) == 2


def test_a_maker_that_the_signature_does_not_name(bench, word):
    bench.trust(named(OWNER), OWNER.fingerprint)
    assert bench.verify(OWNER.detached(DATA, issuer=""), second_opinion=word).signers


def test_what_ours_refuses_is_never_shown_to_a_program(fake, bench):
    path = fake(f"touch {fake.place}/called; {lines()}")
    for signature, data in ((GOOD, DATA + b"x"), (STRANGER.detached(DATA), DATA), (b"junk", DATA)):
        with pytest.raises(TrustError) as caught:
            bench.verify(signature, data=data, second_opinion="gpgv")
        assert caught.value.code != "second-opinion"
    assert path.exists() and not (fake.place / "called").exists()
    assert bench.verify(GOOD, second_opinion="gpgv").signers and (fake.place / "called").exists()


@pytest.mark.parametrize(
    "answer", ["exit 1", "exit 0", "echo 0123", "cat /proc/self/fd/5 >&2; exit 1", f"echo {OWNER.fingerprint.upper()}; exit 1"]
)
def test_ours_accepts_and_sqv_does_not(fake, bench, answer):
    path = fake(answer, "sqv")
    error = refused(bench, "sqv")
    assert OWNER.fingerprint in error.what and str(path) in error.what and "good by our own reading" in error.what
    assert bench.verify(GOOD).signers, "without the second opinion it is taken"


LIES = {
    "nothing and exit 0": "exit 0",
    "a bad signature and exit 0": "echo '[GNUPG:] BADSIG 0123456789ABCDEF Owner'",
    "good and bad": f"{lines()}\necho '[GNUPG:] BADSIG 0123456789ABCDEF Owner'",
    "good and unknown": f"{lines()}\necho '[GNUPG:] ERRSIG 0123456789ABCDEF 22 10 00 1717200000 9'",
    "an expired key": lines(good="EXPKEYSIG"),
    "a revoked key": lines(good="REVKEYSIG"),
    "an expired signature": lines(good="EXPSIG"),
    "another key": lines(STRANGER.fingerprint),
    "another time": lines(created=forge.SIGNED + 1),
    "another kind": lines(kind="01"),
    "good for nobody": "echo '[GNUPG:] GOODSIG 0123456789ABCDEF Owner'",
    "valid without good": lines().split("\n")[1],
    "twice": f"{lines()}\n{lines()}",
    "not on a status line": lines().replace("[GNUPG:] ", "gpgv: "),
    "on standard error": "{ " + lines().replace("\n", "; ") + "; } >&2",
    "cut": lines()[:-60] + "'",
    "good, and then it dies": f"{lines()}\nkill -9 $$",
}


@pytest.mark.parametrize("lie", LIES)
def test_what_gpgv_has_to_say_is_one_good_signature_by_this_key(fake, bench, lie):
    fake(LIES[lie])
    refused(bench, "gpgv")


def test_the_exit_status_of_gpgv_says_nothing(fake, bench):
    fake(f"{lines()}\nexit 2")
    assert bench.verify(GOOD, second_opinion="gpgv").signers


def test_each_signer_has_to_be_confirmed(fake, bench):
    """The fake knows one of the two."""
    bench.trust(named(SECOND), SECOND.fingerprint)
    fake(lines())
    both = forge.signature_file(OWNER.sign(0, DATA), SECOND.sign(0, DATA))
    assert SECOND.fingerprint in refused(bench, "gpgv", both, threshold=2).what
    assert SECOND.fingerprint in refused(bench, "gpgv", both).what


@pytest.mark.parametrize(("word", "named"), [("gpgv", ("gpgv",)), ("sqv", ("sqv",)), ("any", ("sqv", "gpgv"))])
def test_asked_for_and_absent_refuses_before_anything_is_fetched(fake, bench, word, named):
    error = refused(bench, word)
    with pytest.raises(TrustError) as caught:
        Verifier(bench.keyring, lambda: NOW, second_opinion=word).require_key(NAME)
    assert (caught.value.code, caught.value.what) == ("second-opinion", error.what)
    assert all(name in error.what and name in error.hint for name in named)
    other = {"gpgv": "sqv", "sqv": "gpgv", "any": "other"}[word]
    fake(lines(), other)
    refused(bench, word)


def test_any_is_whichever_is_there(fake, bench):
    fake(lines(), "gpgv")
    assert bench.verify(GOOD, second_opinion="any").signers
    fake("exit 1", "sqv")
    assert "sqv" in refused(bench, "any").what


def test_a_program_that_hangs_is_ended(fake, bench, monkeypatch):
    monkeypatch.setattr(second_opinion, "_SECONDS", 0.3)
    fake("exec sleep 600")
    assert "did not end within" in refused(bench, "gpgv").what


def test_a_program_that_talks_too_much_is_ended(fake, bench):
    fake("exec yes")
    assert "1 MiB" in refused(bench, "gpgv").what


@pytest.mark.parametrize("mode", [0o777, 0o757])
@pytest.mark.parametrize("what", ["program", "directory"])
def test_a_program_that_others_may_change_is_not_asked(fake, bench, mode, what):
    path = fake(f"touch {fake.place}/called; {lines()}")
    (path if what == "program" else fake.place).chmod(mode)
    error = refused(bench, "gpgv")
    assert "may change" in error.what and not (fake.place / "called").exists()
    with pytest.raises(TrustError):
        Verifier(bench.keyring, lambda: NOW, second_opinion="gpgv").require_key(NAME)


def test_a_program_of_another_user_is_not_asked(root, fake, bench):
    path = fake(lines())
    os.chown(path, 1234, 0)
    assert "may change" in refused(bench, "gpgv").what
    os.chown(path, 0, 1234)
    path.chmod(0o775)
    refused(bench, "gpgv")
    os.chown(path, 0, 0)
    assert bench.verify(GOOD, second_opinion="gpgv").signers


def test_a_link_is_judged_by_where_it_leads(fake, bench, tmp_path):
    (tmp_path / "loose").mkdir(mode=0o755)
    real = fake(lines())
    real.rename(tmp_path / "loose" / "gpgv")
    real.symlink_to(tmp_path / "loose" / "gpgv")
    assert bench.verify(GOOD, second_opinion="gpgv").signers
    (tmp_path / "loose").chmod(0o777)
    refused(bench, "gpgv")


def test_the_program_gets_three_descriptors_and_a_clean_environment(fake, bench, monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET", "s3cret")
    monkeypatch.setenv("GNUPGHOME", str(tmp_path))
    inherited = os.open(__file__, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    see = f'/usr/bin/env >{tmp_path}/environment; ls -l /proc/$$/fd >{tmp_path}/descriptors; echo "$@" >{tmp_path}/words'
    fake(f"{see}; for n in 3 4 5; do cat /proc/self/fd/$n >{tmp_path}/$n; done\n{lines()}")
    assert bench.verify(GOOD, second_opinion="gpgv").signers
    os.close(inherited)
    found = dict(line.split("=", 1) for line in (tmp_path / "environment").read_text().splitlines())
    assert "SECRET" not in found and found["GNUPGHOME"] == found["HOME"] == "/nonexistent"
    assert found["PATH"] == command.ENVIRONMENT["PATH"]
    held = [line.split(" -> ")[1] for line in (tmp_path / "descriptors").read_text().splitlines() if " -> " in line]
    assert __file__ not in held and bench.file in held and len([name for name in held if "memfd:" in name]) == 2
    signature, keyring, data = ((tmp_path / str(number)).read_bytes() for number in (3, 4, 5))
    assert data == DATA
    assert signature[0] & 0x80 and keyring[0] & 0x80, "packets, not armor"
    assert OWNER.body in keyring and OWNER.body not in signature
    assert (tmp_path / "words").read_text().split()[:2] == ["--status-fd", "1"]


def test_the_program_reads_the_file_that_was_verified_not_its_name(fake, bench, tmp_path):
    """Between the two readings another file is put under the name."""
    fake(f"printf evil >{tmp_path}/evil; mv {tmp_path}/evil {bench.file}; cat /proc/self/fd/5 >{tmp_path}/seen\n{lines()}")
    assert bench.verify(GOOD, second_opinion="gpgv").signers
    assert (tmp_path / "seen").read_bytes() == DATA


def test_the_program_cannot_write_and_our_position_stays(fake, bench, tmp_path):
    bench.verify(GOOD)
    fake(f"sed -n 's/^flags:.*\\(.\\)$/\\1/p' /proc/$$/fdinfo/5 >{tmp_path}/flags\n{lines()}")
    with open(bench.file, "rb+") as stream:
        stream.seek(7)
        Verifier(bench.keyring, lambda: NOW, second_opinion="gpgv").verify(stream.fileno(), GOOD, NAME)
        assert os.lseek(stream.fileno(), 0, os.SEEK_CUR) == 7
    assert (tmp_path / "flags").read_text().strip() == "0", "read only"


def test_a_revocation_that_only_the_program_sees_would_count(gpg, bench, word):
    """What is handed over is the certificate that counted: of a key that is revoked, our own reading says so first."""
    fingerprint = gpg.key(f"taken back {word}", "ed25519")
    signature, before = gpg.sign(fingerprint), gpg.export(fingerprint)
    bench.keyring.add(before, fingerprint, "example.com/shop")
    assert bench.verify(signature, second_opinion=word).signers
    with open(f"{gpg.home}/openpgp-revocs.d/{fingerprint.upper()}.rev", encoding="utf-8") as stream:
        gpg.run("--import", data=stream.read().replace(":-----BEGIN", "-----BEGIN").encode())
    bench.keyring.add(gpg.export(fingerprint), fingerprint, "example.com/shop")
    with pytest.raises(TrustError) as caught:
        bench.verify(signature, second_opinion=word)
    assert caught.value.code == "key-revoked"


def test_a_word_that_is_none_is_refused(bench):
    with pytest.raises(UsageError, match="none, gpgv, sqv, any"):
        Verifier(bench.keyring, lambda: NOW, second_opinion="gpg")
