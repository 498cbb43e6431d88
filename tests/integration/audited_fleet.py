# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A fleet of hosts below a directory, which the playbook of the audit asks."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import yaml
from test_ansible_modules import TARGET_PYTHON

PREFIX = "example.com/shop"


class Audited:
    """A fleet in an inventory, the directory of its audit, and what fills the stores of its hosts."""

    def __init__(self, directory, fleet, signed):
        self.directory, self.fleet, self.signed = directory, fleet, signed
        self.audit = directory / "audit"
        self.hosts = {}
        self.playbook = "appc.rocket.audit"

    def add(self, name, **variables):
        place = self.directory / f"host{len(self.hosts)}"
        local = {"ansible_connection": "local", "ansible_python_interpreter": TARGET_PYTHON}
        self.hosts[name] = {**local, "rocket_data_dir": f"{place}/data", "rocket_config_dir": f"{place}/etc", **variables}
        return self

    def run(self, *words, status=0):
        shared = {"rocket_audit_dir": str(self.audit)}
        inventory = {"all": {"children": {"rocket": {"hosts": self.hosts, "vars": shared}}}}
        (self.directory / "hosts.yml").write_text(yaml.safe_dump(inventory))
        program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
        command = [program, "-i", str(self.directory / "hosts.yml"), self.playbook, *words]
        outcome = subprocess.run(command, capture_output=True, text=True, env=self.fleet.environment, timeout=600, check=False)
        assert outcome.returncode == status, outcome.stdout[-6000:] + outcome.stderr[-2000:]
        return outcome.stdout + outcome.stderr

    def fill(self, *tasks):
        """Run tasks on all hosts that can be reached."""
        play = {"name": "Fill", "hosts": "rocket", "gather_facts": False, "tasks": [dict(task) for task in tasks]}
        where = {"data_dir": "{{ rocket_data_dir }}", "config_dir": "{{ rocket_config_dir }}"}
        play["module_defaults"] = {"group/appc.rocket.rocket": where}
        (self.directory / "fill.json").write_text(json.dumps([play]))
        self.playbook, kept = str(self.directory / "fill.json"), self.playbook
        self.run()
        self.playbook = kept

    def trust(self):
        key = {"prefix": PREFIX, "fingerprint": self.signed["release"], "key": self.signed["release_key"]}
        self.fill({"name": "Trust", "appc.rocket.trust": key})

    def fetch(self, version, *insecure):
        self.fill({"name": "Fetch", "appc.rocket.image": {"name": self.signed[version], "insecure_options": list(insecure)}})

    def told(self):
        return json.loads((self.audit / "audit.json").read_text())

    def page(self):
        return (self.audit / "audit.html").read_text()
