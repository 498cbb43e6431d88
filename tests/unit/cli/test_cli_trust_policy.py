# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The policy by the command: what is in force, which rule decides about a name, and whether a file is a policy."""

from __future__ import annotations

import json
import os

import pytest
import yaml

from _rocket.cli import main

A, B = "a" * 40, "b" * 40
SHOP = {"require": "signed", "threshold": 2, "keys": [A, B]}
POLICY = {
    "version": 1,
    "prefixes": {"example.com/shop": SHOP, "registry.example.com": {"require": "pinned"}},
    "default": {"require": "open"},
}


@pytest.fixture
def rocket(paths, capsys):
    def call(*words):
        status = main.main([f"--local-config={paths.local}", f"--system-config={paths.system}", f"--dir={paths.data}", "trust", *words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def policy(paths):
    """The file of the host."""
    os.makedirs(paths.local)
    path = f"{paths.local}/policy.json"
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(POLICY, stream)
    os.chmod(path, 0o644)
    return path


def test_without_a_file_the_built_in_policy_is_shown(rocket):
    status, out, _errors = rocket("--policy")
    assert status == 0 and "(built in)" in out and "signed-or-pinned" in out
    assert json.loads(rocket("--policy", "--format=json")[1]) == {
        "file": "",
        "policy": {"version": 1, "default": {"require": "signed-or-pinned"}, "prefixes": {}},
    }


def test_the_policy_in_force_with_its_file(rocket, policy):
    status, out, _errors = rocket("--policy")
    lines = out.splitlines()
    assert status == 0 and lines[0] == f"policy: {policy}"
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["example.com/shop", "signed"],
        ["registry.example.com", "pinned"],
        ["(all", "others)"],
    ]
    assert "2 of 2 keys" in lines[2] and lines[-1].split() == ["example.com/shop", B]
    assert all(len(line) <= 80 for line in lines[1:])
    assert json.loads(rocket("--policy", "--format=json")[1]) == {"file": policy, "policy": POLICY}


def test_which_rule_decides_about_a_name(rocket, policy):
    status, out, _errors = rocket("--policy", "example.com/shop/web")
    assert status == 0 and policy in out and "2 of 2 keys" in out and out.count("not trusted") == 2
    assert all(len(line) <= 80 for line in out.splitlines() if policy not in line)
    for name, prefix, word in (
        ("example.com/shop/web", "example.com/shop", "signed"),
        ("example.com/shopping", "", "open"),
        ("registry.example.com/x", "registry.example.com", "pinned"),
    ):
        found = json.loads(rocket("--policy", "--format=json", name)[1])
        assert (found["rule"]["prefix"], found["rule"]["require"]) == (prefix, word)
        assert [key["state"] for key in found["keys"]] == (["not trusted"] * 2 if word == "signed" else [])


def test_the_keys_that_count_are_those_that_are_trusted_and_usable(rocket, paths, policy):
    pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")
    import pathlib
    import sys

    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "trust"))
    import trust_forge as forge

    good, old = forge.Key(1), forge.Key(2)
    packets = {good: forge.certificate(good), old: forge.certificate(old, hashed=[forge.key_expires(86400)])}
    for key, content in packets.items():
        place = pathlib.Path(paths.local, "trustedkeys", "prefix.d", "example.com/shop")
        place.mkdir(parents=True, exist_ok=True)
        (place / key.fingerprint).write_bytes(forge.key_file(content))
    rule = {"require": "signed", "keys": [good.fingerprint, old.fingerprint, A]}
    with open(policy, "w", encoding="utf-8") as stream:
        json.dump({"version": 1, "prefixes": {"example.com/shop": rule}, "default": {"require": "signed"}}, stream)
    found = json.loads(rocket("--policy", "example.com/shop", "--format=json")[1])["keys"]
    assert [key["state"] for key in found] == ["counts", "key-expired", "not trusted"] and found[0]["identity"]
    assert json.loads(rocket("--policy", "example.com", "--format=json")[1])["keys"] == []


@pytest.mark.parametrize("words", [("--policy",), ("--policy", "example.com/x")])
def test_a_policy_that_is_refused_is_an_error(rocket, policy, words):
    os.chmod(policy, 0o666)
    status, out, errors = rocket(*words)
    assert status == 254 and out == "" and policy in errors and "others may write" in errors


@pytest.mark.parametrize("form", ["json", "yaml", "variables"])
def test_a_file_is_checked_before_it_goes_to_git(rocket, tmp_path, form):
    path = tmp_path / f"all.{'json' if form == 'json' else 'yml'}"
    value = {"shop_version": 3, "rocket_trust_policy": POLICY} if form == "variables" else POLICY
    path.write_text(json.dumps(value) if form == "json" else yaml.safe_dump(value))
    status, out, _errors = rocket(f"--check-policy={path}")
    assert status == 0 and out.startswith(f"policy: {path}\n")
    assert json.loads(rocket(f"--check-policy={path}", "--format=json")[1])["policy"] == POLICY


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("a.yml", "version: 1\nprefixes: {x: {require: sigend}}\n", "prefixes.x.require"),
        ("a.yml", "rocket_trust_policy: {version: 1, prefixes: {x: {require: sigend}}}\n", "rocket_trust_policy.prefixes.x.require"),
        ("a.yml", "version: 1\nversion: 1\nprefixes: {}\n", "given twice"),
        ("a.json", '{"version": 1, "prefixes": {}, }', "not JSON"),
        ("a.yml", "", "object"),
        ("a.yml", "rocket_trust_policy:\n", "object"),
    ],
)
def test_a_file_that_is_no_policy_is_told_by_its_place(rocket, tmp_path, name, text, where):
    path = tmp_path / name
    path.write_text(text)
    status, out, errors = rocket(f"--check-policy={path}")
    assert status == 254 and out == "" and str(path) in errors and where in errors and len(errors.splitlines()) == 1


def test_a_file_that_is_not_there(rocket, tmp_path):
    status, _out, errors = rocket(f"--check-policy={tmp_path}/none.yml")
    assert status == 254 and "none.yml" in errors


@pytest.mark.parametrize(
    "words",
    [
        ("--policy", "--list"),
        ("--policy", "--prefix=x"),
        ("--policy", "a", "b"),
        ("--check-policy=x", "--policy"),
        ("--check-policy=x", "a"),
        ("--policy", "--remove=x"),
        ("--policy", "--format=yaml"),
    ],
)
def test_words_that_contradict_each_other(rocket, words):
    assert rocket(*words)[0] == 254


def test_a_name_that_is_none(rocket):
    status, _out, errors = rocket("--policy", "../etc")
    assert status == 254 and "AC Identifier" in errors


def test_the_help_has_examples(rocket):
    out = rocket("--help")[1]
    assert "rocket trust --policy example.com/shop/web" in out and "--check-policy=group_vars/all.yml" in out
