#!/usr/bin/python
# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: install the rocket runtime on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: runtime
short_description: Install the rocket runtime on a host
version_added: 1.0.0
description:
  - Puts the code that this module came with on the host, so that pods outlive the Ansible run.
  - The runtime is a directory named by the digest of its content, put in place by one rename. The C(rocket) command points at the
    current one. Pods that run from an older one go on undisturbed.
author:
  - The appc.rocket contributors (@appc-rocket)
extends_documentation_fragment:
  - appc.rocket._attributes
  - appc.rocket._attributes.group
  - appc.rocket._host
options:
  state:
    description:
      - V(present) installs the runtime and makes it the current one. Older ones from which no pod runs are removed.
      - V(absent) removes every installed runtime and the command. It fails while a pod runs.
    type: str
    choices: [present, absent]
    default: present
  libexec_dir:
    description:
      - Directory of the installed runtimes.
      - Without it C(/usr/local/libexec/rocket), or C(/opt/rocket) where C(/usr) is read-only.
    type: path
  bin_dir:
    description:
      - Directory of the C(rocket) command.
      - Without it C(/usr/local/bin), or C(/opt/bin) where C(/usr) is read-only.
    type: path
"""

EXAMPLES = r"""
- name: Install the runtime
  appc.rocket.runtime:

- name: Remove the runtime
  appc.rocket.runtime:
    state: absent
"""

RETURN = r"""
runtime:
  description: The installed runtime.
  returned: when O(state=present)
  type: dict
  contains:
    digest:
      description: SHA-512 of the runtime's files, which names its directory.
      type: str
      returned: always
    command:
      description: The C(rocket) command.
      type: str
      returned: always
plan:
  description: What was done, or in check mode would be done.
  returned: always
  type: dict
  contains:
    changed:
      description: Whether there is anything to do.
      type: bool
      returned: always
    steps:
      description: The steps in order, each with an action, a subject and a reason.
      type: list
      elements: dict
      returned: always
    drift:
      description: What was observed to differ from what is wanted.
      type: list
      elements: str
      returned: always
audit:
  description: Where the audit log of the host ends, for the controller to keep. See M(appc.rocket.audit_info).
  returned: when it can be read
  type: dict
  contains:
    seq:
      description: Number of the last event, 0 where there is none.
      type: int
      returned: always
    head:
      description: Digest of its line, empty where there is none.
      type: str
      returned: always
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._ansible.host import host_options, paths_of
from ..module_utils._ansible.outcome import finish, guarded
from ..module_utils._rocket.audit.log import record
from ..module_utils._rocket.host import collect, install
from ..module_utils._rocket.plan import Plan


def places(parameters: dict[str, t.Any]) -> tuple[str, str]:
    """Return the directory of the runtimes and the path of the command."""
    root, link = install.default_places()
    return parameters["libexec_dir"] or root, f"{parameters['bin_dir']}/rocket" if parameters["bin_dir"] else link


def write_down(module: AnsibleModule, plan: Plan) -> None:
    """Have the audit log say which code is to run here; raises StoreError."""
    for step in plan.steps:
        record(paths_of(module.params), "runtime", step.subject, step=step.action, reason=step.reason)


def work(module: AnsibleModule) -> t.NoReturn:
    """Plan, apply unless in check mode, and exit."""
    root, link = places(module.params)
    if module.params["state"] == "absent":
        plan = collect.plan_uninstall(root, link)
        if not module.check_mode:
            write_down(module, plan)
            collect.apply(plan)
        finish(module, plan)
    plan = install.plan_install(root, link=link)
    outdated = collect.plan_collect(root, keep=[dict(plan.after)["digest"]])
    plan = Plan(plan.subject, (*plan.steps, *outdated.steps), plan.before, plan.after, plan.drift)
    if not module.check_mode:
        write_down(module, plan)
        install.apply(plan)
        collect.apply(outdated)
    finish(module, plan, runtime={"digest": dict(plan.after)["digest"], "command": link})


def main() -> None:
    """Read the arguments and do the work."""
    options: dict[str, t.Any] = {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "libexec_dir": {"type": "path"},
        "bin_dir": {"type": "path"},
        **host_options(),
    }
    guarded(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
