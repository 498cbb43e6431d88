#!/usr/bin/python
# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: trust a key for a prefix of image names."""

from __future__ import annotations

DOCUMENTATION = r"""
module: trust
short_description: Trust a signing key for a prefix of image names
version_added: 1.0.0
description:
  - An image is taken only when a key that is trusted for its name signed it. This module says which key may sign for which names.
  - A prefix covers whole parts of a name. A key that is trusted for C(example.com/app) may sign C(example.com/app/web), not
    C(example.com/app2).
  - The key is pinned. Its full fingerprint has to be given and has to fit.
author:
  - The appc.rocket contributors (@appc-rocket)
requirements:
  - cryptography
  - requests (with O(discover=true))
extends_documentation_fragment:
  - appc.rocket._attributes
  - appc.rocket._attributes.group
  - appc.rocket._host
options:
  fingerprint:
    description:
      - The full fingerprint of the primary key, 40 hexadecimal digits. Spaces are left out, case does not matter.
    type: str
    required: true
  key:
    description:
      - The ASCII-armored public key.
      - Required when O(state=present) and the key is not there yet, unless O(discover=true).
    type: str
  discover:
    description:
      - Ask the site of O(prefix) for the key, as C(rocket trust --prefix) does, where it is not trusted yet or has expired. Only by https.
      - The site has no say about trust. Of the keys that it offers the one with O(fingerprint) is taken, and none where none has it.
      - In check mode the site is asked, too.
    type: bool
    default: false
    version_added: 1.1.0
  ca_file:
    description:
      - With O(discover=true), file on the host with the certificate authorities to trust, in place of the host's own and of those
        configured for a domain.
    type: path
    version_added: 1.1.0
  connect_to:
    description:
      - With O(discover=true), where to connect to for a host, as C(host=address:port). The certificate is still checked against the host.
    type: list
    elements: str
    default: []
    version_added: 1.1.0
  prefix:
    description:
      - The names that the key may sign, such as C(example.com/app).
      - Exactly one of O(prefix) and O(root) is required.
    type: str
  root:
    description:
      - Trust the key for every name.
      - Exactly one of O(prefix) and O(root) is required.
    type: bool
    default: false
  state:
    description:
      - V(present) trusts the key.
      - V(absent) trusts it no longer. A key of the vendor's layer is masked by an empty file in the local one.
      - V(masked) trusts it no longer, and no copy that the vendor's layer brings later either.
    type: str
    choices: [present, absent, masked]
    default: present
"""

EXAMPLES = r"""
- name: Let the shop's release key sign the shop's images
  appc.rocket.trust:
    prefix: example.com/shop
    fingerprint: 9A3C 5F0E 8B1D 4C27 6E90  A1B2 C3D4 E5F6 0718 2930
    key: "{{ lookup('ansible.builtin.file', 'shop.asc') }}"

- name: Have the key from the site of the prefix, and no other than the reviewed one
  appc.rocket.trust:
    prefix: example.com/shop
    fingerprint: 9a3c5f0e8b1d4c276e90a1b2c3d4e5f607182930
    discover: true

- name: Trust a stolen key never again, whoever brings it
  appc.rocket.trust:
    prefix: example.com/shop
    fingerprint: 9a3c5f0e8b1d4c276e90a1b2c3d4e5f607182930
    state: masked

- name: Trust a key no longer
  appc.rocket.trust:
    prefix: example.com/shop
    fingerprint: 9a3c5f0e8b1d4c276e90a1b2c3d4e5f607182930
    state: absent
"""

RETURN = r"""
key:
  description: The key.
  returned: always
  type: dict
  contains:
    fingerprint:
      description: Fingerprint of the primary key, lower case without spaces.
      type: str
      returned: always
    prefix:
      description: The names that it may sign, empty for every name.
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
from ..module_utils._rocket.errors import UsageError
from ..module_utils._rocket.plan import Plan
from ..module_utils._rocket.trust.keyring import Keyring, check_fingerprint


def plan_for(keyring: Keyring, parameters: dict[str, t.Any]) -> Plan:
    """Return what is to be done for the wanted state of the key."""
    fingerprint, prefix = parameters["fingerprint"], parameters["prefix"]
    if parameters["state"] == "absent":
        return keyring.plan_remove(fingerprint, prefix)
    if parameters["state"] == "masked":
        return keyring.plan_mask(fingerprint, prefix)
    if parameters["key"] and parameters["discover"]:
        raise UsageError("the key is either given or discovered", where="discover", hint="leave key or discover out")
    if parameters["key"]:
        return keyring.plan_add(parameters["key"].encode(), fingerprint, prefix)
    if parameters["discover"]:
        return discovered(keyring, parameters)
    kept = keyring.plan_keep(fingerprint, prefix)
    if kept is None:
        raise UsageError("the key itself is needed to trust it", where="key", hint="give the ASCII-armored public key, or discover: true")
    return kept


def discovered(keyring: Keyring, parameters: dict[str, t.Any]) -> Plan:
    """Return the plan with the key of the prefix's own site."""
    # Whoever gives the key needs nothing of fetching.
    from ..module_utils._rocket.fetch.options import FetchOptions, parse_connection
    from ..module_utils._rocket.host.offered_keys import plan_discovered

    options = FetchOptions(
        ca_file=parameters["ca_file"] or "",
        layers=paths_of(parameters).layers,
        connect_to=tuple(map(parse_connection, parameters["connect_to"])),
    )
    return plan_discovered(keyring, parameters["fingerprint"], parameters["prefix"], options)


def work(module: AnsibleModule) -> t.NoReturn:
    """Plan, apply unless in check mode, and exit."""
    parameters = module.params
    if bool(parameters["prefix"]) == parameters["root"]:
        raise UsageError("exactly one of prefix and root is needed", where="prefix", hint="give a prefix, or root: true for every name")
    keyring = Keyring(paths_of(parameters))
    plan = plan_for(keyring, parameters)
    if not module.check_mode:
        keyring.apply(plan)
    key = {"fingerprint": check_fingerprint(parameters["fingerprint"]), "prefix": parameters["prefix"] or ""}
    finish(module, plan, key=key)


def main() -> None:
    """Read the arguments and do the work."""
    options: dict[str, t.Any] = {
        "fingerprint": {"type": "str", "required": True},
        "key": {"type": "str", "no_log": False},
        "prefix": {"type": "str"},
        "root": {"type": "bool", "default": False},
        "discover": {"type": "bool", "default": False},
        "ca_file": {"type": "path"},
        "connect_to": {"type": "list", "elements": "str", "default": []},
        "state": {"type": "str", "choices": ["present", "absent", "masked"], "default": "present"},
        **host_options(),
    }
    guarded(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
