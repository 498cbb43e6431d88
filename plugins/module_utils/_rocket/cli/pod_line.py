# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The grammar of several apps: ``[pod options] IMAGE [app options] [-- args] [--- IMAGE ...]``.

Not handled here: what the options mean (declare.py).
"""

from __future__ import annotations

from ..errors import UsageError
from ..record import Record
from . import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class AppLine(Record):
    """One app of a command line: its image, its options, and the arguments after ``--``."""

    image: str
    values: options.Values
    arguments: tuple[str, ...] = ()


class PodLine(Record):
    """The command line of a pod: its own options, then its apps."""

    values: options.Values
    apps: tuple[AppLine, ...] = ()
    help: bool = False


def parse(command: options.Command, words: Sequence[str]) -> PodLine:
    """Read the words after ``run`` or ``prepare``.

    Raises:
        UsageError: an unknown or misplaced option, a missing value, a word that is neither option nor image.
    """
    given: list[tuple[str, str]] = []
    index = 0
    while index < len(words) and options.is_option(words[index]) and words[index] not in ("--", "---"):
        if words[index] in ("-h", "--help"):
            return PodLine(values=options.Values(), help=True)
        _refuse_misplaced(words[index], command.app_options, command.options, "an app: write it after its image")
        name, value, index = options.take(command.options, words, index, f"rocket {command.name}")
        options.add(given, name, value, command.options)
    apps = []
    while index < len(words):
        app, index = _app(command, words, index)
        if app is None:
            return PodLine(values=options.Values(), help=True)
        apps.append(app)
    return PodLine(values=options.Values(tuple(given)), apps=tuple(apps))


def _app(command: options.Command, words: Sequence[str], index: int) -> tuple[AppLine | None, int]:
    image = words[index]
    if options.is_option(image):
        raise UsageError(f"an image was expected, not {image!r}", where=f"rocket {command.name}", hint="see --help for the order")
    index += 1
    given: list[tuple[str, str]] = []
    while index < len(words) and words[index] not in ("--", "---"):
        word = words[index]
        if word in ("-h", "--help"):
            return None, index
        if not options.is_option(word):
            raise UsageError(
                f"does not know what to do with {word!r} after {image}",
                where=f"rocket {command.name}",
                hint="arguments of the app follow --, another image follows ---",
            )
        _refuse_misplaced(word, command.options, command.app_options, "the pod: write it before the first image")
        name, value, index = options.take(command.app_options, words, index, f"rocket {command.name}")
        options.add(given, name, value, command.app_options)
    arguments: tuple[str, ...] = ()
    if index < len(words) and words[index] == "--":
        end = next((at for at in range(index + 1, len(words)) if words[at] == "---"), len(words))
        arguments, index = tuple(words[index + 1 : end]), end
    if index < len(words):
        index += 1
        if index == len(words):
            raise UsageError("an image was expected after ---", where=f"rocket {command.name}")
    return AppLine(image=image, values=options.Values(tuple(given)), arguments=arguments), index


def _refuse_misplaced(word: str, elsewhere: Sequence[options.Option], here: Sequence[options.Option], belongs: str) -> None:
    name = word.partition("=")[0]
    if name in [option.name for option in elsewhere] and name not in [option.name for option in here]:
        raise UsageError(f"belongs to {belongs}", where=name)
