# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Verdicts under policies: what is admitted when it is fetched, and what still stands when it is run."""

from __future__ import annotations

import os

import pytest
from test_trust_policy import A, B, C, of, write
from trust_bench import DATA, NAME

from _rocket import command
from _rocket.errors import TrustError
from _rocket.store.verdict import Rule, Signer, Verdict
from _rocket.trust.admission import admit
from _rocket.trust.late import LateVerifier
from _rocket.trust.standing import check_standing
from _rocket.trust.verify import Verifier

KEY = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nnot read\n"
PREFIX = "example.com/shop"


def signed(*fingerprints, **members):
    return Verdict("signed", tuple(Signer(fingerprint, "example.com") for fingerprint in fingerprints), 1, **members)


BY_A, PINNED, OPEN, INSECURE = signed(A), Verdict("pinned", pinned=True), Verdict("open"), Verdict("insecure", insecure_options=("image",))
OLD_PIN = Verdict("pinned")
BOTH = signed(A, pinned=True)


@pytest.fixture
def host(bench):
    """A host that trusts A, B and C for the shop."""
    for fingerprint in (A, B, C):
        bench.trust(KEY, fingerprint)
    return bench


def rule(host, **members):
    """Have the policy of the host say this of the shop."""
    write(host.paths.local, of({PREFIX: members}))


def code(host, verdict, insecure=(), name=NAME):
    """Return the code of the refusal; empty where the verdict stands."""
    try:
        check_standing(verdict, name, host.paths, insecure)
    except TrustError as error:
        assert error.where and error.hint and str(error).isprintable()
        return error.code
    return ""


WORDS = {
    #                    signed      pinned          old pin         both  open            insecure
    "signed": ("", "policy-unmet", "policy-unmet", "", "policy-unmet", "verdict-insecure"),
    "pinned": ("policy-unmet", "", "", "", "policy-unmet", "verdict-insecure"),
    "signed-or-pinned": ("", "", "", "", "policy-unmet", "verdict-insecure"),
    "open": ("", "", "", "", "", ""),
    "refuse": ("policy-refused",) * 6,
}


@pytest.mark.parametrize("word", WORDS)
def test_what_each_word_asks_of_each_kind_of_verdict(host, word):
    rule(host, require=word)
    verdicts = (BY_A, PINNED, OLD_PIN, BOTH, OPEN, INSECURE)
    assert tuple(code(host, verdict) for verdict in verdicts) == WORDS[word]
    relaxed = "policy-refused" if word == "refuse" else ""
    assert {code(host, verdict, ("image",)) for verdict in verdicts} == {relaxed}, "the option overrides every word but one"
    assert tuple(code(host, verdict, ("http",)) for verdict in verdicts) == WORDS[word]


def test_without_a_policy_all_is_as_it_was(host):
    write(host.paths.local, of({PREFIX: {"require": "refuse"}}))
    assert code(host, BY_A) == "policy-refused"
    os.unlink(f"{host.paths.local}/policy.json")
    assert [code(host, verdict) for verdict in (BY_A, PINNED, BOTH, OPEN, INSECURE)] == ["", "", "", "policy-unmet", "verdict-insecure"]


@pytest.mark.parametrize("word", ["open", "pinned", "signed"])
def test_a_verdict_of_no_known_kind_does_not_stand_under_any_word(host, word):
    rule(host, require=word)
    assert code(host, Verdict("trusted", pinned=True), ("image",)) == "untrusted"


def test_a_name_that_no_prefix_covers_does_not_run_with_any_option(host):
    rule(host, require="open")
    assert code(host, BY_A, ("image",), "example.com/shopping") == "policy-refused"


@pytest.mark.parametrize("verdict", [BY_A, PINNED, INSECURE])
def test_a_policy_that_is_none_lets_nothing_run(host, verdict):
    write(host.paths.local, "{}")
    write(host.paths.system, of({}, default={"require": "open"}))
    assert code(host, verdict, ("image",)) == "policy-malformed"


def test_a_signer_that_is_not_counted_any_more(host):
    rule(host, require="signed", keys=[A, B])
    assert code(host, BY_A) == ""
    rule(host, require="signed", keys=[B])
    with pytest.raises(TrustError) as caught:
        check_standing(BY_A, NAME, host.paths, ())
    assert caught.value.code == "policy-unmet" and A in caught.value.what and B in caught.value.what
    assert code(host, signed(A, B)) == ""


