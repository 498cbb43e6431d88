#!/usr/bin/python
# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: what is asked of images before they are taken and run, by prefix."""

from __future__ import annotations

DOCUMENTATION = r"""
module: policy
short_description: Say what is asked of images, by prefix of their names
version_added: 1.1.0
description:
  - Writes the policy of a host. It says for each prefix of image names whether images have to be signed, by how many of which keys, have
    to be pinned by their digest, need neither, or are refused.
  - The rule of the most specific prefix decides alone. Nothing is inherited from a shorter prefix.
  - A name that no prefix covers has the default rule. Without one it is refused.
  - The policy counts when an image is fetched, and again each time that a pod starts.
  - Without any policy an image has to be signed by a key that is trusted for its name, or pinned. Keys are trusted by
    M(appc.rocket.trust).
author:
  - The appc.rocket contributors (@appc-rocket)
extends_documentation_fragment:
  - appc.rocket._attributes
  - appc.rocket._attributes.group
  - appc.rocket._host
options:
  policy:
    description:
      - The policy. Unknown members are refused, with the nearest valid word.
      - C(version) is V(1).
      - C(prefixes) is a dictionary of prefixes, such as C(example.com/shop), and their rules. A prefix covers whole parts of a name.
      - C(default) is the rule of all other names.
      - A rule has C(require), which is V(signed), V(pinned), V(signed-or-pinned), V(open) or V(refuse).
      - Where a signature counts, a rule may have C(keys), the full fingerprints of the keys that count, and C(threshold), how many of them
        have to sign. Without C(keys) all that are trusted for the name count, without C(threshold) one has to sign.
      - There it may also have C(second_opinion), the other program that has to accept a signature, V(none), V(gpgv), V(sqv) or
        V(any). Any but V(none) refuses all signatures, as no other program can be asked yet.
      - Required when O(state=present).
    type: dict
  state:
    description:
      - V(present) has the policy as given.
      - V(absent) removes the operator's file. The vendor's counts then, where there is one.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Want two of three signatures for the shop, digests for a registry, and nothing else at all
  appc.rocket.policy:
    policy:
      version: 1
      prefixes:
        example.com/shop:
          require: signed
          threshold: 2
          keys:
            - 9a3c5f0e8b1d4c276e90a1b2c3d4e5f607182930
            - 0123456789abcdef0123456789abcdef01234567
            - fedcba9876543210fedcba9876543210fedcba98
        registry.example.com:
          require: pinned
      default:
        require: refuse

- name: Go back to what counts without a policy
  appc.rocket.policy:
    state: absent
"""

RETURN = r"""
policy:
  description: The policy that counts on the host after the task, or in check mode would count.
  returned: success
  type: dict
file:
  description: The file that it is in, empty for the built-in policy.
  returned: success
  type: str
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
from ..module_utils._rocket.paths import Paths
from ..module_utils._rocket.record import replace
from ..module_utils._rocket.trust import policy_file
from ..module_utils._rocket.trust.policy import Policy, load


def counts_after(paths: Paths, parameters: dict[str, t.Any]) -> Policy:
    """Return the policy that counts after the task."""
    if parameters["state"] == "present":
        return replace(Policy.from_json(parameters["policy"], "policy"), path=policy_file.local_file(paths))
    # The vendor's, seen as if there were no other.
    return load(Paths(data=paths.data, local=paths.system, system=paths.system))


def work(module: AnsibleModule) -> t.NoReturn:
    """Plan, apply unless in check mode, and exit."""
    parameters = module.params
    paths = paths_of(parameters)
    present = parameters["state"] == "present"
    plan = policy_file.plan_present(paths, parameters["policy"]) if present else policy_file.plan_absent(paths)
    found = counts_after(paths, parameters)
    if not module.check_mode:
        policy_file.apply(plan, paths)
        # A policy in a directory that everyone may write to is none.
        load(paths)
    finish(module, plan, policy=found.to_json(), file=found.path)


def main() -> None:
    """Read the arguments and do the work."""
    options: dict[str, t.Any] = {
        "policy": {"type": "dict"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        **host_options(),
    }
    wanted = [("state", "present", ["policy"])]
    guarded(AnsibleModule(argument_spec=options, required_if=wanted, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
