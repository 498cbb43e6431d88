# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The port to the kernel: every call that starts a pod, each checked, each failure a LaunchError that names call and object.

All calls go through one bound C function, ``syscall(2)``: binding is what ctypes makes one pay for. The unit tests put
a recording object in this class's place.

Not handled here: kernels before 5.12 (mount_setattr) and machines other than x86_64 and aarch64; both are refused.
"""

from __future__ import annotations

import ctypes
import errno
import os

from ...errors import LaunchError, printable
from . import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_HINTS = {
    errno.ENOSYS: "rocket needs Linux 5.12 or newer",
    errno.EPERM: "rocket has to run as root with all capabilities",
}


def _u64(*values: int) -> bytes:
    return b"".join(value.to_bytes(8, "little") for value in values)


def _u32(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


def _text(value: str) -> bytes:
    """Return `value` for the kernel, which would take a NUL for the end of a path."""
    data = os.fsencode(value)
    if b"\0" in data:
        raise LaunchError("a NUL character in a path", where=printable(value), hint="remove it from the declaration")
    return data


def refuse(call: str, what: object, number: int) -> LaunchError:
    """Return the error of a call that failed with `number`; ``facts["errno"]`` carries it."""
    return LaunchError(f"{call}: {os.strerror(number)}", where=printable(what), hint=_HINTS.get(number, ""), errno=number, call=call)


class Kernel:
    """The running kernel. Paths are text or bytes; flags are those of constants.py.

    Every method raises LaunchError when the kernel refuses.
    """

    def __init__(self) -> None:
        machine = os.uname().machine
        numbers = {"x86_64": c.X86_64, "aarch64": c.AARCH64}.get(machine)
        if numbers is None:
            raise LaunchError(f"the machine {machine} is not supported", hint="pods run on x86_64 and aarch64", code="machine")
        self._numbers = {**numbers, **c.EVERY_MACHINE}
        libc = ctypes.CDLL(None, use_errno=True)
        self._syscall = libc.syscall
        self._syscall.argtypes = (ctypes.c_long,) + (ctypes.c_void_p,) * 6
        self._syscall.restype = ctypes.c_long

    def _call(self, name: str, what: object, *values: object) -> int:
        padded = (*values, 0, 0, 0, 0, 0, 0)[:6]
        result: int = self._syscall(self._numbers[name], *padded)
        if result == -1:
            raise refuse(name, what, ctypes.get_errno())
        return result

    # Namespaces and mounts

    def unshare(self, flags: int) -> None:
        """Move this process (CLONE_NEWPID: its future children) into new namespaces."""
        self._call("unshare", f"namespaces {flags:#x}", flags)

    def setns(self, fd: int, flags: int, what: str) -> None:
        """Join the namespaces that `fd` (a namespace or a pidfd) stands for."""
        self._call("setns", what, fd, flags)

    def mount(self, source: str, target: str, kind: str, flags: int, data: str = "") -> None:
        """Mount a file system of type `kind`, or change the propagation of `target`."""
        what = f"{kind or 'mount'} on {target}"
        self._call("mount", what, _text(source), _text(target), _text(kind), flags, _text(data))

    def detach(self, target: str) -> None:
        """Unmount `target` with everything below it, now for new look-ups, later for whoever still uses it."""
        self._call("umount2", target, _text(target), c.MNT_DETACH)

    def pivot_root(self, new: str, old: str) -> None:
        """Make `new` the root; the old one lies on `old` afterwards."""
        self._call("pivot_root", new, _text(new), _text(old))

    def open_tree(self, fd: int, path: str, flags: int) -> int:
        """Return an fd of a detached copy of the mount at `path`; close-on-exec."""
        return self._call("open_tree", path, fd, _text(path), flags | c.OPEN_TREE_CLONE | c.OPEN_TREE_CLOEXEC)

    def move_mount(self, mount: int, target: int, what: str) -> None:
        """Attach the detached `mount` on the directory or file that `target` is open on."""
        flags = c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH
        self._call("move_mount", what, mount, b"", target, b"", flags)

    def mount_setattr(self, fd: int, path: str, flags: int, attributes: int, propagation: int = 0) -> None:
        """Set `attributes` (MOUNT_ATTR_*) on one mount, with AT_RECURSIVE on all below it too."""
        values = _u64(attributes, 0, propagation, 0)
        self._call("mount_setattr", path, fd, _text(path), flags, values, len(values))

    def filesystem(self, fd: int, what: str) -> int:
        """Return the magic number of the file system that `fd` is on."""
        answer = ctypes.create_string_buffer(256)
        self._call("fstatfs", what, fd, answer)
        return int.from_bytes(answer.raw[:8], "little")

    def openat2(self, directory: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
        """Open `path`, resolving as RESOLVE_* say; close-on-exec."""
        how = _u64(flags | os.O_CLOEXEC, mode, resolve)
        return self._call("openat2", path, directory, _text(path), how, len(how))

    # The process

    def prctl(self, option: int, value: int = 0, third: int = 0) -> int:
        """Return what prctl(option, value, third, 0, 0) says."""
        return self._call("prctl", f"option {option}, value {value}", option, value, third)

    def capset(self, permitted: int, effective: int, inheritable: int) -> None:
        """Set the three capability sets of this process; bit masks."""
        sets = ((permitted, effective, inheritable), (permitted >> 32, effective >> 32, inheritable >> 32))
        data = b"".join(_u32(e & 0xFFFFFFFF, p & 0xFFFFFFFF, i & 0xFFFFFFFF) for p, e, i in sets)
        self._call("capset", f"{permitted:#x}", _u32(0x20080522, 0), data)

    def setgroups(self, groups: list[int]) -> None:
        """Set the supplementary groups to exactly `groups`."""
        self._plain("setgroups", groups, os.setgroups, groups)

    def setresgid(self, gid: int) -> None:
        """Set real, effective and saved group."""
        self._plain("setresgid", gid, os.setresgid, gid, gid, gid)

    def setresuid(self, uid: int) -> None:
        """Set real, effective and saved user."""
        self._plain("setresuid", uid, os.setresuid, uid, uid, uid)

    def setsid(self) -> None:
        """Become the leader of a new session, without a terminal."""
        self._plain("setsid", "session", os.setsid)

    def umask(self, mask: int) -> None:
        """Set the file mode creation mask."""
        os.umask(mask)

    def default_personality(self) -> None:
        """Undo what setarch(8) did to the caller: without it the app's addresses may be the same at every start."""
        self._call("personality", "default", 0)

    def fchdir(self, fd: int, what: str) -> None:
        """Make the directory `fd` the working directory."""
        self._plain("fchdir", what, os.fchdir, fd)

    def chdir(self, path: str) -> None:
        """Make `path` the working directory."""
        self._plain("chdir", path, os.chdir, path)

    def getcwd(self) -> str:
        """Return the working directory, which has to lie below the root."""
        try:
            return os.getcwd()
        except OSError as error:
            raise refuse("getcwd", "working directory", error.errno or 0) from error

    def dup_to(self, fd: int, target: int) -> None:
        """Make `target` a copy of `fd` that survives execve."""
        if fd == target:
            os.set_inheritable(fd, True)
        else:
            self._plain("dup2", fd, os.dup2, fd, target, True)

    def close_on_exec(self, fd: int) -> None:
        """Have `fd` closed by the next execve."""
        os.set_inheritable(fd, False)

    def close_from(self, first: int) -> None:
        """Close every descriptor from `first` on."""
        self._call("close_range", f"descriptors from {first}", first, 0xFFFFFFFF, 0)

    def set_limit(self, resource: int, soft: int, hard: int) -> None:
        """Set a resource limit of this process; 2**64-1 is no limit. Without CAP_SYS_RESOURCE a lower hard limit stays."""
        what = f"limit {resource}"
        try:
            self._call("prlimit64", what, 0, resource, _u64(soft, hard), 0)
        except LaunchError as error:
            if error.facts["errno"] != errno.EPERM:
                raise
            answer = ctypes.create_string_buffer(16)
            self._call("prlimit64", what, 0, resource, 0, answer)
            ceiling = int.from_bytes(answer.raw[8:], "little")
            self._call("prlimit64", what, 0, resource, _u64(min(soft, ceiling), min(hard, ceiling)), 0)

    def write(self, path: str, text: str) -> None:
        """Write `text` to a file of procfs; the last part of `path` is no link."""
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.write(fd, text.encode("ascii"))
            finally:
                os.close(fd)
        except OSError as error:
            raise refuse("write", path, error.errno or 0) from error

    def execve(self, program: int, arguments: list[str], environment: dict[str, str]) -> NoReturn:
        """Replace this process by the program that `program` is open on."""
        try:
            os.execve(program, arguments, environment)
        except OSError as error:
            raise refuse("execve", arguments[0], error.errno or 0) from error
        except ValueError as error:
            raise LaunchError(f"{error} in an argument or variable", where=printable(arguments[0])) from error

    def new_session_keyring(self) -> None:
        """Join a fresh anonymous session keyring; a kernel without keyrings has nothing to leak."""
        try:
            self._call("keyctl", "session keyring", c.KEYCTL_JOIN_SESSION_KEYRING, 0)
        except LaunchError as error:
            if error.facts["errno"] != errno.ENOSYS:
                raise

    def sethostname(self, name: str) -> None:
        """Set the host name of this UTS namespace."""
        data = _text(name)
        self._call("sethostname", name, data, len(data))

    def loopback_up(self) -> None:
        """Bring up ``lo`` of this network namespace; the kernel then gives it its addresses."""
        fd = self._call("socket", "loopback", 2, 2 | os.O_CLOEXEC, 0)
        request = b"lo".ljust(16, b"\0") + c.IFF_UP.to_bytes(2, "little") + bytes(22)
        try:
            self._call("ioctl", "loopback", fd, c.SIOCSIFFLAGS, request)
        finally:
            os.close(fd)

    def ioctl(self, fd: int, request: int, argument: object, what: str) -> int:
        """Return what ioctl(fd, request, argument) says; `argument` is a number or a buffer."""
        return self._call("ioctl", what, fd, request, argument)

    def buffer(self, size: int) -> Any:
        """Return a buffer that an ioctl can write to."""
        return ctypes.create_string_buffer(size)

    # Signals and other processes

    def default_signals(self) -> None:
        """Give every signal its default action and unblock all: Python leaves SIGPIPE and SIGXFSZ ignored across execve."""
        for number in range(1, 65):
            if number not in (9, 19):
                self._call("rt_sigaction", f"signal {number}", number, bytes(32), 0, 8)
        self.set_mask(bytes(8))

    def ignore_children(self) -> None:
        """Let the kernel reap this process's children, those that are handed to it included; survives execve."""
        self._call("rt_sigaction", "SIGCHLD", c.SIGCHLD, _u64(1, 0, 0, 0), 0, 8)

    def block(self, signals: tuple[int, ...]) -> bytes:
        """Block `signals`; return the mask before."""
        before = ctypes.create_string_buffer(8)
        self._call("rt_sigprocmask", "signals", c.SIG_BLOCK, _mask(signals), before, 8)
        return before.raw

    def set_mask(self, mask: bytes) -> None:
        """Block exactly the signals of `mask`, as block() returned it."""
        self._call("rt_sigprocmask", "signals", c.SIG_SETMASK, mask, 0, 8)

    def signalfd(self, signals: tuple[int, ...]) -> int:
        """Return an fd that delivers the blocked `signals`; non-blocking, close-on-exec."""
        return self._call("signalfd4", "signals", -1, _mask(signals), 8, os.O_NONBLOCK | os.O_CLOEXEC)

    def pidfd_open(self, pid: int) -> int:
        """Return an fd that stands for the process `pid`; close-on-exec."""
        return self._call("pidfd_open", f"process {pid}", pid, 0)

    def pidfd_getfd(self, process: int, fd: int) -> int:
        """Return a copy of descriptor `fd` of the process that the pidfd `process` stands for; close-on-exec."""
        return self._call("pidfd_getfd", f"descriptor {fd}", process, fd, 0)

    def pidfd_send_signal(self, process: int, number: int) -> None:
        """Send a signal to the process that the pidfd `process` stands for."""
        self._call("pidfd_send_signal", f"signal {number}", process, number, 0, 0)

    def _plain(self, call: str, what: object, function: object, *values: object) -> None:
        try:
            function(*values)  # type: ignore[operator]
        except OSError as error:
            raise refuse(call, what, error.errno or 0) from error


def _mask(signals: tuple[int, ...]) -> bytes:
    return _u64(sum(1 << (number - 1) for number in signals))
