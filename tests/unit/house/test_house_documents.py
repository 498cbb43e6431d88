# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Documents that would go stale by themselves do not."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[3]
PACKAGE = TOP / "plugins" / "module_utils" / "_rocket"


def test_the_architecture_names_every_file_and_no_other():
    text = (TOP / "docs" / "architecture.md").read_text()
    parts = re.split(r"^### (\w+)", text[text.index("## The parts") :], flags=re.MULTILINE)
    named = set()
    for part, body in zip(parts[1::2], parts[2::2]):
        folder = "" if part == "Beside" else f"{part}/"
        named.update(folder + name for name in re.findall(r"^\| `([\w/]+\.py)` \|", body, re.MULTILINE))
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    assert named == found


def test_the_table_of_conformance_is_what_the_tests_say():
    tool = TOP / "tests" / "tools" / "conformance.py"
    outcome = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
