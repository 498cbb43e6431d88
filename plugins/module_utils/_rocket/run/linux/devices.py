# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""An app's /dev (E4): a tmpfs of its own with fixed nodes, the same for every image, read-only in the end.

/dev/console is a node like /dev/null: what the app writes there is lost, and no terminal of the host is behind it.
Not handled here: other devices; the root and every volume are ``nodev``, so that nodes made by an app do nothing.
"""

from __future__ import annotations

import os
import stat

from ...errors import LaunchError
from . import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .kernel import Kernel

NULL = (1, 3)
NODES = {
    "null": NULL, "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0), "console": NULL,
}  # fmt: skip
LINKS = {
    "ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
}  # fmt: skip
_QUIET = c.MS_NOSUID | c.MS_NODEV | c.MS_NOEXEC


def check_null(found: os.stat_result, where: str) -> None:
    """Refuse `found` unless it is the null device itself (L12)."""
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(*NULL):
        raise LaunchError("not the null device", where=where, code="device")


def open_null(kernel: Kernel) -> int:
    """Return a descriptor of the null device in our own /dev, the source of masks: never anything of the image (L12)."""
    fd = kernel.openat2(c.AT_FDCWD, "/dev/null", os.O_PATH | os.O_NOFOLLOW, c.RESOLVE_NO_SYMLINKS)
    check_null(os.fstat(fd), "/dev/null")
    return fd


def mount_dev(kernel: Kernel) -> None:
    """Mount and fill /dev; the umask must be 0."""
    kernel.mount("tmpfs", "/dev", "tmpfs", c.MS_NOSUID | c.MS_NOEXEC, "mode=755,size=64k")
    try:
        for name, (major, minor) in NODES.items():
            os.mknod(f"/dev/{name}", 0o666 | stat.S_IFCHR, os.makedev(major, minor))
        for name, target in LINKS.items():
            os.symlink(target, f"/dev/{name}")
        for name in ("pts", "shm", "mqueue"):
            os.mkdir(f"/dev/{name}", 0o755)
    except OSError as error:
        raise LaunchError(f"cannot fill /dev: {error.strerror}", where="/dev", hint="rocket needs CAP_MKNOD") from error
    kernel.mount("devpts", "/dev/pts", "devpts", c.MS_NOSUID | c.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    kernel.mount("shm", "/dev/shm", "tmpfs", _QUIET, "mode=1777,size=64m")
    kernel.mount("mqueue", "/dev/mqueue", "mqueue", _QUIET)
    kernel.mount_setattr(c.AT_FDCWD, "/dev", 0, c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NOEXEC)
