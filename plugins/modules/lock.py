#!/usr/bin/python
# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: write down which images the declarations of a fleet mean."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lock
short_description: Write down which images the declarations of a fleet mean
version_added: 1.1.0
description:
  - Finds the image of each reference as a host would, with all that it depends on, checks who signed it, and writes its image ID into
    a lock file for git. Hosts that are given the content of that file take these images and no others.
  - Runs where the file is, usually on the controller, which needs the trusted keys and the policy of the fleet, and a
    store of its own.
  - What is locked already stays as it is, without being asked for, unless O(update) says otherwise. What no declaration needs goes.
  - An image of a registry that is named by a tag is signed by nobody. The digest that the tag leads to is written down, and whoever
    reviews the lock file vouches for it.
  - In check mode images that are not locked yet are fetched into the store all the same, as there is no other way to know what their
    references mean. The lock file is not written.
author:
  - The appc.rocket contributors (@appc-rocket)
requirements:
  - cryptography
  - PyYAML
  - requests
extends_documentation_fragment:
  - appc.rocket._attributes
  - appc.rocket._attributes.group
  - appc.rocket._host
  - appc.rocket._host.insecure
  - appc.rocket._fetch
options:
  path:
    description:
      - The lock file, with an absolute path.
    type: path
    required: true
  pods:
    description:
      - Declarations as the role P(appc.rocket.pods#role) takes them. Only what they say about images matters.
    type: list
    elements: dict
    default: []
  images:
    description:
      - Further references to lock.
    type: list
    elements: str
    default: []
  platforms:
    description:
      - The platforms of the hosts, C(os/arch) in the words of image labels. Without it those that the lock file names, else that of
        the host on which this runs.
    type: list
    elements: str
    default: []
  update:
    description:
      - Ask for newer images of what is locked already.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Lock what is new
  appc.rocket.lock:
    path: /srv/fleet/rocket.lock.yml
    pods: "{{ rocket_pods }}"
    platforms: [linux/amd64, linux/aarch64]
    data_dir: /var/cache/fleet/store
    config_dir: /var/cache/fleet/etc

- name: Fail where a newer image would be taken
  appc.rocket.lock:
    path: /srv/fleet/rocket.lock.yml
    pods: "{{ rocket_pods }}"
    update: true
  check_mode: true
  register: newer
  failed_when: newer is failed or newer.drifted
"""

RETURN = r"""
lock:
  description: What the file holds, or in check mode would hold.
  returned: success
  type: dict
changes:
  description: References that mean other images than before, each with the image IDs before and after.
  returned: success
  type: list
  elements: dict
  contains:
    reference:
      description: As declarations have it.
      type: str
      returned: always
    platform:
      description: For which hosts, empty for all.
      type: str
      returned: always
    before:
      description: The image ID until now, empty for none.
      type: str
      returned: always
    after:
      description: The image ID from now on, empty for none.
      type: str
      returned: always
drifted:
  description: References that meant an image before and mean another one now.
  returned: success
  type: list
  elements: str
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

from ..module_utils._ansible.fetching import fetch_options, fetch_options_of
from ..module_utils._ansible.host import host_options, insecure_options, paths_of
from ..module_utils._ansible.outcome import finish, guarded
from ..module_utils._rocket.fetch.locking import Locking
from ..module_utils._rocket.host.image_file import check_absolute
from ..module_utils._rocket.host.lock_file import plan_file, write_lock
from ..module_utils._rocket.run.declared_images import declared_images
from ..module_utils._rocket.spec.values import check_platform
from ..module_utils._rocket.store.store import Store
from ..module_utils._rocket.store.verdict import Verdict
from ..module_utils._rocket.trust.late import LateVerifier
from ..module_utils._rocket.trust.standing import check_standing


def work(module: AnsibleModule) -> t.NoReturn:
    """Plan, apply unless in check mode, and exit."""
    parameters = module.params
    path, paths = parameters["path"], paths_of(parameters)
    check_absolute(path)
    platforms = [check_platform(text, f"platforms[{index}]") for index, text in enumerate(parameters["platforms"])]
    references = [*declared_images(parameters["pods"], "pods"), *parameters["images"]]

    def standing(verdict: Verdict, name: str) -> None:
        check_standing(verdict, name, paths, parameters["insecure_options"])

    locking = Locking(Store(paths), LateVerifier(paths), fetch_options_of(parameters), standing=standing)
    outcome = plan_file(path, references, locking, platforms, parameters["update"])
    if outcome.plan.changed and not module.check_mode:
        write_lock(path, outcome.lock)
    drifted = list(dict.fromkeys(change.reference for change in outcome.changes if change.drifted))
    changes = [change.to_json() for change in outcome.changes]
    finish(module, outcome.plan, lock=outcome.lock.to_json(), changes=changes, drifted=drifted)


def main() -> None:
    """Read the arguments and do the work."""
    options: dict[str, t.Any] = {
        "path": {"type": "path", "required": True},
        "pods": {"type": "list", "elements": "dict", "default": []},
        "images": {"type": "list", "elements": "str", "default": []},
        "platforms": {"type": "list", "elements": "str", "default": []},
        "update": {"type": "bool", "default": False},
        **fetch_options(),
        **host_options(),
        **insecure_options(),
    }
    guarded(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
