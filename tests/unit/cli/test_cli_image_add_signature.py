# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""`rocket image sign --add`: several signatures beside one image, by the real GnuPG."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from test_cli_image_sign import aci, keys, only, rocket, sign

from _rocket.trust.openpgp import armor

pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")

__all__ = ["aci", "keys", "only", "rocket", "sign"]


def signers_of(keys, signature, data):
    """Return the fingerprints of all good signatures in a file, by GnuPG's own judgement."""
    argv = ["gpg", "--homedir", keys.home, "--batch", "--status-fd", "1", "--verify", str(signature), str(data)]
    lines = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines()
    return [line.split()[2].lower() for line in lines if line.startswith("[GNUPG:] VALIDSIG")]


def test_a_second_key_signs_beside_the_first(sign, rocket, keys, aci, tmp_path):
    old, new = keys.key("ed25519"), keys.key("nistp256", "nistp256")
    assert sign(keys, aci, f"--key={old}")[0] == 0
    status, output, errors = sign(keys, aci, f"--key={new}")
    assert (status, output) == (254, "") and "--add" in errors and "--overwrite" in errors
    status, output, errors = sign(keys, aci, "--add", f"--key={new}")
    assert (status, output) == (0, f"{aci}.asc\n"), errors
    assert "beside" in errors and "ed25519@example.com" in errors and "not checked" not in errors
    text = Path(f"{aci}.asc").read_text()
    assert text.count("BEGIN PGP SIGNATURE") == 1 and signers_of(keys, f"{aci}.asc", aci) == [old, new]
    before = text
    for key in (old, new):
        assert "nothing to do" in sign(keys, aci, "--add", f"--key={key}")[2]
    assert Path(f"{aci}.asc").read_text() == before
    # Replacing means that the others go, and changes nothing where there are none.
    assert sign(keys, aci, "--overwrite", f"--key={old}")[0] == 0 and signers_of(keys, f"{aci}.asc", aci) == [old]
    assert "nothing to do" in sign(keys, aci, "--overwrite", f"--key={old}")[2]
    assert sign(keys, aci, "--add", f"--key={new}")[0] == 0
    # A host that trusts either of the two takes it.
    for fingerprint in (old, new):
        (tmp_path / "key.asc").write_bytes(keys.run("--armor", "--export", fingerprint))
        assert rocket("trust", "--prefix=example.com/shop", f"--fingerprint={fingerprint}", "--quiet", tmp_path / "key.asc")[0] == 0
        assert rocket("fetch", aci)[0] == 0
        (image,) = json.loads(rocket("image", "list", "--format=json")[1])
        assert [signer["fingerprint"] for signer in image["verdict"]["signers"]] == [fingerprint]
        assert rocket("image", "rm", image["id"])[0] == 0
        assert rocket("trust", f"--remove={fingerprint}", "--prefix=example.com/shop")[0] == 0


def test_adding_where_nothing_is_signs(sign, only, aci):
    assert sign(only, aci, "--add")[0] == 0
    assert len(signers_of(only, f"{aci}.asc", aci)) == 1


def test_a_signature_by_a_key_that_is_not_here_stays_and_is_told(sign, keys, only, aci):
    assert sign(keys, aci, f"--key={keys.key('ed25519')}")[0] == 0
    (fingerprint,) = only.fingerprints("release")
    status, _output, errors = sign(only, aci, "--add")
    assert status == 0 and f"beside {keys.key('ed25519')}, not checked" in errors
    assert signers_of(keys, f"{aci}.asc", aci)[:1] == [keys.key("ed25519")]
    assert Path(f"{aci}.asc").read_text().count("BEGIN PGP SIGNATURE") == 1
    assert "nothing to do" in sign(only, aci, f"--key={fingerprint}")[2]


@pytest.mark.parametrize("case", ["other file", "own of another file", "revoked", "junk", "binary", "full"])
def test_nothing_is_added_to_what_spoils_the_image(sign, keys, aci, case):
    other, new = keys.key("rsa2048", "rsa2048"), keys.key("ed25519")
    asc = Path(f"{aci}.asc")
    if case in ("other file", "own of another file"):
        signer = other if case == "other file" else new
        asc.write_bytes(keys.run("--armor", "--local-user", signer, "--detach-sign", data=b"another build"))
    elif case == "revoked":
        gone = keys.key("was revoked")
        assert sign(keys, aci, f"--key={gone}")[0] == 0
        revocation = Path(keys.home, "openpgp-revocs.d", f"{gone.upper()}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
        keys.run("--import", data=revocation.encode())
    elif case == "full":
        one = keys.run("--local-user", other, "--detach-sign", data=aci.read_bytes())
        asc.write_bytes(armor.enarmor(one * 16, armor.SIGNATURE))
    else:
        asc.write_bytes(b"junk" if case == "junk" else keys.run("--local-user", other, "--detach-sign", data=aci.read_bytes()))
    before = asc.read_bytes()
    status, output, errors = sign(keys, aci, "--add", f"--key={new}")
    assert (status, output) == (254, "") and errors.splitlines()[-1].startswith("rocket: "), errors
    assert asc.read_bytes() == before
    assert sign(keys, aci, "--overwrite", f"--key={new}")[0] == 0
    assert signers_of(keys, asc, aci) == [new]


def test_adding_and_replacing_exclude_each_other(sign, only, aci):
    status, _output, errors = sign(only, aci, "--add", "--overwrite")
    assert status == 254 and "--overwrite" in errors and not os.path.exists(f"{aci}.asc")
