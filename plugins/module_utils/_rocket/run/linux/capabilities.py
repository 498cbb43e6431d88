# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Capabilities by name and number, and how a process comes down to a bounding set."""

from __future__ import annotations

import errno

from ...errors import LaunchError
from . import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .kernel import Kernel

NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST "
    "NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE "
    "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM "
    "BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()


def mask(names: list[str]) -> int:
    """Return the bit mask of `names` (``CAP_CHOWN``).

    Raises:
        LaunchError: a name that no kernel knows.
    """
    bits = 0
    for name in names:
        if name[:4] != "CAP_" or name[4:] not in NAMES:
            raise LaunchError(f"{name} is no capability", where="capabilities", hint="prepare the pod again", code="capability")
        bits |= 1 << NAMES.index(name[4:])
    return bits


def bound(kernel: Kernel, wanted: int) -> int:
    """Drop every capability outside `wanted` from the bounding set; return the part of `wanted` that this kernel has.

    Goes by number until the kernel says that there are no more, so that capabilities newer than this table go too.
    """
    have = 0
    for number in range(64):
        bit = 1 << number
        try:
            present = kernel.prctl(c.PR_CAPBSET_READ, number)
        except LaunchError as error:
            if error.facts.get("errno") != errno.EINVAL:
                raise
            break
        if not wanted & bit:
            kernel.prctl(c.PR_CAPBSET_DROP, number)
        elif present:
            have |= bit
    return have
