# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""How the installed runtime starts: the text of its launcher, kept here as a literal because only ``.py`` files are shipped.

Root's launcher holds a shared lock on ``lock`` in its runtime's directory until it ends. Another user does not (the file is root's,
else any user could keep root from starting pods), and a long command of theirs may lose its runtime to a collection.
"""

from __future__ import annotations

import os

from ..paths import Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LOCK = "lock"

TEXT = """import fcntl, os, sys
here = os.path.dirname(os.path.realpath(__file__))
if os.geteuid() == os.stat(here).st_uid:
    held = os.open(here + "/lock", os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(held, fcntl.LOCK_SH)
    if not os.fstat(held).st_nlink:  # collected while we started: begin again with the current one
        os.execv(sys.executable, [sys.executable, "-IS"] + sys.argv)
sys.path.insert(0, here)
sys.dont_write_bytecode = True
from _rocket.cli.main import main
status = main(sys.argv[1:])
try:
    sys.stdout.flush()
    sys.stderr.flush()
finally:
    os._exit(status)  # without taking the interpreter apart, which costs a launch 4 ms
"""


def launcher(root: str) -> str:
    """Return the path of the current launcher below `root`, which stays the same over every update."""
    return f"{root}/current/rocket"


def global_options(paths: Paths, insecure: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the global options that lead the command to `paths` under the relaxations named; none for the host's usual ones."""
    usual = Paths()
    pairs = (
        ("--dir", paths.data, usual.data),
        ("--local-config", paths.local, usual.local),
        ("--system-config", paths.system, usual.system),
    )
    relaxed = (f"--insecure-options={','.join(sorted(insecure))}",) if insecure else ()
    return (*(f"{option}={given}" for option, given, default in pairs if given != default), *relaxed)


def program(root: str, paths: Paths, insecure: Sequence[str] = ()) -> list[str]:
    """Return the command line of the installed runtime up to the subcommand."""
    return [launcher(root), *global_options(paths, insecure)]


def own_program(paths: Paths, insecure: Sequence[str] = ()) -> list[str]:
    """Return the command line of the runtime that this very code was loaded from; nothing where it is not installed."""
    directory = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if os.access(f"{directory}/{LOCK}", os.R_OK) and os.access(f"{directory}/rocket", os.X_OK):
        return [f"{directory}/rocket", *global_options(paths, insecure)]
    return []
