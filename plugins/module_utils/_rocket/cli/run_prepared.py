# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket run-prepared``: start what was prepared, without network; what units and detached pods run."""

from __future__ import annotations

import os

from ..errors import HostError, PodError, RocketError, UsageError, printable
from . import declare, launch, options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..run.pod_directory import PodDirectory
    from .context import Context

COMMAND = options.Command(
    name="run-prepared",
    usage="[--detach] [--ready-fd=NUMBER] POD",
    summary=(
        "Run a prepared pod until its apps end; the exit status is that of the app. POD is the UUID of a prepared pod, the beginning "
        "of one, or the name of a pod: then its current generation is started."
    ),
    options=(
        options.Option("--detach", "leave it running in the background; its output is in its logs"),
        options.Option("--ready-fd", "write ok to this open descriptor once the apps run, or why they do not", "NUMBER"),
    ),
    arguments=(1, 1),
    examples=(
        ("rocket run-prepared 6f2a7c11", "in the foreground"),
        ("rocket run-prepared --detach shop", "a named pod; then: rocket logs --follow shop"),
    ),
)


def execute(context: Context, words: Sequence[str]) -> int:
    """Carry out ``rocket run-prepared``.

    Raises:
        NotFound, Ambiguous: which pod is meant.
        TrustError: an image's verdict does not stand today.
        PodError, LaunchError: it could not be started; whoever waits at ``--ready-fd`` got the reason too.
    """
    parsed = options.parse(COMMAND, words)
    if parsed.help:
        output.write(options.help_text(COMMAND))
        return 0
    values, wanted = parsed.values, parsed.arguments[0]
    if values.flag("--detach"):
        if values.has("--ready-fd"):
            raise UsageError("is for a pod in the foreground", where="--ready-fd", hint="--detach itself returns when the apps run")
        return _detach(context, wanted)
    told = values.has("--ready-fd")
    ready_fd = _descriptor(values) if told else launch.systemd_socket()
    try:
        pod = _pod(context, wanted).lock()
        if pod.directory() != "prepared":
            raise PodError(f"the pod is {pod.state()}, not prepared", where=pod.uuid, hint="prepare another one: rocket prepare")
        launch.announce(pod)
    except (RocketError, OSError) as error:
        if ready_fd >= 0:
            line = printable(str(error), 2000)
            os.write(ready_fd, (f"{line}\n" if told else f"STATUS={line}").encode())
        raise
    return launch.foreground(pod, ready_fd, show=not told, systemd=not told)


def _descriptor(values: options.Values) -> int:
    number = values.number("--ready-fd", 0, least=3)
    try:
        os.set_inheritable(number, False)
    except OSError as error:
        raise UsageError(f"descriptor {number} is not open", where="--ready-fd", hint="it is for the program that starts rocket") from error
    return number


def _pod(context: Context, wanted: str) -> PodDirectory:
    """Return the prepared pod that is meant, its images' verdicts checked as they stand today."""
    from ..run.pod_directory import PodDirectory, is_uuid
    from ..store.store import Store

    store, standing = Store(context.paths), declare.standing(context)
    if not is_uuid(wanted):
        from ..run.names import Names, is_pod_name
        from ..run.pods import Pods
        from ..run.prepare import ready_pod

        if is_pod_name(wanted) and Names(context.paths).find(wanted) is not None:
            uuid = ready_pod(context.paths, store, wanted, standing=standing)
            return PodDirectory(context.paths, uuid)
        wanted = Pods(context.paths).find(wanted).uuid
    pod = PodDirectory(context.paths, wanted)
    if pod.directory() == "prepared":
        from ..run.pods import read_launch
        from ..run.prepare import check_pod

        check_pod(store, read_launch(pod), standing)
    return pod


def _detach(context: Context, wanted: str) -> int:
    from ..host import entry, install
    from ..run.starter import DetachedStarter

    root = install.default_places()[0]
    program = entry.own_program(context.paths, context.insecure) or entry.program(root, context.paths, context.insecure)
    if not os.access(program[0], os.X_OK):
        raise HostError("a detached pod needs the installed runtime", where=program[0], hint="install it: appc.rocket.runtime does")
    pod = _pod(context, wanted)
    DetachedStarter(context.paths, program).start("", pod.uuid)
    output.write(f"{pod.uuid}\n")
    return 0
