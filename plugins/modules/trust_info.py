#!/usr/bin/python
# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: tell about the trusted keys of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: trust_info
short_description: Tell about the trusted keys of a host
version_added: 1.1.0
description:
  - Returns the keys of a host, for which names each may sign, whether it counts today, and which images of the host's store it signed.
author:
  - The appc.rocket contributors (@appc-rocket)
requirements:
  - cryptography
extends_documentation_fragment:
  - appc.rocket._attributes.info
  - appc.rocket._attributes.group
  - appc.rocket._host
options:
  prefix:
    description:
      - Only keys of exactly this prefix. An empty one means the keys for every name.
    type: str
  fingerprint:
    description:
      - Only the key with this full fingerprint, wherever it is trusted. Spaces are left out, case does not matter.
    type: str
  name:
    description:
      - Only keys whose prefix covers this image name. Those that are V(trusted) are the ones that count for it.
    type: str
"""

EXAMPLES = r"""
- name: Look at all keys
  appc.rocket.trust_info:
  register: keyring

- name: Say what no longer counts
  ansible.builtin.debug:
    msg: "{{ keyring.trusted_keys | rejectattr('state', 'equalto', 'trusted') | map(attribute='path') }}"

- name: Who may sign this image?
  appc.rocket.trust_info:
    name: example.com/shop/web
  register: signers
"""

RETURN = r"""
trusted_keys:
  description: The key files that count, sorted by prefix, then by fingerprint. One key may be there for several prefixes.
  returned: always
  type: list
  elements: dict
  contains:
    prefix:
      description: The names that it may sign, null for every name.
      type: str
      returned: always
    fingerprint:
      description: Fingerprint of the primary key, lower case without spaces.
      type: str
      returned: always
    identities:
      description: User IDs of the key, with everything but printable ASCII escaped.
      type: list
      elements: str
      returned: always
    algorithm:
      description: Kind of the primary key, empty where it cannot be read.
      type: str
      returned: always
    expires:
      description: When the primary key expires, seconds since the epoch. Null for never, or where it cannot be read.
      type: int
      returned: always
    layer:
      description: V(local) for the operator's keys, V(system) for the vendor's.
      type: str
      returned: always
    path:
      description: The key file.
      type: str
      returned: always
    state:
      description:
        - V(trusted), V(masked), V(expired), V(revoked), V(damaged) (the file cannot be taken), or V(unusable) (nothing in it may sign now).
        - A key is V(expired) or V(revoked), too, when that became of every part of it that may sign.
      type: str
      returned: always
    problem:
      description: Why it does not count, empty for one that is trusted or masked.
      type: str
      returned: always
    images:
      description: Images of the store that carry a signature of it which was good when they came, each with C(id) and C(name).
      type: list
      elements: dict
      returned: always
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._ansible.host import host_options, paths_of
from ..module_utils._ansible.outcome import guarded
from ..module_utils._rocket.store.store import Store
from ..module_utils._rocket.trust.keyring import Keyring, check_fingerprint, check_prefix
from ..module_utils._rocket.trust.listing import ListedKey, listing


def wanted(keys: list[ListedKey], parameters: dict[str, t.Any]) -> list[ListedKey]:
    """Return the keys that the arguments ask for."""
    if parameters["prefix"] is not None:
        prefix = check_prefix(parameters["prefix"]) if parameters["prefix"] else ""
        keys = [key for key in keys if key.prefix == prefix]
    if parameters["fingerprint"] is not None:
        fingerprint = check_fingerprint(parameters["fingerprint"])
        keys = [key for key in keys if key.fingerprint == fingerprint]
    return keys


def work(module: AnsibleModule) -> t.NoReturn:
    """Look, and exit."""
    paths = paths_of(module.params)
    keys = listing(Keyring(paths), Store(paths).images(), module.params["name"] or "")
    module.exit_json(changed=False, trusted_keys=[key.to_json() for key in wanted(keys, module.params)])


def main() -> None:
    """Read the arguments and do the work."""
    options: dict[str, t.Any] = {
        "prefix": {"type": "str"},
        "fingerprint": {"type": "str"},
        "name": {"type": "str"},
        **host_options(),
    }
    guarded(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
