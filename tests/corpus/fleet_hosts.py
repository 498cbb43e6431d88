# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What the hosts of a fleet answer to an audit, honest ones and others."""

from __future__ import annotations

import copy

NOW = 1795669444
ID = "sha512-" + "ab" * 64
HEAD, OTHER_HEAD = "sha512-" + "01" * 64, "sha512-" + "02" * 64
PRINT = "c" * 40
# What a page must not run, and what a template of Ansible must not.
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>"
TEMPLATE = "{{ lookup('ansible.builtin.pipe', 'touch PLACE') }}{% set x = 1 %}"

IMAGE = {
    "id": ID,
    "name": "example.com/shop/web",
    "labels": {"version": "1.0"},
    "source": "https://example.com/web.aci",
    "reference": "example.com/shop/web:1.0",
    "size": 1000,
    "imported_at": NOW - 100,
    "last_used": NOW - 50,
    "dependencies": [],
    "in_use": True,
    "pods": [{"name": "shop", "uuid": "u", "state": "running", "apps": ["web"], "dependency": False}],
    "verdict": {
        "kind": "signed",
        "signers": [{"fingerprint": PRINT, "prefix": "example.com", "identity": "Release", "signed_at": NOW - 200, "part": ""}],
        "checked_at": NOW - 100,
        "insecure_options": [],
        "digest": "",
        "policy": None,
    },
    "standing": {"good": True, "code": "", "problem": ""},
}
_APP = {"name": "web", "image_id": ID, "image_name": "example.com/shop/web", "state": "running"}
POD = {"name": "shop", "uuid": "u", "state": "running", "generation": 1, "created": NOW - 60, "apps": [_APP], "damaged": ""}
KEY = {
    "prefix": "example.com",
    "fingerprint": PRINT,
    "identities": ["Release"],
    "algorithm": "Ed25519",
    "expires": None,
    "layer": "local",
    "path": "/etc/rocket/trustedkeys/prefix.d/example.com/" + PRINT,
    "state": "trusted",
    "problem": "",
    "images": [{"id": ID, "name": "example.com/shop/web"}],
}


def checkpoint(seq, head):
    """Return a checkpoint as it is kept."""
    return {"seq": seq, "head": head}


def failed(message):
    """Return the result of a task that failed."""
    return {"failed": True, "msg": message}


def answers(host, log=(7, HEAD), kept=None, problems=(), intact=None):
    """Return what a host answers that has one of everything; `log` and `kept` are number and digest of an event."""
    found = {
        "host": host,
        "checkpoint": checkpoint(*kept) if kept else {},
        "image_info": {"changed": False, "images": [IMAGE], "damaged": []},
        "pod_info": {"changed": False, "pods": [POD]},
        "trust_info": {"changed": False, "trusted_keys": [KEY]},
        "audit_info": {
            "changed": False,
            "audit": {**checkpoint(*log), "first": min(log[0], 1), "size": 500},
            "intact": not problems if intact is None else intact,
            "problems": list(problems),
            "repaired": [],
            "events": [],
        },
    }
    return copy.deepcopy(found)
