#!/usr/bin/python
# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: build an image from a directory or a tar, and sign it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_build
short_description: Build an App Container Image from a directory or a tar, and sign it
version_added: 1.1.0
description:
  - Makes an image file from a root file system on the host. The same input makes the same image, byte for byte.
  - What is compared is the image ID that the input makes now with that of the file. When they are the same the file is not touched.
  - A published version is not replaced by another build of it, unless O(overwrite) says so. Give each build a version of its own.
  - With O(sign) the signature lies beside the image, as O(dest) with C(.asc) behind it. GnuPG of the host makes it, and it appears when
    it has been verified by the rules that images are fetched by.
author:
  - The appc.rocket contributors (@appc-rocket)
requirements:
  - gpg and cryptography, for O(sign)
extends_documentation_fragment:
  - appc.rocket._attributes
  - appc.rocket._attributes.group
  - appc.rocket._host
notes:
  - O(data_dir), O(config_dir) and O(system_config_dir) are there for C(module_defaults). Building an image needs none of them.
attributes:
  idempotent:
    details:
      - A source that changes is another image. With times of files kept by O(mtime), so is a source that was copied anew.
options:
  src:
    description:
      - Absolute path on the host of what the image is made from. A directory is its root file system.
      - A tar, plain or compressed, is one of the root file system, as C(docker export), C(mmdebstrap) or C(tar -C rootfs -c .) make it.
        Or it is an image, whose manifest is then the one to begin with.
      - Required for O(state=present).
    type: path
  dest:
    description:
      - Absolute path on the host of the image file, which ends in C(.aci). The directory has to be there.
    type: path
    required: true
  state:
    description:
      - V(present) has the image as described, and its signature where O(sign) is given.
      - V(absent) removes the file and its signature.
    type: str
    choices: [present, absent]
    default: present
  manifest:
    description:
      - An image manifest of the App Container specification, or a part of one. C(acKind) and C(acVersion) may be left out.
      - The options below change what it says. An item of a list is replaced by the one of its name, others stay.
    type: dict
  name:
    description:
      - Name of the image, such as C(example.com/shop/web).
    type: str
  labels:
    description:
      - Labels by name. C(version) tells one build from another. C(os) and C(arch) say where the image runs and are not filled in.
      - Values are texts. Put C("1.10") in quotes, or YAML makes a number of it.
    type: dict
  exec:
    description:
      - The program of the app and its arguments.
    type: list
    elements: str
  user:
    description:
      - User of the app, a name or number of the image, or a path whose owner is meant. An app needs one.
    type: str
  group:
    description:
      - Group of the app, likewise. An app needs one.
    type: str
  supplementary_gids:
    description:
      - Numbers of further groups.
    type: list
    elements: int
  working_directory:
    description:
      - Directory that the app starts in.
    type: str
  environment:
    description:
      - Variables by name. The diff hides their values, but everybody who has the image can read them. Secrets belong into the
        declaration of the pod.
    type: dict
  mounts:
    description:
      - Places for volumes, dictionaries with C(name), C(path) and C(read_only).
    type: list
    elements: dict
  ports:
    description:
      - Ports where the app listens, dictionaries with C(name), C(protocol), C(port), C(count) and C(socket_activated).
    type: list
    elements: dict
  isolators:
    description:
      - A short form with C(memory), C(cpu), C(pids), C(capabilities) and C(no_new_privileges), or the specification's list, as in
        M(appc.rocket.pod).
    type: raw
  event_handlers:
    description:
      - C(pre-start) and C(post-stop), each a list of a program and its arguments.
    type: dict
  annotations:
    description:
      - Annotations by name.
    type: dict
  dependencies:
    description:
      - Images whose files lie below those of this one, as C(name[:version][,label=value...][@image-id]).
    type: list
    elements: str
  path_whitelist:
    description:
      - Paths that are kept. What is not listed goes.
    type: list
    elements: str
  compression:
    description:
      - Form of the file, one of those that C(rocket image build --help) lists, such as V(gzip), V(xz) or V(none). The image ID does not
        depend on it.
    type: str
    default: gzip
  owner:
    description:
      - Numbers of the owner of all files in the image, as V(0:0). Without it they are as in the source.
    type: str
  mtime:
    description:
      - Seconds since the epoch. Later times of files become this one. Without it C(SOURCE_DATE_EPOCH) of the environment counts, else 0.
    type: int
  sign:
    description:
      - Sign the image with a key of GnuPG. Nobody is asked for a passphrase, so the key has none or the agent knows it.
    type: dict
    suboptions:
      key:
        description:
          - The full fingerprint of the key or subkey. Without it there has to be only one key that can sign.
        type: str
      gpg_homedir:
        description:
          - Directory of the keys on the host. Without it GnuPG's own.
        type: path
  overwrite:
    description:
      - Let another build take the place of the same version, and of a file that is no image or a signature by another key.
    type: bool
    default: false
  strict:
    description:
      - Fail where the module else warns. An image without a version, a program, user or group that is not in the tree.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Build the shop's image, and sign it
  appc.rocket.image_build:
    src: /srv/build/web
    dest: /srv/images/web-1.4.0.aci
    name: example.com/shop/web
    labels:
      version: 1.4.0
      os: linux
      arch: amd64
    exec: [/bin/web, --port=8080]
    user: www
    group: www
    mounts:
      - name: data
        path: /srv
    ports:
      - name: http
        protocol: tcp
        port: 8080
    isolators:
      memory: 256Mi
    sign:
      key: 9a3c5f0e8b1d4c276e90a1b2c3d4e5f607182930

