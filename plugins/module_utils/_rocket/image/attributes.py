# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Owner, mode, extended attributes and time of a file or directory, set on its descriptor in the one order that works."""

from __future__ import annotations

import os
import stat

from .xattrs import travels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .tar import Entry


def dress(fd: int, entry: Entry, owners: bool, capabilities: bool) -> int:
    """Give the open file or directory `fd` what `entry` says; return how many extended attributes do not travel.

    Args:
        fd: made by us, seen by nobody else yet.
        entry: mode, owner, attributes and time.
        owners: whether owners are set, which takes privileges; without, setuid and setgid bits are dropped.
        capabilities: whether ``security.capability`` is kept.

    Raises:
        OSError: the file system refuses.
    """
    mode, dropped = entry.mode, 0
    if owners:
        os.fchown(fd, entry.uid, entry.gid)
    else:
        mode &= ~(stat.S_ISUID | stat.S_ISGID)
    # After chown, which clears setuid; before the attributes, since chown clears capabilities too.
    os.fchmod(fd, mode)
    for name, value in entry.xattrs:
        if travels(name, capabilities):
            os.setxattr(fd, name, value)
        else:
            dropped += 1
    os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
    return dropped
