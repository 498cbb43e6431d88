# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A fleet under a lock file: the playbook writes it with the fleet's own keys, hosts take what it names and say what drifted."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml
from fetch_site import archive
from test_ansible_modules import TARGET_PYTHON, Fleet

from _rocket.host.lock_file import read_lock

WEB, BASE, NAME = "example.com/shop/app", "example.com/base", "example.com/shop/app:1"
MODULE = "appc.rocket.lock"


@pytest.fixture
def site(site, authority):
    """The site, which says whose certificate it has."""
    site.authority = authority.file
    return site


@pytest.fixture
def host(tmp_path, collections):
    if not os.path.exists(TARGET_PYTHON):
        pytest.skip(f"missing ability: the program {TARGET_PYTHON}")
    (tmp_path / "fleet").mkdir()
    return Fleet(tmp_path / "fleet", collections)


def arguments(host, site, **members):
    where = {"ca_file": site.authority, "connect_to": [f"example.com=127.0.0.1:{site.port}"], "insecure_options": ["image"]}
    return {"path": f"{host.host}/rocket.lock.yml", **where, **members}


def pods(*images):
    return [{"name": f"p{index}", "apps": [{"name": "a", "image": image}]} for index, image in enumerate(images)]


def test_the_module_locks_tells_what_drifted_and_writes_nothing_in_check_mode(root, host, site):
    site.publish(archive(BASE), BASE, "/base.aci")
    site.publish(archive(WEB, dependencies=[{"imageName": BASE}]), WEB, "/web.aci")
    wanted = arguments(host, site, pods=pods(f"{WEB}:1.0"))
    checked, applied, again = host.play(
        [(MODULE, wanted, {"check_mode": True, "diff": True}), (MODULE, wanted, {"diff": True}), (MODULE, wanted, {})]
    )
    assert checked["changed"] and checked["plan"] == applied["plan"] and checked["diff"] == applied["diff"]
    assert checked["lock"] == applied["lock"] == again["lock"] and not again["changed"] and again["drifted"] == []
    path = f"{host.host}/rocket.lock.yml"
    assert read_lock(path).to_json() == applied["lock"] and [change["reference"] for change in applied["changes"]] == [BASE, f"{WEB}:1.0"]
    site.publish(archive(BASE, {"rootfs/x": b"y"}), BASE, "/base.aci")
    asked = len(site.requests)
    before = open(path, encoding="utf-8").read()
    update = arguments(host, site, pods=pods(f"{WEB}:1.0"), update=True)
    kept, checked = host.play([(MODULE, wanted, {}), (MODULE, update, {"check_mode": True})])
    assert not kept["changed"] and len(site.requests) > asked
    assert checked["changed"] and checked["drifted"] == [BASE] and checked["plan"]["drift"][0].startswith(f"{BASE}: sha512-")
    assert open(path, encoding="utf-8").read() == before


def test_a_lock_that_is_none_allows_nothing(root, host, site):
    site.publish(archive(WEB), WEB, "/web.aci")
    where = arguments(host, site)
    del where["path"]
    results = host.play([("appc.rocket.image", {"name": WEB, "lock": lock, **where}, {}) for lock in ({}, {"version": 1, "images": []})])
    assert all(result["failed"] for result in results) and site.asked() == []
    assert "lock" in results[0]["msg"] and "is not in the lock" in results[1]["msg"]


class Inventory:
    """Two hosts on this machine that declare one pod each, and a controller that knows the site and the release key."""

    def __init__(self, directory, host, site, keys):
        self.host, self.site, self.directory = host, site, directory
        self.lock = directory / "rocket.lock.yml"
        self.images = {"one": NAME, "two": NAME}
        self.keys = [{"prefix": "example.com/shop", "fingerprint": keys["release"], "key": keys["release_key"]}]
        self.extra = {}

    def play(self, playbook, *words, status=0):
        shared = {
            "rocket_trusted_keys": self.keys,
            "rocket_ca_file": self.site.authority,
            "rocket_connect_to": [f"example.com=127.0.0.1:{self.site.port}"],
            "rocket_lock_file": str(self.lock),
            "rocket_lock_dir": str(self.directory / "cache"),
            **self.extra,
        }
        hosts = {name: self.host_variables(name) for name in self.images}
        inventory = {"all": {"children": {"rocket": {"hosts": hosts, "vars": shared}}}}
        (self.directory / "hosts.yml").write_text(yaml.safe_dump(inventory))
        program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
        command = [program, "-i", str(self.directory / "hosts.yml"), playbook, *words]
        outcome = subprocess.run(command, capture_output=True, text=True, env=self.host.environment, timeout=600, check=False)
        assert outcome.returncode == status, outcome.stdout[-6000:] + outcome.stderr[-2000:]
        return outcome.stdout

    def host_variables(self, name):
        place = self.directory / name
        return {
            "ansible_connection": "local",
            "ansible_python_interpreter": TARGET_PYTHON,
            "rocket_data_dir": f"{place}/data",
            "rocket_config_dir": f"{place}/etc",
            "rocket_libexec_dir": f"{place}/libexec",
            "rocket_bin_dir": f"{place}/bin",
            "shop_image": self.images[name],
            "rocket_pods": [{"name": "shop", "state": "prepared", "apps": [{"name": "app", "image": "{{ shop_image }}"}]}],
        }

    def stored(self, name):
        place = self.directory / name / "data" / "images"
        return sorted(os.listdir(place)) if place.is_dir() else []


