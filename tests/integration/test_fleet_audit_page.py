# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What docs/fleet-audit.md tells to type works as written, on a host and on its fleet."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml
from rocket_command import START
from signed_images import NAME

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "fleet-audit.md").read_text(encoding="utf-8")
PLACE = "/srv/fleet/audit"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_commands_and_the_task_of_the_page_work_as_written(root, audited, signed):
    on_host, on_controller = blocks("sh")
    (task,) = blocks("yaml")
    audited.add("one").add("two")
    audited.trust()
    audited.fetch("1")
    audited.run("--check")  # writes the inventory
    one = audited.hosts["one"]
    wrapper = audited.directory / "bin" / "rocket"
    wrapper.parent.mkdir()
    places = f"--dir={one['rocket_data_dir']} --local-config={one['rocket_config_dir']}"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{START}" {places} "$@"\n')
    wrapper.chmod(0o755)
    tools = os.path.dirname(sys.executable)
    environment = {**audited.fleet.environment, "PATH": f"{wrapper.parent}:{tools}:{os.environ['PATH']}"}

    def bash(block):
        command = ["bash", "-euc", block.replace(PLACE, str(audited.audit))]
        outcome = subprocess.run(command, cwd=audited.directory, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert outcome.returncode == 0, (outcome.stdout, outcome.stderr)
        return outcome.stdout

    out = bash(on_host)
    assert out.count(NAME) > 1 and signed["id_1"] in out and signed["release"].lower() in out and "yes" in out
    (audited.directory / "hosts.yml").rename(audited.directory / "inventory")
    bash(on_controller)
    assert sorted(path.name for path in audited.audit.iterdir()) == ["audit.html", "audit.json", "checkpoints"]
    audited.fill(
        {"name": "End the trust", "appc.rocket.trust": {"prefix": "example.com/shop", "fingerprint": signed["release"], "state": "absent"}}
    )
    audited.run()
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": yaml.safe_load(task.replace(PLACE, str(audited.audit)))}]
    (audited.directory / "name.yml").write_text(yaml.safe_dump(play))
    out = bash("ansible-playbook -i localhost, name.yml")
    assert out.count("no signer is trusted for it today") >= 2
