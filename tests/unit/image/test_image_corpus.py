# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The corpus: every archive gets the verdict that is due, from who looks at it and from who unpacks it."""

from __future__ import annotations

import hashlib
import re

import pytest
from image_corpus import corpus

from _rocket.errors import ArchiveError, RocketError
from _rocket.image import sandbox
from _rocket.image.check import inspect
from _rocket.image.limits import Limits
from _rocket.image.tar import entries

CASES = corpus()
SMALL = [pytest.param(case, id=name) for name, case in CASES.items() if not case.large]
LARGE = [pytest.param(case, id=name) for name, case in CASES.items() if case.large]


def check_error(error, case):
    assert error.code == case.code, str(error)
    assert re.search(case.words, str(error)), str(error)
    assert error.hint or case.code == "spec", str(error)
    assert str(error).isprintable()
    assert str(error).isascii()


@pytest.mark.spec("A2")
@pytest.mark.spec("A3")
@pytest.mark.spec("A10")
@pytest.mark.parametrize("case", SMALL)
def test_looking(look, case):
    data = case.make(b"/nowhere")
    if case.seen not in ("archive", "manifest"):
        assert look(data).manifest.name == "example.com/app"
        return
    with pytest.raises(RocketError) as caught:
        look(data)
    check_error(caught.value, case)


@pytest.mark.parametrize("case", LARGE)
def test_looking_at_bombs_takes_little_memory(tmp_path, case):
    """In a child that may map 256 MiB: xz alone may ask for half of it."""
    (tmp_path / "image").write_bytes(case.make(b"/nowhere"))

    def work():
        try:
            inspect(str(tmp_path / "image"))
        except ArchiveError as error:
            return {"code": error.code, "text": str(error)}
        return {}

    report = sandbox.run(work, (), Limits(working_memory=256 << 20))
    assert report["code"] == case.code
    assert re.search(case.words, report["text"])


@pytest.mark.spec("A2")
@pytest.mark.spec("A3")
@pytest.mark.parametrize("case", SMALL)
def test_unpacking(unpack, case):
    check_unpacking(unpack, case)


@pytest.mark.parametrize("unpack", [True], ids=["openat2"], indirect=True)
@pytest.mark.parametrize("case", LARGE)
def test_unpacking_bombs(unpack, case):
    check_unpacking(unpack, case)


def check_unpacking(unpack, case):
    data = case.make(unpack.outside)
    if case.verdict == "refuse" and case.seen != "manifest":
        with pytest.raises(ArchiveError) as caught:
            unpack(data)
        check_error(caught.value, case)
        return
    try:
        result = unpack(data)
    except ArchiveError as error:
        assert case.verdict == "inside", str(error)
        check_error(error, case._replace(code="archive"))
        return
    assert (result.skipped_count > 0) == (case.verdict == "skip")


def test_the_same_image_for_who_looks_and_who_unpacks(look, unpack):
    data = CASES["hard links"].make(b"")
    assert look(data).image_id == unpack(data).image_id == "sha512-" + hashlib.sha512(data).hexdigest()


@pytest.mark.parametrize("size", [1, 511, 513, 4096])
def test_the_pieces_that_an_archive_comes_in_change_nothing(size):
    """Every archive as one piece and as many: the same members, or the same error."""

    def read(data, size):
        try:
            return list(entries((data[at : at + size] for at in range(0, len(data), size)), Limits()))
        except ArchiveError as error:
            return str(error)

    compared = 0
    for case in CASES.values():
        data = b"" if case.large else case.make(b"/nowhere")
        if 0 < len(data) < 40_000:
            assert read(data, size) == read(data, len(data)), case.name
            compared += 1
    assert compared > 250


def test_every_class_has_cases_of_its_own():
    groups = {case.group for case in CASES.values()}
    assert groups == {
        *("names", "image", "duplicates", "shape", "owner and mode", "symlinks", "hard links", "nodes", "xattrs"),
        *("whiteouts", "types", "sparse", "headers", "records", "times", "ends", "format", "manifest", "bombs", "compressed"),
    }
    assert {case.verdict for case in CASES.values()} == {"accept", "skip", "inside", "refuse"}
