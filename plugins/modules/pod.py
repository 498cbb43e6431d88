#!/usr/bin/python
# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: bring a pod into the declared state."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pod
short_description: Bring a pod into the declared state
version_added: 1.0.0
description:
  - A pod is one or more apps that share namespaces and volumes. It is declared by name.
  - What is compared is the declaration with what was last declared, and the observed life cycle with the wanted one. Defaults of any
    engine are never compared.
  - A changed declaration is prepared first, then the old pod stops and the new one starts. The previous generation is kept.
  - The images have to be in the store, see M(appc.rocket.image).
author:
  - The appc.rocket contributors (@appc-rocket)
extends_documentation_fragment:
  - appc.rocket._attributes
  - appc.rocket._attributes.group
  - appc.rocket._host
  - appc.rocket._host.insecure
options:
  name:
    description:
      - Name of the pod, lower-case letters, digits and single dashes.
    type: str
    required: true
  state:
    description:
      - V(running) has the pod as declared and running.
      - V(prepared) has it as declared and ready to start without network. A running pod goes on.
      - V(stopped) has it not running. Without a declaration the last one stays.
      - V(absent) removes the pod, its generations and its unit. Images and logs stay until they are collected.
    type: str
    choices: [running, prepared, stopped, absent]
    default: running
  apps:
    description:
      - The apps of the pod, in order. Unknown members are refused, with the nearest valid word.
      - C(name) is the name of the app.
      - C(image) is a name with version and labels, or an image ID, of an image in the store.
      - C(exec), C(environment), C(user), C(group), C(working_directory) take the place of what the image says.
      - C(environment) is a dictionary whose variables are set over the image's. The diff names a variable that changes and hides its
        values, which may be secret. They are kept on the host, in files that only root can read.
      - C(mounts) is a list of dictionaries with C(volume), C(path) and C(read_only).
      - C(isolators) is a short form with C(memory), C(cpu) and C(pids), or the specification's list.
      - C(read_only_root) makes the root file system of the app read-only.
    type: list
    elements: dict
  volumes:
    description:
      - Volumes of the pod. Each has a C(name) and a C(kind), V(host) with a C(source) or V(empty) with C(mode), C(uid) and C(gid).
    type: list
    elements: dict
  network:
    description:
      - V(none) gives the pod a loopback interface only. V(host) lets it share the host's network.
      - Without it V(none).
    type: str
  stop_timeout:
    description:
      - Seconds that the apps have between SIGTERM and SIGKILL. Without it 10.
    type: int
  isolators:
    description:
      - Limits of the whole pod, in the form of an app's.
    type: raw
  manifest:
    description:
      - A pod manifest of the App Container specification, in place of the other members.
    type: dict
  declaration:
    description:
      - The members O(apps) to O(manifest) as one dictionary, as it stands in an inventory.
    type: dict
  lock:
    description:
      - The content of a lock file. Each image, and each image that it depends on, is then the one that the lock names. What the
        lock does not name is refused.
      - An image that is declared by its image ID is the one with this ID.
    type: dict
    version_added: 1.1.0
  libexec_dir:
    description:
      - Directory of the installed runtimes, see M(appc.rocket.runtime).
    type: path
"""

EXAMPLES = r"""
- name: Run a shop
  appc.rocket.pod:
    name: shop
    apps:
      - name: web
        image: example.com/shop/web:1.4.0
        environment:
          LOG_LEVEL: info
        mounts:
          - volume: data
            path: /srv
        isolators:
          memory: 256Mi
          cpu: 500m
    volumes:
      - name: data
        kind: host
        source: /srv/shop
    network: host

- name: Stop it
  appc.rocket.pod:
    name: shop
    state: stopped

- name: Remove it
  appc.rocket.pod:
    name: shop
    state: absent
"""

RETURN = r"""
pod:
  description: The pod after the task. In check mode as it was observed.
  returned: when the pod exists
  type: dict
  contains:
    name:
      description: Name of the pod.
      type: str
      returned: always
    uuid:
      description: UUID of the current pod.
      type: str
      returned: always
    generation:
      description: Number of the current generation.
      type: int
      returned: always
    digest:
      description: Digest of the reified pod manifest.
      type: str
      returned: always
    lifecycle:
      description: State of the pod, such as V(running), V(prepared) or V(exited).
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

from ..module_utils._ansible.host import host_options, insecure_options
from ..module_utils._ansible.outcome import finish, guarded
from ..module_utils._ansible.pods import images_for, means_for
from ..module_utils._rocket.errors import UsageError
from ..module_utils._rocket.record import replace
from ..module_utils._rocket.run.declaration import Declaration
from ..module_utils._rocket.run.ensure import apply, observe, plan_pod
from ..module_utils._rocket.run.pods import PodStatus

MEMBERS = ("apps", "volumes", "network", "stop_timeout", "isolators", "manifest")


def declared(parameters: dict[str, t.Any]) -> Declaration | None:
    """Return the declaration of the task, None where it has none."""
    given = {member: parameters[member] for member in MEMBERS if parameters[member] is not None}
    whole = parameters["declaration"]
    if whole is not None and given:
        raise UsageError(
            f"{' and '.join(sorted(given))} cannot stand beside declaration", where="declaration", hint="say all of it in one place"
        )
    given = given if whole is None else dict(whole)
    if given.get("name", parameters["name"]) != parameters["name"]:
        raise UsageError("the declaration has another name than the task", where="declaration.name")
    return Declaration.from_json({**given, "name": parameters["name"]}) if given else None


def described(status: PodStatus | None) -> dict[str, t.Any]:
    """Return the pod for the result, nothing where there is none."""
    if status is None:
        return {}
    known = status.to_json()
    return {"pod": {"lifecycle": known.pop("state"), **known}}


def work(module: AnsibleModule) -> t.NoReturn:
    """Plan, apply unless in check mode, and exit."""
    parameters = module.params
    means = means_for(parameters)
    declaration = declared(parameters) if parameters["state"] != "absent" else None
    observed = observe(means.store.paths, parameters["name"], declaration, images_for(means.store, parameters["lock"]))
    if observed.named is not None:
        observed = replace(observed, kept=means.starter.drift(observed.name, parameters["state"] == "running"))
    plan = plan_pod(declaration, observed, parameters["state"])
    if module.check_mode or not plan.changed:
        finish(module, plan, **described(observed.pod))
    finish(module, plan, **described(apply(plan, observed, means)))


def main() -> None:
    """Read the arguments and do the work."""
    options: dict[str, t.Any] = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["running", "prepared", "stopped", "absent"], "default": "running"},
        "apps": {"type": "list", "elements": "dict"},
        "volumes": {"type": "list", "elements": "dict"},
        "network": {"type": "str"},
        "stop_timeout": {"type": "int"},
        "isolators": {"type": "raw"},
        "manifest": {"type": "dict"},
        "declaration": {"type": "dict"},
        "lock": {"type": "dict"},
        "libexec_dir": {"type": "path"},
        **host_options(),
        **insecure_options(),
    }
    # Without no_log Ansible writes the arguments, environments included, to the log of the host.
    guarded(AnsibleModule(argument_spec=options, supports_check_mode=True, no_log=True), work)


if __name__ == "__main__":
    main()
