# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket enter``: a further program in a running app, under the same confinement as the app."""

from __future__ import annotations

import os

from ..audit.log import record as write_down
from ..errors import NotFound, PodError, UsageError
from . import options, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .context import Context

SHELL = "/bin/sh"

COMMAND = options.Command(
    name="enter",
    usage="[--app=NAME] POD [--] [COMMAND [ARGUMENT...]]",
    summary=(
        "Run a command in a running app, with the app's user, capabilities, limits and namespaces and no more. Without a command: "
        "/bin/sh. The exit status is that of the command."
    ),
    options=(options.Option("--app", "which app, where the pod has several", "NAME"),),
    arguments=(1, -1),
    examples=(("rocket enter shop", "a shell"), ("rocket enter --app=web shop /bin/ls -l /srv", "one command")),
    raw_from=2,
)


def execute(context: Context, line: Sequence[str]) -> int:
    """Carry out ``rocket enter``.

    Raises:
        NotFound, Ambiguous: which pod or app is meant.
        PodError: it does not run.
        LaunchError: the command cannot be started.
    """
    parsed = options.parse(COMMAND, line)
    if parsed.help:
        output.write(options.help_text(COMMAND))
        return 0
    from ..run.pods import Pods, read_launch

    pod = Pods(context.paths).find(parsed.arguments[0])
    state = pod.state()
    if state != "running":
        raise PodError(f"the pod is {state}, only a running one can be entered", where=pod.uuid, hint="see rocket list")
    from ..run.enter import enter

    record = read_launch(pod)
    app = which_app(record, parsed.values.text("--app"))
    words = list(parsed.arguments[1:]) or [SHELL]
    # The program alone: arguments may hold secrets.
    write_down(context.paths, "enter", pod.uuid, app=app, program=words[0])
    return enter(pod.location, record, app, words, os.isatty(0) and os.isatty(1))


def which_app(record: dict[str, Any], wanted: str) -> str:
    """Return the name of the app that is meant.

    Raises:
        UsageError: the pod has several and none is named.
        NotFound: it has none of this name.
    """
    names = [str(app["name"]) for app in record["apps"]]
    if wanted in names:
        return wanted
    if wanted:
        raise NotFound("the pod has no such app", where=wanted, hint=f"its apps: {', '.join(names)}")
    if len(names) > 1:
        raise UsageError("the pod has several apps", where="rocket enter", hint=f"name one with --app: {', '.join(names)}")
    return names[0]
