#!/usr/bin/python
# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: fetch an image into the store of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image
short_description: Fetch an App Container Image into the store of a host
version_added: 1.0.0
description:
  - Finds the image by its name, checks who signed it, and stores it. Nothing is stored that is not trusted for its name.
  - Names are URLs. The site of a name says by meta tags where its images are, no registry is needed.
  - An image that is present needs no network.
  - OCI images of a registry (C(docker://)), of a layout directory (C(oci:)) or of an archive (C(oci-archive:), C(docker-archive:))
    become App Container Images. They have no signature, so the digest has to be pinned in O(name), or the image ID in O(image_id).
  - A bundle (C(bundle:/path)), which C(rocket image export --bundle) writes, brings all images in it, or none, without network. Each is
    verified by the keys of this host, as if it had been fetched by its name.
author:
  - The appc.rocket contributors (@appc-rocket)
requirements:
  - cryptography
  - requests
extends_documentation_fragment:
  - appc.rocket._attributes
  - appc.rocket._attributes.group
  - appc.rocket._host
  - appc.rocket._host.insecure
  - appc.rocket._fetch
options:
  name:
    description:
      - What to fetch. A name with version and labels such as C(example.com/shop/web:1.0.0,os=linux), a file, a URL, an OCI image
        such as C(docker://registry.example.com/shop/web:1.0.0@sha256:...), a bundle such as C(bundle:/srv/shop.bundle), or, with
        O(state=absent), an image ID.
    type: str
    required: true
  state:
    description:
      - V(present) fetches the image when the store does not have it. Where nobody who signed the stored image is trusted for it any more,
        the signature that its source has now is fetched, and the image only when that one does not fit.
      - V(latest) asks whether there is a newer one under the same name, by a conditional request; not while the image is as fresh as
        its source said, which is at most a day.
      - V(absent) removes it. An image that a pod needs is not removed.
    type: str
    choices: [present, latest, absent]
    default: present
  image_id:
    description:
      - The image ID that the fetched image must have, C(sha512-) and 128 hexadecimal digits.
    type: str
  render:
    description:
      - Make the root file system of the image too, so that the first start of a pod need not. An image that comes from afar is then
        read once for both.
    type: bool
    default: false
    version_added: 1.1.0
  lock:
    description:
      - The content of a lock file, see M(appc.rocket.lock). The image, and each image that it depends on, is then the one that the
        lock names. Where the source has another one, the task fails and says which reference drifted.
    type: dict
    version_added: 1.1.0
"""

EXAMPLES = r"""
- name: Fetch an image
  appc.rocket.image:
    name: example.com/shop/web:1.0.0

- name: Fetch the newest version
  appc.rocket.image:
    name: example.com/shop/web
    state: latest

- name: Fetch an OCI image of a registry, pinned by the digest of its manifest or index
  appc.rocket.image:
    name: docker://registry.example.com/shop/web:1.0.0@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef

- name: Fetch what the lock file in git names, and nothing else
  appc.rocket.image:
    name: example.com/shop/web:1.0.0
    lock: "{{ lookup('ansible.builtin.file', 'rocket.lock.yml') | from_yaml }}"

- name: Carry a bundle to a host without network
  ansible.builtin.copy:
    src: shop.bundle
    dest: /srv/shop.bundle
    mode: "0600"

- name: Fetch all images of the bundle
  appc.rocket.image:
    name: bundle:/srv/shop.bundle

- name: Fetch from a mirror inside the building
  appc.rocket.image:
    name: example.com/shop/web:1.0.0
    ca_file: /etc/ssl/mirror.pem
    connect_to: example.com=192.0.2.10:8443

- name: Say where images come from and who may get them, for every fetch of the host
  ansible.builtin.copy:
    dest: "/etc/rocket/{{ item.name }}"
    content: "{{ item.content | to_json }}"
    mode: "{{ item.mode }}"
  loop:
    - name: fetch.json
      mode: "0644"
      content:
        rktKind: fetch
        rktVersion: v1
        mirrors:
          - prefix: example.com/shop
            templates: ["https://mirror.example.net/{name}-{version}-{os}-{arch}.{ext}"]
    - name: auth.d/mirror.json
      mode: "0600"
      content:
        rktKind: auth
        rktVersion: v1
        domains: [mirror.example.net]
        type: basic
        credentials:
          user: "{{ mirror_user }}"
          password: "{{ mirror_password }}"
  no_log: true
"""

RETURN = r"""
image:
  description: The image, as the store has it. Of a bundle that names several, the last of them.
  returned: when the image is in the store
  type: dict
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
        - The rule of the policy at that time.
      type: dict
      returned: always
    size:
      description: Size in bytes of the file as distributed.
      type: int
      returned: always
fetched:
  description: How the image came to be in the store.
  returned: when the image is in the store and was looked for
  type: dict
  contains:
    from:
      description: V(network), V(file), or V(store) where it was there and good enough, or unchanged at its source.
      type: str
      returned: always
    image_id:
      description: The image ID.
      type: str
      returned: always
    source:
      description: URL or path that the file came from, now or when it came.
      type: str
      returned: always
    signed_by:
      description: Who signed it, by the identities of the keys or their fingerprints.
      type: list
      elements: str
      returned: always
    transferred:
      description: Bytes of content that came over the network, pages and signatures included.
      type: int
      returned: always
    seconds:
      description: How long it took.
      type: float
      returned: always
    resumed:
      description: Bytes of the image that an earlier fetch had brought before it was cut.
      type: int
      returned: always
    dependencies:
      description: What came along because the image, or another one of the bundle, depends on it. Each has the members of RV(fetched).
      type: list
      elements: dict
      returned: always
    images:
      description: All images that the bundle names. Each has the members of RV(fetched).
      type: list
      elements: dict
      returned: when a bundle was fetched
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

from ..module_utils._ansible.fetching import fetch_options, fetch_options_of, read_lock
from ..module_utils._ansible.host import host_options, insecure_options, paths_of
from ..module_utils._ansible.outcome import finish, guarded
from ..module_utils._rocket.errors import NotFound, UsageError
from ..module_utils._rocket.fetch.fetcher import Fetcher
from ..module_utils._rocket.fetch.reference import is_bundle_reference
from ..module_utils._rocket.plan import Plan, Step
from ..module_utils._rocket.store.record import ImageRecord
from ..module_utils._rocket.store.store import Store
from ..module_utils._rocket.trust.late import LateVerifier


def described(record: ImageRecord) -> dict[str, t.Any]:
    """Return an image for the result."""
    return {
        "id": record.id,
        "name": record.name,
        "labels": dict(record.labels),
        "verdict": record.verdict.to_json(),
        "size": record.file_size,
    }


def remove(module: AnsibleModule, store: Store) -> t.NoReturn:
    """Have the image not in the store, and exit."""
    from ..module_utils._rocket.run.names import Names

    if is_bundle_reference(module.params["name"]):
        raise UsageError("a bundle is no image of the store", where=module.params["name"], hint="name the images that were in it")
    try:
        record = store.resolve(module.params["name"])
    except NotFound:
        finish(module, Plan(module.params["name"]))
    before = {"image_id": record.id, "name": record.name}
    plan = Plan(module.params["name"], (Step("remove", record.id, "in the store"),), before=before)
    if module.check_mode:
        store.check_removable(record.id, Names(store.paths).images_in_use())
    else:
        # Whoever prepares a pod holds this lock in common until the pod names its images.
        with store.lock("prepare"):
            store.remove(record.id, Names(store.paths).images_in_use())
    finish(module, plan)


def work(module: AnsibleModule) -> t.NoReturn:
    """Plan, apply unless in check mode, and exit."""
    parameters = module.params
    paths = paths_of(parameters)
    store = Store(paths)
    if parameters["state"] == "absent":
        remove(module, store)
    lock = parameters["lock"]
    options = fetch_options_of(
        parameters,
        pull_policy="update" if parameters["state"] == "latest" else "new",
        expected_id=parameters["image_id"] or "",
        render=parameters["render"],
        lock=None if lock is None else read_lock(lock),
    )
    fetcher = Fetcher(store, LateVerifier(paths), options)
    plan = fetcher.plan(parameters["name"], parameters["state"])
    if plan.changed and module.check_mode:
        finish(module, plan)
    name = parameters["name"]
    fetched = fetcher.get(name) if plan.changed else fetcher.keep(name, write=not module.check_mode)
    for text in fetched.notes:
        module.warn(text)
    finish(module, plan, image=described(fetched.record), fetched=fetched.to_json())


def main() -> None:
    """Read the arguments and do the work."""
    options: dict[str, t.Any] = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "latest", "absent"], "default": "present"},
        "image_id": {"type": "str"},
        "lock": {"type": "dict"},
        "render": {"type": "bool", "default": False},
        **fetch_options(),
        **host_options(),
        **insecure_options(),
    }
    guarded(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