@pytest.fixture
def inventory(tmp_path, host, site, signed):
    return Inventory(tmp_path, host, site, signed)


def publish(site, signed_images, version):
    with open(signed_images[version], "rb") as image, open(f"{signed_images[version]}.asc", "rb") as signature:
        site.publish(image.read(), WEB, "/web.aci", signature=signature.read())


def test_a_fleet_is_locked_rolled_out_and_stays_what_it_was_when_the_site_changes(root, inventory, site, signed):
    publish(site, signed, "1")
    inventory.play("appc.rocket.lock", "--limit", "two")
    (entry,) = read_lock(str(inventory.lock)).images
    assert (entry.reference, entry.image_id) == (NAME, signed["id_1"])
    assert entry.signed_by == (signed["release"].lower(),)
    again = inventory.play("appc.rocket.lock")
    assert "changed=0" in again
    inventory.play("appc.rocket.site")
    assert inventory.stored("one") == inventory.stored("two") == [signed["id_1"]]
    assert "changed=1" not in inventory.play("appc.rocket.site").split("PLAY RECAP")[1]
    # Another image appears under the name, signed by the same key: a new host is not given it.
    app = {"exec": ["/x"], "user": "0", "group": "0"}
    other = archive(WEB, {"rootfs/x": b"y"}, labels=(("version", "1"),), app=app)
    path = inventory.directory / "other.aci"
    path.write_bytes(other)
    gpg = ["gpg", "--homedir", signed["home"], "--batch", "--quiet", "--local-user", signed["release"], "--armor", "--detach-sign"]
    subprocess.run([*gpg, str(path)], check=True, capture_output=True)
    site.publish(other, WEB, "/web.aci", signature=(inventory.directory / "other.aci.asc").read_bytes())
    inventory.images["three"] = NAME
    told = inventory.play("appc.rocket.site", "--limit", "three", status=2)
    assert f"{NAME}: " in told and "drifted from the lock" in told and inventory.stored("three") == []
    inventory.extra = {"rocket_lock_update": True}
    checked = inventory.play("appc.rocket.lock", "--check", "--diff")
    assert f"{NAME}: {signed['id_1']} became sha512-" in checked and read_lock(str(inventory.lock)).images == (entry,)
    inventory.play("appc.rocket.lock")
    assert read_lock(str(inventory.lock)).images[0].image_id != signed["id_1"]
    inventory.play("appc.rocket.site", "--limit", "three")
    assert inventory.stored("three") == [read_lock(str(inventory.lock)).images[0].image_id]


def test_what_the_fleet_does_not_trust_is_not_locked(root, inventory, site, signed):
    publish(site, signed, "1")
    inventory.play("appc.rocket.lock")
    inventory.lock.unlink()
    inventory.keys = [{"prefix": "example.com/shop", "fingerprint": signed["stranger"], "key": signed["stranger_key"]}]
    # The image is in the controller's store, signed by a key that was trusted the last time.
    told = inventory.play("appc.rocket.lock", status=2)
    assert NAME in told and not inventory.lock.exists()
    inventory.keys.append({"prefix": "example.com/shop", "fingerprint": signed["release"], "state": "masked"})
    assert NAME in inventory.play("appc.rocket.lock", status=2) and not inventory.lock.exists()


def test_an_empty_lock_file_stops_the_rollout(root, inventory, site, signed):
    publish(site, signed, "1")
    inventory.lock.write_text("")
    told = inventory.play("appc.rocket.site", status=2)
    assert "lock.version" in told and inventory.stored("one") == inventory.stored("two") == []
