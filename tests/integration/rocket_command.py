# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The command as an operator types it: each call a process of its own, on a host in a directory of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "plugins", "module_utils")
START = f"import sys; sys.path.insert(0, {PACKAGE!r}); from _rocket.cli.main import main; raise SystemExit(main(sys.argv[1:]))"


class Rocket:
    """The command on a host of its own."""

    def __init__(self, directory, insecure=True):
        self.words = [sys.executable, "-S", "-c", START, f"--dir={directory}/data", f"--local-config={directory}/etc"]
        self.words += [f"--system-config={directory}/usr"] + (["--insecure-options=image"] if insecure else [])

    def __call__(self, *words, status=0):
        outcome = subprocess.run([*self.words, *words], capture_output=True, text=True, timeout=120, check=False)
        assert outcome.returncode == status, (words, outcome.returncode, outcome.stdout, outcome.stderr)
        return outcome.stdout if status == 0 or not outcome.stderr else outcome.stderr

    def clear_away(self):
        """Remove what a test that failed left of its pods, control groups too."""
        # A test may have left no log that takes anything.
        relaxed = "--insecure-options=audit"
        for pod in json.loads(self("list", "--format=json")):
            if pod["state"] == "running":
                self(relaxed, "stop", "--force", pod["uuid"])
        self(relaxed, "gc", "--grace-period=0", "--expire-prepared=0")

    def start(self, *words, **options):
        return subprocess.Popen([*self.words, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
