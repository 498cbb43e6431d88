#!/usr/bin/python
# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: tell about the pods of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_info
short_description: Tell about the pods of a host
version_added: 1.0.0
description:
  - Returns what is known about the pods of a host, running and ended ones, named and unnamed ones.
author:
  - The appc.rocket contributors (@appc-rocket)
extends_documentation_fragment:
  - appc.rocket._attributes.info
  - appc.rocket._attributes.group
  - appc.rocket._host
options:
  name:
    description:
      - Only the pod of this name.
    type: str
"""

EXAMPLES = r"""
- name: Look at all pods
  appc.rocket.pod_info:
  register: pods

- name: Say which ones run
  ansible.builtin.debug:
    msg: "{{ pods.pods | selectattr('state', 'equalto', 'running') | map(attribute='name') }}"
"""

RETURN = r"""
pods:
  description: The pods, sorted by name, then by time of creation.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the pod, empty for an unnamed one.
      type: str
      returned: always
    uuid:
      description: UUID of the pod.
      type: str
      returned: always
    state:
      description: State, such as V(running), V(prepared) or V(exited).
      type: str
      returned: always
    generation:
      description: Generation of a named pod.
      type: int
      returned: when named
    apps:
      description: The apps, each with name, image ID, state and exit status.
      type: list
      elements: dict
      returned: always
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._ansible.host import host_options, paths_of
from ..module_utils._ansible.outcome import guarded
from ..module_utils._rocket.run.pods import Pods


def work(module: AnsibleModule) -> t.NoReturn:
    """Look, and exit."""
    pods = Pods(paths_of(module.params))
    found = pods.of_name(module.params["name"]) if module.params["name"] else pods.list()
    module.exit_json(changed=False, pods=[pod.to_json() for pod in sorted(found, key=lambda pod: (pod.name, pod.created, pod.uuid))])


def main() -> None:
    """Read the arguments and do the work."""
    options: dict[str, t.Any] = {"name": {"type": "str"}, **host_options()}
    guarded(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
