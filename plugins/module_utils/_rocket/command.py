# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Programs of the host: started by fork and exec, without a shell, with a clean environment, a time limit and bounded output.

Not handled here: programs that outlive the call.
"""

from __future__ import annotations

import os

from .errors import HostError, printable
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

SEARCHED = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
ENVIRONMENT = {"PATH": ":".join(SEARCHED), "LC_ALL": "C", "HOME": "/", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
OUTPUT_LIMIT = 1 << 20


class Outcome(Record):
    """How a program ended.

    Attributes:
        status: its exit status; 128 + n when signal n ended it.
        output: standard output, undecodable bytes escaped.
        errors: standard error, likewise.
    """

    status: int
    output: str
    errors: str

    def reason(self) -> str:
        """Return its last line of standard error (or output) for a message, escaped."""
        lines = (self.errors or self.output).strip().splitlines()
        return printable(lines[-1], 300) if lines else f"exit status {self.status}"


def find_program(name: str) -> str:
    """Return the path of a program in the system's own directories; ``PATH`` of the caller does not count.

    Raises:
        HostError: not there.
    """
    if os.path.isabs(name):
        return name
    for directory in SEARCHED:
        path = f"{directory}/{name}"
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise HostError(f"the program {name} is not on this host", where=":".join(SEARCHED), hint=f"install {name}")


def check_program(path: str) -> None:
    """Refuse a program that somebody else than root, or whoever runs this, may change.

    Raises:
        HostError: it, or the directory that it really lies in, belongs to another user or may be written by group or others.
    """
    real = os.path.realpath(path)
    for place in (os.path.dirname(real), real):
        try:
            found = os.stat(place)
        except OSError as error:
            raise HostError(f"the program cannot be looked at: {error.strerror or error}", where=place) from error
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & (0o002 if found.st_gid == 0 else 0o022):
            raise HostError(
                "others than root may change this program", where=place, hint="look at what it is, then make it root's with mode 0755"
            )


def run(
    argv: Sequence[str],
    *,
    seconds: float | None = 60,
    environment: dict[str, str] | None = None,
    stdin: int | None = None,
    terminal: bool = False,
    passed: Sequence[int] = (),
) -> Outcome:
    """Run a program of the host to its end and return how it ended; a status other than 0 is no error here.

    Args:
        argv: the program, by name or absolute path, and its arguments.
        seconds: time limit; then it and all of its process group are killed. None for a program that waits for a person.
        environment: all of its environment; None for ENVIRONMENT.
        stdin: descriptor of its standard input; None for /dev/null.
        passed: descriptors that it has as 3, 4 and so on; all others of ours are closed.
        terminal: whether it keeps the caller's controlling terminal, to ask there; otherwise it leads a session of its own.

    Raises:
        HostError: not there, not executable, over the time limit, or more than 1 MiB of output.
    """
    path = find_program(argv[0])
    output = os.pipe()
    errors = os.pipe()
    failure = os.pipe()
    child = os.fork()
    if child == 0:
        _become(
            path, argv, (stdin, output[1], errors[1], *passed), failure[1], ENVIRONMENT if environment is None else environment, terminal
        )
    for end in (output[1], errors[1], failure[1]):
        os.close(end)
    try:
        texts = _collect(child, path, (output[0], errors[0], failure[0]), seconds)
    except BaseException:
        # Neither a limit that was reached nor an interrupt leaves a program behind.
        _kill(child)
        raise
    finally:
        for end in (output[0], errors[0], failure[0]):
            os.close(end)
    status = _status(child)
    if texts[2]:
        raise HostError(f"cannot be executed: {os.strerror(int(texts[2]))}", where=path)
    return Outcome(status=status, output=_text(texts[0]), errors=_text(texts[1]))


def _become(
    path: str, argv: Sequence[str], given: tuple[int | None, ...], failure: int, environment: dict[str, str], terminal: bool
) -> NoReturn:
    """Take the descriptors `given` as 0, 1, 2 and so on, and become the program."""
    code = 0
    try:
        if not terminal:
            os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        # Above their new numbers first: a caller that closed one of the standard three got a pipe with its number.
        ends = [_above(null if end is None else end) for end in given]
        failure = _above(failure)
        for number, end in enumerate(ends):
            os.dup2(end, number)
        _close_all_but(failure, len(ends))
        _default_signals()
        os.chdir("/")
        os.execve(path, [path, *argv[1:]], environment)
    except OSError as error:
        code = error.errno or 1
    finally:
        os.write(failure, str(code or 1).encode())
        os._exit(127)


def _above(number: int) -> int:
    import fcntl

    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 64)


def _close_all_but(kept: int, first: int) -> None:
    """Close the descriptors from number `first` on, but not `kept`."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) >= first and int(name) != kept:
            try:
                os.close(int(name))
            except OSError:
                continue  # the one that listed the directory


def _default_signals() -> None:
    import signal

    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


def _collect(child: int, path: str, ends: tuple[int, ...], seconds: float | None) -> list[bytes]:
    import select
    import time

    deadline = None if seconds is None else time.monotonic() + seconds
    poll = select.poll()
    texts = dict.fromkeys(ends, b"")
    for end in ends:
        poll.register(end, select.POLLIN)
    waiting = set(ends)
    while waiting:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise HostError(f"did not end within {seconds:g} s and was killed", where=path, hint="run it by hand to see what it waits for")
        for end, _event in poll.poll(None if left is None else left * 1000):
            data = os.read(end, 65536)
            texts[end] += data
            if not data:
                poll.unregister(end)
                waiting.remove(end)
            elif len(texts[end]) > OUTPUT_LIMIT:
                raise HostError("wrote more than 1 MiB and was killed", where=path)
    return [texts[end] for end in ends]


def _kill(child: int) -> None:
    try:
        os.killpg(child, 9)
    except ProcessLookupError:
        os.kill(child, 9)  # not yet the leader of its group
    os.waitpid(child, 0)


def _status(child: int) -> int:
    status = os.waitpid(child, 0)[1]
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
