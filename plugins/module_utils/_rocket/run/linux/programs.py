# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The two programs of ours that run inside a pod, as machine code: they are all that a pod finds behind ``/proc/<pid>/exe``.

``init`` is the pod's first process. It sleeps; that SIGCHLD is ignored (Kernel.ignore_children, before execve) makes the
kernel reap every process handed to it. ``exec`` stands between Python and the app: an image whose entry is
``#!/proc/self/exe`` makes the kernel run the *calling* program as the interpreter, and with this one between, that is 100
bytes in sealed memory instead of the host's Python (docs/adr/0003-init-and-exec-programs.md, CVE-2019-5736).

Not handled here: machines other than x86_64 and aarch64 (LaunchError).
"""

from __future__ import annotations

import errno
import os

from ...errors import LaunchError
from . import constants as c

# What each line does is the assembly behind it; tests/unit/run_linux/test_programs.py runs both, also under emulation.
_INIT = {
    "x86_64": (
        "bf0f000000"  # mov edi, 15              PR_SET_NAME
        "488d3521000000"  # lea rsi, [rip+33]    name
        "b89d000000"  # mov eax, 157             prctl
        "0f05"  # syscall
        "bf04000000"  # mov edi, 4               PR_SET_DUMPABLE: no app can trace it
        "be00000000"  # mov esi, 0
        "b89d000000"  # mov eax, 157             prctl
        "0f05"  # syscall
        # again:
        "b822000000"  # mov eax, 34              pause
        "0f05"  # syscall
        "ebf7"  # jmp again
        "726f636b65742d696e697400"  # name: "rocket-init\0"
    ),
    "aarch64": (
        "e00180d2"  # mov x0, #15                PR_SET_NAME
        "c1010010"  # adr x1, name
        "e81480d2"  # mov x8, #167               prctl
        "010000d4"  # svc #0
        "800080d2"  # mov x0, #4                 PR_SET_DUMPABLE: no app can trace it
        "010080d2"  # mov x1, #0
        "e81480d2"  # mov x8, #167               prctl
        "010000d4"  # svc #0
        # again:
        "e0031faa"  # mov x0, xzr                no descriptors
        "e1031faa"  # mov x1, xzr
        "e2031faa"  # mov x2, xzr                no time limit
        "e3031faa"  # mov x3, xzr                no change of the signal mask
        "280980d2"  # mov x8, #73                ppoll
        "010000d4"  # svc #0
        "faffff17"  # b again
        "726f636b65742d696e697400"  # name: "rocket-init\0"
    ),
}

# Arguments: path, argv[0], argv[1], ... Descriptor 3 is the status pipe: closed by a successful execve, else it gets errno.
# Without descriptor 3 it is an image that runs it, as its own interpreter: it ends there, or it would execute itself for ever.
_EXEC = {
    "x86_64": (
        "bf03000000"  # mov edi, 3
        "be02000000"  # mov esi, 2               F_SETFD
        "ba01000000"  # mov edx, 1               FD_CLOEXEC
        "b848000000"  # mov eax, 72              fcntl
        "0f05"  # syscall
        "85c0"  # test eax, eax
        "7831"  # js end
        "488b7c2408"  # mov rdi, [rsp+8]         path
        "488d742410"  # lea rsi, [rsp+16]        argv
        "488b0c24"  # mov rcx, [rsp]             argc
        "488d54cc10"  # lea rdx, [rsp+rcx*8+16]  envp
        "b83b000000"  # mov eax, 59              execve
        "0f05"  # syscall
        "f7d8"  # neg eax                        errno
        "50"  # push rax
        "bf03000000"  # mov edi, 3
        "4889e6"  # mov rsi, rsp
        "ba04000000"  # mov edx, 4
        "b801000000"  # mov eax, 1               write
        "0f05"  # syscall
        # end:
        "bf7f000000"  # mov edi, 127
        "b8e7000000"  # mov eax, 231             exit_group
        "0f05"  # syscall
    ),
    "aarch64": (
        "600080d2"  # mov x0, #3
        "410080d2"  # mov x1, #2                 F_SETFD
        "220080d2"  # mov x2, #1                 FD_CLOEXEC
        "280380d2"  # mov x8, #25                fcntl
        "010000d4"  # svc #0
        "c001f8b7"  # tbnz x0, #63, end
        "e90340f9"  # ldr x9, [sp]               argc
        "e00740f9"  # ldr x0, [sp, #8]           path
        "e1430091"  # add x1, sp, #16            argv
        "220c098b"  # add x2, x1, x9, lsl #3     envp
        "a81b80d2"  # mov x8, #221               execve
        "010000d4"  # svc #0
        "e903004b"  # neg w9, w0                 errno
        "e90f1ff8"  # str x9, [sp, #-16]!
        "600080d2"  # mov x0, #3
        "e1030091"  # mov x1, sp
        "820080d2"  # mov x2, #4
        "080880d2"  # mov x8, #64                write
        "010000d4"  # svc #0
        # end:
        "e00f80d2"  # mov x0, #127
        "c80b80d2"  # mov x8, #94                exit_group
        "010000d4"  # svc #0
    ),
}
_ELF_MACHINE = {"x86_64": 62, "aarch64": 183}
_BASE = 0x400000
_HEADERS = 64 + 2 * 56


def elf(machine: str, code: bytes) -> bytes:
    """Return a static ELF program for `machine` that is one read-only executable segment holding `code`.

    Raises:
        LaunchError: no program for that machine.
    """
    number = _ELF_MACHINE.get(machine)
    if number is None:
        raise LaunchError(f"the machine {machine} is not supported", hint="pods run on x86_64 and aarch64", code="machine")

    def field(value: int, size: int) -> bytes:
        return value.to_bytes(size, "little")

    size = _HEADERS + len(code)
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + field(2, 2) + field(number, 2) + field(1, 4) + field(_BASE + _HEADERS, 8)
    header += field(64, 8) + field(0, 8) + field(0, 4) + field(64, 2) + field(56, 2) + field(2, 2) + field(0, 6)
    segment = field(1, 4) + field(5, 4) + field(0, 8) + field(_BASE, 8) * 2 + field(size, 8) * 2 + field(0x1000, 8)
    stack = field(0x6474E551, 4) + field(6, 4) + bytes(48)  # without it the kernel makes the stack executable
    return header + segment + stack + code


def init_program(machine: str) -> bytes:
    """Return the ELF file of the pod's first process for `machine`, a value of ``uname -m``."""
    return elf(machine, bytes.fromhex(_INIT.get(machine, "")))


def exec_program(machine: str) -> bytes:
    """Return the ELF file of the program that execs the app."""
    return elf(machine, bytes.fromhex(_EXEC.get(machine, "")))


def sealed(name: str, content: bytes) -> int:
    """Return an fd of an executable in memory that nobody can change again; close-on-exec.

    Raises:
        LaunchError: the kernel refuses executable memory files (sysctl vm.memfd_noexec = 2) or seals.
    """
    import fcntl

    flags = c.MFD_CLOEXEC | c.MFD_ALLOW_SEALING
    try:
        try:
            fd = os.memfd_create(name, flags | c.MFD_EXEC)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # Before 6.3 the kernel does not know MFD_EXEC, and every memory file can be executed.
            fd = os.memfd_create(name, flags)
        os.write(fd, content)
        # Not readable: the kernel then hides a process that runs it from others of its user (ptrace, /proc/<pid>/fd) (L4).
        os.fchmod(fd, 0o111)
        fcntl.fcntl(fd, c.F_ADD_SEALS, c.F_SEAL_ALL)
    except OSError as error:
        raise LaunchError(
            f"no sealed program in memory: {error.strerror}", where=name, hint="check the sysctl vm.memfd_noexec", errno=error.errno
        ) from error
    return fd
