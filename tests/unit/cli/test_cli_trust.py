# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Trusting keys by the command: reviewed by a person, or by a fingerprint that was given in full."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys

import pytest

from _rocket.cli import main, output
from _rocket.host import offered_keys


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two armored keys made by GnuPG, with their fingerprints."""
    gpg = shutil.which("gpg")
    if gpg is None:
        pytest.skip("missing ability: the program gpg")
    pytest.importorskip("cryptography")
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)
    found = []
    for name in ("Shop Release <release@example.com>", "Other <other@example.com>"):
        base = [gpg, "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
        subprocess.run([*base, "--quick-generate-key", name, "ed25519", "sign", "never"], check=True, capture_output=True)
        listing = subprocess.run([*base, "--with-colons", "--list-keys", name], check=True, capture_output=True, text=True).stdout
        fingerprint = [line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr")][0]
        path = home / f"{fingerprint}.asc"
        path.write_bytes(subprocess.run([*base, "--armor", "--export", fingerprint], check=True, capture_output=True).stdout)
        found.append((str(path), fingerprint.lower()))
    yield found
    subprocess.run([shutil.which("gpgconf") or gpg, "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)


@pytest.fixture
def rocket(paths, capsys):
    def call(*words):
        status = main.main([f"--local-config={paths.local}", f"--system-config={paths.system}", f"--dir={paths.data}", "trust", *words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


class Terminal(io.StringIO):
    def isatty(self):
        return True


def listed(rocket):
    return json.loads(rocket("--list", "--format=json")[1])


def test_a_key_with_its_full_fingerprint_is_trusted_without_a_question(rocket, keys):
    path, fingerprint = keys[0]
    status, _rest, errors = rocket("--prefix=example.com/shop", f"--fingerprint={fingerprint}", path)
    assert status == 0 and "Shop Release <release@example.com>" in errors
    (key,) = listed(rocket)
    assert (key["prefix"], key["fingerprint"], key["state"]) == ("example.com/shop", fingerprint, "trusted")
    status, _rest, errors = rocket("--prefix=example.com/shop", f"--fingerprint={fingerprint}", path)
    assert status == 0 and "nothing to do" in errors


def test_another_key_than_the_one_named_is_refused(rocket, keys):
    status, _rest, errors = rocket("--prefix=example.com/shop", f"--fingerprint={keys[1][1]}", keys[0][0])
    assert status == 254 and "not the reviewed" in errors
    assert listed(rocket) == []


@pytest.mark.parametrize("short", [slice(-8, None), slice(-16, None), slice(0, 39)])
def test_a_part_of_a_fingerprint_is_not_enough(rocket, keys, short):
    status, _rest, errors = rocket("--prefix=example.com/shop", f"--fingerprint={keys[0][1][short]}", keys[0][0])
    assert status == 254 and "40 hex digits" in errors
    assert listed(rocket) == []


def test_an_empty_fingerprint_is_no_consent(rocket, keys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal("yes\n"))
    status, _rest, _rest = rocket("--prefix=example.com/shop", "--fingerprint=", keys[0][0])
    assert status == 254 and listed(rocket) == []


def test_where_nobody_can_be_asked_nothing_is_trusted(rocket, keys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    status, _rest, errors = rocket("--prefix=example.com/shop", keys[0][0])
    assert status == 254 and "nobody can be asked" in errors
    assert listed(rocket) == []


@pytest.mark.parametrize(("answer", "trusted"), [("yes\n", 1), ("no\n", 0), ("\n", 0), ("", 0), ("y\n", 0), ("yes please\n", 0)])
def test_a_person_is_asked_and_only_yes_counts(rocket, keys, monkeypatch, answer, trusted):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    status, _rest, errors = rocket("--prefix=example.com/shop", keys[0][0])
    grouped = " ".join(keys[0][1][at : at + 4] for at in range(0, 40, 4)).upper()
    assert grouped in errors, "the fingerprint is shown as people compare it"
    assert len(listed(rocket)) == trusted and status == (0 if trusted else 254)


def test_of_several_keys_the_fingerprint_picks_one(rocket, keys):
    status, _rest, _rest = rocket("--prefix=example.com/shop", f"--fingerprint={keys[1][1]}", keys[0][0], keys[1][0])
    assert status == 0 and [key["fingerprint"] for key in listed(rocket)] == [keys[1][1]]


def test_keys_of_a_site_are_reviewed_as_any_other(rocket, keys, monkeypatch):
    class Keys:
        def __init__(self, options):
            assert options.schemes == ("https",)

        def discover(self, name):
            from _rocket.fetch.discovery import Discovery

            return Discovery(f"https://{name}", (), ("https://example.com/keys.asc",))

        def get(self, _url):
            with open(keys[0][0], "rb") as source:
                return source.read()

    monkeypatch.setattr(offered_keys, "Keys", Keys)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert rocket("--prefix=example.com/shop")[0] == 254 and listed(rocket) == []
    assert rocket("--prefix=example.com/shop", f"--fingerprint={keys[0][1]}")[0] == 0
    assert len(listed(rocket)) == 1


def test_a_key_over_http_needs_its_own_relaxation(paths, capsys):
    base = [f"--local-config={paths.local}", f"--dir={paths.data}"]
    for insecure in ([], ["--insecure-options=http,image"]):
        assert main.main([*base, *insecure, "trust", "--prefix=example.com", "http://127.0.0.1:1/key.asc"]) == 254
        assert "--insecure-options=pubkey" in capsys.readouterr().err


def test_remove_ends_the_trust(rocket, keys):
    path, fingerprint = keys[0]
    rocket("--root", f"--fingerprint={fingerprint}", path)
    assert listed(rocket)[0]["prefix"] is None
    assert "(every image)" in rocket("--list")[1]
    assert "nothing to do" in rocket(f"--remove={fingerprint}", "--prefix=example.com")[2]
    assert rocket(f"--remove={fingerprint}", "--root")[0] == 0
    assert listed(rocket) == []


def test_a_masked_key_does_not_come_back_with_the_vendors_next_copy(rocket, keys, paths):
    path, fingerprint = keys[0]
    assert "masked the key" in rocket(f"--mask={fingerprint}", "--prefix=example.com/shop")[2]
    vendor = f"{paths.system}/trustedkeys/prefix.d/example.com/shop"
    os.makedirs(vendor)
    shutil.copy(path, f"{vendor}/{fingerprint}")
    (key,) = listed(rocket)
    assert (key["state"], key["layer"]) == ("masked", "local")
    assert "nothing to do" in rocket(f"--mask={fingerprint}", "--prefix=example.com/shop")[2]


def test_the_table_of_keys_has_whole_fingerprints_and_fits_a_terminal(rocket, keys, monkeypatch):
    """Two lines a key; control characters of a file's name do not reach the terminal."""
    (path, fingerprint), prefix = keys[0], "example.com/a/very/long/prefix/of/an/image/of/the/shop"
    rocket(f"--prefix={prefix}", f"--fingerprint={fingerprint}", path)
    rocket("--root", f"--mask={fingerprint}")
    monkeypatch.setattr(output, "terminal_width", lambda: 80)
    lines = rocket("--list")[1].splitlines()
    assert lines[0].split() == ["PREFIX", "STATE", "EXPIRES", "IMAGES", "IDENTITIES"]
    assert lines[1].split()[:5] == ["(every", "image)", "masked", "-", "0"] and lines[2] == f"    {fingerprint}" == lines[4]
    assert "trusted" in lines[3] and "Shop" in lines[3] and max(map(len, lines)) <= 80
    assert [key["prefix"] for key in json.loads(rocket("--list", "--format=json", f"--name={prefix}/web")[1])] == [None, prefix]
    assert [key["prefix"] for key in json.loads(rocket("--list", "--format=json", f"--name={prefix}x")[1])] == [None]


@pytest.mark.parametrize(
    "words",
    [
        ["/x.asc"],
        ["--prefix=example.com", "--root", "/x.asc"],
        ["--root"],
        ["--list", "/x.asc"],
        ["--remove=ab", "--root", "/x.asc"],
        ["--remove=abcd", "--root"],
        ["--mask=abcd", "--root"],
        ["--mask=" + "ab" * 20, "--remove=" + "ab" * 20, "--root"],
        ["--mask=" + "ab" * 20, "--root", "/x.asc"],
        ["--mask=" + "ab" * 20],
        ["--list", "--mask=" + "ab" * 20],
        ["--list", "--name=Example.com"],
        ["--name=example.com", "--root", "/x.asc"],
        ["--prefix=example.com/*", f"--fingerprint={'0' * 40}", "/nonexistent.asc"],
        ["--prefix=example.com", "/nonexistent.asc"],
    ],
)
def test_words_that_mean_nothing(rocket, words):
    status, output, errors = rocket(*words)
    assert status == 254 and output == "" and errors.count("\n") == 1
