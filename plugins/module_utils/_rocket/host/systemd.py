# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Named pods as systemd units: ``rocket-<name>.service``.

The text of a unit is a pure function of the pod's name, the host's directories and a number: nothing that a manifest says can
reach it (L20). What is to run is looked up by name when the unit starts.

Not handled here: limits (the pod's cgroups are delegated), user managers, timers.
"""

from __future__ import annotations

import os

from ..audit.log import record as write_down
from ..command import Outcome, run
from ..errors import HostError, PodError
from ..run.names import Names, is_pod_name
from ..run.pod_directory import PodDirectory
from ..run.starter import Starter
from ..run.stop import stop
from ..spec.identifier import check_ac_name
from ..store.files import fsync_directory, write_atomic
from . import entry, install

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..paths import Paths

UNITS = "/etc/systemd/system"
START_SECONDS = 120
STOP_SECONDS = 30  # beyond the stop timeout of the pod: handlers, statuses, cgroups
NOT_LOADED = 5
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-,")

_TEXT = """# Written by rocket and written again when it differs: put your own settings into
# {unit}.d/*.conf
[Unit]
Description=rocket pod {name}
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={command} run-prepared {name}
# SIGTERM reaches the supervisor alone, which stops the apps in order; what is left after the time is killed.
KillMode=mixed
TimeoutStartSec={start}
TimeoutStopSec={stop}
# What an app that SIGTERM ended gives, which systemd takes for success where it sees the signal itself.
SuccessExitStatus=143
# The supervisor makes and removes the cgroups of the pod.
Delegate=yes
SyslogIdentifier=rocket-{name}

[Install]
WantedBy=multi-user.target
"""


def unit_name(name: str) -> str:
    """Return the unit of a pod.

    Args:
        name: the pod's name or UUID, an AC name (T2).

    Raises:
        SpecError: something else; no other text may become part of a path or unit (L19).
    """
    return f"rocket-{check_ac_name(name, 'name')}.service"


def unit_text(name: str, launcher: str, options: Sequence[str] = (), stop_seconds: int = STOP_SECONDS) -> str:
    """Return the unit of a pod as text.

    Args:
        name: the pod's name or UUID.
        launcher: absolute path of the installed ``rocket``, through ``current``.
        options: global options of the command.
        stop_seconds: how long stopping may take.

    Raises:
        SpecError: `name` is no AC name.
        HostError: the launcher or an option holds a character that has a meaning to systemd.
    """
    unit = unit_name(name)
    for word in (launcher, *options):
        if not set(word) <= _PLAIN | {"="}:
            raise HostError("has a character that cannot be in a unit", where=word, hint="use letters, digits and / . _ - alone")
    if not launcher.startswith("/"):
        raise HostError("a unit needs an absolute path", where=launcher)
    command = " ".join((launcher, *options))
    return _TEXT.format(unit=unit, name=name, command=command, start=START_SECONDS, stop=int(stop_seconds))


class SystemdStarter(Starter):
    """Starts and stops pods by their units; a pod that runs is enabled, so that it comes back at boot.

    Args:
        paths: of the host; written into the unit where they are not the usual ones.
        root: where the runtime is installed; the host's default where empty.
        units: the directory of units.
        program: runs a program of the host; replaced in tests.
        insecure: relaxations by name; the unit needs them too, since it checks the images again at every start.
    """

    def __init__(
        self, paths: Paths, root: str = "", units: str = UNITS, program: Callable[..., Outcome] = run, insecure: Sequence[str] = ()
    ) -> None:
        self.paths = paths
        self.launcher = entry.launcher(root or install.default_places()[0])
        self.units = units
        self._program = program
        self._insecure = insecure

    def text(self, name: str) -> str:
        """Return the unit as it should be."""
        return unit_text(name, self.launcher, entry.global_options(self.paths, self._insecure), self.stop_seconds(name))

    def stop_seconds(self, name: str) -> int:
        """Return how long systemd has to wait for the pod of that name to stop: more than the pod gives its apps."""
        named = Names(self.paths).find(name) if is_pod_name(name) else None
        if named is None or not named.current:
            return STOP_SECONDS
        return int(Names(self.paths).generation(name, named.current).declaration["stop_timeout"]) + STOP_SECONDS

    def is_current(self, name: str) -> bool:
        """Return whether the unit on disk is what it should be."""
        try:
            with open(f"{self.units}/{unit_name(name)}", encoding="utf-8", errors="replace") as source:
                return source.read() == self.text(name)
        except FileNotFoundError:
            return False

    def write(self, name: str) -> bool:
        """Write the unit where it differs, and have systemd read it; return whether it did.

        Raises:
            HostError, StoreError: the runtime is not installed, the directory cannot be written, systemd refuses.
        """
        if self.is_current(name):
            return False
        if not os.path.exists(self.launcher):
            raise HostError("the runtime is not installed", where=self.launcher, hint="install it: appc.rocket.runtime does")
        write_atomic(f"{self.units}/{unit_name(name)}", self.text(name).encode(), 0o644)
        self._systemctl("daemon-reload")
        return True

    def start(self, name: str, uuid: str) -> None:
        """Write the unit, enable and start it, and return when the pod's apps run.

        Raises:
            PodError: it did not start; says what rocket said.
        """
        wanted = name or uuid
        self.write(wanted)
        self.enable(wanted)
        outcome = self._program(["systemctl", "start", "--", unit_name(wanted)], seconds=START_SECONDS + 30)
        if outcome.status:
            raise PodError(
                f"did not start: {self._last_words(wanted) or outcome.reason()}",
                where=wanted,
                hint=f"see journalctl -u {unit_name(wanted)}",
                code="start",
            )

    def stop(self, name: str, uuid: str, timeout: int, force: bool = False) -> None:
        """Stop the unit, disable it, and return when nothing of it is left; one that is not loaded is stopped.

        Raises:
            PodError: it does not end.
        """
        wanted = name or uuid
        unit, pod = unit_name(wanted), PodDirectory(self.paths, uuid)
        if not force and pod.directory(missing_ok=True) and pod.state() == "running":
            write_down(self.paths, "stop", uuid, force=False)
        self.disable(wanted)
        if force:
            stop(pod, timeout, force=True)
        outcome = self._program(["systemctl", "stop", "--", unit], seconds=timeout + STOP_SECONDS + 30)
        if outcome.status and outcome.status != NOT_LOADED:
            raise PodError(f"did not stop: {outcome.reason()}", where=wanted, hint=f"see journalctl -u {unit}")
        # A pod of this name that was started by other means, such as `rocket run-prepared`.
        if pod.directory(missing_ok=True):
            stop(pod, timeout)

    def _wanted_link(self, name: str) -> str:
        return f"{self.units}/multi-user.target.wants/{unit_name(name)}"

    def enable(self, name: str) -> None:
        """Have the pod started at boot: the link that systemctl enable makes, without its reload of every unit."""
        link = self._wanted_link(name)
        if not os.path.lexists(link):
            os.makedirs(os.path.dirname(link), mode=0o755, exist_ok=True)
            os.symlink(f"../{unit_name(name)}", link)
            fsync_directory(os.path.dirname(link))

    def disable(self, name: str) -> None:
        """Have the pod not started at boot; no error where it never was."""
        link = self._wanted_link(name)
        if os.path.lexists(link):
            os.unlink(link)
            fsync_directory(os.path.dirname(link))

    def drift(self, name: str, running: bool) -> str:
        """See `Starter.drift`: the text of the unit, and whether it is started at boot."""
        enabled = os.path.lexists(self._wanted_link(name))
        if running and not self.is_current(name):
            return "its unit differs"
        return "" if enabled == running else "its unit is not started at boot" if running else "its unit is started at boot"

    def settle(self, name: str, running: bool) -> None:
        """See `Starter.settle`; a unit that is written anew counts from the next start on."""
        if running:
            self.write(name)
            self.enable(name)
        else:
            self.disable(name)

    def is_active(self, name: str) -> bool:
        """Return whether systemd has the unit running, starting or stopping."""
        outcome = self._program(["systemctl", "show", "--property=ActiveState", "--value", "--", unit_name(name)])
        return outcome.output.strip() in ("active", "activating", "deactivating", "reloading")

    def forget(self, name: str) -> None:
        """Leave no trace of the unit of a pod that was stopped.

        Raises:
            HostError: systemd refuses.
        """
        path = f"{self.units}/{unit_name(name)}"
        self.disable(name)
        if os.path.exists(path):
            os.unlink(path)
            fsync_directory(self.units)
            self._systemctl("daemon-reload")
            # A unit that failed stays in systemd's memory until it is told.
            self._program(["systemctl", "reset-failed", "--", unit_name(name)])

    def _systemctl(self, *words: str) -> None:
        outcome = self._program(["systemctl", *words])
        if outcome.status:
            raise HostError(f"systemctl {words[0]}: {outcome.reason()}", where=words[-1])

    def _last_words(self, name: str) -> str:
        """Return what rocket told systemd about the start; the journal has the words of apps as well, and of earlier starts."""
        return self._program(["systemctl", "show", "--property=StatusText", "--value", "--", unit_name(name)]).output.strip()


def is_running() -> bool:
    """Return whether systemd is the init of this host."""
    return os.path.isdir("/run/systemd/system")