def test_a_threshold_that_was_raised(host):
    rule(host, require="signed", threshold=2)
    assert [code(host, verdict) for verdict in (BY_A, signed(A, B), signed(A, A))] == ["threshold-unmet", "", "threshold-unmet"]
    rule(host, require="signed", threshold=2, keys=[A, C])
    assert [code(host, signed(*keys)) for keys in ((A, B), (A, B, C), (B,))] == ["threshold-unmet", "", "policy-unmet"]


def test_signers_that_are_trusted_no_longer_do_not_count(host):
    rule(host, require="signed", threshold=2)
    os.unlink(f"{host.paths.local}/trustedkeys/prefix.d/{PREFIX}/{B}")
    assert code(host, signed(A, B)) == "threshold-unmet" and code(host, signed(A, B, C)) == ""
    assert code(host, signed(B)) == code(host, signed(B), ("image",)) == "signer-unknown", "that is not what the option is about"


def test_being_in_the_policy_is_not_being_trusted(host):
    rule(host, require="signed", keys=["d" * 40])
    assert code(host, signed("d" * 40)) == "signer-unknown"


def test_a_pin_beside_a_signature_does_not_take_its_place(host):
    """Under a lock file the signature is what stands for the image."""
    os.unlink(f"{host.paths.local}/trustedkeys/prefix.d/{PREFIX}/{A}")
    assert code(host, BOTH) == "signer-unknown"
    rule(host, require="pinned")
    assert code(host, BOTH) == ""


@pytest.mark.parametrize(
    ("had", "wanted", "found"), [("none", "gpgv", "policy-unmet"), ("gpgv", "gpgv", ""), ("gpgv", "sqv", "policy-unmet")]
)
def test_a_second_opinion_that_was_not_had_is_missed(host, had, wanted, found):
    rule(host, require="signed", second_opinion=wanted)
    assert code(host, signed(A, policy=Rule(PREFIX, "signed", second_opinion=had))) == found


@pytest.mark.parametrize(("had", "found"), [("sqv", ""), ("any", ""), ("none", "policy-unmet")])
def test_any_second_opinion(host, had, found):
    rule(host, require="signed", second_opinion="any")
    assert code(host, signed(A, policy=Rule(PREFIX, "signed", second_opinion=had))) == found
    assert code(host, BY_A) == "policy-unmet", "of old records nothing is known"


def admitted(verdict, require, insecure=(), **members):
    return admit(
        verdict, NAME, Rule(PREFIX, require, **members), insecure, lambda signer: "" if signer.fingerprint in (A, B) else "is not trusted"
    )


def test_a_verdict_is_stamped_with_the_rule_that_let_it_in():
    found = admitted(BOTH, "signed", keys=(A,))
    assert found.policy == Rule(PREFIX, "signed", 1, (A,)) and (found.kind, found.pinned, found.signers) == ("signed", True, BOTH.signers)
    assert admitted(INSECURE, "open").kind == admitted(INSECURE, "open", ("image",)).kind == "open"


@pytest.mark.parametrize(("verdict", "word"), [(PINNED, "signed"), (BY_A, "pinned"), (INSECURE, "signed-or-pinned")])
def test_what_only_the_option_lets_in_is_insecure_from_then_on(verdict, word):
    with pytest.raises(TrustError):
        admitted(verdict, word)
    found = admitted(verdict, word, ("image",))
    assert (found.kind, found.signers, found.pinned) == ("insecure", (), verdict.pinned)


def test_what_is_refused_and_who_is_not_trusted_is_not_let_in_by_the_option():
    for verdict, word, wanted in ((BY_A, "refuse", "policy-refused"), (signed(C), "signed", "signer-unknown")):
        with pytest.raises(TrustError) as caught:
            admitted(verdict, word, ("image",))
        assert caught.value.code == wanted


@pytest.fixture
def forge():
    pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")
    import trust_forge

    return trust_forge


@pytest.fixture
def owners(forge, bench):
    """Three keys that are trusted for the shop, the first with a subkey that signs."""
    keys, subkey = [forge.Key(seed) for seed in (1, 2, 3)], forge.Key(9)
    certificates = [forge.certificate(key) for key in keys]
    certificates[0] += forge.packet(14, subkey.body) + forge.binding(keys[0], subkey)
    for key, packets in zip(keys, certificates):
        bench.trust(forge.key_file(packets), key.fingerprint)
    return (*keys, subkey)


