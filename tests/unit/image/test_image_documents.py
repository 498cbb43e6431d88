# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""docs/security-model.md says of archives what the code does: the limits, and what becomes of each class."""

from __future__ import annotations

import pathlib
import re

from image_corpus import corpus

from _rocket.image import space
from _rocket.image.limits import DEFAULT

TEXT = (pathlib.Path(__file__).resolve().parents[3] / "docs" / "security-model.md").read_text(encoding="utf-8")
UNITS = {"": 1, "MiB": 1 << 20, "GiB": 1 << 30}
WORDS = {"refused": "refuse", "inside": "inside", "skipped": "skip", "accepted": "accept"}


def rows(heading):
    """Return the cells of the rows of the table below a heading."""
    body = TEXT.split(f"### {heading}\n")[1].split("\n#")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines() if line.startswith("|")][2:]


def test_the_limits_are_those_of_the_code():
    told = {}
    for name, value, _what in rows("Limits"):
        number, unit = re.fullmatch(r"(\d+)(?: (MiB|GiB))?", value).groups()
        told[name.strip("`")] = int(number) * UNITS[unit or ""]
    assert told == {name: getattr(DEFAULT, name) for name in type(DEFAULT).__annotations__}


def test_the_looks_at_the_reserve_are_those_of_the_code():
    told = {name: what for name, _value, what in rows("Limits")}
    assert f"every {space.LOOK_EVERY >> 20} MiB" in told["`reserve`"]
    assert f"every {space.LOOK_EVERY_FILES} files" in told["`reserve_files`"]


def test_the_classes_are_those_of_the_corpus():
    told = {name: {WORDS[word] for word in verdicts.split(", ")} for name, verdicts, _examples in rows("What becomes of an archive")}
    found = {}
    for case in corpus().values():
        found.setdefault(case.group, set()).add(case.verdict)
    assert told == found
