# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What happens to the apps of a pod, and what follows from it; supervise.py waits for it to happen.

Each app goes building -> pre-start -> main -> post-stop -> done (M9, P22). An app that ends with another status than 0 stops
the pod and gives its status; 0 lets the others go on. A pre-start that fails stops the start. post-stop runs after any end
of a main that was executed. Stopping is SIGTERM to each main, and SIGKILL to all of an app after stop_timeout seconds.
"""

from __future__ import annotations

import os
import time

from ...errors import LaunchError, PodError
from ..linux import constants as c
from ..linux import report
from ..linux.identity import Identity
from . import status as files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..cgroup.base import Cgroups
    from ..linux.kernel import Kernel
    from .base import Child
    from .namespaces import Namespaces
    from .output import Output


class Process:
    """A child that was started for an app: its main, from building on, or one of its event handlers."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.pid = child.pid
        self.status = child.status
        self.data = b""
        # Whoever holds the other end without being asked must not be able to make the supervisor wait for it.
        os.set_blocking(child.status, False)


class App:
    """One app of the pod: its place in life, and its processes."""

    def __init__(self, entry: dict[str, Any], directory: str) -> None:
        self.entry = entry
        self.name: str = entry["name"]
        self.directory = f"{directory}/apps/{self.name}"
        self.stage = "building"
        self.main: Process | None = None
        self.handler: Process | None = None
        self.identity: Identity | None = None
        self.deadline: float | None = None
        self.status = files.Status(f"{self.directory}/status")

    def processes(self) -> list[Process]:
        """Return the processes that have not been waited for."""
        return [process for process in (self.main, self.handler) if process is not None]


def exit_status(wait_status: int) -> int:
    """Return the status a shell would show: 128 + n for signal n."""
    return 128 + os.WTERMSIG(wait_status) if os.WIFSIGNALED(wait_status) else os.WEXITSTATUS(wait_status)


