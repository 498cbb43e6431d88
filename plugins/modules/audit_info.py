#!/usr/bin/python
# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: verify the audit log of a host and tell where it ends."""

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_info
short_description: Verify the audit log of a host, and tell where it ends
version_added: 1.1.0
description:
  - Reads the log of what was done on a host and of what was refused, and checks that nobody changed it.
  - Whether events are missing at its end is known by O(checkpoint) alone, what this module returned before and the controller kept.
  - A log that was changed does not fail the task. See RV(intact).
author:
  - The appc.rocket contributors (@appc-rocket)
extends_documentation_fragment:
  - appc.rocket._attributes.info
  - appc.rocket._attributes.group
  - appc.rocket._host
options:
  checkpoint:
    description:
      - RV(audit) of an earlier run. The event of that number has to be there still, as it was.
      - Other members than the two below are left out.
    type: dict
  events:
    description:
      - How many of the last events to return.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Verify the audit log against what was kept
  appc.rocket.audit_info:
    checkpoint: "{{ lookup('ansible.builtin.file', 'checkpoints/' ~ inventory_hostname ~ '.json') | from_json }}"
  register: log
  failed_when: not log.intact

- name: See what happened last
  appc.rocket.audit_info:
    events: 10
"""

RETURN = r"""
audit:
  description: Where the log ends.
  returned: always
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
    first:
      description: Number of the first event that is kept.
      type: int
      returned: always
    size:
      description: Bytes of all files of the log.
      type: int
      returned: always
intact:
  description: Whether all events hang together, and go on from O(checkpoint) where it was given.
  returned: always
  type: bool
problems:
  description: What is wrong, in the order of the log, at most 20.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: A word for machines, such as V(edited), V(missing) or V(truncated).
      type: str
      returned: always
    seq:
      description: Number of the first event concerned.
      type: int
      returned: always
    what:
      description: A clause for people.
      type: str
      returned: always
repaired:
  description: Numbers of the events that tell of a line which a crash cut short.
  returned: always
  type: list
  elements: int
events:
  description:
    - The last events, oldest first. They hold text that images and declarations brought along, so do not use them as templates.
  returned: always
  type: list
  elements: dict
"""

import collections
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._ansible.host import host_options, paths_of
from ..module_utils._ansible.outcome import guarded
from ..module_utils._rocket.audit.chain import events, files, read_checkpoint, verify


def work(module: AnsibleModule) -> t.NoReturn:
    """Verify, and exit."""
    kept = module.params["checkpoint"]
    places = files(paths_of(module.params))
    report = verify(places, read_checkpoint(kept, "checkpoint") if kept else None)
    limit = max(0, module.params["events"])
    module.exit_json(
        changed=False,
        audit={**report.last.to_json(), "first": report.first, "size": report.size},
        intact=report.intact,
        problems=[problem.to_json() for problem in report.problems],
        repaired=list(report.repaired),
        events=list(collections.deque(events(places), maxlen=limit)) if limit else [],
    )


def main() -> None:
    """Read the arguments and do the work."""
    options: dict[str, t.Any] = {"checkpoint": {"type": "dict"}, "events": {"type": "int", "default": 0}, **host_options()}
    guarded(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
