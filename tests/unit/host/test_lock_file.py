# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A lock file is read strictly, and written where what it says is not what it is to say."""

from __future__ import annotations

import os

import pytest

from _rocket.errors import SpecError, UsageError
from _rocket.host.lock_file import plan_file, plan_lock, read_lock, read_yaml, there, write_lock
from _rocket.platform import host
from _rocket.record import replace
from _rocket.spec.lock import HEAD, Lock, Locked

A, B = (f"sha512-{digit * 128}" for digit in "ab")
# Not this host's.
OTHER = "linux/aarch64" if host() != "linux/aarch64" else "linux/amd64"
ONE = Lock((Locked("example.com/a:1", A, "example.com/a", (("version", "1"),), OTHER, 7),))


def test_what_is_written_is_what_is_read(tmp_path):
    path = str(tmp_path / "rocket.lock.yml")
    assert there(path) is None
    write_lock(path, ONE)
    assert there(path) == read_lock(path) == ONE
    assert (tmp_path / "rocket.lock.yml").read_text().startswith(HEAD) and os.stat(path).st_mode & 0o777 == 0o644


def test_a_link_and_a_mode_stay(tmp_path):
    path = tmp_path / "link.yml"
    (tmp_path / "real.yml").write_text("version: 1\nimages: []\n")
    (tmp_path / "real.yml").chmod(0o640)
    path.symlink_to("real.yml")
    write_lock(str(path), ONE)
    assert path.is_symlink() and read_lock(str(tmp_path / "real.yml")) == ONE
    assert (tmp_path / "real.yml").stat().st_mode & 0o777 == 0o640 and sorted(os.listdir(tmp_path)) == ["link.yml", "real.yml"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version: 1\nimages: []\nversion: 1\n", "given twice"),
        ("version: 1\nimages: [\n", "is no YAML"),
        ("version: 1\nimages: !!python/object/apply:os.getcwd []\n", "is no YAML"),
        ("version: 1\nimages: &a [*a]\n", "images"),
        ("version: 1\nimages: []\nimage: []\n", "image"),
        ("version: 1\n---\nimages: []\n", "is no YAML"),
        ("", "object"),
        ("a: &a [" + ",".join("x" * 9) + "]\n" + "".join(f"a{n}: &a{n} [*a{n - 1 if n else ''}]\n" for n in range(1)), "version"),
    ],
)
def test_what_is_no_lock_is_refused_with_its_path(tmp_path, text, problem):
    path = tmp_path / "rocket.lock.yml"
    path.write_text(text)
    with pytest.raises((UsageError, SpecError), match=problem) as caught:
        read_lock(str(path))
    assert str(caught.value).startswith(str(path))


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_yaml(str(tmp_path / "absent"))
    with pytest.raises(UsageError, match="cannot be read"):
        read_yaml(str(tmp_path))


class Fixed:
    """Resolves to what it was given, and remembers how it was asked."""

    def __init__(self, lock):
        self.lock, self.asked = lock, []

    def resolve(self, *asked):
        self.asked.append(asked)
        return self.lock


def test_the_platforms_are_those_asked_for_or_those_of_the_file_or_this_host(tmp_path):
    path, locking = str(tmp_path / "rocket.lock.yml"), Fixed(ONE)
    outcome = plan_file(path, ["x"], locking)
    assert outcome.plan.changed and outcome.plan.steps[0].reason == "missing" and not os.path.exists(path)
    assert [(change.before, change.after) for change in outcome.changes] == [("", A)]
    write_lock(path, outcome.lock)
    assert not plan_file(path, ["x"], locking).plan.changed
    plan_file(path, ["x"], locking, [host(), host()], True)
    assert locking.asked == [(["x"], [host()], None), (["x"], [OTHER], ONE), (["x"], [host()], None)]


def test_what_drifted_is_told_and_what_is_new_is_none_of_it():
    other = Lock((replace(ONE.images[0], image_id=B), Locked("example.com/b", B, "example.com/b")))
    plan = plan_lock("x", ONE, other)
    assert plan.steps[0].reason == "2 references mean other images"
    assert plan.drift == (f"example.com/a:1 for {OTHER}: {A} became {B}",)
    assert plan.before == ONE.to_json() and plan.after == other.to_json()
    facts = plan_lock("x", ONE, Lock((replace(ONE.images[0], size=8),)))
    assert facts.changed and facts.drift == () and "facts" in facts.steps[0].reason


def test_a_place_where_no_file_can_be_is_refused_before_anything_is_fetched(tmp_path):
    for path in (tmp_path / "absent" / "x", tmp_path):
        locking = Fixed(ONE)
        with pytest.raises(UsageError):
            plan_file(str(path), ["x"], locking)
        assert locking.asked == []
