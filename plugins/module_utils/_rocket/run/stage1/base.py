# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What an isolation backend offers the supervisor; one file beside this one holds one backend."""

from __future__ import annotations

from ...record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..linux.identity import Identity


class Child(Record):
    """A process of ours on its way to becoming a program of an app.

    Attributes:
        pid: as the supervisor numbers it; it is the supervisor's child.
        status: read end of its status pipe (linux/report.py).
        go: write end that lets a built app execute its main, or -1 for others.
    """

    pid: int
    status: int
    go: int = -1


class Stage1:
    """The isolation of one pod. `streams` are the write ends of an app's standard output and standard error."""

    def create(self) -> dict[str, Any]:
        """Make what the apps of the pod share; return the outcome of each limit by app name, the pod's under ``""``.

        Raises:
            LaunchError: the host refuses.
        """
        raise NotImplementedError

    def build_app(self, app: dict[str, Any], streams: tuple[int, int]) -> Child:
        """Begin to make the app's own isolation; the child reports ``built`` and waits for start_app."""
        raise NotImplementedError

    def start_app(self, app: dict[str, Any], child: Child) -> None:
        """Let a built child execute the app's main."""
        raise NotImplementedError

    def handler(self, app: dict[str, Any], identity: Identity, arguments: tuple[str, ...], streams: tuple[int, int]) -> Child:
        """Start an event handler beside the app, under the same confinement."""
        raise NotImplementedError

    def enter(
        self,
        app: dict[str, Any],
        identity: Identity,
        arguments: tuple[str, ...],
        joins: tuple[str, ...],
        streams: tuple[int, int, int],
        term: str,
    ) -> Child:
        """Start a further program in a running app of a pod that another process supervises, under the same confinement.

        Args:
            joins: the files through which to join the app's control groups.
            streams: descriptors that become its standard ones where there is no terminal.
            term: value of TERM when it gets a terminal of its own, else empty.
        """
        raise NotImplementedError

    def destroy(self, ended: Callable[[int, int], None]) -> None:
        """End every process of the pod, tell `ended` about each child (pid, wait status), and give back what create() took.

        Safe to call at any point, twice too.
        """
        raise NotImplementedError
