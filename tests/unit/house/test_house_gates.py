# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The runner of the gates: nothing that fails may look green, and nothing it started stays behind."""

from __future__ import annotations

import os
import select
import sys

import checkout
import pytest

sys.path.insert(0, str(checkout.TOP / "tests" / "tools"))

import gates
import pythons
import steps

SUITE = '<testsuites><testsuite tests="5" failures="{failures}" errors="{errors}" skipped="1"/></testsuites>'


@pytest.fixture
def make_step(tmp_path, monkeypatch):
    """Make a step of Python commands that keeps its log and report in a temporary directory."""
    (tmp_path / "logs").mkdir()
    monkeypatch.setattr(steps, "BUILD", tmp_path)

    def make(*programs, report="", **more):
        path = tmp_path / "report.xml"
        write = f"open({str(path)!r}, 'w').write({report!r})"
        commands = tuple((sys.executable, "-c", program) for program in ([write, *programs] if report else programs))
        return steps.Step("probe", "lint", commands, directory=tmp_path, report=path if report or more.get("tests") else None)

    return make


def test_a_command_that_fails_is_one_failure(make_step):
    outcome = gates.run(make_step("raise SystemExit(3)"))
    assert (outcome.status, outcome.failed) == ("FAILED", 1)


def test_the_commands_after_a_failure_do_not_run(make_step, tmp_path):
    assert gates.run(make_step("raise SystemExit(1)", "open('made', 'w')")).status == "FAILED"
    assert not (tmp_path / "made").exists()


def test_a_program_that_is_missing_fails(tmp_path, make_step):
    step = make_step("pass")._replace(commands=((str(tmp_path / "no-such-program"),),))
    assert gates.run(step).status == "FAILED"


def test_the_tests_of_a_report_are_counted(make_step):
    outcome = gates.run(make_step("pass", report=SUITE.format(failures=0, errors=0)))
    assert outcome[1:2] + outcome[3:] == ("ok", 4, 0, 1)
    outcome = gates.run(make_step("raise SystemExit(1)", report=SUITE.format(failures=1, errors=1)))
    assert outcome[1:2] + outcome[3:] == ("FAILED", 2, 2, 1)


def test_a_test_run_without_a_report_or_without_tests_fails(make_step):
    assert gates.run(make_step("pass", tests=True)).status == "FAILED"
    assert gates.run(make_step("pass", report='<testsuites><testsuite tests="2" skipped="2"/></testsuites>')).status == "FAILED"


def test_a_report_of_an_earlier_run_does_not_count(make_step, tmp_path):
    (tmp_path / "report.xml").write_text(SUITE.format(failures=0, errors=0), encoding="utf-8")
    assert gates.run(make_step("pass", tests=True)).status == "FAILED"


def test_what_a_step_left_running_is_ended(make_step, tmp_path):
    held = str(tmp_path / "held")
    os.mkfifo(held)
    reader = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    program = f"import os, time\nfd = os.open({held!r}, os.O_WRONLY)\nif os.fork() == 0:\n    time.sleep(600)"
    with open(reader, "rb", buffering=0):
        assert gates.run(make_step(program)).status == "ok"
        ready = select.select([reader], [], [], 20)[0]
        assert ready, "a child of the step still holds its end"
        assert os.read(reader, 1) == b""


def test_a_skipped_step_says_why_and_runs_nothing(make_step, tmp_path):
    outcome = gates.run(make_step("open('made', 'w')")._replace(skip="missing ability: x"))
    assert outcome.status == "skipped"
    assert not (tmp_path / "made").exists()


def test_an_optional_step_that_cannot_run_is_skipped_and_says_why(make_step):
    program = "print('working'); print('missing ability: x'); raise SystemExit(77)"
    outcome = gates.run(make_step(program, "open('made', 'w')")._replace(optional=True))
    assert (outcome.status, outcome.step.skip, outcome.failed) == ("skipped", "missing ability: x", 0)
    assert gates.run(make_step(program)).status == "FAILED"
    assert gates.run(make_step("raise SystemExit(1)")._replace(optional=True)).status == "FAILED"


def test_a_red_step_makes_the_run_red(make_step, monkeypatch, capsys):
    red = make_step("raise SystemExit(1)")._replace(name="red")
    monkeypatch.setattr(steps, "all_steps", lambda: [make_step("pass"), red])
    monkeypatch.setattr(steps, "prepare", lambda: None)
    assert gates.main([]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"
    assert gates.main(["probe"]) == 0


def test_an_unknown_step_is_a_usage_error(monkeypatch):
    monkeypatch.setattr(steps, "all_steps", list)
    with pytest.raises(SystemExit) as ended:
        gates.main(["no-such-step"])
    assert ended.value.code == 2


def test_a_shim_is_no_python(tmp_path, monkeypatch):
    for place, text in (("shims", "echo 3.9"), ("broken", "exit 127"), ("other", "echo 3.8"), ("good", "echo 3.9")):
        (tmp_path / place).mkdir()
        python = tmp_path / place / "python3.9"
        python.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        python.chmod(0o755)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / name) for name in ("shims", "broken", "other")))
    assert pythons.find() == {}
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / name) for name in ("shims", "broken", "other", "good")))
    assert pythons.find() == {"3.9": str(tmp_path / "good" / "python3.9")}
