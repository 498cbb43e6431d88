# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""How a prepared pod comes to run and goes on running when whoever asked for it is gone.

`Starter` is the port; `DetachedStarter` runs the installed ``rocket`` as a session of its own. The one of systemd is
``host/systemd.py``'s.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod

from ..errors import PodError, printable
from .pod_directory import PodDirectory
from .process import Process
from .stop import stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ..paths import Paths

READY = "ok"
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_LIMIT = 4096
_SIGKILL = 9


class Starter(ABC):
    """Starts and stops the pods of a host; `ensure` knows no other way."""

    @abstractmethod
    def start(self, name: str, uuid: str) -> None:
        """Start the prepared pod `uuid`, which is the current pod of `name`, and return when its apps run.

        Raises:
            PodError: it did not come up; says why.
        """

    @abstractmethod
    def stop(self, name: str, uuid: str, timeout: int, force: bool = False) -> None:
        """Stop the pod and return when it has ended; one that does not run is no error.

        Args:
            name: the pod's name.
            uuid: the pod's UUID.
            timeout: seconds that its apps have between SIGTERM and SIGKILL.
            force: kill them at once.

        Raises:
            PodError: it does not end.
        """

    @abstractmethod
    def forget(self, name: str) -> None:
        """Remove what this starter keeps on the host for the pod, such as its unit; nothing there is no error."""

    @abstractmethod
    def drift(self, name: str, running: bool) -> str:
        """Return how what this starter keeps on the host for the pod differs from what it should be, empty where it does not.

        Args:
            name: the pod's name.
            running: whether the pod is to run.
        """

    @abstractmethod
    def settle(self, name: str, running: bool) -> None:
        """Make what `drift` told of as it should be; the pod itself goes on as it is."""


class DetachedStarter(Starter):
    """Runs the installed runtime detached: no terminal, no environment, no descriptor of the caller's.

    Args:
        paths: where pods are.
        program: the command line up to the subcommand, global options included, such as
            ``["/usr/local/libexec/rocket/current/rocket", "--dir", "/var/lib/rocket"]``; absolute.
        deadline: seconds that a pod has to come up.
    """

    def __init__(self, paths: Paths, program: list[str], deadline: float = 60.0) -> None:
        self.paths = paths
        self.program = program
        self.deadline = deadline

    def start(self, name: str, uuid: str) -> None:
        """See `Starter.start`: ``rocket run-prepared --ready-fd=N UUID`` has to write ``ok`` or one line that says why not."""
        pod = PodDirectory(self.paths, uuid)
        pod.directory()
        ready, theirs = os.pipe()
        told, tells = os.pipe()
        try:
            between = os.fork()
            if between == 0:
                _detach(self.program, uuid, theirs, tells)
            os.close(theirs)
            os.close(tells)
            theirs = tells = -1
            os.waitpid(between, 0)
            process = _process(told)
            line = _line(ready, time.monotonic() + self.deadline)
        finally:
            for fd in (ready, theirs, told, tells):
                if fd >= 0:
                    os.close(fd)
        if line == READY:
            return
        if line is None:
            self._give_up(pod, process)
            raise PodError(
                f"the pod did not come up in {self.deadline:g} seconds and was killed", where=name or uuid, hint=f"see rocket logs {uuid}"
            )
        raise PodError(
            f"the pod did not come up: {printable(line, 500) or 'its supervisor ended without a word'}",
            where=name or uuid,
            hint=f"see rocket logs {uuid}",
            code="start",
        )

    def _give_up(self, pod: PodDirectory, process: Process | None) -> None:
        """Leave nothing of a start that takes too long; a supervisor that does not answer is killed."""
        if process is not None and not pod.processes()[1]:
            process.send(_SIGKILL)
        elif pod.state() == "running":
            stop(pod, 0, force=True)

    def stop(self, name: str, uuid: str, timeout: int, force: bool = False) -> None:
        """See `Starter.stop`."""
        stop(PodDirectory(self.paths, uuid), timeout, force)

    def forget(self, name: str) -> None:
        """See `Starter.forget`: a detached pod leaves nothing."""

    def drift(self, name: str, running: bool) -> str:
        """See `Starter.drift`: nothing is kept."""
        return ""

    def settle(self, name: str, running: bool) -> None:
        """See `Starter.settle`: nothing is kept."""


def _detach(program: list[str], uuid: str, ready: int, tells: int) -> NoReturn:
    """In the first child: lead a new session, fork once more so that no terminal can ever be taken, and become the program."""
    try:
        os.setsid()
        child = os.fork()
        if child:
            os.write(tells, b"%d" % child)
            os._exit(0)
        os.chdir("/")
        os.umask(0o022)
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        _default_signals()
        _close_all_but(ready)
        os.set_inheritable(ready, True)
        os.execve(program[0], [*program, "run-prepared", f"--ready-fd={ready}", uuid], _ENVIRONMENT)
    except OSError as error:
        os.write(ready, f"cannot execute {program[0]}: {error.strerror}\n".encode("utf-8", "replace"))
    finally:
        os._exit(127)


def _close_all_but(kept: int) -> None:
    """Close every descriptor from 3 up but one: those that the caller made inheritable are none of the pod's business."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2 and fd != kept:
            try:
                os.close(fd)
            except OSError:  # the one that listed the directory is gone already
                continue


def _default_signals() -> None:
    """Undo what the caller ignores or blocks: both survive execve."""
    import signal

    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)


def _process(fd: int) -> Process | None:
    number = os.read(fd, 32)
    return Process.of(int(number)) if number else None


def _line(fd: int, deadline: float) -> str | None:
    """Return the first line that comes, what there was of it where the writer ended, or None at `deadline`."""
    import select

    poll = select.poll()
    poll.register(fd, select.POLLIN)
    data = b""
    while b"\n" not in data and len(data) < _LIMIT:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return None
        part = os.read(fd, _LIMIT)
        if not part:
            break
        data += part
    line, end, _rest = data.partition(b"\n")
    return line.decode("utf-8", "replace") + ("" if end or not line else " (cut short)")
