# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The page of conformance cannot go stale: each way for it to lie is found."""

from __future__ import annotations

import sys

import checkout
import pytest

sys.path.insert(0, str(checkout.TOP / "tests" / "tools"))

import conformance
import requirements
from requirements import Requirement

ROWS = [
    Requirement("T1", "MUST", "names"),
    Requirement("S1", "SHOULD", "a service"),
    Requirement("P18", "MAY", "files", "directories alone"),
    Requirement("resource/cpu", "MUST", "cores"),
]
PLACES, PROOFS = {"T1": ["spec/a.py"], "resource/cpu": ["spec/b.py"]}, {"T1": ["one"], "resource/cpu": ["two"]}
MISSING = {"S1": "a server"}


def problems(excepted=(), **changes):
    given = {"rows": ROWS, "missing": MISSING, "places": PLACES, "proofs": PROOFS, **changes}
    return conformance.problems(given["rows"], given["missing"], ("T", excepted), given["places"], given["proofs"])


def test_what_is_in_order_is_left_alone():
    assert problems() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"proofs": {"resource/cpu": ["two"]}}, "T1 has no test"),
        ({"places": {"resource/cpu": ["spec/b.py"]}}, "T1 has no place"),
        ({"proofs": {**PROOFS, "T99": ["three"]}}, "a mark names T99, which is no requirement: three"),
        ({"proofs": {**PROOFS, "": ["three"]}}, "a mark names no number, which is no requirement: three"),
        ({"places": {**PLACES, "M77": ["spec/c.py"]}}, "the code names M77, which is no requirement: spec/c.py"),
        ({"missing": {**MISSING, "S2": "x"}}, "the list of what is not offered names S2, which is no requirement: x"),
        ({"proofs": {**PROOFS, "S1": ["three"]}}, "S1 is proven by three: take it from the list of what is not offered"),
        ({"missing": {**MISSING, "T1": "x"}, "proofs": {"resource/cpu": ["two"]}}, "T1 is about data and has to be offered"),
        ({"rows": [*ROWS, ROWS[0]]}, "T1 is listed twice"),
        ({"rows": [*ROWS[1:], Requirement("T1", "MUST", "names", "not ours")]}, "T1 is a MUST, there is nothing to decide"),
        ({"missing": {**MISSING, "P18": "x"}}, "P18 is not offered, there is nothing to decide"),
    ],
)
def test_what_is_out_of_order_is_said(changes, said):
    assert problems(**changes) == [said]


def test_what_no_reader_does_may_be_missing_among_the_data():
    proofs = {"resource/cpu": ["two"]}
    assert problems(missing={**MISSING, "T1": "x"}, proofs=proofs, excepted=("T1",)) == []


def test_citations_are_in_strings_and_comments_and_are_no_ranges():
    text = '"""Names (T1), M1 to M3, P4-P6, E2-like."""\nimport V1  # see V7\nraise error(rule="I3")\nD4 = f"{y} (S2)", "P256-T5 x/T6"\n'
    assert conformance.citations_of(text, "run/a.py", []) == {"T1", "V7", "I3", "S2"}


def test_an_isolator_is_read_in_one_part_and_enforced_in_another():
    names = ["resource/cpu", "resource/cpu enforced", "neither capabilities set"]
    text = 'x = "resource/cpu"\n# With neither\n'
    assert conformance.citations_of(text, "spec/a.py", names) == {"resource/cpu"}
    assert conformance.citations_of(text, "run/linux/a.py", names) == {"resource/cpu enforced"}
    assert conformance.citations_of('x = "resource/cpu-more"', "spec/a.py", names) == set()
    assert conformance.citations_of('"""With neither\ncapabilities set."""', "run/a.py", names) == {"neither capabilities set"}


def test_marks_are_read_wherever_they_stand():
    text = """
ALL = ("T1", *("T2", "a/b"))
@pytest.mark.spec("M1", "M2")
def test_a(): pass
class TestB:
    @pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.spec("M3"))])
    async def test_b(self): pass
@pytest.mark.spec(*ALL)
def test_c(): pass
@pytest.mark.spec(NAME)
def test_d(): pass
@pytest.mark.spec()
def test_e(): pass
def no_test(): pass
"""
    assert sorted(conformance.marks_of(text)) == [
        ("", "test_d"),
        ("", "test_e"),
        ("M1", "test_a"),
        ("M2", "test_a"),
        ("M3", "test_b"),
        ("T1", "test_c"),
        ("T2", "test_c"),
        ("a/b", "test_c"),
    ]


def test_a_page_that_is_stale_is_an_error(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(conformance, "PAGE", tmp_path / "page.md")
    assert conformance.main([]) == 0
    assert conformance.main(["--check"]) == 0
    with conformance.PAGE.open("a", encoding="utf-8") as file:
        file.write("more\n")
    assert conformance.main(["--check"]) == 1
    assert "is not what would be written" in capsys.readouterr().out


def test_the_page_says_what_is_missing_and_what_was_decided():
    text = conformance.page(ROWS, {"T": "Types", "S": "Service", "P": "Pods"}, MISSING, PLACES, PROOFS)
    assert "| T1 | names (MUST) | `spec/a.py` | one |" in text
    assert "a service (SHOULD)<br>**not offered yet: a server**" in text
    assert "files (MAY)<br>**decided:** directories alone" in text
    assert text.index("## Types") < text.index("## Service") < text.index("## Isolators one by one")


def test_deliberate_differences_are_shown_and_their_rules_exist(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(conformance, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(
        conformance, "differences_of_the_tests", lambda: [("long names", "T1", "we refuse"), ("odd ones", "T77", "we accept")]
    )
    assert conformance.main([]) == 1
    assert "| long names | T1 | we refuse |" in conformance.PAGE.read_text(encoding="utf-8")
    assert "the difference 'odd ones' names T77" in capsys.readouterr().out


def test_all_requirements_are_listed():
    numbers = [row.number for row in requirements.REQUIREMENTS]
    for letter, last, extra in (("T", 12, "T9a T11a"), ("A", 11, ""), ("M", 18, "M14a"), ("D", 7, ""), ("P", 22, ""), ("E", 8, "")):
        assert {f"{letter}{number}" for number in range(1, last + 1)} | set(extra.split()) == {n for n in numbers if n[0] == letter}
    for letter, last in (("I", 5), ("S", 6), ("V", 11)):
        assert [f"{letter}{number}" for number in range(1, last + 1)] == [n for n in numbers if n[0] == letter]
