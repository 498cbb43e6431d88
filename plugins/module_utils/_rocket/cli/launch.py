# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Supervising a prepared pod in this process, and telling who waits that its apps run.

On the way of every launch: nothing dear is imported here.
"""

from __future__ import annotations

import os

from ..audit.line import line_digest
from ..audit.log import Acting
from ..audit.log import record as write_down
from ..errors import HostError, StoreError
from ..store.files import make_directory, read_limited
from . import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..run.pod_directory import PodDirectory


def announce(pod: PodDirectory) -> None:
    """Write down that a pod is about to run; raises StoreError, and PodError for one that is damaged."""
    launch, path = _launch(pod), f"{pod.location}/pod"
    images = {app["name"]: app["image_id"] for app in launch["apps"]}
    write_down(
        pod.paths, "run", pod.uuid, name=launch["name"], images=images, network=launch["network"], manifest=line_digest(read_limited(path))
    )


def _launch(pod: PodDirectory) -> dict[str, Any]:
    from ..run.launch_record import decode

    path = f"{pod.location}/launch"
    return decode(read_limited(path), path)


def foreground(pod: PodDirectory, ready_fd: int = -1, show: bool = True, systemd: bool = False) -> int:
    """Supervise a pod until it has ended; return its exit status.

    Args:
        pod: complete, announced and locked by this process, in ``prepare`` or ``prepared``.
        ready_fd: gets ``ok`` once its apps run, or one line that says why not; -1 for nobody.
        systemd: whether `ready_fd` is what systemd_socket() returned.
        show: whether what the apps write also goes to our own output; their logs have it anyway.

    Raises:
        PodError, LaunchError: it could not be started.
    """
    from ..run.supervise import SuperviseOptions, supervise

    pod.move("run")
    record = _launch(pod)
    logs = f"{pod.paths.logs}/{pod.uuid}"
    make_directory(logs, 0o750)
    options = SuperviseOptions(foreground=show, logs=logs, ready_fd=ready_fd, systemd=systemd, lock_fd=pod.lock_fd)
    try:
        with Acting(pod.paths, "run", pod.uuid, ahead=False):
            status = supervise(pod.location, record, options)
        _ended(pod, status)
        return status
    finally:
        pod.unlock()


def _ended(pod: PodDirectory, status: int) -> None:
    """Write down how a pod ended; that it did cannot be refused any more."""
    try:
        write_down(pod.paths, "exit", pod.uuid, status=status)
    except StoreError as error:
        output.note(f"not in the audit log: exit {pod.uuid}: {error}")


def systemd_socket() -> int:
    """Return a descriptor for `foreground` through which systemd learns that the pod runs; -1 where nobody asked for it.

    Raises:
        HostError: the socket that was named is not there.
    """
    address = os.environ.pop("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return -1
    # What socket is made of, without what socket itself imports: this is a launch.
    import _socket

    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError as error:
        channel.close()
        raise HostError(f"cannot reach systemd: {error.strerror}", where=address, hint="unset NOTIFY_SOCKET, or start the unit") from error
    return channel.detach()
