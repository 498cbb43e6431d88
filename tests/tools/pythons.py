# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The Pythons of this machine that the collection supports."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SUPPORTED = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


def _runs(path: Path, version: str) -> bool:
    question = "import sys, ensurepip, venv; print('%d.%d' % sys.version_info[:2])"
    answer = subprocess.run([str(path), "-I", "-c", question], capture_output=True, text=True, check=False)
    return answer.returncode == 0 and answer.stdout.strip() == version


def find() -> dict[str, str]:
    """Return version -> path of a Python that runs, in the order of SUPPORTED; what is missing is left out.

    Looked for on PATH and among pyenv's versions. A shim is no Python: it may run another version tomorrow.
    """
    places = [Path(place) for place in os.environ.get("PATH", "").split(os.pathsep) if place and Path(place).name != "shims"]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = {}
    for version in SUPPORTED:
        kept = sorted(pyenv.glob(f"{version}.*/bin"))
        # Those of the system come first, an environment of this checkout last: it may be half made.
        for place in [*(place for place in places if ".venv" not in place.parts), *kept]:
            path = place / f"python{version}"
            if path.is_file() and os.access(path, os.X_OK) and _runs(path, version):
                found[version] = str(path)
                break
    return found


if __name__ == "__main__":
    for name, where in find().items():
        print(name, where)
