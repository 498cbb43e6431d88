# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Command lines: tables of options, the parser that reads them and the help made from them.

rkt's grammar: ``--opt=value`` or ``--opt value``, flags without a value (``--quiet``, also ``--quiet=false``), ``--`` ends the
options. Written by hand because importing ``argparse`` costs a whole launch.

Not handled here: single-letter options (only ``-h``), what the values mean, the grammar of several apps (pod_line.py).
"""

from __future__ import annotations

from ..errors import UsageError
from ..record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 80


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str, name: str) -> int:
    """Return a time in seconds: ``90``, ``90s``, ``30m``, ``24h``, ``7d`` or ``1h30m``; `name` is what an operator calls it.

    Raises:
        UsageError: not such a time, or over nine digits.
    """
    total, digits = 0, ""
    for character in f"{text}s" if text.isdigit() else text:
        if character.isascii() and character.isdigit() and len(digits) < 9:
            digits += character
        elif digits and character in _UNITS:
            total, digits = total + int(digits) * _UNITS[character], ""
        else:
            digits = "?"
            break
    if digits or not text:
        raise UsageError(f"expects a time such as 90s, 30m or 24h, not {text!r}", where=name)
    return total


class Option(Record):
    """One option of a table.

    Attributes:
        name: with its two dashes.
        meaning: one or two lines for ``--help``.
        value: what the value is called in ``--help``; empty for a flag.
        repeatable: whether it may be given several times.
    """

    name: str
    meaning: str
    value: str = ""
    repeatable: bool = False


class Command(Record):
    """What a subcommand takes, and its help.

    Attributes:
        name: as typed, ``image list``.
        usage: what follows the name on the usage line.
        summary: one sentence.
        options: the table; for ``run`` and ``prepare`` the pod's.
        arguments: least and most number of words that are not options; -1 for no upper bound.
        examples: pairs of a command line and what it does.
        app_options: options that follow an image, for ``run`` and ``prepare``.
        raw_from: after so many arguments the rest is taken as it stands, options of another program; 0 for never.
        apart: whether what follows ``--`` is kept apart from the arguments, words of another program.
    """

    name: str
    usage: str
    summary: str
    options: tuple[Option, ...] = ()
    arguments: tuple[int, int] = (0, 0)
    examples: tuple[tuple[str, str], ...] = ()
    app_options: tuple[Option, ...] = ()
    raw_from: int = 0
    apart: bool = False


class Values(Record):
    """The options that were given: pairs of name and value, in order; a flag's value is ``true`` or ``false``."""

    given: tuple[tuple[str, str], ...] = ()

    def every(self, name: str) -> list[str]:
        """Return all values of a repeatable option, in order."""
        return [value for key, value in self.given if key == name]

    def text(self, name: str, default: str = "") -> str:
        """Return the value of an option, or `default`."""
        found = self.every(name)
        return found[-1] if found else default

    def flag(self, name: str) -> bool:
        """Return whether a flag is set."""
        return self.text(name) == "true"

    def has(self, name: str) -> bool:
        """Return whether the option was given at all."""
        return any(key == name for key, _rest in self.given)

    def number(self, name: str, default: int, least: int = 0) -> int:
        """Return a whole number.

        Raises:
            UsageError: not digits, below `least`, or over nine digits.
        """
        if not self.has(name):
            return default
        text = self.text(name)
        if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) < least:
            raise UsageError(f"expects a whole number from {least}, not {text!r}", where=name)
        return int(text)

    def seconds(self, name: str, default: int) -> int:
        """Return a time in seconds, as `seconds_of` reads it; raises UsageError."""
        return seconds_of(self.text(name), name) if self.has(name) else default

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        """Return one of `choices`.

        Raises:
            UsageError: another word.
        """
        text = self.text(name, default)
        if text not in choices:
            raise UsageError(f"expects one of {', '.join(choices)}, not {text!r}", where=name)
        return text


class Parsed(Record):
    """A command line that was read: its options, its other words and those that were kept apart."""

    values: Values
    arguments: tuple[str, ...]
    help: bool = False
    rest: tuple[str, ...] = ()


def _nearest(word: str, words: Sequence[str]) -> str:
    from ..spec.identifier import nearest

    found = nearest(word, list(words))
    return f"did you mean {found}? " if found else ""


def unknown(word: str, words: Sequence[str], what: str, usage: str) -> UsageError:
    """Return the error for a word that is in no table, with the nearest one that is."""
    return UsageError(f"unknown {what} {word!r}", hint=f"{_nearest(word, words)}see {usage} --help")


