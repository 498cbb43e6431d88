# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""From a process of ours inside an app's namespaces to the app's own program: the one way for main, event handlers and enter.

The order is the security property (docs/security-model.md L1-L8, L21, L42) and is held by
tests/unit/run_linux/test_confine.py. Not handled here: cgroup, namespaces and root, which are joined before.
"""

from __future__ import annotations

import errno
import os

from ...errors import LaunchError, printable
from ...record import Record
from . import capabilities
from . import constants as c
from .identity import Identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .kernel import Kernel

STATUS_FD = 3
PROGRAM_FD = 4
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UNLIMITED = 2**64 - 1

# Resource limits of every process of every pod, by number: what a service gets from systemd, whatever the caller had.
LIMITS = {
    0: (UNLIMITED, UNLIMITED),  # CPU time
    1: (UNLIMITED, UNLIMITED),  # file size
    2: (UNLIMITED, UNLIMITED),  # data
    3: (8 << 20, UNLIMITED),  # stack
    4: (0, UNLIMITED),  # core
    5: (UNLIMITED, UNLIMITED),  # resident set
    6: (UNLIMITED, UNLIMITED),  # processes: the cgroup's matter
    7: (1024, 524288),  # descriptors
    8: (8 << 20, 8 << 20),  # locked memory
    9: (UNLIMITED, UNLIMITED),  # address space
    10: (UNLIMITED, UNLIMITED),  # file locks
    11: (65536, 65536),  # pending signals
    12: (819200, 819200),  # message queues
    13: (0, 0),  # nice
    14: (0, 0),  # real-time priority
    15: (UNLIMITED, UNLIMITED),  # real-time run time
}


class Command(Record):
    """What to execute, as what.

    Attributes:
        app: the app's member of the launch record.
        arguments: the program as M6 has it, and its arguments; not empty.
        identity: who it runs as.
        terminal: descriptor of a terminal that becomes 0, 1, 2 and the controlling one, or -1.
        streams: descriptors that become 0, 1, 2 where there is no terminal; -1 for 0 means the pod's own /dev/null.
    """

    app: dict[str, Any]
    arguments: tuple[str, ...]
    identity: Identity
    terminal: int
    streams: tuple[int, int, int]


def reserve() -> None:
    """Have the numbers 0 to PROGRAM_FD taken in this process, so that its children can rely on no other descriptor having one."""
    while True:
        fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        if fd > PROGRAM_FD:
            os.close(fd)
            return


def take_places(kernel: Kernel, status: int, program: int) -> None:
    """Give a fresh child's status pipe and exec program their numbers; reserve() was called in the parent."""
    kernel.dup_to(status, STATUS_FD)
    kernel.dup_to(program, PROGRAM_FD)
    kernel.close_on_exec(PROGRAM_FD)


def environment(app: dict[str, Any], identity: Identity, terminal: str = "") -> dict[str, str]:
    """Return the environment of a process of `app` (E2): nothing of the caller's; the app's own may replace all but AC_*."""
    values = {"PATH": PATH, "HOME": identity.home, "USER": identity.name, "LOGNAME": identity.name, "SHELL": identity.shell}
    if terminal:
        values["TERM"] = terminal
    for name, value in app["environment"]:
        if not name.startswith("AC_"):
            values[name] = value
    values["container"] = "rocket"
    values["AC_APP_NAME"] = app["name"]
    return values


def find_program(name: str, path: str) -> str:
    """Return what to execute for `name` (M6), as the app's user, inside the app's root.

    Raises:
        LaunchError: no directory of `path` holds an executable file of that name.
    """
    if "/" in name:
        return name
    refused = ""
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            refused = candidate
    what = "the file is not executable for the app's user" if refused else f"no such program in PATH {path}"
    raise LaunchError(what, where=printable(refused or name), hint="check exec", errno=errno.EACCES if refused else errno.ENOENT)


def enter_working_directory(kernel: Kernel, path: str) -> None:
    """Make `path` of the app's root the working directory, never by way of a descriptor (L2, M10, E3).

    Raises:
        LaunchError: it is missing, no directory, or reached through a magic link.
    """
    try:
        fd = kernel.openat2(c.AT_FDCWD, path, os.O_PATH | os.O_DIRECTORY, c.RESOLVE_NO_MAGICLINKS)
        kernel.fchdir(fd, path)
        cwd = kernel.getcwd()
    except LaunchError as error:
        raise LaunchError(
            f"the working directory cannot be used: {error.what}",
            where=path,
            hint="it must be a directory of the image or of a volume (M10)",
            code="working-directory",
            errno=error.facts.get("errno", 0),
        ) from error
    if not cwd.startswith("/"):
        raise LaunchError("the working directory lies outside the root", where=path, code="working-directory")


def _streams(kernel: Kernel, command: Command) -> None:
    """Leave descriptors 0 to 4 alone (L3); 4 closes itself at the first execve, 3 at the second."""
    if command.terminal >= 0:
        sources = (command.terminal,) * 3
        kernel.ioctl(command.terminal, c.TIOCSCTTY, 0, "terminal")
    else:
        standard_input = command.streams[0]
        if standard_input < 0:
            standard_input = kernel.openat2(c.AT_FDCWD, "/dev/null", os.O_RDWR, c.RESOLVE_NO_SYMLINKS)
        sources = (standard_input, command.streams[1], command.streams[2])
    for target, source in enumerate(sources):
        kernel.dup_to(source, target)
    kernel.close_from(PROGRAM_FD + 1)


def _privileges(kernel: Kernel, command: Command) -> None:
    """Give up everything the app has no claim to; the identity before the capabilities that changing it needs."""
    app, identity = command.app, command.identity
    have = capabilities.bound(kernel, capabilities.mask(app["capabilities"]))
    kernel.setgroups(list(identity.groups))
    kernel.setresgid(identity.gid)
    kernel.setresuid(identity.uid)
    kept = have if identity.uid == 0 else 0
    kernel.prctl(c.PR_CAP_AMBIENT, c.PR_CAP_AMBIENT_CLEAR_ALL)
    kernel.capset(kept, kept, 0)
    if app["no_new_privileges"]:
        kernel.prctl(c.PR_SET_NO_NEW_PRIVS, 1)


def execute(kernel: Kernel, command: Command, terminal: str = "") -> NoReturn:
    """Turn this process into the app's program. It must be in the app's cgroup, namespaces and root.

    Args:
        terminal: value of TERM, where there is a terminal.

    Raises:
        LaunchError: a step was refused; the process must then end.
    """
    app = command.app
    kernel.new_session_keyring()
    kernel.setsid()
    if app["oom_score_adj"] is not None:
        kernel.write("/proc/self/oom_score_adj", str(int(app["oom_score_adj"])))
    for resource, (soft, hard) in LIMITS.items():
        kernel.set_limit(resource, soft, hard)
    _streams(kernel, command)
    enter_working_directory(kernel, app["working_directory"])
    kernel.umask(0o022)
    kernel.default_personality()
    kernel.default_signals()
    _privileges(kernel, command)
    variables = environment(app, command.identity, terminal)
    program = find_program(command.arguments[0], variables["PATH"])
    kernel.execve(PROGRAM_FD, [program, *command.arguments], variables)
