# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Supervising a prepared pod in this process, and telling who waits that its apps run.

On the way of every launch: nothing dear is imported here.
"""

from __future__ import annotations

import os

from ..store.files import read_limited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ..run.pod_directory import PodDirectory


def foreground(pod: PodDirectory, ready_fd: int = -1, show: bool = True) -> int:
    """Supervise a pod until it has ended; return its exit status.

    Args:
        pod: complete and locked by this process, in ``prepare`` or ``prepared``.
        ready_fd: gets ``ok`` once its apps run, or one line that says why not; -1 for nobody.
        show: whether what the apps write also goes to our own output; their logs have it anyway.

    Raises:
        PodError, LaunchError: it could not be started.
    """
    from ..run.launch_record import decode
    from ..run.supervise import SuperviseOptions, supervise

    pod.move("run")
    path = f"{pod.location}/launch"
    record = decode(read_limited(path), path)
    logs = f"{pod.paths.logs}/{pod.uuid}"
    os.makedirs(logs, mode=0o750, exist_ok=True)
    options = SuperviseOptions(foreground=show, logs=logs, ready_fd=ready_fd, lock_fd=pod.lock_fd)
    try:
        return supervise(pod.location, record, options)
    finally:
        pod.unlock()


def systemd_ready_fd() -> int:
    """Return a descriptor for `foreground` from which systemd learns that the pod runs; -1 where nobody asked for it.

    A process of its own waits for the word and passes it on in our name: the supervisor must have no other children, so it is
    an orphan before it begins. To be called before the pod is locked, which the orphan must not share.
    """
    address = os.environ.pop("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return -1
    main = os.getpid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        if os.fork():
            os._exit(0)
        os.close(writer)
        _pass_on(reader, address, main)
    os.close(reader)
    os.waitpid(child, 0)
    return writer


def _pass_on(reader: int, address: str, main: int) -> NoReturn:
    """In the orphan: wait for the supervisor's word, tell systemd, and end."""
    import signal
    import socket
    import struct

    try:
        # What stops the service is for the supervisor; its end closes the pipe and so ends this process.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        word = b""
        while not word.endswith(b"\n"):
            part = os.read(reader, 4096)
            if not part:
                break
            word += part
        if word == b"ok\n":
            sender = (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("3i", main, os.getuid(), os.getgid()))
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                name = "\0" + address[1:] if address.startswith("@") else address
                channel.sendmsg([b"READY=1"], [sender], 0, name)
    finally:
        os._exit(0)
