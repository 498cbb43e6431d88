# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Policies: read strictly or not at all, and one rule alone decides about a name."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _rocket.errors import SpecError, TrustError
from _rocket.spec.canonical import dumps
from _rocket.store.verdict import Rule
from _rocket.trust import policy
from _rocket.trust.policy import BUILT_IN, OPINIONS, WORDS, Policy, load

A, B, C = "a" * 40, "b" * 40, "c" * 40
SIGNED = {"require": "signed"}


def write(directory, text, mode=0o644):
    os.makedirs(directory, exist_ok=True)
    path = f"{directory}/policy.json"
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text if isinstance(text, str) else json.dumps(text))
    os.chmod(path, mode)
    return path


def of(prefixes, **members):
    return {"version": 1, **members, "prefixes": prefixes}


def refused(paths):
    with pytest.raises(TrustError) as caught:
        load(paths)
    assert caught.value.code == "policy-malformed" and caught.value.hint and str(caught.value).isprintable()
    return str(caught.value)


def test_without_a_file_the_built_in_rule_counts(paths):
    assert load(paths) == BUILT_IN
    assert BUILT_IN.rule_for("example.com/x") == Rule("", "signed-or-pinned", 1, (), "none")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("example.com/foo", "open"),
        ("example.com/foo/bar", "open"),
        ("example.com/foobar", "refuse"),
        ("example.com/foo-evil/x", "refuse"),
        ("example.com/fo", "refuse"),
        ("example.com", "refuse"),
        ("example.com.evil.net/foo", "refuse"),
        ("evil.net/example.com/foo", "refuse"),
    ],
)
def test_prefixes_are_path_parts(name, word):
    assert Policy.from_json(of({"example.com/foo": {"require": "open"}})).rule_for(name).require == word


def test_the_most_specific_prefix_decides_alone():
    strict = {"require": "signed", "threshold": 2, "keys": [A, B], "second_opinion": "any"}
    value = of(
        {"example.com": strict, "example.com/shop": SIGNED, "example.com/shop/web/x": {"require": "open"}}, default={"require": "pinned"}
    )
    found = Policy.from_json(value)
    assert found.rule_for("example.com/other") == Rule("example.com", "signed", 2, (A, B), "any")
    assert found.rule_for("example.com/shop/web") == Rule("example.com/shop", "signed"), (
        "nothing of the stricter rule above it is inherited"
    )
    assert found.rule_for("example.com/shop/web/x").require == "open"
    assert found.rule_for("example.org/x") == Rule("", "pinned")


def test_a_name_that_nothing_covers_is_refused():
    assert Policy.from_json(of({"example.com/shop": SIGNED})).rule_for("example.com/x").require == "refuse"
    assert Policy.from_json(of({})).rule_for("example.com/x").require == "refuse"


def test_a_name_is_checked():
    with pytest.raises(SpecError):
        Policy.from_json(of({})).rule_for("../etc")


