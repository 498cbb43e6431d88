# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Tables for people, JSON for machines."""

from __future__ import annotations

import json

from _rocket.cli import output

HOSTILE = "x\x1b]0;owned\x07\r\ny\u202e"


def test_control_characters_never_reach_the_terminal():
    """L43: a naive table passes ESC on to the terminal, or lets a newline forge a row."""
    text = output.table(["NAME"], [[HOSTILE]], width=200)
    assert text.count("\n") == 2
    assert all(c == "\n" or " " <= c <= "~" for c in text)
    assert r"\x1b" in text


def test_json_is_ascii_and_keeps_the_value():
    text = output.json_text({"name": HOSTILE})
    assert text.isascii() and "\x1b" not in text
    assert json.loads(text) == {"name": HOSTILE}


def test_table_fits_the_terminal_by_cutting_the_widest():
    text = output.table(["UUID", "IMAGE"], [["12345678", "i" * 300], ["12345678", "short"]], width=60)
    lines = text.splitlines()
    assert max(map(len, lines)) == 60
    assert lines[1].startswith("12345678  iii") and lines[1].endswith("..")


def test_table_is_whole_where_no_terminal_is():
    assert "i" * 200 in output.table(["IMAGE"], [["i" * 200]], width=0)


def test_many_columns_on_a_narrow_terminal_stay_readable():
    text = output.table(["A"] * 8, [["12345678"] * 8], width=20)
    assert text.splitlines()[1].split() == ["12345678"] * 8


def test_nothing_is_a_dash():
    assert output.table(["A", "B"], [[None, ""]], width=80).splitlines()[1] == "-  -"
    assert output.when(None) == "-"
    assert output.when(1) == "1970-01-01 00:00:01"


def test_sizes():
    assert [output.size(n) for n in (0, 1023, 1024, 5 << 30, 3 << 50)] == ["0 B", "1023 B", "1.0 KiB", "5.0 GiB", "3072.0 TiB"]


def test_note_is_one_escaped_line(capsys):
    output.note("a\n" + HOSTILE)
    text = capsys.readouterr().err
    assert text.startswith("rocket: a\\n") and text.count("\n") == 1 and "\x1b" not in text
