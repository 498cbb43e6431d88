#!/usr/bin/python
# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: collect the garbage of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gc
short_description: Remove old pods and unused images of a host
version_added: 1.1.0
description:
  - Removes pods that ended, prepared ones that were never started, old generations and logs, and images that no pod needs.
  - A pod that ended is marked first, and removed by a later run when O(grace_period) has passed.
  - With O(high_water) and O(low_water) more goes when the disk gets full. It is what was used least recently, whatever its age.
  - Nothing goes that a pod uses, running, prepared or kept for going back, or that such an image depends on.
author:
  - The appc.rocket contributors (@appc-rocket)
extends_documentation_fragment:
  - appc.rocket._attributes
  - appc.rocket._attributes.group
  - appc.rocket._host
attributes:
  idempotent:
    details:
      - What has become old by the second run goes then. Where others write to the file system, its share in use is another one then.
options:
  grace_period:
    description:
      - How long a pod stays after its end was seen, such as V(30m), V(24h) or V(0).
    type: str
    default: 30m
  expire_prepared:
    description:
      - How long a prepared pod that no name waits for may wait to be started.
    type: str
    default: 24h
  image_grace:
    description:
      - How long an unused image stays after it came, and a download that was cut after its last byte.
    type: str
    default: 24h
  high_water:
    description:
      - Above this mark more goes. V(20G) is about the bytes on the disk that the store takes, V(85%) about the use of the file system
        that O(data_dir) is on.
      - What is counted is what would be left after everything else that this run removes.
    type: str
  low_water:
    description:
      - Unused images go until no more than this is left. It is below O(high_water) and of the same kind.
      - Where all that may go is not enough RV(plan.drift) says so, and the task does not fail.
    type: str
  mark_only:
    description:
      - Remove nothing. Let the time of grace of pods that ended begin.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Collect garbage
  appc.rocket.gc:

- name: Have everything gone that nothing needs
  appc.rocket.gc:
    grace_period: 0
    expire_prepared: 0
    image_grace: 0

- name: Keep a week of images, and fewer when the disk gets full
  appc.rocket.gc:
    image_grace: 7d
    high_water: 85%
    low_water: 70%
  register: garbage

- name: Say so when the disk stays full
  ansible.builtin.debug:
    msg: "{{ garbage.plan.drift }}"
  when: garbage.plan.drift | length > 0
"""

RETURN = r"""
frees:
  description: Bytes on the disk that all steps together set free. A file with several names counts once.
  returned: always
  type: int
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
      description: The steps in order, each with an action, a subject and a reason, and with the C(bytes) that it sets free.
      type: list
      elements: dict
      returned: always
    drift:
      description: One sentence where the low mark could not be reached, else nothing.
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
from ..module_utils._rocket.cli.options import seconds_of
from ..module_utils._rocket.host import garbage
from ..module_utils._rocket.run.collect import Grace
from ..module_utils._rocket.store.watermarks import parse_watermarks


def wanted(parameters: dict[str, t.Any]) -> garbage.Wanted:
    """Return what the arguments say is to go."""
    grace, prepared, images = (seconds_of(parameters[name], name) for name in ("grace_period", "expire_prepared", "image_grace"))
    marks = parse_watermarks(parameters["high_water"] or "", parameters["low_water"] or "", ("high_water", "low_water"))
    return garbage.Wanted(Grace(garbage=grace, prepared=prepared, mark_only=parameters["mark_only"]), images, marks)


def work(module: AnsibleModule) -> t.NoReturn:
    """Plan, apply unless in check mode, and exit."""
    paths = paths_of(module.params)
    plan = garbage.plan(paths, wanted(module.params))
    if not module.check_mode:
        plan = garbage.collect(plan, paths)
    finish(module, plan, frees=garbage.frees(plan.steps))


def main() -> None:
    """Read the arguments and do the work."""
    options: dict[str, t.Any] = {
        "grace_period": {"type": "str", "default": "30m"},
        "expire_prepared": {"type": "str", "default": "24h"},
        "image_grace": {"type": "str", "default": "24h"},
        "high_water": {"type": "str"},
        "low_water": {"type": "str"},
        "mark_only": {"type": "bool", "default": False},
        **host_options(),
    }
    guarded(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
