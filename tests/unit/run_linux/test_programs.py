# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The two programs of ours: their files, their seals, and what they do on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time

import pytest

from _rocket.errors import LaunchError
from _rocket.run.linux import programs

MACHINE = os.uname().machine
native = pytest.mark.skipif(MACHINE not in ("x86_64", "aarch64"), reason="missing ability: a machine that pods run on")


def test_other_machines_are_refused_by_name():
    with pytest.raises(LaunchError, match="riscv64"):
        programs.init_program("riscv64")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("make", [programs.init_program, programs.exec_program])
def test_the_files_are_small_static_programs(machine, make):
    data = make(machine)
    assert data[:7] == b"\x7fELF\x02\x01\x01"
    assert len(data) < 512
    entry = int.from_bytes(data[24:32], "little")
    assert entry == 0x400000 + 64 + 2 * 56
    flags = [int.from_bytes(data[64 + 56 * index + 4 : 64 + 56 * index + 8], "little") for index in range(2)]
    assert flags == [5, 6]  # read and execute; a stack that is not executable


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("table", [programs._INIT, programs._EXEC])
def test_the_bytes_are_what_the_comments_say(machine, table, tmp_path):
    """The disassembler of the machine sees no undefined instruction, and every system call that the comments name."""
    tool = {"x86_64": "objdump", "aarch64": "aarch64-linux-gnu-objdump"}[machine]
    if shutil.which(tool) is None:
        pytest.skip(f"missing ability: the program {tool}")
    (tmp_path / "code").write_bytes(bytes.fromhex(table[machine]).split(b"rocket-init")[0])
    architecture = {"x86_64": "i386:x86-64", "aarch64": "aarch64"}[machine]
    text = subprocess.run(
        [tool, "-D", "-b", "binary", "-m", architecture, str(tmp_path / "code")], capture_output=True, text=True, check=True
    ).stdout
    assert "bad" not in text and "undefined" not in text
    calls = 3 if table is programs._INIT else 4
    assert len(re.findall(r"\b(?:syscall|svc)\b", text)) == calls


def test_a_sealed_program_can_be_executed_and_not_changed():
    fd = programs.sealed("test", programs.exec_program(MACHINE if MACHINE == "aarch64" else "x86_64"))
    for change in (lambda: os.write(fd, b"x"), lambda: os.ftruncate(fd, 10), lambda: os.pwrite(fd, b"x", 0)):
        with pytest.raises(OSError):
            change()
    with pytest.raises(OSError):
        os.write(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY), b"x")
    assert not os.get_inheritable(fd)
    os.close(fd)


def execute(arguments, status_fd=True):
    """Run the exec program; return (exit status, what it wrote to descriptor 3, its standard output)."""
    fd = programs.sealed("test", programs.exec_program(MACHINE))
    (reading, writing), (out, out_child) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            high = os.dup(fd), os.dup(writing)
            os.dup2(out_child, 1)
            os.closerange(3, min(high))
            if status_fd:
                os.dup2(high[1], 3)
            os.execve(high[0], arguments, {"A": "b"})
        finally:
            os._exit(99)
    os.close(writing), os.close(out_child), os.close(fd)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    result = status, os.read(reading, 64), os.read(out, 4096)
    os.close(reading), os.close(out)
    return result


@native
def test_exec_passes_arguments_and_environment_and_closes_the_pipe():
    assert execute(["/bin/sh", "name", "-c", "echo $0 $1 $A; test -e /dev/fd/3", "zero", "one"]) == (1, b"", b"zero one b\n")


@native
def test_exec_tells_the_error_number():
    assert execute(["/no/such", "x"]) == (127, (2).to_bytes(4, "little"), b"")
    assert execute(["/etc", "x"]) == (127, (13).to_bytes(4, "little"), b"")


@native
def test_exec_without_the_pipe_executes_nothing():
    """That is an image which runs it as its own interpreter (``#!/proc/self/exe``); it would go round for ever."""
    assert execute(["/bin/echo", "echo", "harm"], status_fd=False) == (127, b"", b"")


@native
def test_init_sleeps_under_its_name_and_cannot_be_traced():
    fd = programs.sealed("test", programs.init_program(MACHINE))
    pid = os.fork()
    if pid == 0:
        try:
            os.execve(fd, ["init"], {})
        finally:
            os._exit(99)
    try:
        deadline = time.monotonic() + 10
        while True:
            with open(f"/proc/{pid}/status") as file:
                text = file.read()
            if "Name:\trocket-init" in text and "State:\tS" in text:
                break
            assert time.monotonic() < deadline, text
            time.sleep(0.01)
        # /proc/<pid> of a process that is not dumpable belongs to root, whoever runs it.
        assert os.stat(f"/proc/{pid}/mem").st_uid == 0
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(fd)
