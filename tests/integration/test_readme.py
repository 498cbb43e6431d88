# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What the README tells a newcomer to type works as written, and so does the demo."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = str(TOP / "plugins/module_utils")
START = f"import sys; sys.path.insert(0, {PACKAGE!r}); from _rocket.cli.main import main; sys.exit(main(sys.argv[1:]))"


def test_the_commands_of_the_readme_work_as_written(tmp_path, root, program):
    for name in ("gpg", "busybox"):
        program(name)
    block = next(text for text in re.findall(r"```sh\n(.*?)```", (TOP / "README.md").read_text(), re.DOTALL) if "image build" in text)
    home = tmp_path / "g"
    home.mkdir(mode=0o700)
    wrapper = tmp_path / "bin" / "rocket"
    wrapper.parent.mkdir()
    places = f"--dir={tmp_path}/data --local-config={tmp_path}/etc --system-config={tmp_path}/usr"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{START}" {places} "$@"\n')
    wrapper.chmod(0o755)
    environment = {**os.environ, "GNUPGHOME": str(home), "PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    key = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "Shop <shop@example.com>", "ed25519", "sign", "1d"]
    subprocess.run(key, check=True, env=environment, capture_output=True)
    work = tmp_path / "work"
    work.mkdir()
    try:
        outcome = subprocess.run(
            ["bash", "-euc", block], cwd=work, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False)
    assert outcome.returncode == 0, (outcome.stdout, outcome.stderr)
    assert outcome.stdout.splitlines()[-1] == "hello world"


@pytest.mark.skipif(os.environ.get("ROCKET_DEMO") == "no", reason="left out on request: the demo (ROCKET_DEMO=no)")
def test_the_demo_runs_to_its_end_and_leaves_nothing(tmp_path, root, program):
    for name in ("gpg", "busybox"):
        program(name)
    listing = subprocess.run(["git", "-C", str(TOP), "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    copy = tmp_path / "copy"
    for name in filter(None, listing.split("\0")):
        if (TOP / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, copy / name)
    (copy / ".venv").symlink_to(pathlib.Path(sys.executable).parents[1])
    build = "from _rocket.host.zipapp import build; build('build/rocket')"
    (copy / "build").mkdir()
    package = {**os.environ, "PYTHONPATH": str(copy / "plugins/module_utils")}
    subprocess.run([sys.executable, "-c", build], cwd=copy, env=package, check=True)
    demo = subprocess.Popen(["bash", "demo/run"], cwd=copy, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        output, errors = demo.communicate(timeout=900)
    finally:
        # It removes its keys, and ends their agents, when it is asked to end.
        demo.terminate()
        demo.wait(60)
        cleaned = subprocess.run(["bash", "demo/clean"], cwd=copy, capture_output=True, text=True, timeout=300, check=False)
    assert demo.returncode == 0, output[-4000:] + errors[-2000:]
    assert cleaned.returncode == 0, cleaned.stdout + cleaned.stderr
    assert "no process, mount, control group or file is left" in cleaned.stdout
    assert not (copy / "build" / "demo").exists()
