# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The default isolation: Linux namespaces and control groups (P1, E1).

The supervisor stays in the host's namespaces; only its children are born into the pod's PID namespace. The first of them,
init, owns the namespaces that the apps share and dies with the supervisor, and the kernel ends every process of the pod
with it. Each app has a mount and a cgroup namespace, which the supervisor keeps open for event handlers and enter.

Not handled here: user namespaces, seccomp, networks other than ``none`` and ``host``.
"""

from __future__ import annotations

import errno
import os
import select

from ...errors import LaunchError, PodError
from ..cgroup.base import write
from ..linux import confine, devices, programs, report, rootfs, terminal
from ..linux import constants as c
from .base import Child, Stage1
from .children import spawn, wait_go, write_go

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..cgroup.base import Cgroups
    from ..linux.identity import Identity
    from ..linux.kernel import Kernel


def shared_namespaces(record: dict[str, Any]) -> int:
    """Return the CLONE_* flags of the namespaces that the apps of a pod share, the PID namespace aside."""
    return c.CLONE_NEWUTS | c.CLONE_NEWIPC | (0 if record["network"] == "host" else c.CLONE_NEWNET)


class Namespaces(Stage1):
    """The isolation of the pod of `record`, whose directory is `directory`.

    Args:
        kernel: the port.
        directory: the pod's directory, absolute.
        record: the launch record.
        cgroups: of this pod.
        unwanted: descriptors that no process of the pod may keep, the pod's lock above all.
    """

    def __init__(self, kernel: Kernel, directory: str, record: dict[str, Any], cgroups: Cgroups, unwanted: tuple[int, ...] = ()) -> None:
        self._kernel = kernel
        self._directory = directory
        self._record = record
        self._cgroups = cgroups
        self._unwanted = unwanted
        self._namespaces: dict[str, tuple[int, int]] = {}
        self._program = -1
        self._created = False
        self.init = 0
        self._init_fd = -1
        self._init_status = -1

    def create(self) -> dict[str, Any]:
        """See Stage1.create; the first process may still be on its way, settle() tells."""
        machine = os.uname().machine
        self._cgroups.make_room()
        self._program = programs.sealed("rocket-exec", programs.exec_program(machine))
        program = programs.sealed("rocket-init", programs.init_program(machine))
        self._kernel.unshare(c.CLONE_NEWPID)
        parent = self._kernel.pidfd_open(os.getpid())
        child = spawn(self._kernel, program, lambda _go: self._become_init(parent), self._unwanted)
        self.init, self._init_status = child.pid, child.status
        self._init_fd = self._kernel.pidfd_open(child.pid)
        os.close(program)
        os.close(parent)
        self._created = True
        limits = {app["name"]: app["limits"] for app in self._record["apps"]}
        return self._cgroups.create(self._record["limits"], limits)

    def _become_init(self, parent: int) -> None:
        kernel = self._kernel
        kernel.prctl(c.PR_SET_PDEATHSIG, c.SIGKILL)
        if select.select([parent], [], [], 0)[0]:
            os._exit(127)  # the supervisor died before the kernel knew that we follow it
        kernel.setsid()
        kernel.unshare(shared_namespaces(self._record) | c.CLONE_NEWNS)
        kernel.sethostname(self._record["hostname"])
        if self._record["network"] != "host":
            kernel.loopback_up()  # P20; there is no other interface yet
        kernel.new_session_keyring()
        # Nothing of the host stays in reach of /proc/1/{root,cwd,fd}: an empty root of its own, no descriptors.
        kernel.mount("", "/", "", c.MS_REC | c.MS_PRIVATE)
        namespace = rootfs.own_namespace()
        kernel.mount("tmpfs", "/proc", "tmpfs", c.MS_RDONLY | c.MS_NOSUID | c.MS_NODEV | c.MS_NOEXEC, "size=4k,mode=755")
        root = kernel.openat2(c.AT_FDCWD, "/proc", os.O_PATH | os.O_DIRECTORY, 0)
        rootfs.pivot(kernel, root, namespace)
        for fd in (0, 1, 2):
            os.close(fd)
        kernel.close_on_exec(confine.STATUS_FD)
        kernel.close_from(confine.PROGRAM_FD + 1)
        kernel.default_signals()
        kernel.ignore_children()
        kernel.prctl(c.PR_SET_SECUREBITS, c.SECBIT_NOROOT_LOCKED)
        kernel.capset(0, 0, 0)
        kernel.execve(confine.PROGRAM_FD, ["rocket-init"], {})

    def settle(self) -> None:
        """Wait until the first process has made the shared namespaces.

        Raises:
            LaunchError: it could not.
        """
        data = b""
        while chunk := os.read(self._init_status, 4096):
            data += chunk
        report.parse(data, "the pod's first process")
        if select.select([self._init_fd], [], [], 0)[0]:
            raise LaunchError("the pod's first process died", where=self._directory, hint="see the kernel's log")

    def _join_shared(self) -> None:
        """Join the namespaces of the first process, in a child, once it has made them."""
        select.select([self._init_status], [], [])
        self._kernel.setns(self._init_fd, shared_namespaces(self._record), "namespaces of the pod")

    def build_app(self, app: dict[str, Any], streams: tuple[int, int]) -> Child:
        """See Stage1.build_app."""

        def body(go: int) -> None:
            kernel, name = self._kernel, app["name"]
            self._cgroups.join(name)
            kernel.unshare(c.CLONE_NEWNS | c.CLONE_NEWCGROUP)
            directory = f"{self._directory}/apps/{name}"
            who, warnings = rootfs.build_root(kernel, directory, self._directory, app, self._cgroups.controllers, self._join_shared)
            report.send(confine.STATUS_FD, "built", identity=dict(who.__dict__), warnings=warnings)
            wait_go(go)
            confine.execute(kernel, confine.Command(app, tuple(app["exec"]), who, -1, (-1, *streams)))

        return spawn(self._kernel, self._program, body, self._unwanted, wait=True)

    def keep(self, app: dict[str, Any], child: Child) -> tuple[int, int]:
        """Open the mount and the cgroup namespace of a built app that waits; return the descriptors."""
        flags = os.O_RDONLY | os.O_CLOEXEC
        try:
            fds = (os.open(f"/proc/{child.pid}/ns/mnt", flags), os.open(f"/proc/{child.pid}/ns/cgroup", flags))
        except OSError as error:
            raise LaunchError(f"the app ended while it was built: {error.strerror}", where=f"app {app['name']}") from error
        self._namespaces[app["name"]] = fds
        return fds

    def start_app(self, app: dict[str, Any], child: Child) -> None:
        """See Stage1.start_app."""
        write_go(child.go)

    def handler(self, app: dict[str, Any], identity: Identity, arguments: tuple[str, ...], streams: tuple[int, int]) -> Child:
        """See Stage1.handler."""

        def body(_go: int) -> None:
            self._cgroups.join(app["name"])
            mounts, groups = self._namespaces[app["name"]]
            join_app(self._kernel, self._init_fd, shared_namespaces(self._record), mounts, groups)
            confine.execute(self._kernel, confine.Command(app, arguments, identity, -1, (-1, *streams)))

        return spawn(self._kernel, self._program, body, self._unwanted)

    def attach(self, init: int, app: str, mounts: int, groups: int) -> None:
        """Stand for a pod that another process supervises: its first process as a pidfd, the namespaces of `app`."""
        self._program = programs.sealed("rocket-exec", programs.exec_program(os.uname().machine))
        self._init_fd = init
        self._namespaces[app] = (mounts, groups)

    def enter(
        self,
        app: dict[str, Any],
        identity: Identity,
        arguments: tuple[str, ...],
        joins: tuple[str, ...],
        streams: tuple[int, int, int],
        term: str,
    ) -> Child:
        """See Stage1.enter."""
        mounts, groups = self._namespaces[app["name"]]
        self._kernel.setns(self._init_fd, c.CLONE_NEWPID, "PID namespace of the pod")

        def body(go: int) -> None:
            for path in joins:
                write(path, "0")
            join_app(self._kernel, self._init_fd, shared_namespaces(self._record), mounts, groups)
            slave = -1
            if term:
                slave = terminal.pseudo_terminal(self._kernel)
                wait_go(go)
            confine.execute(self._kernel, confine.Command(app, arguments, identity, slave, streams), term)

        return spawn(self._kernel, self._program, body, wait=bool(term))

    def destroy(self, ended: Callable[[int, int], None]) -> None:
        """See Stage1.destroy."""
        if self.init:
            try:
                self._kernel.pidfd_send_signal(self._init_fd, c.SIGKILL)
            except LaunchError as error:
                if error.facts.get("errno") != errno.ESRCH:
                    raise
        failure: PodError | None = None
        # The first process is not gone before the kernel has ended every other of the pod and we have waited for ours.
        while True:
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                break
            try:
                ended(pid, status)
            except PodError as error:
                failure = failure or error
        for fds in self._namespaces.values():
            for fd in fds:
                os.close(fd)
        self._namespaces = {}
        if self._created:
            self._created = False
            self._cgroups.remove([app["name"] for app in self._record["apps"]])
        if failure is not None:
            raise failure


def join_app(kernel: Kernel, init: int, shared: int, mounts: int, groups: int) -> None:
    """Join a running app's namespaces; the cgroup has been joined before.

    Args:
        init: pidfd of the pod's first process.
        shared: CLONE_* flags to join of it.
        mounts: descriptor of the app's mount namespace.
        groups: descriptor of the app's cgroup namespace.
    """
    kernel.setns(init, shared, "namespaces of the pod")
    kernel.setns(groups, c.CLONE_NEWCGROUP, "cgroup namespace of the app")
    kernel.setns(mounts, c.CLONE_NEWNS, "mount namespace of the app")
    rootfs.check_filesystem(kernel, "/proc", c.PROC_SUPER_MAGIC)
    devices.check_null(os.stat("/dev/null"), "/dev/null")
