# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Pods for the tests of the launcher: a prepared pod directory from a tree of a static busybox, run in a process of its own."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
import uuid as uuids
from pathlib import Path

BUSYBOX = shutil.which("busybox") or ""
APPLETS = (
    "sh printf true false cat echo sleep ls id mount umount kill touch mkdir ln ps env pwd wc dd hostname stat head grep "
    "sync seq test rm tty readlink mkfifo yes tr sed stty"
).split()
CAPABILITIES = "AUDIT_WRITE CHOWN DAC_OVERRIDE FSETID FOWNER KILL MKNOD NET_RAW NET_BIND_SERVICE SETUID SETGID SETPCAP SETFCAP SYS_CHROOT"
NO_LIMITS = dict.fromkeys(("memory_limit", "memory_request", "cpu_limit", "cpu_request", "cpu_shares", "pids"))


def make_tree(directory: Path) -> Path:
    """Lay out a root file system of a static busybox."""
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "root"):
        (directory / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, directory / "bin/busybox")
    for applet in APPLETS:
        (directory / "bin" / applet).symlink_to("busybox")
    (directory / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000:web:/srv/web:/bin/ash\n")
    (directory / "etc/group").write_text("root:x:0:\nweb:x:1000:\n")
    return directory


def make_app(name: str, tree: Path, script: str = "", **members: object) -> dict:
    """Return an app of a launch record that runs `script`."""
    app = {
        "name": name, "image_id": "sha512-" + "0" * 128, "tree": str(tree), "read_only_root": False,
        "exec": ["/bin/sh", "-c", script], "pre_start": [], "post_stop": [], "user": "0", "group": "0", "supplementary_gids": [],
        "working_directory": "/", "environment": [], "mounts": [], "capabilities": [f"CAP_{name}" for name in CAPABILITIES.split()],
        "no_new_privileges": True, "oom_score_adj": None, "limits": dict(NO_LIMITS),
    }  # fmt: skip
    return {**app, **members}


def volume(source: object, target: str, read_only: bool = False, recursive: bool = True) -> dict:
    """Return a mount of a launch record."""
    return {"source": str(source), "target": target, "read_only": read_only, "recursive": recursive, "volume": "data"}


class Pod:
    """A pod in a directory of its own; run() supervises it in a forked process."""

    def __init__(self, base: Path, apps: list, **members: object) -> None:
        self.directory = base
        self.logs = base / "logs"
        self.record = {
            "version": 1, "uuid": str(uuids.uuid4()), "name": "test", "hostname": "rocket-test", "network": "none", "stop_timeout": 5,
            "limits": dict(NO_LIMITS), "isolators": [], "apps": apps, **members,
        }  # fmt: skip
        for app in apps:
            for name in ("upper", "work", "root"):
                (base / "apps" / app["name"] / name).mkdir(parents=True)
        self.pid = 0
        self.error = ""

    def start(self, prepare=None, ready: bool = True, **options: object) -> str:
        """Fork a supervisor; return what it announced: ``ok`` or why not."""
        from _rocket.errors import RocketError
        from _rocket.run.supervise import SuperviseOptions, supervise

        reading, writing = os.pipe()
        errors, errors_child = os.pipe()
        self._errors = errors
        self.pid = os.fork()
        if self.pid == 0:
            status = 99
            try:
                os.setsid()
                os.close(reading)
                if prepare is not None:
                    prepare()
                status = supervise(str(self.directory), self.record, SuperviseOptions(logs=str(self.logs), ready_fd=writing, **options))
            except RocketError as error:
                os.write(errors_child, str(error).encode())
                status = 254
            except BaseException as error:  # noqa: BLE001 - the fork of a test must never go on as the test
                os.write(errors_child, repr(error).encode())
                import traceback

                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(status)
        os.close(writing)
        os.close(errors_child)
        if not ready:
            os.close(reading)
            return ""
        try:
            if not select.select([reading], [], [], 30)[0]:
                raise AssertionError("the pod announced nothing in 30 s")
            return os.read(reading, 4096).decode().rstrip("\n")
        finally:
            os.close(reading)

    def wait(self, limit: float = 30) -> int:
        """Wait for the supervisor; return its exit status."""
        pidfd = os.pidfd_open(self.pid)
        try:
            if not select.select([pidfd], [], [], limit)[0]:
                self.end()
                raise AssertionError(f"the pod did not end in {limit} s")
        finally:
            os.close(pidfd)
        _pid, status = os.waitpid(self.pid, 0)
        self.pid = 0
        self.error = os.read(self._errors, 65536).decode()
        os.close(self._errors)
        return os.waitstatus_to_exitcode(status)

    def run(self, **options: object) -> int:
        """Start the pod and wait for its end."""
        self.start(**options)
        return self.wait()

    def log(self, app: str = "app") -> str:
        """Return what `app` wrote."""
        return (self.logs / f"{app}.log").read_text()

    def status(self, app: str = "app") -> dict:
        """Return the published status of `app`."""
        import json

        return json.loads((self.directory / "apps" / app / "status").read_text())

    def pids(self) -> list[int]:
        """Return the supervisor's and init's process numbers."""
        return [int(line.split()[0]) for line in (self.directory / "supervisor").read_text().splitlines()]

    def cgroup(self, controller: str) -> str:
        """Return the directory of the pod's group in a hierarchy."""
        from _rocket.run.cgroup.detect import detect

        groups = detect(self.record["uuid"])
        groups.controllers = (controller,)
        return groups.paths("")[0]

    def remove_cgroups(self) -> None:
        """Remove what a killed supervisor left."""
        from _rocket.run.cgroup.detect import detect

        groups = detect(self.record["uuid"])
        groups.controllers = ("pids", "memory", "cpu")
        groups.remove([app["name"] for app in self.record["apps"]])

    def end(self) -> None:
        """End the pod whatever state it is in."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


def until(condition, limit: float = 20, what: str = "the condition"):
    """Wait until `condition()` is true; return its value."""
    deadline = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true in {limit} s")
        time.sleep(0.01)
    return value