def verified(bench, forge, signers, *rest, **members):
    with open(bench.file, "wb") as stream:
        stream.write(DATA)
    with open(bench.file, "rb") as stream:
        signature = forge.signature_file(*(key.sign(0, DATA) for key in signers))
        return Verifier(bench.keyring, lambda: bench.now, *rest, **members).verify(stream.fileno(), signature, NAME)


def test_the_verifier_counts_distinct_primary_keys_of_those_that_count(forge, bench, owners):
    one, two, three, subkey = owners
    keys = (one.fingerprint, three.fingerprint)
    assert len(verified(bench, forge, [one, two, three], 2, keys).signers) == 3, "all that signed are written down"
    for signers, wanted in (
        ([one, two], "threshold-unmet"),
        ([one, one], "threshold-unmet"),
        ([one, subkey], "threshold-unmet"),
        ([two], "policy-unmet"),
    ):
        with pytest.raises(TrustError) as caught:
            verified(bench, forge, signers, 2, keys)
        assert caught.value.code == wanted


def test_a_subkey_counts_for_its_primary_key_and_not_by_itself(forge, bench, owners):
    one, subkey = owners[0], owners[3]
    assert verified(bench, forge, [subkey], 1, (one.fingerprint,))
    with pytest.raises(TrustError) as caught:
        verified(bench, forge, [subkey], 1, (subkey.fingerprint,))
    assert caught.value.code == "policy-unmet"


def test_too_few_keys_are_found_out_before_anything_is_downloaded(forge, bench, owners):
    one, two, three, _subkey = owners

    def needs(*rest):
        Verifier(bench.keyring, lambda: bench.now, *rest).require_key(NAME)

    needs(3)
    needs(2, (one.fingerprint, two.fingerprint))
    bench.trust(forge.key_file(forge.certificate(three)), three.fingerprint, "example.com")
    for rest in ((4,), (2, (one.fingerprint, "d" * 40)), (1, ("d" * 40,))):
        with pytest.raises(TrustError) as caught:
            needs(*rest)
        assert caught.value.code == "threshold-unmet"


@pytest.mark.parametrize("word", ["gpgv", "sqv", "any"])
def test_the_second_opinion_that_the_policy_asks_for_is_asked_for(forge, bench, owners, word, monkeypatch, tmp_path):
    monkeypatch.setattr(command, "SEARCHED", (str(tmp_path),))
    write(bench.paths.local, of({PREFIX: {"require": "signed", "second_opinion": word}}))
    late = LateVerifier(bench.paths)
    with pytest.raises(TrustError) as caught:
        late.require_key(NAME)
    assert caught.value.code == "second-opinion" and {"any": "gpgv"}.get(word, word) in caught.value.what
    with open(bench.file, "wb") as stream:
        stream.write(DATA)
    with open(bench.file, "rb") as stream, pytest.raises(TrustError) as caught:
        late.verify(stream.fileno(), forge.signature_file(owners[0].sign(0, DATA)), NAME)
    assert caught.value.code == "second-opinion"


def test_the_policy_of_the_host_is_what_the_verifier_is_told(forge, bench, owners):
    one, two, _three, _subkey = owners
    late = LateVerifier(bench.paths)
    write(bench.paths.local, of({PREFIX: {"require": "signed", "threshold": 2, "keys": [one.fingerprint, two.fingerprint]}}))

    def verify(*signers):
        with open(bench.file, "wb") as stream:
            stream.write(DATA)
        with open(bench.file, "rb") as stream:
            return late.verify(stream.fileno(), forge.signature_file(*(key.sign(0, DATA) for key in signers)), NAME)

    late.require_key(NAME)
    found = late.admit(verify(one, two), NAME, ())
    assert found.policy == Rule(PREFIX, "signed", 2, (one.fingerprint, two.fingerprint))
    late.check(found, NAME, ())
    with pytest.raises(TrustError) as caught:
        verify(one)
    assert caught.value.code == "threshold-unmet"
    write(bench.paths.local, of({PREFIX: {"require": "signed", "keys": ["d" * 40]}}))
    for ask in (lambda: late.require_key(NAME), lambda: verify(one)):
        with pytest.raises(TrustError):
            ask()
    write(bench.paths.local, of({PREFIX: {"require": "refuse"}}))
    with pytest.raises(TrustError) as caught:
        verify(one, two)
    assert caught.value.code == "policy-refused"
