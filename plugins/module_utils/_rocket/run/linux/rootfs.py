# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""An app's root file system, in a mount namespace of its own: overlay, pivot, /proc, /sys, cgroups, masks (E1, E4).

Each start has an overlay of its own above the rendered tree, which is never written (D6, D7).

The pivot comes first: once the host's root is detached, no link, name or race of an image can name anything of the host,
and what is needed of it (the volumes) has been opened before. The order is that of build_root().

Not handled here: user namespaces, idmapped mounts, devices other than those of E4.
"""

from __future__ import annotations

import os
import stat

from ...errors import LaunchError
from . import constants as c
from . import devices, identity, volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .kernel import Kernel

_QUIET = c.MS_NOSUID | c.MS_NODEV | c.MS_NOEXEC
_QUIET_READ_ONLY = c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC
# volatile: a pod's root begins empty at every start, and writing it to disk at the end costs as much as making it.
_OVERLAY = "redirect_dir=nofollow,metacopy=off,index=off,volatile"

# L25; files and directories alike, those this kernel lacks are skipped.
MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def mount_overlay(kernel: Kernel, directory: str, tree: str) -> int:
    """Mount an app's overlay on ``<directory>/root``, its layer in upper and work beside it; return an fd of the new root.

    The three directories are named to the kernel by descriptor: no character of a path needs escaping, and a rename
    between look-up and mount changes nothing.
    """
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
    opened = [kernel.openat2(c.AT_FDCWD, path, flags, 0) for path in (tree, f"{directory}/upper", f"{directory}/work")]
    lower, upper, work = (f"/proc/self/fd/{fd}" for fd in opened)
    data = f"lowerdir={lower},upperdir={upper},workdir={work},{_OVERLAY}"
    kernel.mount("overlay", f"{directory}/root", "overlay", c.MS_NODEV, data)
    for fd in opened:
        os.close(fd)
    return kernel.openat2(c.AT_FDCWD, f"{directory}/root", flags, 0)


def mount_layers(kernel: Kernel, root: str, layer: str, tree: str) -> None:
    """Mount what an app left in `layer` over `tree` on the directory `root`, to be read only.

    Raises:
        LaunchError: the kernel refuses.
    """
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
    opened = [kernel.openat2(c.AT_FDCWD, path, flags, 0) for path in (layer, tree)]
    upper, lower = (f"/proc/self/fd/{fd}" for fd in opened)
    options = "redirect_dir=nofollow,metacopy=off,index=off"
    kernel.mount("overlay", root, "overlay", c.MS_RDONLY | _QUIET, f"lowerdir={upper}:{lower},{options}")
    for fd in opened:
        os.close(fd)


def own_namespace() -> int:
    """Return a descriptor of this process's mount namespace, for pivot(); to be opened while the host's /proc is there."""
    return os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)


def pivot(kernel: Kernel, root: int, namespace: int) -> None:
    """Make `root`, a descriptor of a mount, the root of this mount namespace, and detach everything else.

    Raises:
        LaunchError: this process is in a chroot. There the pivot moves what the process sees and leaves the namespace its
            root: whoever joins it later (event handlers, enter), or breaks out of the chroot, would be on the host.
    """
    kernel.fchdir(root, "new root")
    kernel.pivot_root(".", ".")
    kernel.detach(".")
    kernel.chdir("/")
    seen = os.stat("/")
    kernel.setns(namespace, c.CLONE_NEWNS, "mount namespace")
    os.close(namespace)
    if not os.path.samestat(seen, os.stat("/")):
        raise LaunchError(
            "rocket runs in a chroot, where an app would not be confined to its root",
            where="/",
            hint="run it on the host itself, or in a container that has a root of its own (pivot_root)",
            code="chroot",
        )


def own_directory(kernel: Kernel, name: str) -> None:
    """Make sure that ``/<name>`` is a real directory of the image, made when missing (L10, L14).

    Raises:
        LaunchError: it is a link or a file.
    """
    try:
        mode = os.lstat(f"/{name}").st_mode
    except FileNotFoundError:
        os.mkdir(f"/{name}", 0o755)
        return
    if not stat.S_ISDIR(mode):
        kind = "a link" if stat.S_ISLNK(mode) else "no directory"
        raise LaunchError(f"the image's /{name} is {kind}", where=f"/{name}", hint="use an image where it is a directory", code="image")


def mount_proc(kernel: Kernel) -> None:
    """Mount /proc of this PID namespace and make sure that it is one."""
    own_directory(kernel, "proc")
    kernel.mount("proc", "/proc", "proc", _QUIET)
    check_filesystem(kernel, "/proc", c.PROC_SUPER_MAGIC)


def check_filesystem(kernel: Kernel, path: str, magic: int) -> None:
    """Refuse `path` when it is not on the file system that it should be (L10, L11)."""
    fd = kernel.openat2(c.AT_FDCWD, path, os.O_PATH, c.RESOLVE_NO_SYMLINKS)
    try:
        found = kernel.filesystem(fd, path)
    finally:
        os.close(fd)
    if found != magic:
        raise LaunchError(f"not the file system that belongs there ({found:#x})", where=path, code="filesystem")


def mount_sys(kernel: Kernel, controllers: tuple[str, ...]) -> None:
    """Mount /sys and the app's own view of its cgroups, all read-only (L22, L23).

    Args:
        controllers: v1 hierarchies that the app has a cgroup in; empty for the unified one.
    """
    own_directory(kernel, "sys")
    kernel.mount("sysfs", "/sys", "sysfs", _QUIET | c.MS_RDONLY)
    target = "/sys/fs/cgroup"
    if not os.path.isdir(target):
        return
    if not controllers:
        kernel.mount("cgroup2", target, "cgroup2", _QUIET | c.MS_RDONLY)
        return
    kernel.mount("tmpfs", target, "tmpfs", _QUIET, "mode=755,size=64k")
    for name in controllers:
        os.mkdir(f"{target}/{name}", 0o755)
        kernel.mount("cgroup", f"{target}/{name}", "cgroup", _QUIET | c.MS_RDONLY, name)
    kernel.mount_setattr(c.AT_FDCWD, target, 0, _QUIET_READ_ONLY)


def mask(kernel: Kernel) -> None:
    """Hide the files of MASKED and make those of READ_ONLY read-only (L12, L25); /dev is ours by now."""
    empty, null = -1, devices.open_null(kernel)
    for path in MASKED:
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(mode):
            if empty < 0:
                kernel.mount("tmpfs", path, "tmpfs", _QUIET | c.MS_RDONLY, "mode=755,size=4k")
                empty = kernel.openat2(c.AT_FDCWD, path, os.O_PATH, c.RESOLVE_NO_SYMLINKS)
                continue
            _attach(kernel, kernel.open_tree(empty, "", c.AT_EMPTY_PATH), path)
        else:
            _attach(kernel, kernel.open_tree(null, "", c.AT_EMPTY_PATH), path)
            devices.check_null(os.stat(path), path)
    for fd in (empty, null):
        if fd >= 0:
            os.close(fd)
    for path in READ_ONLY:
        if os.path.lexists(path):
            copy = kernel.open_tree(c.AT_FDCWD, path, c.AT_SYMLINK_NOFOLLOW)
            kernel.mount_setattr(copy, "", c.AT_EMPTY_PATH, _QUIET_READ_ONLY)
            _attach(kernel, copy, path)


def _attach(kernel: Kernel, mount: int, path: str) -> None:
    target = kernel.openat2(c.AT_FDCWD, path, os.O_PATH | os.O_NOFOLLOW, c.RESOLVE_NO_SYMLINKS)
    kernel.move_mount(mount, target, path)
    os.close(target)
    os.close(mount)


def build_root(
    kernel: Kernel, directory: str, pod_directory: str, app: dict[str, Any], controllers: tuple[str, ...], join: Any
) -> tuple[identity.Identity, list[str]]:
    """Give this process, in a mount namespace of its own, the root file system of `app`.

    Args:
        directory: ``apps/<app>`` of the pod's directory.
        pod_directory: the pod's directory; `empty` volumes lie below it.
        controllers: see mount_sys.
        join: called once the host's file systems are no longer needed and before those that belong to the pod's
            namespaces are mounted; it joins them.

    Returns:
        Who the app runs as, and warnings for the operator.

    Raises:
        LaunchError: the kernel, the image or a volume refused.
    """
    kernel.mount("", "/", "", c.MS_REC | c.MS_PRIVATE)
    kernel.umask(0)
    sources = [volumes.open_source(kernel, mount, pod_directory) for mount in app["mounts"]]
    root = mount_overlay(kernel, directory, app["tree"])
    pivot(kernel, root, own_namespace())
    os.close(root)
    root = kernel.openat2(c.AT_FDCWD, "/", os.O_PATH | os.O_DIRECTORY, 0)
    who = identity.resolve(kernel, root, app)
    join()
    mount_proc(kernel)
    mount_sys(kernel, controllers)
    own_directory(kernel, "dev")
    devices.mount_dev(kernel)
    mask(kernel)
    warnings = volumes.attach(kernel, root, app["mounts"], sources)
    if app["read_only_root"]:
        kernel.mount_setattr(root, "", c.AT_EMPTY_PATH, c.MOUNT_ATTR_RDONLY)
    os.close(root)
    return who, warnings
