# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The standing of stored verdicts: what `run` asks, with the standard library alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from trust_bench import NAME

from _rocket.errors import SpecError, TrustError
from _rocket.store.verdict import Signer, Verdict
from _rocket.trust.standing import check_standing

PRINT, OTHER = "a" * 40, "b" * 40
SIGNED = Verdict("signed", (Signer(PRINT, "example.com"),), 1)
KEY = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nnot read\n"


def refused(verdict, paths, code, name=NAME, insecure=()):
    with pytest.raises(TrustError) as caught:
        check_standing(verdict, name, paths, insecure)
    assert caught.value.code == code
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize("prefix", [None, "example.com", "example.com/shop", NAME])
@pytest.mark.parametrize("layer", ["local", "system"])
def test_trusted_today(bench, prefix, layer):
    bench.trust(KEY, PRINT, prefix, layer)
    check_standing(SIGNED, NAME, bench.paths, ())


@pytest.mark.parametrize("prefix", ["example.com/sho", "example.com/shop2", "example.com/shop/web/admin", "other.org"])
def test_trusted_for_something_else(bench, prefix):
    bench.trust(KEY, PRINT, prefix)
    message = refused(SIGNED, bench.paths, "signer-unknown")
    assert PRINT in message
    assert f"rocket trust --prefix {NAME}" in message


def test_the_prefix_in_the_verdict_proves_nothing(bench):
    refused(Verdict("signed", (Signer(PRINT, ""),), 1), bench.paths, "signer-unknown")


def test_masked_today(bench):
    bench.trust(KEY, PRINT, layer="system")
    mask = bench.trust(b"", PRINT, layer="local")
    assert mask in refused(SIGNED, bench.paths, "signer-unknown")


def test_masked_in_one_place_and_trusted_in_another(bench):
    bench.trust(KEY, PRINT, "example.com/shop", layer="system")
    bench.trust(b"", PRINT, "example.com/shop", layer="local")
    bench.trust(KEY, PRINT, "example.com")
    check_standing(SIGNED, NAME, bench.paths, ())


@pytest.mark.parametrize("where", ["example.com", "example.com/shop"])
def test_revoked_copy_anywhere_on_the_way_counts(bench, where):
    for prefix in ("example.com", "example.com/shop"):
        bench.trust(KEY, PRINT, prefix)
    check_standing(SIGNED, NAME, bench.paths, ())
    bench.trust(KEY.replace(b"\n\n", b"\nComment: revoked\n\n"), PRINT, where)
    assert "revoked" in refused(SIGNED, bench.paths, "signer-unknown")


def test_revoked_key_stored_by_the_keyring_is_seen(bench):
    pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")
    import trust_forge as forge

    owner = forge.Key(1)
    bench.keyring.add(forge.key_file(forge.certificate(owner)), owner.fingerprint, "example.com")
    verdict = bench.verify(owner.detached(b"data"), data=b"data")
    check_standing(verdict, NAME, bench.paths, ())
    revoked = forge.packet(6, owner.body) + forge.revocation(owner) + forge.user(owner)
    bench.keyring.add(forge.key_file(revoked), owner.fingerprint, "example.com")
    assert owner.fingerprint in refused(verdict, bench.paths, "signer-unknown")


def test_one_of_several_signers_is_enough(bench):
    bench.trust(KEY, OTHER)
    check_standing(Verdict("signed", (Signer(PRINT, ""), Signer(OTHER, "")), 1), NAME, bench.paths, ())


def test_link_in_place_of_a_key(bench, tmp_path):
    (tmp_path / "key").write_bytes(KEY)
    path = bench.trust(KEY, PRINT)
    os.unlink(path)
    os.symlink(tmp_path / "key", path)
    assert path in refused(SIGNED, bench.paths, "signer-unknown")


@pytest.mark.parametrize("fingerprint", ["", "../" + "a" * 37, "A" * 40, "a" * 39, "."])
def test_signer_that_is_no_fingerprint(bench, fingerprint):
    bench.trust(KEY, PRINT)
    refused(Verdict("signed", (Signer(fingerprint, ""),), 1), bench.paths, "signer-unknown")


def test_signed_by_nobody(bench):
    bench.trust(KEY, PRINT)
    refused(Verdict("signed"), bench.paths, "signer-unknown")


def test_insecure_needs_the_option_today(paths):
    verdict = Verdict("insecure", insecure_options=("image",))
    assert "--insecure-options=image" in refused(verdict, paths, "verdict-insecure")
    refused(verdict, paths, "verdict-insecure", insecure=("tls", "http"))
    check_standing(verdict, NAME, paths, ("tls", "image"))


def test_option_does_not_make_a_distrusted_signer_good(paths):
    refused(SIGNED, paths, "signer-unknown", insecure=("image",))


def test_pinned_passes(paths):
    check_standing(Verdict("pinned"), NAME, paths, ())


@pytest.mark.parametrize("kind", ["", "trusted", "SIGNED"])
def test_other_kinds_are_refused(paths, kind):
    refused(Verdict(kind), paths, "untrusted", insecure=("image",))


def test_name_is_checked(bench):
    with pytest.raises(SpecError):
        check_standing(SIGNED, "../etc", bench.paths, ())


def test_imports_are_those_of_a_launch():
    """A fresh interpreter, because this one has imported everything already."""
    source = os.path.dirname(os.path.dirname(os.path.dirname(sys.modules["_rocket.trust.standing"].__file__)))
    code = (
        "import os, sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1]); import _rocket.trust.standing;"
        "print(' '.join(sorted(name for name in set(sys.modules) - before if not name.startswith('_rocket'))))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code, source], capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stdout.split()) <= {"__future__", "errno", "fcntl"}, done.stdout
