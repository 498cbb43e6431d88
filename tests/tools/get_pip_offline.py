# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Stand in for the get-pip script that `ansible-test --venv` downloads from a server that not every site reaches.

ansible-test makes a virtual environment without pip and runs `python get_pip_<version>.py [options] pip==<version>`; it
does not download what is in its cache already (tests/tools/steps.py puts this file there). The pip that Python carries
installs the pip that is asked for, from the configured index.

Not handled: a Python without ensurepip (Debian: install python3-venv).
"""

from __future__ import annotations

import os
import subprocess
import sys

# get-pip takes them; `pip install` would refuse them.
ONLY_GET_PIP = ("--no-setuptools", "--no-wheel")


def main(arguments: list[str]) -> None:
    """Unpack the carried pip, then become the one that installs what was asked for."""
    subprocess.run([sys.executable, "-m", "ensurepip", "--default-pip"], check=True, stdout=subprocess.DEVNULL)
    wanted = [argument for argument in arguments if argument not in ONLY_GET_PIP]
    os.execv(sys.executable, [sys.executable, "-m", "pip", "install", *wanted])


if __name__ == "__main__":
    main(sys.argv[1:])
