# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The policy of a fleet: the module tells the truth, the role opens no window, images and pods keep to it, and so does the lock."""

from __future__ import annotations

import json
import os

import pytest
from signed_images import NAME
from test_ansible_lock import Inventory, publish

from _rocket.host.lock_file import read_lock

POLICY = "appc.rocket.policy"


@pytest.fixture
def site(site, authority):
    """The site, which says whose certificate it has."""
    site.authority = authority.file
    return site


def rules(default="refuse", **prefixes):
    return {"version": 1, "prefixes": {name: {"require": word} for name, word in prefixes.items()}, "default": {"require": default}}


def test_the_module_is_as_check_mode_says(fleet):
    shop = {"require": "signed", "threshold": 2, "keys": ["AAAA " * 10, "b" * 40]}
    first = {"version": 1, "prefixes": {"example.com/shop": shop}}
    written, changed, gone = fleet.truth(
        [(POLICY, {"policy": first}), (POLICY, {"policy": rules("signed")}), (POLICY, {"policy": None, "state": "absent"})]
    )
    path = f"{fleet.host}/etc/policy.json"
    assert [step["action"] for each in (written, changed, gone) for step in each[1]["plan"]["steps"]] == ["write", "write", "remove"]
    for checked, applied, again in (written, changed):
        assert checked["policy"] == applied["policy"] == again["policy"] and checked["file"] == again["file"] == path
    assert written[1]["policy"]["prefixes"]["example.com/shop"]["keys"] == ["a" * 40, "b" * 40]
    assert json.loads(changed[0]["diff"]["before"]) == written[1]["policy"]
    assert gone[1]["file"] == "" and gone[1]["policy"]["default"] == {"require": "signed-or-pinned"} and not os.path.exists(path)


def test_what_is_no_policy_is_not_written(fleet):
    bad = {"version": 1, "prefixes": {"example.com": {"require": "sigend"}}}
    typo, missing = fleet.play([(POLICY, {"policy": bad}, {}), (POLICY, {}, {})])
    assert typo["failed"] and "policy.prefixes" in typo["msg"] and "did you mean signed?" in typo["msg"]
    assert missing["failed"] and "policy" in missing["msg"] and not os.path.exists(f"{fleet.host}/etc")


def test_images_and_pods_keep_to_it(fleet, signed):
    key = {"fingerprint": signed["release"], "prefix": NAME, "key": signed["release_key"]}
    other = {"require": "signed", "keys": [signed["stranger"]]}
    image = {"name": signed["1"], "image_id": None}
    pod = {"name": "shop", "state": "prepared", "libexec_dir": fleet.places["libexec_dir"], "apps": [{"name": "app", "image": f"{NAME}:1"}]}
    results = fleet.play(
        [
            ("appc.rocket.runtime", fleet.places, {}),
            ("appc.rocket.trust", key, {}),
            ("appc.rocket.image", image, {}),
            (POLICY, {"policy": {"version": 1, "prefixes": {NAME: other}}}, {}),
            ("appc.rocket.image", image, {"check_mode": True}),
            ("appc.rocket.image", image, {}),
            ("appc.rocket.pod", pod, {}),
            ("appc.rocket.pod", {**pod, "insecure_options": ["image"]}, {}),
            (POLICY, {"policy": rules()}, {}),
            ("appc.rocket.image", {**image, "insecure_options": ["image"]}, {}),
            ("appc.rocket.pod", {**pod, "name": "other", "insecure_options": ["image"]}, {}),
            (POLICY, {"policy": rules("pinned")}, {}),
            ("appc.rocket.image", {**image, "image_id": signed["id_1"]}, {"check_mode": True}),
            ("appc.rocket.image", {**image, "image_id": signed["id_1"]}, {}),
            ("appc.rocket.image", {**image, "image_id": signed["id_1"]}, {}),
        ]
    )
    _runtime, _trust, fetched, _policy, checked, again, refused, allowed, _refuse, image_refused, pod_refused, _pinned, *pinning = results
    assert fetched["image"]["verdict"]["policy"]["require"] == "signed-or-pinned"
    assert checked["changed"] and "the policy counts only" in checked["plan"]["steps"][0]["reason"]
    assert again["failed"] and again["error"]["code"] == "policy-unmet"
    assert refused["failed"] and refused["error"]["code"] == "policy-unmet" and not allowed.get("failed"), allowed
    assert image_refused["error"]["code"] == pod_refused["error"]["code"] == "policy-refused"
    assert [result["changed"] for result in pinning] == [True, True, False], pinning
    assert pinning[1]["image"]["verdict"]["pinned"] and pinning[1]["image"]["verdict"]["kind"] == "signed"