def test_fingerprints_are_taken_as_people_write_them():
    found = Policy.from_json(of({"example.com": {"require": "signed", "keys": ["AAAA " * 10, f"0x{B.upper()}"]}}))
    assert found.prefixes[0].keys == (A, B)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ([], "policy"),
        ({}, "version"),
        ({"version": 1}, "prefixes"),
        ({"version": 2, "prefixes": {}}, "version"),
        ({"version": True, "prefixes": {}}, "version"),
        ({"version": "1", "prefixes": {}}, "version"),
        (of({}, defaults=SIGNED), "defaults"),
        (of({}, default=None), "default"),
        (of({}, default="signed"), "default"),
        (of({"example.com": None}), 'prefixes["example.com"]'),
        (of({"example.com/": SIGNED}), 'prefixes["example.com/"]'),
        (of({"example.com/*": SIGNED}), 'prefixes["example.com/*"]'),
        (of({"Example.com": SIGNED}), 'prefixes["Example.com"]'),
        (of({"": SIGNED}), 'prefixes[""]'),
        (of({"x": {}}), "prefixes.x.require"),
        (of({"x": {"require": "sigend"}}), "prefixes.x.require"),
        (of({"x": {"require": "Signed"}}), "prefixes.x.require"),
        (of({"x": {"require": ["signed"]}}), "prefixes.x.require"),
        (of({"x": {**SIGNED, "treshold": 2}}), "prefixes.x.treshold"),
        (of({"x": {**SIGNED, "threshold": None}}), "prefixes.x.threshold"),
        (of({"x": {**SIGNED, "threshold": 0}}), "prefixes.x.threshold"),
        (of({"x": {**SIGNED, "threshold": 17}}), "prefixes.x.threshold"),
        (of({"x": {**SIGNED, "threshold": True}}), "prefixes.x.threshold"),
        (of({"x": {**SIGNED, "threshold": "2"}}), "prefixes.x.threshold"),
        (of({"x": {**SIGNED, "threshold": 2, "keys": [A]}}), "prefixes.x.threshold"),
        (of({"x": {**SIGNED, "keys": []}}), "prefixes.x.keys"),
        (of({"x": {**SIGNED, "keys": A}}), "prefixes.x.keys"),
        (of({"x": {**SIGNED, "keys": None}}), "prefixes.x.keys"),
        (of({"x": {**SIGNED, "keys": [A[:16]]}}), "prefixes.x.keys[0]"),
        (of({"x": {**SIGNED, "keys": [A, 7]}}), "prefixes.x.keys[1]"),
        (of({"x": {**SIGNED, "keys": [A, A.upper()]}}), "prefixes.x.keys[1]"),
        (of({"x": {**SIGNED, "second_opinion": "gpg"}}), "prefixes.x.second_opinion"),
        (of({"x": {"require": "pinned", "threshold": 1}}), "prefixes.x.threshold"),
        (of({"x": {"require": "open", "keys": [A]}}), "prefixes.x.keys"),
        (of({"x": {"require": "refuse", "second_opinion": "none"}}), "prefixes.x.second_opinion"),
        (of({}, default={"require": "open", "keys": [A]}), "default.keys"),
    ],
)
def test_what_is_not_exactly_a_policy_is_refused_by_its_place(paths, value, where):
    with pytest.raises(SpecError) as caught:
        Policy.from_json(value, "policy")
    assert caught.value.where.rpartition("policy.")[2] == where
    path = write(paths.local, value)
    assert f"{path}: {where}" in refused(paths) or where == "policy"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        '{"version": 1, "version": 1, "prefixes": {}}',
        '{"version": 1, "prefixes": {"x": {"require": "refuse"}, "x": {"require": "open"}}}',
        '{"version": 1, "prefixes": {"x": {"require": "refuse", "require": "open"}}}',
        '{"version": 1.0, "prefixes": {}}',
        '\ufeff{"version": 1, "prefixes": {}}',
        '{"version": 1, "prefixes": {}}' + " " * (1 << 20),
    ],
)
def test_a_file_that_two_readers_could_read_differently_is_refused(paths, text):
    assert write(paths.local, text) in refused(paths)


def test_a_refused_file_of_the_operator_does_not_fall_back_to_the_vendors(paths):
    write(paths.system, of({}, default={"require": "open"}))
    assert load(paths).rule_for("x").require == "open"
    path = write(paths.local, "")
    assert path in refused(paths)
    os.unlink(path)
    assert load(paths).path == f"{paths.system}/policy.json"


def test_the_operators_file_replaces_the_vendors_whole(paths):
    write(paths.system, of({"example.com": {"require": "open"}}, default=SIGNED))
    path = write(paths.local, of({"example.org": SIGNED}))
    found = load(paths)
    assert found.path == path and found.rule_for("example.com/x").require == "refuse" and found.default is None


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_a_file_that_others_may_write_is_refused(paths, mode):
    path = write(paths.local, of({}, default=SIGNED), mode)
    assert path in refused(paths) and "others may write" in refused(paths)


def test_a_link_is_refused_wherever_it_leads(paths, tmp_path):
    write(paths.local, of({}, default=SIGNED))
    os.rename(f"{paths.local}/policy.json", tmp_path / "real")
    for target in (str(tmp_path / "real"), str(tmp_path / "nothing")):
        os.symlink(target, f"{paths.local}/policy.json")
        assert f"{paths.local}/policy.json" in refused(paths)
        os.unlink(f"{paths.local}/policy.json")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused(paths, make):
    os.makedirs(paths.local)
    make(f"{paths.local}/policy.json")
    assert "policy.json" in refused(paths)


