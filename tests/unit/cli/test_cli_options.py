# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The grammar of command lines and the help made from the tables."""

from __future__ import annotations

import pytest

from _rocket.cli import options
from _rocket.errors import UsageError

COMMAND = options.Command(
    name="try",
    usage="[--name=N] [--set=K] WORD...",
    summary="Try something out that takes long enough to explain to be broken into several lines of at most eighty columns.",
    options=(
        options.Option("--name", "a name", "N"),
        options.Option("--set", "may be repeated", "K=V", True),
        options.Option("--quiet", "a flag"),
        options.Option("--a-very-long-option-name", "meaning", "WITH-A-LONG-VALUE"),
    ),
    arguments=(1, 2),
    examples=(("rocket try x", "once"),),
)


def read(*words):
    return options.parse(COMMAND, words)


def test_both_forms_of_a_value_and_mixed_order():
    parsed = read("--name=a=b", "one", "--set", "x=1", "--set=y=2", "two", "--quiet")
    assert parsed.arguments == ("one", "two")
    assert parsed.values.text("--name") == "a=b"
    assert parsed.values.every("--set") == ["x=1", "y=2"]
    assert parsed.values.flag("--quiet")


def test_double_dash_ends_the_options():
    assert read("--quiet", "--", "--name", "-x").arguments == ("--name", "-x")


def test_a_lone_dash_is_an_argument():
    assert read("-").arguments == ("-",)


def test_flag_can_be_switched_off():
    assert not read("--quiet=false", "x").values.flag("--quiet")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nmae=x", "w"], "did you mean --name?"),
        (["-q", "w"], "unknown option '-q'"),
        (["--name"], "needs a value"),
        (["--name=", "w"], "needs a value"),
        (["--name", "", "w"], "needs a value"),
        (["--name", "--quiet", "w"], "write --name=N"),
        (["--name=a", "--name=b", "w"], "given twice"),
        (["--quiet=yes", "w"], "takes no value but true or false"),
        ([], "something is missing"),
        (["a", "b", "c"], "does not know what to do with 'c'"),
    ],
)
def test_what_cannot_be_understood_is_refused(words, message):
    with pytest.raises(UsageError) as caught:
        read(*words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "9" * 10, "١", "", "+1"])
def test_numbers_are_plain_digits(text):
    values = options.Values((("--tail", text),))
    with pytest.raises(UsageError):
        values.number("--tail", 5)


def test_number_bounds_and_default():
    assert options.Values().number("--tail", 5) == 5
    assert options.Values((("--tail", "0"),)).number("--tail", 5) == 0
    with pytest.raises(UsageError):
        options.Values((("--tail", "0"),)).number("--tail", 5, least=1)


def test_choice_is_one_of_the_words():
    with pytest.raises(UsageError, match="one of table, json"):
        options.Values((("--format", "yaml"),)).choice("--format", ("table", "json"), "table")


def test_help_wins_over_missing_arguments_and_fits_80_columns():
    assert read("--help").help
    text = options.help_text(COMMAND)
    assert max(map(len, text.splitlines())) <= 80
    assert "--a-very-long-option-name=WITH-A-LONG-VALUE" in text
    assert "rocket try x" in text


def test_help_after_double_dash_is_an_argument():
    assert not read("w", "--", "--help").help


def test_what_follows_a_command_of_another_program_is_its_own():
    command = options.Command("try", "POD [COMMAND...]", "x", (options.Option("--app", "x", "N"),), (1, -1), raw_from=2)
    parsed = options.parse(command, ["pod", "--app=web", "/bin/ls", "-l", "--help", "--", "--app=x"])
    assert parsed.arguments == ("pod", "/bin/ls", "-l", "--help", "--", "--app=x")
    assert parsed.values.text("--app") == "web"
    assert options.parse(command, ["pod", "--", "-x"]).arguments == ("pod", "-x")
    assert options.parse(command, ["pod", "--help"]).help


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800), ("1h30m", 5400), ("0", 0)]
)
def test_a_time_is_written_as_people_do(text, seconds):
    assert options.Values((("--grace-period", text),)).seconds("--grace-period", 5) == seconds


@pytest.mark.parametrize("text", ["m", "1.5h", "-1", "3w", "1h30", "9999999999", "1 h", "٣s", ""])
def test_what_is_no_time_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="such as 90s, 30m or 24h"):
        options.Values((("--grace-period", text),)).seconds("--grace-period", 5)