@pytest.fixture
def inventory(root, tmp_path, fleet, site, signed):
    return Inventory(tmp_path, fleet, site, signed)


def actions(told):
    """Return the tasks of the role that changed something, in order."""
    found, task = [], ""
    for line in told.splitlines():
        task = line.partition("[")[2].partition("]")[0] if line.startswith("TASK") else task
        found += [task.rpartition(" : ")[2]] if line.startswith("changed: [one]") else []
    return list(dict.fromkeys(found))


def test_the_role_adds_keys_then_writes_the_policy_then_removes_keys(inventory, site, signed):
    publish(site, signed, "1")
    inventory.images.pop("two")
    inventory.extra = {"rocket_trust_policy": rules("signed")}
    inventory.keys = [{"prefix": "example.com/shop", "fingerprint": signed["stranger"], "key": signed["stranger_key"]}]
    inventory.play("appc.rocket.site", "--tags", "trust")
    file = inventory.directory / "one" / "etc" / "policy.json"
    assert json.loads(file.read_text()) == rules("signed")
    gone = {"prefix": "example.com/shop", "fingerprint": signed["stranger"], "state": "absent"}
    inventory.keys = [gone, {"prefix": "example.com/shop", "fingerprint": signed["release"], "key": signed["release_key"]}]
    inventory.extra = {"rocket_trust_policy": rules("pinned", **{"example.com/shop": "signed"})}
    told = inventory.play("appc.rocket.site", "--tags", "trust")
    assert actions(told) == ["Declare who may supply images", "Declare what is asked of images", "Trust keys no longer"]
    assert "changed=0" in inventory.play("appc.rocket.site", "--tags", "trust")
    inventory.extra = {}
    assert "changed=0" in inventory.play("appc.rocket.site", "--tags", "trust") and file.exists(), "a policy that is not declared stays"
    inventory.extra = {"rocket_trust_policy": {}}
    assert "policy.version" in inventory.play("appc.rocket.site", "--tags", "trust", status=2) and file.exists()


def test_a_fleet_is_locked_under_its_policy(inventory, site, signed):
    publish(site, signed, "1")
    inventory.extra = {"rocket_trust_policy": {"version": 1, "prefixes": {"example.com/shop": {"require": "signed", "threshold": 2}}}}
    told = inventory.play("appc.rocket.lock", status=2)
    assert "2 have to sign" in told and not inventory.lock.exists()
    site.pages["/web.aci.asc"] = b"nothing"
    inventory.extra = {"rocket_trust_policy": rules(**{"example.com/shop": "pinned"})}
    inventory.play("appc.rocket.lock")
    (entry,) = read_lock(str(inventory.lock)).images
    assert entry.image_id == signed["id_1"] and entry.signed_by == ()
    inventory.play("appc.rocket.site")
    assert inventory.stored("one") == inventory.stored("two") == [signed["id_1"]]
    # The policy of the last time is forgotten where the fleet has none.
    inventory.extra, _lock = {}, inventory.lock.unlink()
    inventory.play("appc.rocket.lock", status=2)
    assert not inventory.lock.exists()


def test_hosts_with_different_policies_are_not_locked_together(inventory, site, signed):
    publish(site, signed, "1")
    real = inventory.host_variables
    inventory.host_variables = lambda name: {**real(name), **({"rocket_trust_policy": rules("signed")} if name == "one" else {})}
    assert "different rocket_trust_policy" in inventory.play("appc.rocket.lock", status=2) and not inventory.lock.exists()
    inventory.host_variables = lambda name: {**real(name), "rocket_trust_policy": rules("signed")}
    inventory.play("appc.rocket.lock")
    assert inventory.lock.exists()
