# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible filter: the table of a fleet."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_audit
short_description: The table of a fleet, from what its hosts answered
version_added: 1.1.0
description:
  - Puts together what hosts answered to M(appc.rocket.image_info), M(appc.rocket.pod_info), M(appc.rocket.trust_info) and
    M(appc.rocket.audit_info), as the playbook C(appc.rocket.audit) collects it.
  - An answer that is not as the module makes it is an error of its host, and does not get at the others.
author:
  - The appc.rocket contributors (@appc-rocket)
options:
  _input:
    description:
      - Of each host that was asked, C(host), the registered results as C(image_info), C(pod_info), C(trust_info) and C(audit_info), and
        C(checkpoint), the C(seq) and C(head) that were kept of its audit log.
    type: list
    elements: dict
    required: true
  hosts:
    description: Names of all hosts of the fleet. What was known of those that were not asked or not reached stays.
    type: list
    elements: str
    required: true
  last:
    description: What RV(_value.document) held the last time, as a value.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Put together what was answered
  ansible.builtin.set_fact:
    fleet: "{{ answers | appc.rocket.fleet_audit(hosts=groups['rocket'], last=lookup('ansible.builtin.file', 'audit.json') | from_json) }}"
"""

RETURN = r"""
_value:
  description: The table.
  type: dict
  contains:
    document:
      description: All of it as JSON text. The time is in the member C(collected) alone.
      type: str
    page:
      description: What the HTML page shows, as text that still has to be escaped.
      type: dict
    changed:
      description: Whether anything but the time is new.
      type: bool
    checkpoints:
      description: New checkpoints, each with C(host) and C(text), of the logs that go on from the ones that were kept.
      type: list
      elements: dict
    failures:
      description: A sentence for each audit log that is not what it was, and for each host that was reached and did not answer.
      type: list
      elements: str
"""

import json
import time
import typing as t

from ansible.errors import AnsibleFilterError

from ..module_utils._rocket.errors import RocketError
from ..module_utils._rocket.host.fleet_audit import fleet
from ..module_utils._rocket.host.fleet_page import page


def fleet_audit(entries: t.Any, hosts: t.Any, last: t.Any = None) -> dict[str, t.Any]:
    """Return the table; an error says which file of the controller is not as it should be."""
    try:
        found = fleet(entries, hosts, last, int(time.time()))
    except RocketError as error:
        raise AnsibleFilterError(f"fleet_audit: {error}") from error
    return {
        "document": found.text(),
        "page": page(found.document),
        "changed": found.changed,
        "checkpoints": [{"host": name, "text": json.dumps(kept, sort_keys=True)} for name, kept in found.checkpoints],
        "failures": list(found.failures),
    }


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., dict[str, t.Any]]]:
        """Return them by name."""
        return {"fleet_audit": fleet_audit}
