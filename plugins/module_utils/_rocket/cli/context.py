# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What the global options say; handed to every subcommand."""

from __future__ import annotations

from ..errors import UsageError
from ..paths import Paths
from ..record import Record
from . import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

INSECURE = {
    "image": "images without a good signature",
    "http": "images and signatures over http",
    "pubkey": "keys over http",
    "audit": "what the audit log cannot take",
}

GLOBALS = (
    options.Option("--dir", "images, pods and names (default /var/lib/rocket)", "DIRECTORY"),
    options.Option("--system-config", "the vendor's configuration (default /usr/lib/rocket)", "DIRECTORY"),
    options.Option("--local-config", "the operator's configuration (default /etc/rocket)", "DIRECTORY"),
    options.Option("--insecure-options", "what to let pass, of: image, http, pubkey, audit; separated by commas", "LIST", True),
    options.Option("--debug", "on an error show where in rocket it arose"),
    options.Option("--version", "show the version and end"),
)


class Context(Record):
    """Where things are on this host and what may be relaxed.

    Attributes:
        paths: from ``--dir``, ``--system-config``, ``--local-config``.
        insecure: the relaxations asked for, sorted.
        debug: whether an error shows a traceback.
    """

    paths: Paths
    insecure: tuple[str, ...] = ()
    debug: bool = False


def read_globals(words: Sequence[str]) -> tuple[options.Values, int]:
    """Read the options before the subcommand; return them and the index of the first other word.

    Raises:
        UsageError: an unknown or repeated option, a missing value.
    """
    given: list[tuple[str, str]] = []
    index = 0
    while index < len(words) and options.is_option(words[index]):
        if words[index] in ("-h", "--help"):
            given.append(("--help", "true"))
            index += 1
            continue
        name, value, index = options.take(GLOBALS, words, index, "rocket")
        options.add(given, name, value, GLOBALS)
    return options.Values(tuple(given)), index


def context(values: options.Values) -> Context:
    """Return what the global options mean.

    Raises:
        UsageError: a directory that is not absolute, a relaxation that does not exist.
    """
    places = {}
    for name, field in (("--dir", "data"), ("--system-config", "system"), ("--local-config", "local")):
        if values.has(name):
            places[field] = _directory(name, values.text(name))
    insecure: set[str] = set()
    for text in values.every("--insecure-options"):
        insecure.update(word for word in text.split(",") if word != "none")
    for word in sorted(insecure):
        if word not in INSECURE:
            raise options.unknown(word, tuple(INSECURE), "insecure option", "rocket")
    return Context(paths=Paths(**places), insecure=tuple(sorted(insecure)), debug=values.flag("--debug"))


def _directory(name: str, text: str) -> str:
    if not text.startswith("/") or "\0" in text:
        raise UsageError(f"expects an absolute directory, not {text!r}", where=name)
    # The root directory itself becomes "", so that "{data}/images" has one slash.
    return text.rstrip("/")
