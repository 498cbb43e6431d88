# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The command on a disk that is full, and on a store that cannot be written to: one line each, and what is there stays of use."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time

import pytest
from rocket_command import Rocket

NAME = "example.com/app"
SMALL = 64 << 20


class Elsewhere(Rocket):
    """The command in a mount namespace of its own, where the store is on a file system of its own."""

    def __init__(self, directory, program):
        super().__init__(directory)
        self.data = directory / "data"
        self.data.mkdir(parents=True)
        self.plain = self.words
        words = [
            program("unshare"),
            "--mount",
            "sh",
            "-c",
            f"mount -t tmpfs -o mode=0755,size={SMALL} small {self.data} && echo ok && read end",
        ]
        self.holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "ok\n"
        self.enter = [program("nsenter"), f"--mount=/proc/{self.holder.pid}/ns/mnt"]
        self.words = [*self.enter, *self.plain]
        # Its store as seen from outside.
        self.seen = f"/proc/{self.holder.pid}/root{self.data}"

    def sh(self, script):
        """Run a shell in the namespace, in the directory of the store."""
        return subprocess.run(
            [*self.enter, "sh", "-c", f"cd {self.data} && {script}"], capture_output=True, text=True, check=False, timeout=60
        )

    def refused(self, *words):
        """Return the one line of a command that is refused."""
        text = self(*words, status=254)
        assert text.count("\n") == 1 and "Traceback" not in text, text
        return text

    def fill(self):
        """Use up the last byte and the last page of the file system."""
        self.sh("cat /dev/zero > filler")
        assert os.statvfs(self.seen).f_bavail == 0

    def close(self):
        self.holder.stdin.close()
        self.holder.stdout.close()
        self.holder.wait()


@pytest.fixture
def rocket(root, program, tmp_path):
    program("busybox")
    made = Elsewhere(tmp_path / "host", program)
    yield made
    made.close()


@pytest.fixture
def build(rocket, tmp_path):
    """Build an image of so many random bytes, and return its file."""

    def make(name, size=1000, **members):
        tree = tmp_path / name
        (tree / "bin").mkdir(parents=True)
        (tree / "data").write_bytes(os.urandom(size))
        shutil.copy2(shutil.which("busybox"), tree / "bin" / "busybox")
        value = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": f"example.com/{name}", **members}
        value["app"] = {"exec": ["/bin/busybox", "true"], "user": "0", "group": "0"}
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
        path = str(tmp_path / f"{name}.aci")
        rocket("image", "build", f"--manifest={tmp_path}/{name}.json", f"--output={path}", str(tree))
        return path

    return make


def images(rocket):
    return [image["name"] for image in json.loads(rocket("image", "list", "--format=json"))]


def left(rocket):
    return [name for part in ("staging", "garbage") for name in os.listdir(f"{rocket.seen}/{part}")]


def test_an_image_that_does_not_fit_leaves_the_store_as_it_was(rocket, build):
    rocket("fetch", build("app"))
    free = os.statvfs(rocket.seen).f_bavail
    told = rocket.refused("fetch", build("large", SMALL + 1))
    assert "no space left on the file system" in told and "rocket gc" in told
    assert images(rocket) == [NAME] and left(rocket) == []
    assert os.statvfs(rocket.seen).f_bavail == free
    rocket("image", "verify", "--all")


def test_a_root_file_system_that_does_not_fit_leaves_the_store_as_it_was(rocket, build):
    rocket("fetch", build("app", 20 << 20))
    rocket.sh("head -c 20000000 /dev/zero > filler")
    told = rocket.refused("prepare", NAME)
    assert "no space left" in told and "rocket gc" in told
    assert left(rocket) == os.listdir(f"{rocket.seen}/trees") == []
    assert json.loads(rocket("list", "--format=json"))[0]["state"] in ("garbage", "aborted-prepare")
    rocket.sh("rm filler")
    rocket("gc", "--grace-period=0")
    assert json.loads(rocket("list", "--format=json")) == []


