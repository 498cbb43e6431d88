# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""An app that forks without end meets a bound that nobody had to ask for (L39)."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

from launcher_pods import make_tree

PACKAGE = str(pathlib.Path(__file__).resolve().parents[2] / "plugins" / "module_utils")
START = f"import sys; sys.path.insert(0, {PACKAGE!r}); from _rocket.cli.main import main; raise SystemExit(main(sys.argv[1:]))"
# Each child waits; the shell counts how many it could start before the kernel said no.
BOMB = "n=0; while [ $n -lt 2500 ]; do sleep 60 & n=$((n+1)); echo $n; done"
MANIFEST = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.com/bomb",
    "app": {"exec": ["/bin/sh", "-c", BOMB], "user": "0", "group": "0"},
}


def test_an_app_without_isolators_cannot_fork_without_end(host, tmp_path):
    def rocket(*words):
        command = [sys.executable, "-S", "-c", START, f"--dir={tmp_path}/data", "--insecure-options=image", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    make_tree(tmp_path / "tree")
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    built = rocket("image", "build", f"--manifest={tmp_path}/manifest.json", f"--output={tmp_path}/bomb.aci", tmp_path / "tree")
    assert built.returncode == 0 and rocket("fetch", f"{tmp_path}/bomb.aci").returncode == 0
    outcome = rocket("run", f"--uuid-file-save={tmp_path}/uuid", "example.com/bomb")
    started = [int(line) for line in outcome.stdout.split() if line.isdigit()]
    assert outcome.returncode != 0 and 1900 < max(started) < 2048, (outcome.returncode, outcome.stderr[-500:])
    status = json.loads(rocket("status", "--format=json", (tmp_path / "uuid").read_text().strip()).stdout)
    (bound,) = [isolator for isolator in status["isolators"] if isolator["name"] == "appc.rocket/pids"]
    assert bound["outcome"] == "modified" and "2048" in bound["reason"]
