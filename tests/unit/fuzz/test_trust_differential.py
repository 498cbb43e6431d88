# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Damaged signatures and keys: what we accept, gpgv and sqv accept too, or the reason is known. `make mutants` is the long run."""

from __future__ import annotations

import pathlib
import shutil
import sys

import pytest

pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")

TOP = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(TOP / "tests" / "fuzz"), str(TOP / "tests" / "unit" / "trust")]

import mutants  # noqa: E402
import mutations  # noqa: E402

KINDS = {"text of a signature", "packets of a signature", "made signature", "text of a key", "packets of a key", "made key"}


def kinds_of(tally, what):
    return {kind for kind, found in tally if found == what and tally[kind, found]}


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_damaged_is_accepted_by_us_alone(program, seed):
    for name in mutants.PROGRAMS:
        program(name)
    tally, _reasons, findings, programs = mutants.run(400, seed)
    assert findings == []
    assert programs == list(mutants.PROGRAMS)
    # Were nothing of a kind accepted, or all of it, the comparison would prove nothing.
    assert kinds_of(tally, "made") == kinds_of(tally, "accepted") == KINDS
    assert sum(tally[kind, "accepted"] for kind in KINDS) < 300


def test_without_the_programs_the_rest_is_looked_for(monkeypatch):
    monkeypatch.setattr(mutants, "PROGRAMS", ())
    _tally, _reasons, findings, programs = mutants.run(100, 3)
    assert (findings, programs) == ([], [])


def test_a_verifier_that_takes_anything_is_a_finding(monkeypatch):
    from _rocket.trust import verify

    monkeypatch.setattr(verify, "fits", lambda *_values: True)
    monkeypatch.setattr(mutants, "PROGRAMS", ())
    _tally, _reasons, findings, _programs = mutants.run(50, 4)
    assert {what for _mutant, what in findings} == {"accepted for another file"}


def test_another_error_than_ours_is_a_finding(monkeypatch):
    def careless(data, where):
        raise IndexError("out of range")

    monkeypatch.setattr(mutants, "read_certificate", careless)
    monkeypatch.setattr(mutants, "PROGRAMS", ())
    _tally, _reasons, findings, _programs = mutants.run(5, 5)
    assert {what for _mutant, what in findings} == {"IndexError: out of range"}


@pytest.mark.parametrize("name", mutants.PROGRAMS)
def test_what_only_we_accept_is_a_finding(program, monkeypatch, name):
    """A critical statement that nobody understands: let our reader take it, and the program tells."""
    program(name)
    from _rocket.trust.openpgp.signature import Signature

    owner = mutations.Owner(1, "ed25519")
    body = owner.key.sign(0, mutants.DATA, hashed=(mutations.forge.subpacket(99, b"", True),), unhashed=owner.unhashed)
    only = mutations.Mutant("made signature", mutations.forge.key_file(owner.plain), mutations.forge.signature_file(body))
    monkeypatch.setattr(mutants, "PROGRAMS", (name,))
    monkeypatch.setattr(mutants, "REASONS", [])
    monkeypatch.setattr(mutations.Maker, "mutant", lambda self: only)
    assert mutants.run(1, 1)[2] == []
    monkeypatch.setattr(Signature, "not_understood", lambda self: "")
    ((found, what),) = mutants.run(1, 1)[2]
    assert found == only and what.startswith(f"{name} does not accept it")


def test_the_command_says_what_it_found(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(mutants, "FINDINGS", tmp_path)
    count = "20"
    assert mutants.main(["--count", count, "--seed", "6", "--jobs", "1"]) == 0
    text = capsys.readouterr().out
    present = [name for name in mutants.PROGRAMS if shutil.which(name)]
    assert "0 findings" in text and all(name in text for name in present)
