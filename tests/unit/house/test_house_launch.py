# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Rule 3: what `rocket run` imports costs next to nothing; measured in a fresh interpreter, not read from the source."""

from __future__ import annotations

import subprocess
import sys

import checkout
import pytest

DEAR = {
    *("argparse", "dataclasses", "enum", "hashlib", "json", "logging", "pathlib", "re", "shutil", "signal", "socket", "subprocess"),
    *("tempfile", "typing", "ssl", "inspect", "importlib.metadata", "requests", "cryptography", "yaml"),
}
# The base files and the parts below the command; one process each, so that each finding names its module.
LAUNCH = [
    *(f"_rocket.{name}" for name in ("errors", "record", "plan", "paths", "platform")),
    *checkout.product_modules("spec", "store", "run"),
    *(name for name in checkout.product_modules("cli") if name == "_rocket.cli.run"),
]
# `signal` and others are built in: only what the import adds counts.
PROBE = "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules); {imports}; print(*sorted(set(sys.modules) - before))"


def imported(statement: str, where: str) -> set[str]:
    """Return the names of the modules that `statement` adds to a fresh interpreter with nothing but `where` in its path."""
    command = [sys.executable, "-I", "-S", "-B", "-c", PROBE.format(imports=statement), where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("module", LAUNCH)
def test_a_module_of_the_launch_path_is_cheap_to_import(module):
    found = imported(f"import {module}", str(checkout.TOP / "plugins/module_utils"))
    assert module in found
    assert sorted(found & DEAR) == []


def test_the_launch_path_as_a_whole_is_measured():
    names = [name for name in LAUNCH if name in ("_rocket.cli.run", "_rocket.run.supervise")]
    if not names:
        pytest.skip("missing: _rocket.cli.run and _rocket.run.supervise")
    found = imported("import " + ", ".join(names), str(checkout.TOP / "plugins/module_utils"))
    assert sorted(found & DEAR) == []
    outside = sorted(name for name in found if name.startswith(("_rocket.fetch", "_rocket.trust")))
    assert outside == []


@pytest.mark.parametrize("name", ["json", "re", "hashlib", "subprocess"])
def test_a_dear_import_is_found(name, tmp_path):
    (tmp_path / "costly.py").write_text(f"import {name}\n", encoding="utf-8")
    assert name in imported("import costly", str(tmp_path)) & DEAR
