# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Where everything is there a task costs next to nothing: no socket, none of the packages that fetching and verifying need."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest
from oci_images import Image
from oci_registry import LOWER, REFERENCE, push

from _rocket.fetch.locking import Locking

PACKAGE = str(pathlib.Path(__file__).resolve().parents[3] / "plugins" / "module_utils")
# What the module `image` does, in a process of its own, as an audit hook sees it.
TASK = """
import json, sys
def watch(event, arguments):
    if event.startswith("socket.") or (event == "import" and arguments[0].split(".")[0] in DEAR):
        seen.append(f"{event} {arguments[0]}")
DEAR, seen = ("requests", "urllib3", "ssl", "http", "cryptography", "yaml", "concurrent"), []
sys.path.insert(0, sys.argv[1])
sys.addaudithook(watch)
from _rocket.errors import RocketError
from _rocket.fetch.fetcher import Fetcher
from _rocket.fetch.options import FetchOptions
from _rocket.paths import Paths
from _rocket.spec.lock import Lock
from _rocket.store.store import Store
from _rocket.trust.late import LateVerifier
told = json.loads(sys.argv[2])
paths = Paths(**told["paths"])
lock = told["lock"] and Lock.from_json(told["lock"])
options = FetchOptions(lock=lock, layers=paths.layers, attempts=1, insecure=told["insecure"], pull_policy=told["policy"])
fetcher = Fetcher(Store(paths), LateVerifier(paths), options)
plan = fetcher.plan(told["name"], told["state"])
try:
    record = (fetcher.get if plan.changed else fetcher.keep)(told["name"]).record
except RocketError:
    record = None
parts = sorted(name for name in sys.modules if name.startswith("_rocket.") and name.split(".")[1] not in ("spec", "store"))
print(json.dumps({"changed": plan.changed, "seen": seen, "id": record and record.id, "parts": parts}))
"""


def task(paths, name, lock=None, state="present", insecure=()):
    policy = "update" if state == "latest" else "new"
    places = {"data": paths.data, "local": paths.local, "system": paths.system}
    told = json.dumps(
        {"paths": places, "name": name, "lock": lock and lock.to_json(), "state": state, "policy": policy, "insecure": insecure}
    )
    words = [sys.executable, "-I", "-c", TASK, PACKAGE, told]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# Each file is compiled anew in every task of Ansible.
FEW = [
    *("audit", "audit.actor", "audit.append_only", "audit.line", "audit.log", "audit.segments"),
    *("errors", "fetch", "fetch.addresses", "fetch.fetched", "fetch.fetcher", "fetch.options", "fetch.reference", "fetch.stored"),
    *("fetch.under_lock", "paths", "plan", "platform", "record", "trust", "trust.admission", "trust.late", "trust.layout"),
    *("trust.policy", "trust.standing"),
]


@pytest.fixture(autouse=True)
def trusted(paths):
    """The key of the fake verifier, for the real one: whether it is trusted is a matter of file names."""
    place = pathlib.Path(paths.local, "trustedkeys", "root.d")
    place.mkdir(parents=True)
    (place / ("a" * 40)).write_text("a key")


@pytest.mark.parametrize("locked", [False, True])
def test_a_name_with_what_it_depends_on(site, serve, fetcher, store, verifier, options, paths, locked):
    serve("b")
    serve("a", "b")
    record = fetcher().get("example.com/a").record
    lock = Locking(store, verifier, options).resolve(["example.com/a"], [options.host]) if locked else None
    site.close()
    # Who signed is trusted today; nothing of the key is read to see that but its first octets.
    key = pathlib.Path(paths.local, "trustedkeys", "prefix.d", "example.com", verifier.signer)
    key.parent.mkdir(parents=True)
    key.write_text("a key")
    found = task(paths, "example.com/a", lock)
    assert found == {"changed": False, "seen": [], "id": record.id, "parts": [f"_rocket.{name}" for name in FEW]}


def test_an_image_of_a_registry(site, store, verifier, options, paths, fetcher):
    image = push(site, Image(LOWER))
    record = fetcher().get(f"{REFERENCE}@{image.digest}").record
    site.close()
    for state in ("present", "latest"):
        found = task(paths, f"{REFERENCE}@{image.digest}", state=state)
        assert (found["changed"], found["seen"], found["id"]) == (False, [], record.id)


def test_a_task_that_has_something_to_do_is_seen_to_do_it(paths):
    seen = task(paths, "https://127.0.0.1:1/a.aci", insecure=("image",))["seen"]
    assert "import requests" in seen and any(event.startswith("socket.connect") for event in seen)