def test_a_full_disk_can_be_looked_at_and_collected(rocket, build):
    rocket("fetch", build("app"))
    rocket("fetch", build("other"))
    uuid = rocket("prepare", NAME).strip()
    rocket.fill()
    assert images(rocket) == [NAME, "example.com/other"] and uuid in rocket("list", "--full")
    rocket("image", "verify", "--all")
    assert "no space left" in rocket.refused("fetch", build("third"))
    assert left(rocket) == []
    assert [step["subject"] for step in json.loads(rocket("gc", "--image-grace=0", "--dry-run", "--format=json"))["steps"]]
    rocket("gc", "--image-grace=0")
    assert images(rocket) == [NAME] and os.statvfs(rocket.seen).f_bavail > 0
    rocket.sh("rm filler")
    rocket("run-prepared", uuid)
    rocket("gc", "--high-water=1%", "--low-water=0%", "--grace-period=0")
    assert images(rocket) == [] and left(rocket) == []


def test_a_store_that_cannot_be_written_to(rocket, build, tmp_path):
    image = rocket("fetch", build("app")).strip()
    other = rocket("fetch", build("other")).strip()
    uuid = rocket("prepare", NAME).strip()
    assert rocket.sh("mount -o remount,ro .").returncode == 0
    assert images(rocket) == [NAME, "example.com/other"]
    assert json.loads(rocket("image", "cat-manifest", NAME))["name"] == NAME
    rocket("image", "verify", "--all")
    rocket("image", "export", NAME, f"{tmp_path}/out.aci")
    rocket("image", "extract", NAME, f"{tmp_path}/out")
    rocket("image", "render", NAME, f"{tmp_path}/rendered")
    assert os.path.exists(f"{tmp_path}/rendered/data") and os.path.exists(f"{tmp_path}/out/rootfs/data")
    assert uuid in rocket("list", "--full") and json.loads(rocket("status", "--format=json", uuid))["state"] == "prepared"
    assert json.loads(rocket("cat-manifest", uuid))["apps"][0]["image"]["id"] == image
    assert other in rocket("gc", "--dry-run", "--image-grace=0")
    assert rocket("fetch", NAME).strip() == image, "what is there is there"
    for words in (
        ("fetch", build("third")),
        ("image", "rm", NAME),
        ("gc", "--image-grace=0"),
        ("run", NAME),
        ("prepare", NAME),
        ("run-prepared", uuid),
        ("rm", uuid),
    ):
        assert "Read-only file system" in rocket.refused(*words), words
    assert rocket.sh("mount -o remount,rw .").returncode == 0
    rocket("run-prepared", uuid)


def test_the_end_of_a_pod_is_the_last_use_of_its_image(rocket, build):
    image = rocket("fetch", build("app")).strip()
    blob = f"{rocket.seen}/images/{image}/aci"
    os.utime(blob, (1, 1))
    began = time.time()
    uuid = rocket("prepare", NAME).strip()
    rocket("run-prepared", uuid)
    assert os.stat(blob).st_mtime == 1, "a launch writes nothing to the store"
    ended = os.stat(f"{rocket.seen}/pods/run/{uuid}/ended").st_mtime
    rocket("gc", "--grace-period=0")
    assert os.stat(blob).st_mtime == pytest.approx(ended, abs=1e-3) and ended >= began - 1
    (listed,) = json.loads(rocket("image", "list", "--format=json"))
    assert listed["last_used"] == max(int(ended), listed["imported_at"])


def test_damage_is_told_where_it_cannot_be_set_aside(rocket, build):
    rocket("fetch", build("app"))
    (image,) = os.listdir(f"{rocket.seen}/images")
    with open(f"{rocket.seen}/images/{image}/aci", "r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 8)
    assert rocket.sh("mount -o remount,ro .").returncode == 0
    (found,) = json.loads(rocket("image", "verify", "--all", "--format=json", status=254))
    assert len(found["findings"]) == 1 and "digest does not fit" in found["findings"][0]
    assert rocket.sh("mount -o remount,rw .").returncode == 0
    rocket("image", "verify", "--all", status=254)
    assert os.path.exists(f"{rocket.seen}/images/{image}/aci.damaged")
