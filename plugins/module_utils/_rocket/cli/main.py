# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The ``rocket`` command: global options, the table of subcommands, errors as one line.

Exit status: the app's own where one ran, 254 for rocket's errors, 130 when interrupted.
"""

from __future__ import annotations

import os
import sys

from ..audit.actor import Actor, act_as
from ..errors import HostError, RocketError, UsageError, printable
from . import options, output
from .context import GLOBALS, context, read_globals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from .context import Context

    class Subcommand(Protocol):
        """What a subcommand's file offers."""

        COMMAND: options.Command

        def execute(self, context: Context, words: Sequence[str]) -> int:
            """Carry it out; the words are those after its name."""


REFUSED = 254
INTERRUPTED = 130

COMMANDS = (
    ("fetch", "get images, verify them and keep them in the store"),
    ("trust", "say whose signature counts for which image names"),
    ("run", "run images as a pod, in the foreground"),
    ("prepare", "make a pod ready to run and show its UUID"),
    ("run-prepared", "run a pod that was prepared"),
    ("list", "list pods"),
    ("status", "show a pod's state and how its apps ended"),
    ("logs", "show what a pod's apps wrote"),
    ("enter", "run a command inside a running app"),
    ("stop", "stop running pods"),
    ("rm", "remove pods that do not run"),
    ("gc", "remove old pods, and images that nothing needs"),
    ("cat-manifest", "show a pod's manifest"),
    ("export", "make an image of an app that ended"),
    ("image", "list, show, unpack, verify, build, sign and remove images"),
    ("lock", "write down which images the declarations of a fleet mean"),
    ("audit", "show and check what was done on this host, and what was refused"),
    ("config", "show how this host fetches"),
    ("version", "show the versions of rocket and the specification"),
)


def _load(name: str) -> Subcommand:
    loader = LOADERS.get(name)
    if loader is None:
        raise options.unknown(name, [name for name, _rest in COMMANDS], "subcommand", "rocket")
    return loader()


def _fetch() -> Subcommand:
    from . import fetch

    return fetch


def _trust() -> Subcommand:
    from . import trust

    return trust


def _run() -> Subcommand:
    from . import run

    return run


def _prepare() -> Subcommand:
    from . import prepare

    return prepare


def _run_prepared() -> Subcommand:
    from . import run_prepared

    return run_prepared


def _list() -> Subcommand:
    from . import list as pods

    return pods


def _status() -> Subcommand:
    from . import status

    return status


def _logs() -> Subcommand:
    from . import logs

    return logs


def _enter() -> Subcommand:
    from . import enter

    return enter


def _stop() -> Subcommand:
    from . import stop

    return stop


def _rm() -> Subcommand:
    from . import rm

    return rm


def _gc() -> Subcommand:
    from . import gc

    return gc


def _cat_manifest() -> Subcommand:
    from . import cat_manifest

    return cat_manifest


def _export() -> Subcommand:
    from . import export

    return export


def _image() -> Subcommand:
    from . import image

    return image


def _lock() -> Subcommand:
    from . import lock

    return lock


def _audit() -> Subcommand:
    from . import audit

    return audit


def _config() -> Subcommand:
    from . import config

    return config


def _version() -> Subcommand:
    from . import version

    return version


LOADERS = {
    "fetch": _fetch,
    "trust": _trust,
    "run": _run,
    "prepare": _prepare,
    "run-prepared": _run_prepared,
    "list": _list,
    "status": _status,
    "logs": _logs,
    "enter": _enter,
    "stop": _stop,
    "rm": _rm,
    "gc": _gc,
    "cat-manifest": _cat_manifest,
    "export": _export,
    "image": _image,
    "lock": _lock,
    "audit": _audit,
    "config": _config,
    "version": _version,
}


def overview() -> str:
    """Return the help of the whole command, at most 80 columns."""
    lines = ["Usage: rocket [global options] SUBCOMMAND ...", "", "Run App Containers: fetch, trust, run.", "", "Subcommands:"]
    for name, meaning in COMMANDS:
        lines += options.wrapped(meaning, " " * 18, f"  {name}".ljust(18))
    lines += ["", "Global options:", *options.option_lines(GLOBALS), "", "Examples:"]
    lines += ["  rocket trust --prefix=example.com/shop /tmp/release-key.asc"]
    lines += ["  rocket fetch example.com/shop/web:1.4.0", "  rocket run example.com/shop/web:1.4.0 -- --verbose"]
    lines += ["", "rocket SUBCOMMAND --help tells more. Exit status: the app's own, else 254 for", "an error of rocket."]
    return "\n".join(lines) + "\n"


def dispatch(words: Sequence[str], values: options.Values, index: int) -> int:
    """Carry out the subcommand at `index` and return the exit status.

    Raises:
        RocketError: anything that an operator has to know.
    """
    if values.flag("--version"):
        return _version().execute(context(values), [])
    rest = list(words[index:])
    if rest[:1] == ["help"]:
        rest = [*rest[1:], "--help"]
    if values.flag("--help") or rest == ["--help"]:
        output.write(overview())
        return 0
    if not rest:
        raise UsageError("a subcommand is missing", hint="see rocket --help")
    subcommand, given = _load(rest[0]), context(values)
    act_as(Actor(f"rocket {rest[0]}", insecure=given.insecure, tell=lambda text: output.note(f"warning: {text}")))
    return subcommand.execute(given, rest[1:])


def main(words: Sequence[str]) -> int:
    """Run the command with the words after its name; return the exit status, raise nothing of rocket's."""
    debug = any(word == "--debug" for word in words[:6])
    # Whatever the caller's is: what is written here decides what runs as root.
    os.umask(os.umask(0o077) | 0o022)
    try:
        values, index = read_globals(words)
        debug = values.flag("--debug")
        status = dispatch(words, values, index)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; what is left to flush at exit has no reader either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return REFUSED
    except RocketError as error:
        return _refuse(str(error), debug)
    except OSError as error:
        return _refuse(str(_host_error(error)), debug)
    except Exception as error:  # noqa: BLE001  a defect of rocket must not end with 1, which is the app's to use
        _refuse(f"internal error: {type(error).__name__}: {error}; run it again with --debug and report what it shows", debug)
        return REFUSED


def _host_error(error: OSError) -> HostError:
    import errno

    hint = {
        errno.EACCES: "run it as root",
        errno.EPERM: "run it as root",
        errno.ENOSPC: "free space there, rocket gc may help",
        errno.EROFS: "choose another place with --dir",
    }.get(error.errno or 0, "")
    return HostError(error.strerror or str(error), where=printable(str(error.filename or "the host")), hint=hint)


def _refuse(text: str, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    output.note(text)
    return REFUSED
