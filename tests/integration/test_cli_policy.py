# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A policy on a host, by the command and with real pods: it decides at the fetch, and again at each start with what it says then."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from rocket_command import Rocket
from signed_images import NAME

WORD = ("--exec=/bin/busybox", "--", "true")


class Host:
    """A host that trusts the release key and a second one for the shop."""

    def __init__(self, directory, signed):
        self.rocket, self.insecure = Rocket(directory, insecure=False), Rocket(directory)
        self.etc = directory / "etc"
        self.keys = {name: signed[name].lower() for name in ("release", "stranger")}
        for name in self.keys:
            path = directory / f"{name}.asc"
            path.write_text(signed[f"{name}_key"])
            self.rocket("trust", "--prefix=example.com/shop", f"--fingerprint={signed[name]}", "--quiet", str(path))

    def policy(self, rule=None, text=None, **members):
        """Have the policy say this of the shop; None for no policy."""
        path = self.etc / "policy.json"
        if rule is None and text is None:
            path.unlink()
            return
        rule = {"require": rule} if isinstance(rule, str) else rule
        path.write_text(json.dumps({"version": 1, **members, "prefixes": {"example.com/shop": rule}}) if text is None else text)
        path.chmod(0o644)

    def run(self, code="", *, insecure=False, image=f"{NAME}:1"):
        """Run an image; it runs, or is refused with what is said."""
        told = (self.insecure if insecure else self.rocket)("run", image, *WORD, status=254 if code else 0)
        assert len(told.splitlines()) == (1 if code else 0) and code in told, told

    def fetch(self, path, code="", *words, insecure=False):
        """Fetch an image file; it is fetched, or refused with what is said."""
        told = (self.insecure if insecure else self.rocket)("fetch", *words, path, status=254 if code else 0)
        assert code in told, told

    def verdict(self):
        (image,) = json.loads(self.rocket("image", "list", "--format=json"))
        return image["verdict"]


@pytest.fixture
def host(root, tmp_path, signed):
    return Host(tmp_path, signed)


