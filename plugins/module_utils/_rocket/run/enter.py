# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A further program in a running app, with no more power than the app: the same cgroups, namespaces, root, user and
confinement, by the same code as the app's main (L6).

Its standard streams are pipes or a pseudo-terminal of the pod's own, relayed from here: no descriptor of the caller gets into
the pod (L3, L30). Who it runs as was decided when the pod started.

Not handled here: a privileged enter.
"""

from __future__ import annotations

import marshal
import os
import select

from ..errors import LaunchError, NotFound, PodError, printable
from .cgroup.base import Cgroups
from .linux import confine, report, terminal
from .linux import constants as c
from .linux.identity import Identity
from .linux.kernel import Kernel
from .stage1.children import write_go
from .stage1.life import exit_status
from .stage1.namespaces import Namespaces
from .stage1.status import start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .stage1.base import Child

CHUNK = 65536
FORWARDED = (c.SIGHUP, c.SIGINT, c.SIGQUIT, c.SIGTERM, c.SIGUSR1, c.SIGUSR2)


def enter(pod_dir: str, record: dict[str, Any], app_name: str, argv: list[str], tty: bool) -> int:
    """Run `argv` in the app `app_name` of the running pod in `pod_dir`; return its exit status, 128 + n for signal n.

    To be called once in a process: its later children would be born into the pod.

    Args:
        argv: program and arguments, looked up as exec of an app is (M6).
        tty: whether it gets a terminal of its own; ours then passes every key on.

    Raises:
        NotFound: the pod has no such app.
        PodError: the pod or the app does not run.
        LaunchError: the kernel refuses, or the program cannot be executed.
    """
    apps = [app for app in record["apps"] if app["name"] == app_name]
    if not apps:
        names = " ".join(app["name"] for app in record["apps"])
        raise NotFound(f"the pod has no app {printable(app_name)}", where=record["uuid"], hint=f"its apps are {names}")
    if not argv:
        raise PodError("no program to execute", where=f"app {app_name}", hint="give one", code="usage")
    confine.reserve()
    kernel = Kernel()
    kernel.prctl(c.PR_SET_DUMPABLE, 0)
    pod_dir = os.path.realpath(pod_dir)
    stage1 = Namespaces(kernel, pod_dir, record, Cgroups())
    facts = _attach(kernel, stage1, pod_dir, app_name)
    term = os.environ.get("TERM", "dumb") if tty else ""
    return _Session(kernel, term).run(stage1, apps[0], tuple(argv), facts)


def _attach(kernel: Kernel, stage1: Namespaces, directory: str, name: str) -> dict[str, Any]:
    """Open what the supervisor keeps of the app; its start time before and after tells that it is the same process (L40)."""
    (supervisor, started), (init, init_started) = _processes(directory)
    try:
        with open(f"{directory}/apps/{name}/enter", "rb") as file:
            facts: dict[str, Any] = marshal.load(file)
        flags = os.O_RDONLY | os.O_CLOEXEC
        fds = [os.open(f"/proc/{supervisor}/fd/{facts[which]}", flags) for which in ("mounts", "groups")]
        init_fd = kernel.pidfd_open(init)
        same = start_time(supervisor) == started and start_time(init) == init_started
    except OSError as error:
        raise PodError("the app does not run", where=f"app {name}", hint="start the pod", code="not-running") from error
    kinds = [kernel.ioctl(fd, c.NS_GET_NSTYPE, 0, "namespace") for fd in fds] if same else []
    if kinds != [c.CLONE_NEWNS, c.CLONE_NEWCGROUP]:
        raise PodError("the pod does not run", where=directory, hint="start the pod", code="not-running")
    stage1.attach(init_fd, name, *fds)
    return facts


def _processes(directory: str) -> list[tuple[int, int]]:
    """Return (pid, start time) of the supervisor and of the pod's first process."""
    try:
        with open(f"{directory}/supervisor", "rb") as file:
            lines = file.read(4096).decode("ascii").splitlines()
        found = [(int(pid), int(started)) for pid, started in (line.split() for line in lines[:2])]
    except (OSError, ValueError) as error:
        raise PodError("the pod does not run", where=directory, hint="start the pod", code="not-running") from error
    if len(found) != 2:
        raise PodError("the pod is still starting", where=directory, hint="try again", code="not-running")
    return found


