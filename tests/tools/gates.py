# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Run the gates: two at a time, each into a log of its own, shown when it fails.

    python tests/tools/gates.py [--jobs N] [GROUP or STEP ...]

The last line sums up the tests of all pytest runs: `N passed, N failed, N skipped`; a gate that fails without a failing
test counts as one failed, so that a red run never says 0. Exit status 1 when anything failed, 2 for a usage error.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import NamedTuple
from xml.etree import ElementTree

import steps

TIMEOUT = 20 * 60  # seconds for one command
LONGEST = 400  # lines of a failed step's log that are shown


class Outcome(NamedTuple):
    """How one step ended: `status` is `ok`, `FAILED` or `skipped`; the tests are those of its report."""

    step: steps.Step
    status: str
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    skipped: int = 0


_running: set[subprocess.Popen[bytes]] = set()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a step with all that it started: it leads a session of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _run_command(command: tuple[str, ...], step: steps.Step, log: int) -> int:
    os.write(log, f"$ {' '.join(command)}\n".encode())
    try:
        process = subprocess.Popen(
            command,
            cwd=step.directory,
            env=steps.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        os.write(log, f"cannot be started: {error}\n".encode())
        return 127
    _running.add(process)
    try:
        return process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        os.write(log, f"ended after {TIMEOUT} seconds\n".encode())
        return 124
    finally:
        _end(process)
        _running.discard(process)


def _counts(step: steps.Step) -> tuple[int, int, int]:
    """Return passed, failed and skipped tests of the step's report; zeros where there is none."""
    if step.report is None or not step.report.is_file():
        return 0, 0, 0
    suites = list(ElementTree.parse(step.report).getroot().iter("testsuite"))
    total, failed, skipped = (
        sum(int(suite.get(name, "0")) for suite in suites for name in names) for names in (("tests",), ("failures", "errors"), ("skipped",))
    )
    return max(0, total - failed - skipped), failed, skipped


def run(step: steps.Step) -> Outcome:
    """Run one step; its output goes to build/logs/<name>.log. One that finds out that it cannot run here is skipped."""
    if step.skip:
        return Outcome(step, "skipped")
    if step.report is not None:
        step.report.unlink(missing_ok=True)
    started = time.monotonic()
    path = steps.BUILD / "logs" / f"{step.name}.log"
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    status = 0
    try:
        for command in step.commands:
            status = status or _run_command(command, step, log)
    finally:
        os.close(log)
    if status == steps.CANNOT and step.optional:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        return Outcome(step._replace(skip=lines[-1]), "skipped", time.monotonic() - started)
    good = status == 0
    passed, failed, skipped = _counts(step)
    if good and step.report is not None and passed == 0:
        good = False  # a test run that ran nothing proves nothing
    if not good and failed == 0:
        failed = 1
    return Outcome(step, "ok" if good else "FAILED", time.monotonic() - started, passed, failed, skipped)


def _tell(outcome: Outcome) -> None:
    step = outcome.step
    tests = f"  {outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped" if step.report and not step.skip else ""
    print(f"{outcome.status:8}{step.name:20}{outcome.seconds:7.1f} s{tests}{'  ' + step.skip if step.skip else ''}", flush=True)
    if outcome.status == "FAILED":
        path = steps.BUILD / "logs" / f"{step.name}.log"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if len(lines) > LONGEST:
            lines = [f"[{len(lines) - LONGEST} lines more in {path.relative_to(steps.TOP)}]", *lines[-LONGEST:]]
        print("\n".join(f"    {line}" for line in lines), flush=True)


def run_all(chosen: list[steps.Step], jobs: int) -> list[Outcome]:
    """Run `jobs` steps at a time, in order; tell each when it ends."""
    waiting, outcomes, turn = list(chosen), [], threading.Lock()

    def work() -> None:
        while True:
            with turn:
                if not waiting:
                    return
                step = waiting.pop(0)
            outcome = run(step)
            with turn:
                outcomes.append(outcome)
                _tell(outcome)

    threads = [threading.Thread(target=work, daemon=True) for _number in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def _stop(_number: int, _frame: object) -> None:
    for process in list(_running):
        _end(process)
    raise SystemExit(130)


def main(arguments: list[str]) -> int:
    """Run what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description="Run the gates of the collection.")
    parser.add_argument("--jobs", type=int, default=2, help="steps at a time (default 2)")
    parser.add_argument("--list", action="store_true", help="name the steps and their groups, run nothing")
    parser.add_argument("what", nargs="*", help=f"groups ({', '.join(steps.GROUPS)}) or steps; default all")
    options = parser.parse_args(arguments)
    known = steps.all_steps()
    unknown = set(options.what) - {step.name for step in known} - set(steps.GROUPS)
    if unknown:
        parser.error(f"no such group or step: {', '.join(sorted(unknown))}; --list names them")
    chosen = [step for step in known if not options.what or {step.name, step.group} & set(options.what)]
    if options.list:
        print("\n".join(f"{step.name:20}{step.group:14}{step.skip}" for step in chosen))
        return 0
    for name in ("logs", "reports", "tmp"):
        (steps.BUILD / name).mkdir(parents=True, exist_ok=True)
    steps.prepare()
    started = time.monotonic()
    outcomes = run_all(chosen, max(1, options.jobs))
    shutil.rmtree(steps.BUILD / "tmp", ignore_errors=True)
    bad = [outcome.step.name for outcome in outcomes if outcome.status == "FAILED"]
    print(f"{len(outcomes)} gates in {time.monotonic() - started:.0f} s; {'failed: ' + ', '.join(bad) if bad else 'all are green'}")
    passed, failed, skipped = (sum(outcome[place] for outcome in outcomes) for place in (3, 4, 5))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if bad or len(outcomes) != len(chosen) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main(sys.argv[1:]))
