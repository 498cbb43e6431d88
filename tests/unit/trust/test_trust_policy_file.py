# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The operator's policy file: planned without being written, written once, and complete or absent."""

from __future__ import annotations

import os

import pytest
from test_trust_policy import A, of, write

from _rocket.errors import NotFound, SpecError
from _rocket.trust.policy import BUILT_IN, load
from _rocket.trust.policy_file import apply, plan_absent, plan_present

WANTED = of({"example.com/shop": {"require": "signed", "keys": [A.upper()], "threshold": 1}}, default={"require": "refuse"})
CANONICAL = f'{{"default":{{"require":"refuse"}},"prefixes":{{"example.com/shop":{{"keys":["{A}"],"require":"signed"}}}},"version":1}}'


def place(paths):
    return f"{paths.local}/policy.json"


def test_it_is_written_once_in_canonical_form(paths):
    umask = os.umask(0o077)
    try:
        plan = plan_present(paths, WANTED)
        assert [step.action for step in plan.steps] == ["write"] and plan.before is None and not os.path.exists(paths.local)
        apply(plan, paths)
    finally:
        os.umask(umask)
    with open(place(paths), encoding="ascii") as stream:
        assert stream.read() == CANONICAL
    assert os.stat(place(paths)).st_mode & 0o777 == 0o644 and os.stat(paths.local).st_mode & 0o777 == 0o755
    assert os.listdir(paths.local) == ["policy.json"]
    again = plan_present(paths, WANTED)
    assert not again.changed and again.before == again.after == plan.after == load(paths).to_json()


def test_the_same_policy_written_by_hand_is_no_change(paths):
    write(paths.local, WANTED)
    assert not plan_present(paths, WANTED).changed


def test_a_change_shows_both_sides(paths):
    apply(plan_present(paths, WANTED), paths)
    plan = plan_present(paths, of({}))
    assert plan.changed and plan.before["default"] == {"require": "refuse"} and plan.after == of({})
    apply(plan, paths)
    assert load(paths).to_json() == of({})


@pytest.mark.parametrize("state", ["broken", "writable", "link"])
def test_what_is_refused_is_written_anew(paths, tmp_path, state):
    path = write(paths.local, "{" if state == "broken" else WANTED, 0o666 if state == "writable" else 0o644)
    if state == "link":
        os.rename(path, tmp_path / "real")
        os.symlink(tmp_path / "real", path)
    plan = plan_present(paths, WANTED)
    assert plan.changed and plan.steps[0].reason.startswith("the policy is refused: ")
    apply(plan, paths)
    assert not plan_present(paths, WANTED).changed and load(paths).path == path and not os.path.islink(path)


def test_what_is_no_policy_is_not_written(paths):
    with pytest.raises(SpecError) as caught:
        plan_present(paths, of({"x": {"require": "sigend"}}))
    assert caught.value.where == "policy.prefixes.x.require" and "signed" in caught.value.hint


def test_absent_leaves_the_vendors(paths):
    assert not plan_absent(paths).changed
    write(paths.system, of({}))
    apply(plan_present(paths, WANTED), paths)
    plan = plan_absent(paths)
    assert plan.before == load(paths).to_json() and plan.after is None
    apply(plan, paths)
    assert load(paths).path == f"{paths.system}/policy.json" and not plan_absent(paths).changed
    with pytest.raises(NotFound):
        apply(plan, paths)


def test_absent_removes_a_refused_file_and_a_link_itself(paths, tmp_path):
    write(paths.local, "{")
    apply(plan_absent(paths), paths)
    (tmp_path / "real").write_text("{}")
    os.symlink(tmp_path / "real", place(paths))
    apply(plan_absent(paths), paths)
    assert load(paths) == BUILT_IN and (tmp_path / "real").exists()
