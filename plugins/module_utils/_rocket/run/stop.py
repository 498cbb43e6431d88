# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Ending a running pod: the supervisor is asked, the release of the pod's lock is the answer.

Graceful is SIGTERM, after which the supervisor gives the apps their stop timeout; force is SIGQUIT, which kills them at once.
If neither frees the lock in time, the pod's init is killed, and with it, by the kernel, every process of the pod.
"""

from __future__ import annotations

import time

from ..audit.log import record as write_down
from ..errors import PodError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .pod_directory import PodDirectory
    from .process import Process

_SIGTERM, _SIGQUIT, _SIGKILL = 15, 3, 9
# What the supervisor needs beyond the stop timeout: handlers after the apps, statuses, taking the cgroup apart.
MARGIN = 10.0
_LAST = 5.0


def stop(pod: PodDirectory, timeout: float, force: bool = False, margin: float = MARGIN) -> bool:
    """End a pod and return whether it was running; a pod that does not run is no error.

    Args:
        pod: the pod, not locked by the caller.
        timeout: the pod's stop timeout in seconds.
        force: kill the apps at once.
        margin: seconds beyond `timeout` before the pod's init is killed.

    Raises:
        NotFound: there is no such pod.
        StoreError: the audit log does not take it.
        PodError: the pod still runs after the last resort, or does not say which process to ask.
    """
    if pod.state() != "running":
        return False
    write_down(pod.paths, "stop", pod.uuid, force=force)
    deadline = time.monotonic() + (0 if force else timeout) + margin
    supervisor = _supervisor(pod, deadline)
    if supervisor is not None:
        supervisor.send(_SIGQUIT if force else _SIGTERM)
    if _ended(pod, supervisor, deadline):
        return True
    init = pod.processes()[1]
    if init is not None and init.send(_SIGKILL) and _ended(pod, supervisor, time.monotonic() + _LAST):
        return True
    if supervisor is not None and supervisor.send(_SIGKILL) and _ended(pod, supervisor, time.monotonic() + _LAST):
        kill_leftovers(pod)
        return True
    if pod.wait(time.monotonic()):
        return True
    shown = f"process {supervisor.pid}" if supervisor else "a process that did not say who it is"
    raise PodError(
        f"the pod does not end, {shown} still holds its lock", where=pod.uuid, hint="look at that process, then stop the pod again"
    )


def kill_leftovers(pod: PodDirectory) -> bool:
    """Kill the init of a pod whose supervisor is gone, and with it every process of the pod; True when there was one to kill."""
    init = pod.processes()[1]
    if init is None or not init.send(_SIGKILL):
        return False
    _wait_process(init, time.monotonic() + _LAST)
    return True


def _supervisor(pod: PodDirectory, deadline: float) -> Process | None:
    """Return the live supervisor; one that has only just locked the pod gets until `deadline` to write down who it is."""
    while True:
        supervisor = pod.holder()
        if supervisor is not None:
            return supervisor
        if pod.wait(min(deadline, time.monotonic() + 0.1)) or time.monotonic() >= deadline:
            return None


def _ended(pod: PodDirectory, supervisor: Process | None, deadline: float) -> bool:
    """Wait until the lock is free: by the supervisor's end where the kernel can tell, by looking where it cannot."""
    if supervisor is not None:
        _wait_process(supervisor, deadline)
    return pod.wait(deadline)


def _wait_process(process: Process, deadline: float) -> None:
    """Wait until `process` has ended, or `deadline`."""
    import os
    import select

    fd = process.pidfd()
    if fd is None:
        while process.alive and time.monotonic() < deadline:
            time.sleep(0.02)
        return
    try:
        if process.alive:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
    finally:
        os.close(fd)