@pytest.fixture
def twice(tmp_path, signed):
    """The first image, signed by both keys."""
    path = str(tmp_path / "twice.aci")
    shutil.copy2(signed["1"], path)
    words = ["gpg", "--homedir", signed["home"], "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    words += ["--local-user", signed["release"], "--local-user", signed["stranger"], "--armor", "--detach-sign", path]
    subprocess.run(words, check=True, capture_output=True)
    return path


def test_a_policy_that_was_narrowed_stops_the_next_start(host, signed):
    host.fetch(signed["1"])
    host.run()
    release, other = host.keys["release"], host.keys["stranger"]
    host.policy({"require": "signed", "keys": [release]})
    host.run()
    host.policy({"require": "signed", "keys": [other]})
    host.run(f"signed by {release}, and the policy counts only {other}")
    host.run(insecure=True)
    host.policy({"require": "signed", "threshold": 2})
    host.run("signed by 1 of the 2 trusted keys that have to sign")
    host.policy("pinned")
    host.run("it is not pinned")
    host.policy("refuse")
    host.run("nobody may supply it")
    host.run("nobody may supply it", insecure=True)
    host.policy("open")
    host.run()
    host.policy(text='{"version": 1, "prefixes": {}}')
    host.run("the policy has no rule that lets it in", insecure=True)
    host.policy()
    host.run()


def test_two_signatures_are_counted_at_the_fetch_and_at_each_start(host, signed, twice):
    host.policy({"require": "signed", "threshold": 2})
    host.fetch(signed["1"], "signed by 1 of the 2 trusted keys")
    host.fetch(twice)
    assert {signer["fingerprint"] for signer in host.verdict()["signers"]} == set(host.keys.values())
    assert host.verdict()["policy"]["threshold"] == 2
    host.run()
    host.rocket("trust", "--prefix=example.com/shop", f"--remove={host.keys['stranger']}")
    host.run("signed by 1 of the 2 trusted keys")
    host.fetch(twice, "1 trusted keys can be used, and 2 have to sign", f"--name={NAME}")


def test_a_signature_is_looked_at_again_where_the_policy_asks_for_more(host, twice):
    """What was fetched under one signature needs no second download where the other one came along."""
    host.rocket("trust", "--prefix=example.com/shop", f"--remove={host.keys['stranger']}")
    host.fetch(twice)
    assert len(host.verdict()["signers"]) == 1
    key = f"{host.etc}/../stranger.asc"
    host.rocket("trust", "--prefix=example.com/shop", f"--fingerprint={host.keys['stranger']}", "--quiet", key)
    host.policy({"require": "signed", "threshold": 2})
    host.run("signed by 1 of the 2 trusted keys")
    os.rename(twice, f"{twice}.away")
    host.rocket("fetch", f"{NAME}:1")
    host.run()


def test_a_pin_and_a_signature_do_not_stand_for_each_other(host, signed):
    host.policy("pinned")
    host.fetch(signed["1"], "it is not pinned")
    host.fetch(signed["1"], "its image ID is not given", f"--name={NAME}")
    host.fetch(signed["1"], "", f"--image-id={signed['id_1']}")
    assert host.verdict()["kind"] == "pinned"
    host.run()
    host.policy("signed")
    host.run("it is pinned and not signed")
    host.fetch(signed["1"], "", f"--image-id={signed['id_1']}", f"--name={NAME}")
    assert (host.verdict()["kind"], host.verdict()["pinned"]) == ("signed", True)
    host.run()
    host.policy("pinned")
    host.run()


def test_an_open_prefix_and_what_becomes_of_it(host, signed):
    host.policy("open", default={"require": "refuse"})
    host.fetch(signed["2"], ".asc")
    host.fetch(signed["2"], "", f"--name={NAME}")
    assert host.verdict()["kind"] == "open"
    host.run(image=signed["id_2"])
    host.policy()
    host.run("nobody vouched for it when it was fetched", image=signed["id_2"])
    host.run(image=signed["id_2"], insecure=True)


def test_what_the_option_let_in_needs_it_again(host, signed):
    host.policy("signed")
    host.fetch(signed["2"], insecure=True)
    assert host.verdict()["kind"] == "insecure"
    host.run("stored without a valid signature", image=signed["id_2"])
    host.run(image=signed["id_2"], insecure=True)
    host.policy("refuse")
    host.run("nobody may supply it", image=signed["id_2"], insecure=True)
    host.fetch(signed["2"], "nobody may supply it", insecure=True)


def test_a_signer_that_is_trusted_no_longer_needs_a_fetch_with_the_option(host, signed):
    host.fetch(signed["1"])
    for name in host.keys:
        host.rocket("trust", "--prefix=example.com/shop", f"--remove={host.keys[name]}")
    host.run("no signer is trusted for it today")
    host.run("no signer is trusted for it today", insecure=True)
    host.fetch(signed["1"], "not trusted for it")
    host.fetch(signed["1"], insecure=True)
    assert host.verdict()["kind"] == "insecure"
    host.run("stored without a valid signature")
    host.run(insecure=True)


def test_a_prepared_pod_is_held_against_the_policy_of_its_start(host, signed):
    host.fetch(signed["1"])
    uuid = host.rocket("prepare", f"{NAME}:1", *WORD).strip()
    host.policy({"require": "signed", "keys": [host.keys["stranger"]]})
    assert "the policy counts only" in host.rocket("run-prepared", uuid, status=254)
    host.policy({"require": "signed", "keys": list(host.keys.values())})
    host.rocket("run-prepared", uuid)


@pytest.mark.parametrize("insecure", [False, True])
def test_a_policy_that_is_none_stops_everything(host, signed, insecure):
    host.fetch(signed["1"])
    broken = {"text": '{"version": 1, "version": 1, "prefixes": {}}'}
    host.policy(**broken)
    host.run("is given twice", insecure=insecure)
    host.fetch(signed["1"], "is given twice", f"--name={NAME}", insecure=insecure)
    host.policy("open")
    os.chmod(host.etc / "policy.json", 0o666)
    host.run("others may write to it", insecure=insecure)
    os.rename(host.etc / "policy.json", host.etc / "real")
    os.symlink("real", host.etc / "policy.json")
    host.run("no link", insecure=insecure)
