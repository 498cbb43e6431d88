# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Numbers of the kernel's interface that Python's standard library does not name in every supported version.

From the kernel's uapi headers; those below the machine tables are the same on x86_64 and aarch64.
"""

from __future__ import annotations

# System calls; the two machines that programs.py has programs for.
X86_64 = {
    "ioctl": 16, "socket": 41, "prctl": 157, "capset": 126, "pivot_root": 155, "mount": 165, "umount2": 166,
    "sethostname": 170, "keyctl": 250, "unshare": 272, "setns": 308, "fstatfs": 138, "rt_sigaction": 13,
    "rt_sigprocmask": 14, "signalfd4": 289, "prlimit64": 302, "kill": 62, "personality": 135,
}  # fmt: skip
AARCH64 = {
    "ioctl": 29, "socket": 198, "prctl": 167, "capset": 91, "pivot_root": 41, "mount": 40, "umount2": 39,
    "sethostname": 161, "keyctl": 219, "unshare": 97, "setns": 268, "fstatfs": 44, "rt_sigaction": 134,
    "rt_sigprocmask": 135, "signalfd4": 74, "prlimit64": 261, "kill": 129, "personality": 92,
}  # fmt: skip
EVERY_MACHINE = {
    "pidfd_send_signal": 424, "open_tree": 428, "move_mount": 429, "pidfd_open": 434, "close_range": 436,
    "openat2": 437, "pidfd_getfd": 438, "mount_setattr": 442,
}  # fmt: skip

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 0x1
OPEN_TREE_CLOEXEC = 0o2000000
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_IN_ROOT = 0x10

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

SECBIT_NOROOT_LOCKED = 0x3

KEYCTL_JOIN_SESSION_KEYRING = 1

PROC_SUPER_MAGIC = 0x9FA0
DEVPTS_SUPER_MAGIC = 0x1CD1

SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGUSR1, SIGUSR2, SIGPIPE, SIGTERM, SIGCHLD, SIGWINCH = 1, 2, 3, 9, 10, 12, 13, 15, 17, 28
SIG_BLOCK = 0
SIG_SETMASK = 2

NS_GET_NSTYPE = 0xB703
TIOCSCTTY = 0x540E
TIOCGWINSZ = 0x5413
TIOCSWINSZ = 0x5414
TIOCSPTLCK = 0x40045431
TIOCGPTPEER = 0x5441
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1

MFD_CLOEXEC = 0x1
MFD_ALLOW_SEALING = 0x2
MFD_EXEC = 0x10
F_ADD_SEALS = 1033
F_SEAL_ALL = 0x1 | 0x2 | 0x4 | 0x8  # SEAL, SHRINK, GROW, WRITE
