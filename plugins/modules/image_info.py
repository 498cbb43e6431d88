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
  - Returns what is known about the images in the store of a host. Where they came from, who signed them, when and under which policy that
    was verified, whether they would start today, and what needs them.
  - What is on the disk is not read anew. C(rocket image verify) does that.
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

- name: Say which images would not start today, and why
  ansible.builtin.debug:
    msg: "{{ stored.images | rejectattr('standing.good') | map(attribute='standing.problem') }}"

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
      contains:
        kind:
          description:
            - V(signed) by trusted keys, V(pinned) by its image ID or digest, V(open) where the policy asks for neither, or V(insecure)
              where an option let it in.
          type: str
          returned: always
        signers:
          description:
            - The valid signatures by keys that were trusted, each with C(fingerprint), C(prefix) (empty for every name), C(identity),
              C(signed_at) (seconds since the epoch) and C(part) (fingerprint of the subkey that made it, empty for the key itself).
          type: list
          elements: dict
          returned: always
        checked_at:
          description: When that was found out, seconds since the epoch.
          type: int
          returned: always
        insecure_options:
          description: Safety rules that were left out then, by name.
          type: list
          elements: str
          returned: always
        digest:
          description: Of the OCI manifest or index that was pinned instead of the image ID, else empty.
          type: str
          returned: always
        pinned:
          description: Whether its image ID or digest was pinned, also where it was signed.
          type: bool
          returned: always
        policy:
          description: The rule under which it was let in, null where there was none.
          type: dict
          returned: always
    standing:
      description: Whether it would start today, by today's trust, with all that it depends on and without any insecure option.
      type: dict
      returned: always
      contains:
        good:
          description: Whether it would.
          type: bool
          returned: always
        code:
          description: The class of what forbids it, as C(docs/security-model.md) has them, else empty.
          type: str
          returned: always
        problem:
          description: What forbids it and what to do, else empty.
          type: str
          returned: always
    source:
      description: URL or path that it came from.
      type: str
      returned: always
    reference:
      description: What was asked for then, empty where it was a file or is not known.
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
    pods:
      description:
        - The pods that it is part of, sorted by name, each with C(name), C(uuid), C(state), C(apps) (the names of its apps whose image it
          is) and C(dependency) (whether the image of one of its apps depends on it).
      type: list
      elements: dict
      returned: always
damaged:
  description: What is wrong with images and records of named pods that cannot be read, one sentence each.
  returned: always
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._ansible.host import host_options, paths_of
from ..module_utils._ansible.outcome import guarded
from ..module_utils._rocket.host.image_audit import AuditedImage, audit
from ..module_utils._rocket.spec.image_name import ImageName


def chosen(images: t.Sequence[AuditedImage], name: str) -> list[AuditedImage]:
    """Return the images that `name` means; all of them where it is empty."""
    if not name:
        return list(images)
    if name.startswith("sha512-"):
        return [image for image in images if image.record.id.startswith(name)]
    wanted = ImageName.parse(name, "name")
    return [image for image in images if wanted.matches(image.record)]


def work(module: AnsibleModule) -> t.NoReturn:
    """Look, and exit."""
    found = audit(paths_of(module.params))
    images = chosen(found.images, module.params["name"] or "")
    module.exit_json(changed=False, images=[image.to_json() for image in images], damaged=list(found.damaged))


def main() -> None:
    """Read the arguments and do the work."""
    options: dict[str, t.Any] = {"name": {"type": "str"}, **host_options()}
    guarded(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
