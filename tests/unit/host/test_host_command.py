# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Programs of the host are run without a shell, bounded in time and output, and with nothing of ours inherited."""

from __future__ import annotations

import os
import time

import pytest

from _rocket import command
from _rocket.errors import HostError


def test_output_errors_and_status_are_kept_apart():
    outcome = command.run(["/bin/sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (outcome.status, outcome.output, outcome.errors) == (7, "out\n", "err\n")
    assert outcome.reason() == "err"


def test_arguments_reach_the_program_literally():
    assert command.run(["printf", "%s|", "$(id)", "a b", "%h\n"]).output == "$(id)|a b|%h\n|"


def test_a_signal_is_128_and_its_number():
    assert command.run(["/bin/sh", "-c", "kill -9 $$"]).status == 137


def test_environment_is_clean(monkeypatch):
    monkeypatch.setenv("SECRET", "s3cret")
    monkeypatch.setenv("PATH", "/tmp/evil:/usr/bin")
    outcome = command.run(["env"])
    assert "s3cret" not in outcome.output and "/tmp/evil" not in outcome.output
    assert "LC_ALL=C" in outcome.output


def test_programs_are_found_in_the_systems_directories_alone(tmp_path, monkeypatch):
    (tmp_path / "evil-program").write_text("#!/bin/sh\n")
    (tmp_path / "evil-program").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="install evil-program"):
        command.run(["evil-program"])


def test_no_descriptor_of_ours_is_inherited(tmp_path):
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        listed = command.run(["/bin/sh", "-c", "ls -l /proc/self/fd"]).output
        assert f"pipe:[{os.fstat(writer).st_ino}]" not in listed
    finally:
        os.close(reader)
        os.close(writer)


def test_what_cannot_be_executed_says_why(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("x")
    with pytest.raises(HostError, match="Permission denied"):
        command.run([str(plain)])
    with pytest.raises(HostError, match="No such file"):
        command.run([str(tmp_path / "missing")])


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path):
    mark = tmp_path / "child"
    began = time.monotonic()
    with pytest.raises(HostError, match="was killed"):
        command.run(["/bin/sh", "-c", f"sleep 600 & echo $! > {mark}; wait"], seconds=1)
    assert time.monotonic() - began < 30
    child = int(mark.read_text())
    deadline = time.monotonic() + 20
    while os.path.exists(f"/proc/{child}") and time.monotonic() < deadline:
        with open(f"/proc/{child}/stat") as stat:
            if stat.read().rpartition(")")[2].split()[0] == "Z":
                break
        time.sleep(0.01)
    else:
        assert not os.path.exists(f"/proc/{child}")


def test_endless_output_is_bounded():
    with pytest.raises(HostError, match="more than 1 MiB"):
        command.run(["/bin/sh", "-c", "while :; do printf '%01000d' 0; done"], seconds=60)


def test_undecodable_output_is_escaped():
    outcome = command.run(["printf", r"\377\033[2J"])
    assert outcome.output == "\\xff\x1b[2J"
    assert outcome.reason() == r"\xff\x1b[2J".replace("\\xff", "\\xff")


def test_no_zombie_is_left():
    command.run(["true"])
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_input_and_environment_are_what_is_given(tmp_path):
    (tmp_path / "input").write_text("given")
    with open(tmp_path / "input", "rb") as stream:
        outcome = command.run(
            ["/bin/sh", "-c", "cat; env | sort"], stdin=stream.fileno(), environment={"PATH": "/usr/bin:/bin", "ONLY": "1"}
        )
    assert outcome.output.startswith("given") and "ONLY=1" in outcome.output and "LC_ALL" not in outcome.output
    assert command.run(["cat"]).output == ""


def test_a_program_leads_a_session_of_its_own_unless_it_may_use_the_terminal():
    def session(**how):
        return int(command.run(["/bin/sh", "-c", "cut -d' ' -f6 /proc/$$/stat"], **how).output)

    assert session(terminal=True) == os.getsid(0)
    assert session() != os.getsid(0)


@pytest.mark.parametrize("terminal", [True, False])
def test_an_interrupt_leaves_no_program_behind(monkeypatch, terminal):
    started = []

    def interrupted(child, *_rest):
        started.append(child)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_collect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        command.run(["sleep", "600"], seconds=None, terminal=terminal)
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)