class Life:
    """The apps of one pod.

    Attributes:
        failure: what kept the pod from running as declared, or None.
        result: the pod's exit status.
        reason: why it has that status.
    """

    def __init__(
        self, kernel: Kernel, directory: str, record: dict[str, Any], stage1: Namespaces, cgroups: Cgroups, output: Output
    ) -> None:
        self._kernel = kernel
        self._stage1 = stage1
        self._cgroups = cgroups
        self._output = output
        self._timeout: int = record["stop_timeout"]
        self.apps = [App(entry, directory) for entry in record["apps"]]
        self.failure: PodError | None = None
        self.result = 0
        self.reason = "every app ended with status 0"
        self.stopping = False
        self._killed = False

    @property
    def over(self) -> bool:
        """Whether nothing is left to wait for."""
        return all(app.stage == "done" for app in self.apps)

    @property
    def running(self) -> bool:
        """Whether every main was executed."""
        return all(app.status.started is not None for app in self.apps)

    def start(self) -> None:
        """Make what the apps share and begin to build each of them."""
        outcomes = self._stage1.create()
        for app in self.apps:
            scopes = {"pod": outcomes[""], app.name: outcomes[app.name]}
            app.status.isolators = [{"scope": scope, **outcome.to_json()} for scope, found in scopes.items() for outcome in found]
            app.main = Process(self._stage1.build_app(app.entry, self._output.writers(app.name)))

    # What the children tell

    def told(self, app: App, process: Process) -> bool:
        """Read the status pipe of a child; a successful execve closes it. Return False when there is nothing to read now."""
        try:
            chunk = os.read(process.status, 65536)
        except BlockingIOError:
            return False
        program = app.entry["exec"][0] if process is app.main else app.stage
        messages: list[dict[str, Any]] = []
        try:
            messages, process.data = report.parse(process.data + chunk, program)
            # Once, and before anything of the image runs: what comes later was written by a program that took the pipe.
            if messages and (process is not app.main or app.identity is not None or [m["kind"] for m in messages] != ["built"]):
                messages = []
                raise LaunchError("a status message out of turn", where=program, hint="a program of the pod wrote it: do not trust it")
        except LaunchError as error:
            chunk = b""
            self.fail(LaunchError(error.what, where=f"app {app.name}: {error.where}", hint=error.hint, code=error.code, **error.facts))
            if process is app.main:
                app.stage = "failed"
        for message in messages:
            self._built(app, message)
        if not chunk:
            self._executed(app, process)
        return True

    @staticmethod
    def _executed(app: App, process: Process) -> None:
        """Close the status pipe of a child that has executed its program, or never will."""
        os.close(process.status)
        process.status = -1
        if process is app.main and app.stage == "main":
            app.status.started, app.status.pid, app.status.state = int(time.time()), process.pid, "running"
            app.status.write()

    def _built(self, app: App, message: dict[str, Any]) -> None:
        facts = message["identity"]
        app.identity = Identity(**{**facts, "groups": tuple(facts["groups"])})
        app.status.warnings = list(message["warnings"])
        if self.stopping or app.main is None:
            return
        mounts, groups = self._stage1.keep(app.entry, app.main.child)
        files.write_enter(f"{app.directory}/enter", mounts, groups, self._cgroups.joins(app.name), message["identity"])
        if app.entry["pre_start"]:
            self._handle(app, "pre-start", "pre_start")
        else:
            self._go(app, app.main)

    def _go(self, app: App, main: Process) -> None:
        app.stage = "main"
        self._stage1.start_app(app.entry, main.child)

    def _handle(self, app: App, stage: str, which: str) -> None:
        if app.identity is None:
            raise LaunchError(
                "an event handler before the app was built", where=f"app {app.name}", hint="report this as a defect of rocket"
            )
        app.stage = stage
        arguments = tuple(app.entry[which])
        app.handler = Process(self._stage1.handler(app.entry, app.identity, arguments, self._output.writers(app.name)))

    # How they end

    def ended(self, pid: int, wait_status: int) -> None:
        """Take note that the child `pid` has ended."""
        if pid == self._stage1.init:
            self._stage1.init = 0
            if not self._killed:
                self._killed = True
                self.fail(LaunchError("the pod's first process died", where="init", hint="see the kernel's log"))
            return
        for app in self.apps:
            for process in app.processes():
                if process.pid == pid:
                    while process.status >= 0 and self.told(app, process):
                        pass
                    if process.status >= 0:  # another process holds the pipe: it was taken, which no one can before the execve
                        self._executed(app, process)
                    self._process_ended(app, process, exit_status(wait_status))

    def _process_ended(self, app: App, process: Process, status: int) -> None:
        if process is app.main:
            app.main = None
            self._main_ended(app, status)
        elif app.stage == "pre-start":
            app.handler = None
            app.status.pre_start = status
            if status != 0 and not self.stopping:
                self.fail(
                    LaunchError(f"pre-start ended with status {status}", where=f"app {app.name}", hint="see its log", code="pre-start")
                )
            if app.main is not None and not self.stopping:
                self._go(app, app.main)
        else:
            app.handler = None
            app.status.post_stop = status
            self._done(app)

    def _main_ended(self, app: App, status: int) -> None:
        app.deadline = None
        if app.status.started is None:
            if not self.stopping:
                what = f"the app ended with status {status} while it was built"
                self.fail(LaunchError(what, where=f"app {app.name}", hint="is its memory limit too small?"))
            self._done(app)
            return
        app.status.exit_status, app.status.exited = status, int(time.time())
        if status != 0:
            if self.result == 0:
                self.result, self.reason = status, f"app {app.name} ended with status {status}"
            self.stop()
        if self._killed or not app.entry["post_stop"]:
            self._done(app)
            return
        self._cgroups.kill(self._kernel, app.name)
        self._handle(app, "post-stop", "post_stop")
        if self.stopping:
            app.deadline = time.monotonic() + self._timeout

    def _done(self, app: App) -> None:
        app.stage, app.deadline = "done", None
        app.status.state = "exited"
        app.status.write()
        if not self._killed and not self.over:
            self._cgroups.kill(self._kernel, app.name)

    # Stopping

    def fail(self, error: PodError) -> None:
        """Stop the pod because of `error`; the first one counts."""
        self.failure = self.failure or error
        self.stop()

    def stop(self) -> None:
        """Stop in order."""
        if self.stopping:
            return
        self.stopping = True
        limit = time.monotonic() + self._timeout
        for app in self.apps:
            if app.stage == "main" and app.main is not None:
                os.kill(app.main.pid, c.SIGTERM)
                app.deadline = limit
            elif app.stage == "post-stop":
                app.deadline = limit
            else:
                for process in app.processes():
                    os.kill(process.pid, c.SIGKILL)

    def kill(self) -> None:
        """End everything at once; no post-stop runs."""
        self.stopping = self._killed = True
        if self._stage1.init:
            os.kill(self._stage1.init, c.SIGKILL)

    def forward(self, number: int) -> None:
        """Pass a signal on to each main."""
        for app in self.apps:
            if app.stage == "main" and app.main is not None and app.status.started is not None:
                os.kill(app.main.pid, number)

    def late(self) -> None:
        """Kill what has had its time."""
        now = time.monotonic()
        for app in self.apps:
            if app.deadline is not None and now >= app.deadline:
                app.deadline = None
                for process in app.processes():
                    os.kill(process.pid, c.SIGKILL)
                self._cgroups.kill(self._kernel, app.name)
