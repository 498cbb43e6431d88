# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Sets of system calls: the names of this host are among those we know, and one that nobody knows is refused with the nearest."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import re
import subprocess
import sys
from pathlib import Path

import pytest

from _rocket.errors import SpecError
from _rocket.spec.isolators import parse_isolators
from _rocket.spec.seccomp import ERRNO_NAMES
from _rocket.spec.syscalls import SYSCALLS

REMOVE, RETAIN = "os/linux/seccomp-remove-set", "os/linux/seccomp-retain-set"
PACKAGE = Path(__file__).resolve().parents[3] / "plugins" / "module_utils"


def read(isolator, *names):
    (found,) = parse_isolators([{"name": isolator, "value": {"set": list(names)}}], "isolators", "app")
    return found.parsed.names


@pytest.mark.spec("I5", "os/linux/seccomp-remove-set", "os/linux/seccomp-retain-set")
@pytest.mark.parametrize("isolator", [REMOVE, RETAIN])
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("reboots", "reboot"),
        ("set_gid", "setgid"),
        ("clock-settime", "clock_settime"),
        ("READ", "read"),
        ("@docker/default-whitlist", "@docker/default-whitelist"),
        ("@systemd/network_io", "@systemd/network-io"),
        ("frobnicate", None),
        ("", None),
        ("x" * 70, None),
    ],
)
def test_a_name_that_no_architecture_knows_is_refused_with_the_nearest(isolator, name, meant):
    with pytest.raises(SpecError) as refused:
        read(isolator, "read", name)
    assert (refused.value.path, refused.value.rule) == ("isolators[0].value.set[1]", "I5")
    assert refused.value.hint == (f"did you mean {meant}?" if meant else "")


@pytest.mark.spec("I5")
def test_a_name_of_another_architecture_is_known():
    names = ("cacheflush", "s390_pci_mmio_read", "osf_mount", "riscv_flush_icache", "spu_run", "set_tls", "socketcall")
    assert read(REMOVE, *names) == names


@pytest.mark.spec("I5")
def test_wildcards_of_the_specification_belong_to_one_set_each():
    assert read(REMOVE, "@appc.io/empty", "reboot") == ("@appc.io/empty", "reboot")
    assert read(RETAIN, "@appc.io/all", "reboot") == ("@appc.io/all", "reboot")
    for isolator, name in ((REMOVE, "@appc.io/all"), (RETAIN, "@appc.io/empty"), (RETAIN, "@appc.io/default")):
        with pytest.raises(SpecError, match="a wildcard"):
            read(isolator, name)


def test_names_are_names():
    assert len(SYSCALLS) == 646
    assert all(re.fullmatch("[a-z_][a-z0-9_]*", name) for name in SYSCALLS)


# What is counted as a call there and is none: bases of numbers, and gaps in tables.
NO_CALL = re.compile(r"(SYSCALL|OABI_SYSCALL)_BASE|Linux(_syscalls)?|syscalls|SYSCALL_MASK|arch_specific_syscall|(reserved|unused)\d+")


def test_the_kernel_headers_of_this_host_have_no_other_names():
    headers = [path for place in (Path("/usr/include"), Path("/usr/include/asm-generic")) for path in place.glob("**/unistd*.h")]
    texts = [path.read_text(errors="replace") for path in headers if path.parent.name.startswith("asm")]
    if not texts:
        pytest.skip("missing ability: the kernel headers (Debian: linux-libc-dev)")
    found = {name for text in texts for name in re.findall(r"^#define __(?:ARM_)?NR_(\w+)", text, re.MULTILINE)}
    assert len(found) > 300
    assert sorted(name for name in found - SYSCALLS if not NO_CALL.fullmatch(name)) == []


def test_libseccomp_has_no_other_names():
    name = ctypes.util.find_library("seccomp")
    if name is None:
        pytest.skip("missing ability: the library libseccomp (Debian: libseccomp2)")
    library = ctypes.CDLL(name)
    resolve = library.seccomp_syscall_resolve_num_arch
    resolve.restype, resolve.argtypes = ctypes.c_void_p, (ctypes.c_uint32, ctypes.c_int)
    free = ctypes.CDLL(None).free
    free.argtypes = (ctypes.c_void_p,)
    number_of = library.seccomp_syscall_resolve_name
    number_of.argtypes = (ctypes.c_char_p,)
    arch_of = library.seccomp_arch_resolve_name
    arch_of.restype, arch_of.argtypes = ctypes.c_uint32, (ctypes.c_char_p,)
    found = set()
    names = b"x86 x86_64 x32 arm aarch64 mips mips64 mips64n32 parisc parisc64 ppc ppc64 riscv64 s390 s390x m68k sh".split()
    for arch in filter(None, map(arch_of, names)):
        # Numbers of MIPS start at 4000, those of x32 at 1 << 30; libseccomp gives what an architecture lacks numbers below zero.
        for number in (*range(-500, 600), *range(4000, 7000), *range(1 << 30, (1 << 30) + 600), *range(0xF0000, 0xF0010)):
            pointer = resolve(arch, number)
            if pointer:
                found.add(ctypes.string_at(pointer).decode())
                free(pointer)
    assert len(found) > 400
    assert sorted(found - SYSCALLS) == []
    assert all(number_of(name.encode()) != -1 for name in ("read", "reboot")) and number_of(b"reboots") == -1


def test_every_name_of_an_error_of_this_machine_is_known():
    assert {name for name in vars(errno) if name.startswith("E")} - {"ENOTCAPABLE", "EQFULL"} <= ERRNO_NAMES
    assert len(ERRNO_NAMES) == 134  # asm-generic/errno.h and errno-base.h, and ENOTSUP, which the C library adds


def test_the_names_are_loaded_when_a_set_is_read_and_not_before():
    program = f"""
import sys
sys.path.insert(0, {str(PACKAGE)!r})
from _rocket.spec.isolators import parse_isolators
def read(name, value):
    parse_isolators([dict(name=name, value=value)], "", "app")
    return "_rocket.spec.syscalls" in sys.modules
sys.stdout.write(f"{{read('resource/memory', dict(limit='1G'))}} {{read({REMOVE!r}, dict(set=['reboot']))}}")
"""
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False True"
