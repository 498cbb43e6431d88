# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The gates of the collection: which commands prove what. gates.py runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pythons

TOP = Path(__file__).resolve().parents[2]
BUILD = TOP / "build"
CACHE = TOP / ".cache"
VENV = TOP / ".venv"
COPY = BUILD / "sanity" / "ansible_collections" / "appc" / "rocket"
OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"
# The name that ansible-core 2.18 and 2.19 look for in their cache (ansible_test/_internal/python_requirements.py).
GET_PIP = "get_pip_24_2.py"
# Directories of tests that need no pods.
UNIT = ("tests/unit", "tests/conformance", "tests/faults")
GROUPS = ("lint", "unit", "integration", "sanity", "fuzz")
# Exit status of a command that cannot run here; the last line that it wrote says why.
CANNOT = 77


class Step(NamedTuple):
    """One gate.

    Attributes:
        name: what people read; also the name of its log.
        group: the `make` target that runs it.
        commands: run one after the other until one fails.
        directory: where they run.
        report: the JUnit file that its tests write, or None where there are no tests to count.
        skip: why it cannot run here, or empty.
        optional: a command that ends with CANNOT skips the step; elsewhere that is a failure like any other.
    """

    name: str
    group: str
    commands: tuple[tuple[str, ...], ...]
    directory: Path = TOP
    report: Path | None = None
    skip: str = ""
    optional: bool = False


def environment() -> dict[str, str]:
    """Return the environment of every step: the tools of .venv first, every cache inside the checkout."""
    return {
        **os.environ,
        "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "HOME": str(CACHE / "home"),
        "XDG_CACHE_HOME": str(CACHE),
        "RUFF_CACHE_DIR": str(CACHE / "ruff"),
        "ANSIBLE_HOME": str(CACHE / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "sanity"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_DEVEL_WARNING": "false",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_QUIET": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Colour codes have no place in a log.
        "NO_COLOR": "1",
        "PY_COLORS": "0",
        "ANSIBLE_NOCOLOR": "1",
    }


def prepare() -> None:
    """Copy what git tracks to where Ansible's tools want a collection to lie, as a repository of its own."""
    shutil.rmtree(BUILD / "sanity", ignore_errors=True)
    COPY.mkdir(parents=True)
    listing = subprocess.run(["git", "-C", str(TOP), "ls-files", "-z"], capture_output=True, check=True)
    for name in filter(None, listing.stdout.decode().split("\0")):
        if (TOP / name).is_file():
            (COPY / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, COPY / name)
    subprocess.run(["git", "init", "-q", str(COPY)], check=True)
    subprocess.run(["git", "-C", str(COPY), "add", "--all"], check=True)
    cache = CACHE / "home" / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    shutil.copy2(TOP / "tests" / "tools" / "get_pip_offline.py", cache / GET_PIP)


def _pytest(python: str, name: str, *what: str) -> tuple[tuple[str, ...], Path]:
    report = BUILD / "reports" / f"{name}.xml"
    options = ("-q", "-p", "no:cacheprovider", f"--junitxml={report}", f"--basetemp={BUILD / 'tmp' / name}")
    return (python, "-m", "pytest", *options, *what), report


def _unit() -> list[Step]:
    found = pythons.find()
    command, report = _pytest(sys.executable, f"unit-{OWN}", *UNIT)
    steps = [Step(f"unit-{OWN}", "unit", (command,), report=report)]
    others = [version for version in found if version != OWN]
    for version in sorted({others[0], others[-1]}, key=others.index) if others else ():
        home = CACHE / f"python{version}"
        command, report = _pytest(str(home / "bin" / "python"), f"unit-{version}", *UNIT)
        make = (found[version], "-m", "venv", str(home))
        install = (str(home / "bin" / "python"), "-m", "pip", "install", "-qq", "-r", "tests/requirements-unit.txt")
        steps.append(Step(f"unit-{version}", "unit", (make, install, command), report=report))
    return steps


def _imports() -> list[Step]:
    found = pythons.find()
    ansible = next((VENV / "lib").glob("python*/site-packages/ansible"))
    steps = []
    for version in pythons.SUPPORTED:
        command = (found.get(version, ""), "-I", "-S", "-B", "tests/tools/import_all.py", str(TOP), str(ansible))
        tree = str(BUILD / "import" / version)
        skip = "" if version in found else f"missing ability: Python {version}"
        steps.append(Step(f"import-{version}", "unit", ((*command, tree),), skip=skip))
    return steps


def _integration() -> Step:
    tests = sorted(TOP.glob("tests/integration/**/test_*.py"))
    skip = "" if os.geteuid() == 0 else "missing ability: root"
    skip = skip if tests else "there are no integration tests"
    command, report = _pytest(sys.executable, "integration", "tests/integration")
    return Step("integration", "integration", (command,), report=report, skip=skip)


def _scripts() -> list[str]:
    listing = subprocess.run(["git", "-C", str(TOP), "ls-files", "-z"], capture_output=True, check=True)
    found = []
    for name in filter(None, listing.stdout.decode().split("\0")):
        path = TOP / name
        if path.is_file():
            with path.open("rb") as file:
                first = file.readline(80)
            if first.startswith(b"#!") and (b"bash" in first or first.rstrip().endswith(b"/sh")):
                found.append(name)
    return found


def all_steps() -> list[Step]:
    """Return every step, the long ones first, so that two at a time finish early."""
    sanity = ("ansible-test", "sanity", "--venv", "--python", OWN, "--color", "no")
    galaxy = ("ansible-galaxy", "collection", "build", "--force", "--output-path", str(BUILD / "galaxy"))
    documents = ("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self", ".")
    shellcheck = ("shellcheck", "--norc", "--external-sources", "--source-path=SCRIPTDIR", "--severity=warning", *_scripts())
    return [
        Step("sanity", "sanity", (sanity,), directory=COPY),
        _integration(),
        *_unit(),
        # A short slice: long runs are for `make fuzz`.
        Step("fuzz", "fuzz", ((sys.executable, "tests/fuzz/fuzz.py", "--seconds", "2"),), optional=True),
        Step("ansible-lint", "lint", (("ansible-lint", "--offline", "--profile", "production", "--strict"),), directory=COPY),
        Step("mypy", "lint", (("mypy", "--cache-dir=/dev/null"),)),
        Step("docs", "lint", (documents,), directory=COPY),
        Step("ruff", "lint", (("ruff", "check", "--quiet", "--output-format", "concise", "."),)),
        Step("format", "lint", (("ruff", "format", "--check", "--output-format", "concise", "."),)),
        Step("reuse", "lint", (("reuse", "lint", "--lines"),), directory=COPY),
        Step("changelog", "lint", (("antsibull-changelog", "lint"),), directory=COPY),
        Step("shellcheck", "lint", (shellcheck,), skip="" if shutil.which("shellcheck") else "missing ability: the program shellcheck"),
        Step("galaxy", "lint", (galaxy,), directory=COPY),
        *_imports(),
    ]
