# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A pod from its prepared directory to its exit status: one process, one loop, no threads. stage1/life.py decides.

Not handled here: the pod's lock and directory states (pod_directory.py), restarting (the starter).
"""

from __future__ import annotations

import os
import select
import time

from ..errors import PodError, printable
from ..record import Record
from .linux import confine
from .linux import constants as c
from .linux.kernel import Kernel
from .stage1 import status as files
from .stage1.life import Life
from .stage1.namespaces import Namespaces
from .stage1.output import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORWARDED = (c.SIGHUP, c.SIGUSR1, c.SIGUSR2, c.SIGWINCH)
FAILED = 254
READY = "ok"


class SuperviseOptions(Record):
    """How to supervise.

    Attributes:
        foreground: whether the apps' output also goes to our own standard output and error.
        logs: directory of the ``<app>.log`` files; empty for none.
        ready_fd: gets ``ok`` and a newline once every main was executed, or one line that says why not, and is closed; -1
            for none.
        systemd: whether ready_fd is a socket of systemd's: what it gets is then said as sd_notify(3) has it.
        lock_fd: the pod's lock, held by the caller, closed in every process of the pod; -1 for none.
        stop_signals: signals that stop the pod in order.
    """

    foreground: bool = False
    logs: str = ""
    ready_fd: int = -1
    systemd: bool = False
    lock_fd: int = -1
    stop_signals: tuple[int, ...] = (c.SIGTERM, c.SIGINT)


def supervise(pod_dir: str, record: dict[str, Any], options: SuperviseOptions) -> int:
    """Run the pod of `record`, whose directory is `pod_dir`, to its end; return its exit status.

    To be called once, in a process that has no other children: its later ones would be born into the pod. SIGQUIT ends
    the pod at once; HUP, USR1, USR2 and WINCH go to each main.

    Raises:
        LaunchError: the pod could not be started, or a main or pre-start failed to; everything has been ended.
        PodError: the pod's directory cannot be written.
    """
    from .cgroup.detect import detect

    confine.reserve()
    kernel = Kernel()
    kernel.prctl(c.PR_SET_DUMPABLE, 0)
    pod_dir = os.path.realpath(pod_dir)
    signals = (*options.stop_signals, c.SIGQUIT, c.SIGCHLD, *FORWARDED)
    before = kernel.block(signals)
    try:
        cgroups = detect(record["uuid"])
        stage1 = Namespaces(kernel, pod_dir, record, cgroups, (options.lock_fd,))
        output = Output([app["name"] for app in record["apps"]], options.logs, options.foreground)
        life = Life(kernel, pod_dir, record, stage1, cgroups, output)
        return _Supervisor(pod_dir, options, kernel.signalfd(signals), life, stage1, output).run()
    finally:
        kernel.set_mask(before)


class _Supervisor:
    """Waits, and hands what happens to `life`."""

    def __init__(self, directory: str, options: SuperviseOptions, signals: int, life: Life, stage1: Namespaces, output: Output) -> None:
        self._directory = directory
        self._options = options
        self._signals = signals
        self._life = life
        self._stage1 = stage1
        self._output = output
        self._announced = options.ready_fd < 0

    def run(self) -> int:
        """See supervise()."""
        life = self._life
        try:
            try:
                life.start()
                files.write_supervisor(self._directory, self._stage1.init)
                self._stage1.settle()
                while not life.over:
                    self._turn()
            except PodError as error:
                life.fail(error)
        finally:
            life.kill()
            self._stage1.destroy(life.ended)
            self._output.end()
        result, reason = (life.result, life.reason) if life.failure is None else (FAILED, str(life.failure))
        files.write_ended(self._directory, result, reason)
        self._announce(printable(reason, 1000))
        if life.failure is not None:
            raise life.failure
        return result

    def _turn(self) -> None:
        """Wait for anything to happen, and take all that has."""
        reading, writing = self._output.wanted()
        told = {process.status: (app, process) for app in self._life.apps for process in app.processes() if process.status >= 0}
        deadlines = [app.deadline for app in self._life.apps if app.deadline is not None]
        limit = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        if writing:
            limit = min(1.0, limit if limit is not None else 1.0)  # a terminal that stalls is noticed by time alone
        poll = select.poll()
        for fd in (self._signals, *reading, *told):
            poll.register(fd, select.POLLIN)
        for fd in writing:
            poll.register(fd, select.POLLOUT)
        ready = [fd for fd, _event in poll.poll(None if limit is None else limit * 1000 + 1)]
        self._output.move(ready)
        for fd, (app, process) in told.items():
            if fd in ready:
                self._life.told(app, process)
        if self._signals in ready:
            self._take_signals()
        self._life.late()
        if self._life.running and self._life.failure is None:
            self._announce(READY)

    def _take_signals(self) -> None:
        data = os.read(self._signals, 128 * 32)
        for start in range(0, len(data), 128):
            number = int.from_bytes(data[start : start + 4], "little")
            if number == c.SIGCHLD:
                self._reap()
            elif number == c.SIGQUIT:
                self._life.kill()
            elif number in self._options.stop_signals:
                self._life.stop()
            else:
                self._life.forward(number)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._life.ended(pid, status)

    def _announce(self, line: str) -> None:
        """Tell the caller's ready_fd, once."""
        if self._announced:
            return
        self._announced = True
        text = f"{line}\n"
        if self._options.systemd:
            text = "READY=1" if line == READY else f"STATUS={line}"
        try:
            os.write(self._options.ready_fd, text.encode("utf-8", "replace"))
        except BrokenPipeError:
            pass  # nobody waits any more; the pod goes on
        except OSError as error:
            if self._life.failure is not None:
                raise self._life.failure from error
            raise PodError(f"cannot tell systemd: {error.strerror}", where="NOTIFY_SOCKET", hint="see systemctl status") from error
        os.close(self._options.ready_fd)
        confine.reserve()