class _Session:
    """The relay between our standard streams and the program's."""

    def __init__(self, kernel: Kernel, term: str) -> None:
        self._kernel = kernel
        self._term = term
        self._pending = b""
        self._ended = False
        self._input = -1
        self._outputs: dict[int, int] = {}
        self._signals = -1
        self._status = -1
        self._told = b""
        self._program = ""

    def run(self, stage1: Namespaces, app: dict[str, Any], arguments: tuple[str, ...], facts: dict[str, Any]) -> int:
        """Start the program and relay until it ends; return its exit status."""
        kernel = self._kernel
        signals = (*FORWARDED, c.SIGCHLD, c.SIGWINCH)
        before = kernel.block(signals)
        self._signals = kernel.signalfd(signals)
        identity = Identity(**facts["identity"])
        try:
            with terminal.Raw(0) if self._term else _Nothing():
                child = self._start(stage1, app, identity, arguments, tuple(facts["joins"]))
                return self._relay(child)
        finally:
            kernel.set_mask(before)

    def _start(
        self, stage1: Namespaces, app: dict[str, Any], identity: Identity, arguments: tuple[str, ...], joins: tuple[str, ...]
    ) -> Child:
        if self._term:
            child = stage1.enter(app, identity, arguments, joins, (-1, -1, -1), self._term)
            master = self._take_terminal(child, arguments[0])
            self._input, self._outputs = master, {master: 1}
        else:
            (stdin, feed), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
            child = stage1.enter(app, identity, arguments, joins, (stdin, stdout, stderr), "")
            for fd in (stdin, stdout, stderr):
                os.close(fd)
            self._input, self._outputs = feed, {out: 1, err: 2}
        for fd in (self._input, *self._outputs):
            os.set_blocking(fd, False)
        os.set_blocking(child.status, False)
        self._status, self._program = child.status, arguments[0]
        return child

    def _take_terminal(self, child: Child, program: str) -> int:
        data = b""
        messages: list[dict[str, Any]] = []
        while not messages:
            chunk = os.read(child.status, CHUNK)
            if not chunk:
                raise LaunchError("the program ended before it ran", where=program, hint="see the kernel's log")
            messages, data = report.parse(data + chunk, program)
        master = terminal.take_master(self._kernel, child.pid, messages[0]["master"])
        if os.isatty(0):
            terminal.copy_size(self._kernel, 0, master)
        write_go(child.go)
        return master

    def _hear(self) -> None:
        """Read the status pipe, which the execve closes: after that it may be in anybody's hands, and nobody waits for its end.

        Raises:
            LaunchError: the program cannot be executed.
        """
        try:
            while self._status >= 0:
                chunk = os.read(self._status, CHUNK)
                self._told += chunk
                if not chunk:
                    os.close(self._status)
                    self._status = -1
                self._told = report.parse(self._told, self._program)[1]
        except BlockingIOError:
            return

    def _relay(self, child: Child) -> int:
        reading_input = True
        while True:
            poll = select.poll()
            poll.register(self._signals, select.POLLIN)
            if self._status >= 0:
                poll.register(self._status, select.POLLIN)
            for fd in self._outputs:
                poll.register(fd, select.POLLIN)
            if reading_input and not self._pending:
                poll.register(0, select.POLLIN)
            if self._pending:
                poll.register(self._input, select.POLLOUT | (select.POLLIN if self._input in self._outputs else 0))
            ready = [fd for fd, _event in poll.poll()]
            if self._status in ready:
                self._hear()
            if 0 in ready:
                self._pending = os.read(0, CHUNK)
                if not self._pending:
                    reading_input = False
                    self._close_input()
            if self._pending and not self._feed():
                reading_input = False
            for fd in list(self._outputs):
                if fd in ready:
                    self._copy(fd)
            if self._signals in ready and (status := self._take_signals(child)) is not None:
                for fd in list(self._outputs):
                    while self._copy(fd):
                        pass
                self._hear()
                return status

    def _close_input(self) -> None:
        """Tell the program that our input has ended: a terminal keeps its other direction."""
        if self._input in self._outputs:
            self._pending = b"\x04"
        else:
            os.close(self._input)

    def _feed(self) -> bool:
        """Write what is pending; return whether the program can take more input at all."""
        try:
            self._pending = self._pending[os.write(self._input, self._pending) :]
        except BlockingIOError:
            pass
        except (BrokenPipeError, OSError):
            self._pending = b""  # it closed its input
            return False
        return True

    def _copy(self, fd: int) -> bool:
        """Copy what the program wrote; return whether there may be more."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: the last slave of a terminal was closed
            data = b""
        if not data:
            del self._outputs[fd]
            return False
        target = self._outputs[fd]
        while data:
            data = data[os.write(target, data) :]
        return True

    def _take_signals(self, child: Child) -> int | None:
        """Pass signals on; return the exit status once the program has ended."""
        number = int.from_bytes(os.read(self._signals, 128)[:4], "little")
        if number == c.SIGCHLD:
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            return exit_status(status) if pid else None
        if number == c.SIGWINCH:
            if self._term and os.isatty(0):
                terminal.copy_size(self._kernel, 0, self._input)
            return None
        os.kill(child.pid, number)
        return None


class _Nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_error: object) -> None:
        return None
