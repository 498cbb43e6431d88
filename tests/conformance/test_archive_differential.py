# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Our reading of archives against that of the specification's own library: the corpus, and archives made by chance.

Where we differ is in DIFFERENCES, by rule; a row that explains nothing any more fails, and so does a difference that no row
explains.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from actool import IT_CRASHES, WE_ACCEPT, WE_REFUSE, Difference, Differences, Verdict, validate
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "image"))

import generated_archives
from image_corpus import corpus

from _rocket.errors import RocketError
from _rocket.image.check import inspect

EXAMPLES = 400


class Checked(NamedTuple):
    """An archive and what is known of it."""

    name: str
    data: bytes


def words(pattern):
    """Return a predicate: our refusal says this."""
    return lambda _checked, refusal: refusal is not None and re.search(pattern, refusal) is not None


def holds(*marks):
    """Return a predicate: the archive holds one of these bytes, and we accept it."""
    return lambda checked, refusal: refusal is None and any(mark in checked.data for mark in marks)


def has_global_record(checked, refusal):
    """Predicate: there is a record for the whole archive, and we accept it."""
    return refusal is None and any(checked.data[at + 156 : at + 162] == b"g" + bytes(5) for at in range(0, len(checked.data), 512))


def begins(*marks):
    """Return a predicate: the archive begins so, and we accept it."""
    return lambda checked, refusal: refusal is None and checked.data.startswith(marks)


DIFFERENCES = [
    Difference("an archive has its end marker", "A9", WE_REFUSE, words("the archive ends early|ends after a header record|is incomplete")),
    Difference("nothing stands behind the end of an archive", "A9", WE_REFUSE, words("data after the end marker of the archive")),
    Difference("compressed data is whole", "A9", WE_REFUSE, words("(gzip|bzip2|xz) data (ends early|is damaged)")),
    Difference("nothing stands behind compressed data", "A9", WE_REFUSE, words("data after the end of the (gzip|bzip2|xz) data")),
    Difference("every name once, also rootfs and the top", "A2", WE_REFUSE, words(r"in the archive twice \(A2\)")),
    Difference("rootfs is a part and no prefix", "A3", WE_REFUSE, words(r"'manifest' and 'rootfs' alone \(A3\)")),
    Difference("a manifest is a file", "A3", WE_REFUSE, words(r"has to be a file \(A3\)")),
    Difference("no part is empty or a dot", "A3", WE_REFUSE, words(r"absolute or has an empty or '\.' part \(A3\)")),
    Difference("no name climbs", "A3", WE_REFUSE, words(r"a name contains '\.\.'")),
    Difference(
        "names have bounds and no NUL",
        "A3",
        WE_REFUSE,
        words("name (is empty|contains NUL|is longer|has more than)"),
    ),
    Difference("only directories are named as such", "A3", WE_REFUSE, words("the name of a .* ends in '/'")),
    Difference("a hard link stays in rootfs", "A3", WE_REFUSE, words("a hard link leads (out of|to itself)")),
    Difference("links have a target", "A3", WE_REFUSE, words("the target of a link is empty, too long or contains NUL")),
    Difference("links have no content", "A4", WE_REFUSE, words("a hardlink has content")),
    Difference("an owner can be set", "A4", WE_REFUSE, words("the [ug]id (is negative|does not fit)|the PAX [ug]id is not a number")),
    Difference("a mode is no negative number", "A4", WE_REFUSE, words("the mode is negative")),
    Difference("attributes that Linux can hold", "A4", WE_REFUSE, words("an extended attribute is larger")),
    Difference("no sparse and no unknown types", "A4", WE_REFUSE, words("the entry type .* is not supported")),
    Difference("no key that changes what an entry is", "A4", WE_REFUSE, words("the PAX key .* is (not supported|repeated)")),
    Difference("no record for all entries", "A4", WE_REFUSE, words("a global PAX header sets")),
    Difference("one record of a kind for an entry", "A4", WE_REFUSE, words("header records are repeated|has two long")),
    Difference("ustar or GNU tar, to the letter", "A2", WE_REFUSE, words("neither POSIX nor GNU tar")),
    Difference("nothing in a header that some take for a name", "A2", WE_REFUSE, words("the end of a header is in use")),
    Difference("names of the specification", "T1", WE_REFUSE, words(r"\(T1\)")),
    Difference("a white list that does not climb", "M17", WE_REFUSE, words(r"\(M17\)")),
    Difference("two members of one name", "A10", WE_REFUSE, words("is given twice")),
    Difference("integers of 64 bits", "A10", WE_REFUSE, words("integers have 64 bits")),
    Difference("zstd, our extension", "A5", WE_ACCEPT, begins(b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")),
    # It takes a global record for an entry, although git archive and others write one.
    Difference("comments for the whole archive", "A3", WE_ACCEPT, has_global_record),
    Difference("a time that no file can have is clamped", "A4", WE_ACCEPT, holds(b" mtime=" + b"9" * 40)),
    Difference("an attribute with NUL in its name is dropped", "A4", WE_ACCEPT, holds(b"SCHILY.xattr.user.a\0b=")),
]


def ours(path):
    """Return our refusal, or None."""
    try:
        inspect(str(path))
    except RocketError as error:
        return error.what
    return None


class Comparison:
    """Both verdicts on archives, one after the other."""

    def __init__(self, program, directory):
        self.program = program
        self.path = directory / "x.aci"
        self.differences = Differences(DIFFERENCES)

    def __call__(self, checked):
        self.path.write_bytes(checked.data)
        refusal, verdict = ours(self.path), validate(self.program, [self.path])[0]
        unexplained = self.differences.explain(checked, refusal, verdict)
        assert not unexplained, f"{checked.name}: {unexplained}\n{generated_archives.listing(checked.data)}"
        return refusal, verdict


def test_archives_differ_from_the_library_by_rule_alone(program, tmp_path):
    """The corpus first, then archives made by chance: none may differ otherwise, and each row has to explain something."""
    compare = Comparison(program("actool"), tmp_path)
    for case in corpus().values():
        if not case.large:
            compare(Checked(case.name, case.make(b"/nowhere")))
    assert compare.differences.unused() == []
    found = {"accepted": 0, "refused": 0}

    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None)
    @given(generated_archives.archives(st))
    def chance(archive):
        refusal, _verdict = compare(Checked(repr(archive), archive.data()))
        # What chance made without a defect is an image, for both.
        assert (refusal is None) == (not archive.refused()), f"{archive}: {refusal}\n{generated_archives.listing(archive.data())}"
        found["accepted" if refusal is None else "refused"] += 1

    chance()
    assert min(found.values()) > EXAMPLES // 8, found


def test_a_difference_that_no_row_explains_is_told():
    differences = Differences(DIFFERENCES)
    checked = Checked("x", b"")
    assert differences.explain(checked, "something new", Verdict(True))
    assert differences.explain(checked, None, Verdict(False, "it does not like it"))
    assert differences.explain(checked, "the archive ends early", Verdict(True)) == ""
    assert differences.explain(checked, "the archive ends early", Verdict(False, "panic: ")).startswith(IT_CRASHES)


@pytest.mark.parametrize("row", DIFFERENCES, ids=[row.name for row in DIFFERENCES])
def test_no_row_explains_everything(row):
    assert not row.applies(Checked("x", b""), None)
    assert not row.applies(Checked("x", b""), "something new")