def take(table: Sequence[Option], words: Sequence[str], index: int, usage: str) -> tuple[str, str, int]:
    """Read the option at `index`; return its name, its value and the index of the next word.

    Raises:
        UsageError: not in `table`, a value is missing, or a flag has another value than true or false.
    """
    name, equals, value = words[index].partition("=")
    for option in table:
        if option.name == name:
            break
    else:
        raise unknown(name, [option.name for option in table], "option", usage)
    if not option.value:
        if equals and value not in ("true", "false"):
            raise UsageError(f"is a flag: it takes no value but true or false, not {value!r}", where=name)
        return name, value or "true", index + 1
    if value:
        return name, value, index + 1
    if equals or index + 1 == len(words) or not words[index + 1] or words[index + 1].startswith("--"):
        # An empty value is a variable that a script forgot to set.
        raise UsageError(f"needs a value: {option.value}", where=name, hint=f"write {name}={option.value}")
    return name, words[index + 1], index + 2


def add(given: list[tuple[str, str]], name: str, value: str, table: Sequence[Option]) -> None:
    """Append an option that was read.

    Raises:
        UsageError: given twice though not repeatable; the last one winning would hide what a script meant.
    """
    repeatable = any(option.name == name and option.repeatable for option in table)
    if not repeatable and any(key == name for key, _rest in given):
        raise UsageError("given twice", where=name, hint="give it once")
    given.append((name, value))


def is_option(word: str) -> bool:
    """Return whether a word is an option rather than an argument; a lone dash is an argument."""
    return len(word) > 1 and word[0] == "-"


def parse(command: Command, words: Sequence[str]) -> Parsed:
    """Read the words after a subcommand's name; options and arguments may be mixed until ``--``.

    Raises:
        UsageError: an unknown or repeated option, a missing value, too few or too many arguments.
    """
    usage = f"rocket {command.name}"
    given: list[tuple[str, str]] = []
    arguments: list[str] = []
    rest: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        if command.raw_from and len(arguments) >= command.raw_from:
            arguments += words[index:]
            break
        if word in ("-h", "--help"):
            return Parsed(values=Values(), arguments=(), help=True)
        if word == "--":
            (rest if command.apart else arguments).extend(words[index + 1 :])
            break
        if is_option(word):
            name, value, index = take(command.options, words, index, usage)
            add(given, name, value, command.options)
        else:
            arguments.append(word)
            index += 1
    least, most = command.arguments
    if len(arguments) < least:
        raise UsageError("something is missing", where=usage, hint=f"usage: {usage} {command.usage}".rstrip())
    if most >= 0 and len(arguments) > most:
        raise UsageError(f"does not know what to do with {arguments[most]!r}", where=usage, hint=f"usage: {usage} {command.usage}".rstrip())
    return Parsed(values=Values(tuple(given)), arguments=tuple(arguments), rest=tuple(rest))


def wrapped(text: str, indent: str, first: str | None = None) -> list[str]:
    """Break a text at spaces into lines of at most WIDTH characters; `first` replaces the indent of the first line."""
    lines: list[str] = []
    line = indent if first is None else first
    empty = True
    for word in text.split():
        if not empty and len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line, empty = indent, True
        line += word if empty else f" {word}"
        empty = False
    return [*lines, line]


def option_lines(options: Sequence[Option]) -> list[str]:
    """Return the lines of help for a table: the option, and its meaning beside or below it."""
    lines: list[str] = []
    indent = " " * 28
    for option in options:
        head = f"  {option.name}={option.value}" if option.value else f"  {option.name}"
        if len(head) > len(indent) - 2:
            lines += [head, *wrapped(option.meaning, indent)]
        else:
            lines += wrapped(option.meaning, indent, head.ljust(len(indent)))
    return lines


def help_text(command: Command) -> str:
    """Return the help of a subcommand: usage, meaning, options and examples; at most 80 columns."""
    usage = f"Usage: rocket {command.name} {command.usage}".rstrip()
    lines = [*wrapped(usage, " " * 9, ""), "", *wrapped(command.summary, "")]
    if command.options:
        title = "Options of the pod, before the first image:" if command.app_options else "Options:"
        lines += ["", title, *option_lines(command.options)]
    if command.app_options:
        lines += ["", "Options of an app, after its image:", *option_lines(command.app_options)]
    if command.examples:
        lines += ["", "Examples:"]
        for line, meaning in command.examples:
            lines += [*wrapped(meaning, "    # ", "  # "), f"  {line}"]
    lines += ["", "Global options come before the subcommand: see rocket --help."]
    return "\n".join(lines) + "\n"