@pytest.mark.parametrize("there", [True, False])
def test_a_directory_in_which_everyone_may_write_is_refused(paths, there):
    """There anybody could remove the file, and with it what it asks for."""
    os.makedirs(paths.local)
    if there:
        write(paths.local, of({}, default=SIGNED))
    os.chmod(paths.local, 0o777)
    assert paths.local in refused(paths)
    os.chmod(paths.local, 0o755)
    assert load(paths)


def test_a_file_of_somebody_else_is_refused(root, paths):
    os.chown(write(paths.local, of({}, default=SIGNED)), 12345, 0)
    assert "12345" in refused(paths)


def test_a_file_that_vanishes_while_it_is_read_does_not_open_the_host(paths, monkeypatch):
    write(paths.local, of({}, default=SIGNED))
    real = policy._is_there

    def vanishing(directory, path):
        found = real(directory, path)
        if found:
            os.unlink(path)
        return found

    monkeypatch.setattr(policy, "_is_there", vanishing)
    assert "policy.json" in refused(paths)


FINGERPRINTS = st.text("0123456789abcdef", min_size=40, max_size=40)
PREFIXES = st.lists(st.text("abc0", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join)


@st.composite
def rules(draw):
    word = draw(st.sampled_from(WORDS))
    if not word.startswith("signed"):
        return {"require": word}
    keys = draw(st.lists(FINGERPRINTS, max_size=4, unique=True))
    members = {"threshold": draw(st.integers(1, len(keys) or 16)), "second_opinion": draw(st.sampled_from(OPINIONS))}
    if keys:
        members["keys"] = keys
    kept = draw(st.sets(st.sampled_from(sorted(members))))
    return {"require": word, **{name: members[name] for name in kept}}


POLICIES = st.fixed_dictionaries(
    {"version": st.just(1), "prefixes": st.dictionaries(PREFIXES, rules(), max_size=5)}, optional={"default": rules()}
)


@given(POLICIES)
def test_a_policy_survives_being_written(value):
    found = Policy.from_json(value)
    written = dumps(found.to_json())
    assert Policy.from_json(json.loads(written)) == found
    assert {rule.prefix: rule.require for rule in found.prefixes} == {name: rule["require"] for name, rule in value["prefixes"].items()}


@given(POLICIES, PREFIXES)
def test_the_rule_is_that_of_the_longest_prefix_by_parts(value, name):
    parts = name.split("/")
    covering = [prefix for prefix in value["prefixes"] if parts[: len(prefix.split("/"))] == prefix.split("/")]
    longest = max(covering, key=len, default="")
    wanted = value["prefixes"][longest] if covering else value.get("default", {"require": "refuse"})
    found = Policy.from_json(value).rule_for(name)
    assert (found.prefix, found.require, found.threshold) == (longest, wanted["require"], wanted.get("threshold", 1))
    assert list(found.keys) == wanted.get("keys", [])


@given(POLICIES, st.data())
def test_a_member_more_or_of_another_type_is_refused(value, data):
    places = [value, *value["prefixes"].values(), *([value["default"]] if "default" in value else [])]
    place = data.draw(st.sampled_from(places))
    if data.draw(st.booleans()):
        place["extra"] = 1
    else:
        member = data.draw(st.sampled_from(sorted(place)))
        place[member] = data.draw(st.sampled_from([None, 1.5, -1, "", [[]], {"x": 1}]))
    with pytest.raises(SpecError):
        Policy.from_json(value)


def test_a_launch_does_not_pay_for_json(paths):
    """Without a policy nothing is read; with one it is not the package `json` that reads it, or this would be seen to fail."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from _rocket.paths import Paths; from _rocket.store.verdict import Verdict; from _rocket.trust.standing import check_standing\n"
        "check_standing(Verdict('pinned'), 'example.com/x', Paths(local=sys.argv[2], system=sys.argv[2]), ())\n"
        "print('json' in sys.modules, '_rocket.spec.reading' in sys.modules)"
    )
    package = os.path.dirname(os.path.dirname(os.path.dirname(policy.__file__)))

    def run():
        return subprocess.run(
            [sys.executable, "-I", "-S", "-c", code, package, paths.local], capture_output=True, text=True, check=True
        ).stdout

    assert run() == "False False\n"
    write(paths.local, of({}, default={"require": "pinned"}))
    assert run() == "False True\n"
