# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Strict JSON: what two readers could take for two things is refused, before it costs anything."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from _rocket.errors import SpecError
from _rocket.spec import reading
from _rocket.spec.canonical import dumps
from _rocket.spec.reading import MAX_BYTES, MAX_DEPTH, Node, load

# A slow machine is no defect of the code.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@PATIENT
@given(VALUES)
def test_what_is_written_is_read(value):
    assert load(dumps(value), "x") == value
    assert load(json.dumps(value, ensure_ascii=False).encode(), "x") == value


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1, "a": 2}', 'x: the member "a" is given twice'),
        (b'{"b": [{"a": 1, "\\u0061": 2}]}', 'x: b[0]: the member "a" is given twice'),
        (b'{"a": {"b": 1.0}}', "x: a.b: only integers are allowed, not 1.0"),
        (b'{"a": 1e3}', "x: a: only integers are allowed, not 1e3"),
        (b'{"a": NaN}', "x: a: only integers are allowed, not NaN"),
        (b'{"a": -Infinity}', "x: a: only integers are allowed, not -Infinity"),
        (b'{"a": 9223372036854775808}', "x: a: integers have 64 bits"),
        (b'{"a": ' + b"9" * 5000 + b"}", "x: a: integers have 64 bits"),
        (b'{"a": "\\ud800"}', "x: a: half of a surrogate pair"),
        (b'{"\\udc00": 1}', "half of a surrogate pair"),
        (b'{"a b": 1.5}', 'x: ["a b"]: only integers'),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b"\xff", "is not UTF-8 at byte 0"),
        (b"", "is not JSON at line 1, column 1"),
        (b"{} {}", "is not JSON"),
        (b"{'a': 1}", "is not JSON"),
        (b'{"a": 1,}', "is not JSON"),
    ],
)
def test_refused(data, message):
    with pytest.raises(SpecError) as refused:
        load(data, "x")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


ODD = ["", " ", "null", " null\n", "1 2", "[] x", "\x0b[]", "[]\x0b", "\u00a0[]", "[]\u00a0", "\ufeff[]", "[1,]"]
ODD += ['"\t"', '"\\ud800"', "NaN", "[-Infinity]"]
ODD += ["1.0", "1e5", "-0", "01", str(1 << 63), "9" * 5000, '{"a": 1, "a": 2}', '{"a": {"b": 1, "b": 1}}', "{'a': 1}"]
ODD += ['\r\n{"a" : [true, false, null]}\t ']


def outcome(text):
    """Return the value, or what is wrong with the text."""
    try:
        return repr(load(text.encode(), "x"))
    except SpecError as error:
        return str(error)


@pytest.mark.parametrize("text", ODD)
def test_the_scanner_alone_reads_what_json_reads(text, monkeypatch):
    found = outcome(text)
    monkeypatch.setitem(sys.modules, "_json", None)
    assert reading._scanned("[]") is None and outcome(text) == found


@given(st.text('[]{}",:0123456789eE+-.truefalsn \\\n\t\x0b\u00a0', max_size=12))
def test_the_scanner_alone_reads_what_json_reads_of_any_text(text):
    found = outcome(text)
    scanned, reading._scanned = reading._scanned, lambda text: None
    try:
        assert outcome(text) == found
    finally:
        reading._scanned = scanned


def test_a_member_given_twice_is_found_below_another_such():
    with pytest.raises(SpecError, match="given twice"):
        load(b'{"a": {"b": 1, "b": 2}, "a": 1}', "x")


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth(opening, closing):
    assert load(opening * MAX_DEPTH + b"1" + closing * MAX_DEPTH, "x")
    for deep in (opening * (MAX_DEPTH + 1) + b"1" + closing * (MAX_DEPTH + 1), opening * 100_000):
        with pytest.raises(SpecError, match="nested deeper than 64"):
            load(deep, "x")


def test_brackets_in_a_text_are_no_depth():
    text = '["\\' * 50 + "[{" * 200
    assert load(json.dumps([text, text]).encode(), "x") == [text, text]


@pytest.mark.parametrize("start", [b'["\\\\', b'["\\\\\\"', b'["\\"\\\\'])
def test_a_text_with_escapes_does_not_hide_depth(start):
    with pytest.raises(SpecError, match="nested deeper"):
        load(start + b'",' + b"[" * 100 + b"]" * 101, "x")


def test_siblings_are_no_depth():
    assert len(load(b"[" + b",".join([b"[]"] * 500) + b"]", "x")) == 500


def test_depth_is_refused_before_parsing(monkeypatch):
    monkeypatch.setattr(json, "loads", lambda *_args, **_named: pytest.fail("parsed"))
    monkeypatch.setattr(reading, "_scanned", lambda _text: pytest.fail("parsed"))
    with pytest.raises(SpecError, match="deeper"):
        load(b"[" * 65, "x")
    with pytest.raises(SpecError, match="bytes"):
        load(b" " * (MAX_BYTES + 1), "x")


def test_size():
    assert load(b" " * (MAX_BYTES - 2) + b"{}", "x") == {}
    with pytest.raises(SpecError, match="at most 1048576"):
        load(b" " * (MAX_BYTES - 1) + b"{}", "x")


def test_null_is_absent_where_optional_and_missing_where_required():
    node = Node({"a": None}, "app")
    assert node.optional("a") is None
    with pytest.raises(SpecError, match=r"^app\.a: is required \(M7\)$"):
        node.required("a", "M7")
    assert Node({"a": None, "b": 1}, "").rest() == (("b", 1),)


def test_another_case_is_another_member():
    with pytest.raises(SpecError, match="write acKind, not ackind"):
        Node({"ackind": "x"}, "").required("acKind", "M1")


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda node: node.integer(0, 9), True),
        (lambda node: node.integer(0, 9), 10),
        (lambda node: node.integer(0, 9), -1),
        (lambda node: node.integer(0, 9), "1"),
        (lambda node: node.boolean(), 1),
        (lambda node: node.boolean(), "true"),
        (lambda node: node.text(), 1),
        (lambda node: node.text(), "a\0b"),
        (lambda node: node.text(empty=False), ""),
        (lambda node: node.items(), {}),
        (lambda node: node.items(), "ab"),
        (lambda node: node.items(), [None]),
        (lambda node: node.members(), []),
        (lambda node: node.members(), {1: 2}),
    ],
)
def test_types_are_exact(read, value):
    with pytest.raises(SpecError) as refused:
        read(Node(value, "here"))
    assert str(refused.value).startswith("here")


def test_unknown_members_are_refused_with_the_nearest_known():
    node = Node({"name": "x", "enviroment": {}}, "apps[0]")
    node.required("name")
    node.optional("environment")
    with pytest.raises(SpecError, match=r"apps\[0\]\.enviroment: unknown member; did you mean environment\?"):
        node.refuse_unknown()
    other = Node({"zzzzzz": 1}, "")
    other.optional("name")
    with pytest.raises(SpecError, match="known here: name"):
        other.refuse_unknown()


def test_a_path_cannot_forge_a_line():
    with pytest.raises(SpecError) as refused:
        load(b'{"a\\nb": 1.5}', "x")
    assert "\n" not in str(refused.value)


def test_the_deepest_level_may_have_siblings():
    deep = b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
    assert len(load(b"[" + deep + b",[],[]]", "x")) == 3
    with pytest.raises(SpecError, match="deeper"):
        load(b"[[]," + b"[" + deep + b"]]", "x")
