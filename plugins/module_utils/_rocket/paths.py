# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Every path on a host, in one place.

Paths are strings: pathlib costs more to import than a pod to start.
"""

from __future__ import annotations

from .record import Record

POD_STATES = ("embryo", "prepare", "prepared", "run", "exited-garbage", "garbage")


class Paths(Record):
    """Where things are on this host.

    Attributes:
        data: images, trees, pods, names; must survive a reboot (``--dir``).
        local: the operator's configuration (``--local-config``).
        system: the vendor's configuration, under the local one (``--system-config``).
    """

    data: str = "/var/lib/rocket"
    local: str = "/etc/rocket"
    system: str = "/usr/lib/rocket"

    @property
    def images(self) -> str:
        """One directory an image, named by its image ID."""
        return f"{self.data}/images"

    @property
    def trees(self) -> str:
        """Rendered root file systems, one directory an image ID; not readable for others."""
        return f"{self.data}/trees"

    @property
    def blobs(self) -> str:
        """Layers of OCI images as they came, shared between images: ``blobs/<algorithm>/<hex digits>``."""
        return f"{self.data}/blobs"

    @property
    def locks(self) -> str:
        """Lock files of the store, one a key; beside the data, so that they are as shared as it is."""
        return f"{self.data}/locks"

    @property
    def staging(self) -> str:
        """Unfinished work of live processes; on the file system of the store, emptied by garbage collection."""
        return f"{self.data}/staging"

    @property
    def garbage(self) -> str:
        """What has been given up and waits to be removed."""
        return f"{self.data}/garbage"

    @property
    def names(self) -> str:
        """One directory a named pod: its generations and which one is current."""
        return f"{self.data}/names"

    @property
    def logs(self) -> str:
        """Output of apps where no journal takes it; outlives the pod: ``logs/<uuid>/<app>.log``."""
        return f"{self.data}/logs"

    @property
    def audit_log(self) -> str:
        """What was done and refused, one event a line; full files beside it: ``audit.log.<number>`` (docs/audit-log.md)."""
        return f"{self.data}/audit.log"

    def pods(self, state: str) -> str:
        """Return the directory of all pods in `state`, one of POD_STATES."""
        if state not in POD_STATES:
            raise ValueError(f"{state} is not a state of a pod")
        return f"{self.data}/pods/{state}"

    @property
    def layers(self) -> tuple[str, str]:
        """The directories of configuration, vendor's first; the local one stands over it."""
        return (self.system, self.local)

    def trusted_keys(self) -> tuple[str, str]:
        """Return the directories of trusted keys, vendor's first; the local layer masks and adds."""
        return (f"{self.system}/trustedkeys", f"{self.local}/trustedkeys")
