#!/usr/bin/python
# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: tell about the images of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_info
short_description: Tell about the images of a host
version_added: 1.1.0
description:
  - Returns what is known about the images in the store of a host. Where they came from, who signed them, and what needs them.
author:
  - The appc.rocket contributors (@appc-rocket)
extends_documentation_fragment:
  - appc.rocket._attributes.info
  - appc.rocket._attributes.group
  - appc.rocket._host
options:
  name:
    description:
      - Only images of this name and these labels, as C(example.com/shop/web:1.0.0,os=linux), or with an image ID that begins so.
    type: str
"""

EXAMPLES = r"""
- name: Look at all images
  appc.rocket.image_info:
  register: stored

- name: Say which images nobody signed
  ansible.builtin.debug:
    msg: "{{ stored.images | rejectattr('verdict.kind', 'equalto', 'signed') | map(attribute='name') }}"

- name: Is this version on the host?
  appc.rocket.image_info:
    name: example.com/shop/web:1.4.0
  register: web
  failed_when: not web.images
"""

RETURN = r"""
images:
  description: The images, sorted by name, then by the time of their import.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: The image ID.
      type: str
      returned: always
    name:
      description: Name in the image manifest.
      type: str
      returned: always
    labels:
      description: Labels in the image manifest.
      type: dict
      returned: always
    verdict:
      description:
        - Why it may be in the store. Who signed it, whether it was pinned, or which option let it in.
        - The rule of the policy at that time, and when that was found out.
      type: dict
      returned: always
    source:
      description: URL or path that it came from.
      type: str
      returned: always
    size:
      description: Size in bytes of the file as distributed.
      type: int
      returned: always
    imported_at:
      description: Time of its last import, seconds since the epoch.
      type: int
      returned: always
    last_used:
      description:
        - When it was last imported or confirmed by its source, or the last pod that had it ended, whichever is latest. Seconds since the
          epoch. The end of a pod is known when the pod is removed.
      type: int
      returned: always
    dependencies:
      description: Names with labels of the images that it depends on, in the order of its manifest.
      type: list
      elements: str
      returned: always
    in_use:
      description: Whether a pod, a generation that is kept, or an image in use needs it.
      type: bool
      returned: always
damaged:
  description: What is wrong with images that cannot be read, one sentence each.
  returned: always
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._ansible.host import host_options, paths_of
from ..module_utils._ansible.outcome import guarded
from ..module_utils._rocket.run.names import Names
from ..module_utils._rocket.spec.image_name import ImageName
from ..module_utils._rocket.store.dependencies import name_of, with_dependencies
from ..module_utils._rocket.store.record import ImageRecord
from ..module_utils._rocket.store.store import Store


def described(store: Store, record: ImageRecord, used: t.AbstractSet[str]) -> dict[str, t.Any]:
    """Return an image for the result."""
    return {
        "id": record.id,
        "name": record.name,
        "labels": dict(record.labels),
        "verdict": record.verdict.to_json(),
        "source": record.source,
        "size": record.file_size,
        "imported_at": record.imported_at,
        "last_used": int(store.last_use(record.id)),
        "dependencies": [str(name_of(dependency)) for dependency in record.manifest.dependencies],
        "in_use": record.id in used,
    }


def chosen(records: list[ImageRecord], name: str) -> list[ImageRecord]:
    """Return the images that `name` means; all of them where it is empty."""
    if not name:
        return records
    if name.startswith("sha512-"):
        return [record for record in records if record.id.startswith(name)]
    wanted = ImageName.parse(name, "name")
    return [record for record in records if wanted.matches(record)]


def work(module: AnsibleModule) -> t.NoReturn:
    """Look, and exit."""
    store = Store(paths_of(module.params))
    used = with_dependencies(store, Names(store.paths).images_in_use())
    found = chosen(store.images(), module.params["name"] or "")
    module.exit_json(
        changed=False,
        images=[described(store, record, used) for record in found],
        damaged=[str(error) for error in store.damaged()],
    )


def main() -> None:
    """Read the arguments and do the work."""
    options: dict[str, t.Any] = {"name": {"type": "str"}, **host_options()}
    guarded(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