- name: Build from a root file system of mmdebstrap and a manifest from the inventory
  appc.rocket.image_build:
    src: /srv/build/rootfs.tar.xz
    dest: /srv/images/base-12.aci
    manifest: "{{ base_manifest }}"
    owner: "0:0"
    strict: true

- name: Give an image another version
  appc.rocket.image_build:
    src: /srv/images/web-1.4.0.aci
    dest: /srv/images/web-1.4.1.aci
    labels:
      version: 1.4.1

- name: Remove an image and its signature
  appc.rocket.image_build:
    dest: /srv/images/web-1.3.0.aci
    state: absent
"""

RETURN = r"""
image:
  description: The image. In check mode the one that would be built.
  returned: when O(state=present)
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
    file:
      description: The image file.
      type: str
      returned: always
signature:
  description: The signature. In check mode the one that would be made.
  returned: when O(state=present) and O(sign) is given
  type: dict
  contains:
    file:
      description: The signature file.
      type: str
      returned: always
    fingerprint:
      description: Fingerprint of the primary key, lower case without spaces.
      type: str
      returned: always
    identity:
      description: First user ID of the key.
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

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._ansible.host import host_options
from ..module_utils._ansible.images import manifest_of, manifest_options
from ..module_utils._ansible.outcome import finish, guarded
from ..module_utils._rocket.errors import UsageError
from ..module_utils._rocket.host.gnupg import GnuPG
from ..module_utils._rocket.host.image_file import Wanted, apply, apply_absent, check_absolute, plan_absent, plan_file
from ..module_utils._rocket.host.sign import Signer, find_signer, signature_path
from ..module_utils._rocket.image.build import open_source, owner_of
from ..module_utils._rocket.spec.reading import load


def signer_of(parameters: dict[str, t.Any]) -> Signer | None:
    """Return whose signature is wanted, None where none is."""
    sign = parameters["sign"]
    if sign is None:
        return None
    return find_signer(GnuPG(sign["gpg_homedir"] or ""), sign["key"] or "", time.time)


def remove(module: AnsibleModule) -> t.NoReturn:
    """Have the file not there, and exit."""
    plan = plan_absent(module.params["dest"])
    if not module.check_mode:
        apply_absent(plan)
    finish(module, plan)


def work(module: AnsibleModule) -> t.NoReturn:
    """Plan, apply unless in check mode, and exit."""
    parameters = module.params
    if parameters["state"] == "absent":
        remove(module)
    check_absolute(parameters["src"])
    signer = signer_of(parameters)
    with open_source(parameters["src"]) as source:
        manifest = manifest_of(parameters, load(source.manifest, "manifest of the image") if source.manifest else {})
        wanted = Wanted(
            path=parameters["dest"],
            manifest=manifest,
            compression=parameters["compression"],
            mtime=parameters["mtime"],
            owner=owner_of(parameters["owner"], "owner") if parameters["owner"] else None,
            overwrite=parameters["overwrite"],
        )
        outcome = plan_file(source, wanted, signer)
        if outcome.warnings and parameters["strict"]:
            raise UsageError("; ".join(outcome.warnings), where="strict", hint="put it right, or leave strict out")
        if not module.check_mode:
            apply(source, wanted, signer, outcome)
    for text in outcome.warnings:
        module.warn(text)
    results: dict[str, t.Any] = {
        "image": {"id": outcome.image_id, "name": manifest.name, "labels": dict(manifest.labels), "file": wanted.path}
    }
    if signer is not None:
        key = signer.key
        results["signature"] = {"file": signature_path(wanted.path), "fingerprint": key.fingerprint, "identity": key.identity}
    finish(module, outcome.plan, **results)


def main() -> None:
    """Read the arguments and do the work."""
    options: dict[str, t.Any] = {
        "src": {"type": "path"},
        "dest": {"type": "path", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        **manifest_options(),
        "compression": {"type": "str", "default": "gzip"},
        "owner": {"type": "str"},
        "mtime": {"type": "int"},
        "sign": {"type": "dict", "options": {"key": {"type": "str", "no_log": False}, "gpg_homedir": {"type": "path"}}},
        "overwrite": {"type": "bool", "default": False},
        "strict": {"type": "bool", "default": False},
        **host_options(),
    }
    # Without no_log Ansible writes the arguments, environments included, to the log of the host.
    module = AnsibleModule(argument_spec=options, supports_check_mode=True, no_log=True, required_if=[("state", "present", ["src"])])
    guarded(module, work)


if __name__ == "__main__":
    main()
