# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Forking: the only place where Python runs between fork and exec."""

from __future__ import annotations

import os

from ...errors import LaunchError, PodError
from ..linux import confine, report
from .base import Child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..linux.kernel import Kernel


def spawn(kernel: Kernel, program: int, body: Callable[[int], None], unwanted: tuple[int, ...] = (), wait: bool = False) -> Child:
    """Fork a child that runs `body` and never comes back.

    Args:
        program: descriptor of the sealed exec program.
        body: ends in execve or raises; gets the read end of the go pipe.
        unwanted: descriptors that the child closes first; the pod's lock above all.
        wait: whether the child gets a go pipe.

    Raises:
        LaunchError: no more processes.
    """
    status, status_child = os.pipe()
    go_child, go = os.pipe() if wait else (-1, -1)
    try:
        pid = os.fork()
    except OSError as error:
        raise LaunchError(
            f"cannot start a process: {error.strerror}", where="fork", hint="the pod has ended, or the host is full"
        ) from error
    if pid == 0:
        _become(kernel, status_child, program, body, go_child, (*unwanted, status, go))
    os.close(status_child)
    if wait:
        os.close(go_child)
    return Child(pid=pid, status=status, go=go)


def _become(kernel: Kernel, status: int, program: int, body: Callable[[int], None], go: int, unwanted: tuple[int, ...]) -> None:
    try:
        confine.take_places(kernel, status, program)
        for fd in (status, *unwanted):
            if fd > confine.PROGRAM_FD:  # a lower one has just been replaced
                os.close(fd)
        body(go)
    except PodError as error:
        report.send_error(confine.STATUS_FD, error)
    except OSError as error:
        report.send_error(confine.STATUS_FD, LaunchError(str(error), hint="see the kernel's message", errno=error.errno or 0))
    except Exception as error:  # noqa: BLE001 - a defect of ours, told to the supervisor because nothing else can see it
        report.send_error(confine.STATUS_FD, LaunchError(f"unexpected {error!r}", hint="report this as a defect of rocket"))
    finally:
        os._exit(127)


def write_go(go: int) -> None:
    """Let a child that waits go on."""
    try:
        os.write(go, b"g")
    except BrokenPipeError:
        pass  # it died; its exit status tells why
    os.close(go)


def wait_go(go: int) -> None:
    """Wait for write_go in the child; end with the supervisor."""
    if os.read(go, 1) != b"g":
        os._exit(127)
    os.close(go)
