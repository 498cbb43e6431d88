# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Images by the command: dependencies run as one root, trees are verified, what ended becomes an image that runs again."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from rocket_command import Rocket

APP = {"user": "0", "group": "0"}


@pytest.fixture
def rocket(root, program, tmp_path):
    program("busybox")
    return Rocket(tmp_path / "host")


@pytest.fixture
def fetch(rocket, tmp_path):
    """Build an image of files, fetch it, return its image ID; the file stays as `<name>.aci`."""

    def make(name, files=None, version="1.0", busybox=False, **members):
        tree = tmp_path / f"{name}-{version}"
        tree.mkdir()
        if busybox:
            (tree / "bin").mkdir()
            shutil.copy2(shutil.which("busybox"), tree / "bin" / "busybox")
            os.symlink("busybox", tree / "bin" / "sh")
        for path, content in (files or {}).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(content)
        manifest = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": f"example.com/{name}", **members}
        manifest["labels"] = [{"name": "version", "value": version}]
        (tmp_path / f"{name}.json").write_text(json.dumps(manifest))
        output = tmp_path / f"{name}.aci"
        made = rocket("image", "build", f"--manifest={tmp_path}/{name}.json", f"--output={output}", "--overwrite", str(tree)).strip()
        assert rocket("fetch", str(output)).strip() == made
        return made

    return make


def shell(script):
    return {**APP, "exec": ["/bin/sh", "-c", script]}


def files(top):
    return {os.path.relpath(os.path.join(path, name), top) for path, dirs, names in os.walk(top) for name in (*dirs, *names)}


@pytest.mark.spec("D3")
@pytest.mark.spec("D6")
def test_an_image_runs_on_top_of_what_it_depends_on(rocket, fetch):
    fetch("base", {"etc/who": "base", "etc/both": "base", "secret": "base"}, busybox=True)
    script = "cat /etc/who /etc/both /app; test -e /secret || echo none; echo mark > /etc/who"
    listed = ["/bin/busybox", "/bin/sh", "/etc/who", "/etc/both", "/app"]
    needs = [{"imageName": "example.com/base", "labels": [{"name": "version", "value": "1.0"}]}]
    fetch("app", {"etc/both": "app", "app": "app"}, dependencies=needs, pathWhitelist=listed, app=shell(script))
    for _turn in range(2):
        assert rocket("run", "example.com/app") == "baseappappnone\n", "the second run starts from a clean copy"


def test_a_missing_dependency_is_told_before_anything_is_made(rocket, fetch):
    base = fetch("base", busybox=True)
    fetch("app", {"app": "x"}, dependencies=[{"imageName": "example.com/base"}], app=shell("true"))
    rocket("image", "rm", base)
    told = rocket("run", "example.com/app", status=254)
    assert told == "rocket: example.com/app: dependencies[0]: the dependency example.com/base is not in the store; " + (
        "fetch it first: rocket fetch example.com/base\n"
    )
    assert json.loads(rocket("list", "--format=json")) == []


def test_a_dependency_that_nobody_vouches_for_does_not_run(rocket, fetch, tmp_path):
    base = fetch("base", busybox=True)
    app = fetch("app", {"app": "x"}, dependencies=[{"imageName": "example.com/base"}], app=shell("true"))
    strict = Rocket(tmp_path / "host", insecure=False)
    # The image itself is pinned; what it stands on is not.
    told = strict("fetch", f"--image-id={app}", str(tmp_path / "app.aci"), status=254)
    assert "dependencies[0]: example.com/base: no key is trusted for it" in told
    for name, image in (("base", base), ("app", app)):
        assert strict("fetch", f"--image-id={image}", str(tmp_path / f"{name}.aci")).strip() == image
    assert strict("run", "example.com/app") == ""
    # What it stands on is now a newer one.
    fetch("base", version="2.0", busybox=True)
    told = strict("run", "example.com/app", status=254)
    assert "example.com/base" in told and "without a valid signature" in told


def test_under_a_lock_file_nothing_else_is_run(rocket, fetch, tmp_path):
    base = fetch("base", {"who": "first"}, busybox=True)
    app = fetch("app", {"app": "x"}, dependencies=[{"imageName": "example.com/base"}], app=shell("cat /who"))
    fetch("base", {"who": "second"}, version="2.0", busybox=True)
    lock = tmp_path / "rocket.lock.yml"
    entries = [
        {"reference": f"example.com/{name}", "id": made, "name": f"example.com/{name}"} for name, made in (("app", app), ("base", base))
    ]
    lock.write_text(json.dumps({"version": 1, "images": entries}))
    assert rocket("run", "example.com/app") == "second"
    assert rocket("run", f"--lock={lock}", "example.com/app") == "first"
    assert "example.com/app:1.0: is not in the lock" in rocket("run", f"--lock={lock}", "example.com/app:1.0", status=254)
    lock.write_text(json.dumps({"version": 1, "images": entries[:1]}))
    assert "dependencies[0]: example.com/base: is not in the lock" in rocket("run", f"--lock={lock}", "example.com/app", status=254)
    lock.write_text("version: 1\nimages: []\nversion: 1\n")
    assert "given twice" in rocket("run", f"--lock={lock}", "example.com/app", status=254)


def test_a_prepared_pod_does_not_start_when_what_it_stands_on_is_vouched_for_no_longer(rocket, fetch, tmp_path):
    """Not what the image would depend on today: what is in the tree."""
    base = fetch("base", busybox=True)
    app = fetch("app", {"app": "x"}, dependencies=[{"imageName": "example.com/base"}], app=shell("true"))
    strict = Rocket(tmp_path / "host", insecure=False)
    for name, image in (("base", base), ("app", app)):
        strict("fetch", f"--image-id={image}", str(tmp_path / f"{name}.aci"))
    uuid = strict("prepare", "example.com/app").strip()
    # A newer import of the dependency is pinned; the one in the tree comes in again, from somebody else.
    record = tmp_path / "host" / "data" / "images" / base / "record.json"
    newer = fetch("base", {"more": "x"}, version="2.0", busybox=True)
    strict("fetch", f"--image-id={newer}", str(tmp_path / "base.aci"))
    os.unlink(record)
    (tmp_path / "old.aci").write_bytes((record.parent / "aci").read_bytes())
    assert rocket("fetch", str(tmp_path / "old.aci")).strip() == base
    told = strict("run-prepared", uuid, status=254)
    assert "example.com/base" in told and "without a valid signature" in told
    assert rocket("run-prepared", uuid) == ""


def test_what_a_pod_stands_on_is_not_removed(rocket, fetch):
    base = fetch("base", busybox=True)
    fetch("app", {"app": "x"}, dependencies=[{"imageName": "example.com/base"}], app=shell("true"))
    uuid = rocket("prepare", "example.com/app").strip()
    assert "used by a pod" in rocket("image", "rm", base, status=254)
    rocket("gc", "--image-grace=0")
    assert rocket("run-prepared", uuid) == ""
    rocket("gc", "--grace-period=0", "--image-grace=0")
    assert json.loads(rocket("image", "list", "--format=json")) == []


def test_a_prepared_pod_starts_from_what_it_was_prepared_with(rocket, fetch):
    """The dependency is replaced, and everything that nobody needs is collected in between."""
    fetch("base", {"who": "first"}, busybox=True)
    fetch("app", {"app": "x"}, dependencies=[{"imageName": "example.com/base"}], app=shell("cat /who"))
    uuid = rocket("prepare", "example.com/app").strip()
    fetch("base", {"who": "second"}, version="2.0", busybox=True)
    rocket("gc", "--image-grace=0")
    assert rocket("run-prepared", uuid) == "first"
    assert rocket("run", "example.com/app") == "second"


def test_render_gives_what_a_pod_would_get_and_extract_what_the_archive_holds(rocket, fetch, tmp_path):
    fetch("base", {"etc/who": "base", "gone": "x"})
    app = fetch("app", {"app": "x"}, dependencies=[{"imageName": "example.com/base"}], pathWhitelist=["/etc/who", "/app"])
    rendered, whole, root = tmp_path / "rendered", tmp_path / "whole", tmp_path / "root"
    assert rocket("image", "render", "example.com/app", str(rendered)).strip() == app
    assert files(rendered) == {"etc", "etc/who", "app"}
    assert rocket("image", "extract", "example.com/app", str(whole)).strip() == app
    assert files(whole) == {"manifest", "rootfs", "rootfs/app"}
    assert json.loads((whole / "manifest").read_text())["name"] == "example.com/app"
    assert rocket("image", "extract", "--rootfs-only", str(tmp_path / "base.aci"), str(root))
    assert files(root) == {"etc", "etc/who", "gone"}
    assert os.stat(rendered).st_mode & 0o777 == os.stat(root).st_mode & 0o777 == os.stat(whole).st_mode & 0o777 == 0o755
    # A copy of one's own: nothing that is done to it reaches the store.
    (rendered / "etc" / "who").write_text("changed")
    rocket("image", "verify", "--all")


@pytest.mark.parametrize("action", ["render", "extract"])
def test_a_directory_that_is_not_empty_stays(rocket, fetch, tmp_path, action):
    fetch("app", {"app": "x"})
    target = tmp_path / "target"
    target.mkdir()
    rocket("image", action, "example.com/app", str(target))
    (target / "mine").write_text("mine")
    before = files(target)
    assert "not empty" in rocket("image", action, "example.com/app", str(target), status=254)
    assert "not empty" in rocket("image", action, "example.com/app", str(tmp_path / "app.aci"), status=254)
    assert files(target) == before
    rocket("image", action, "--overwrite", "example.com/app", str(target))
    assert files(target) == before - {"mine"}
    assert "nowhere" in rocket("image", action, "example.com/nowhere", str(tmp_path / "new"), status=254)
    assert not os.path.exists(tmp_path / "new") and not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_a_hostile_file_is_refused_and_leaves_nothing(rocket, tmp_path):
    (tmp_path / "evil.aci").write_bytes(b"ustar" * 1000)
    assert "App Container Image" in rocket("image", "extract", str(tmp_path / "evil.aci"), str(tmp_path / "out"), status=254)
    assert sorted(os.listdir(tmp_path)) == ["evil.aci"]


CHANGES = {
    "a flipped byte": (lambda top: (top / "bin" / "tool").write_text("toal"), "/bin/tool has another time, content"),
    "a changed mode": (lambda top: os.chmod(top / "bin" / "tool", 0o4755), "/bin/tool has another mode"),
    "an added file": (lambda top: (top / "bin" / "new").write_text("x"), "/bin has another time"),
    "a changed xattr": (lambda top: os.setxattr(top / "bin" / "tool", "user.x", b"x"), "/bin/tool has another extended attribute user.x"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_verify_finds_what_was_changed_in_a_tree(rocket, fetch, tmp_path, case):
    app = fetch("app", {"bin/tool": "tool"})
    rocket("image", "render", "example.com/app", str(tmp_path / "out"))
    assert "as it was" in rocket("image", "verify", "example.com/app")
    change, finding = CHANGES[case]
    change(tmp_path / "host" / "data" / "trees" / app / "rootfs")
    told = rocket("image", "verify", "example.com/app", status=254)
    assert finding in told and "rocket image verify --repair" in told
    process = rocket.start("image", "verify", "--all", "--format=json")
    (row,) = json.loads(process.communicate(timeout=60)[0])
    assert (row["id"], row["trees"], len(row["findings"])) == (app, [app], 1)
    assert "not as it was rendered" in rocket("image", "render", "--overwrite", "example.com/app", str(tmp_path / "out"), status=254)
    assert "repaired" in rocket("image", "verify", "--all", "--repair")
    assert "as it was" in rocket("image", "verify", "--all")


def test_verify_finds_a_damaged_image_and_leaves_its_healing_to_fetch(rocket, fetch, tmp_path):
    app = fetch("app", {"bin/tool": "tool"})
    with open(tmp_path / "host" / "data" / "images" / app / "aci", "r+b") as file:
        file.seek(30)
        file.write(b"!")
    assert "fetch the image again" in rocket("image", "verify", "--all", "--repair", status=254)
    assert rocket("fetch", str(tmp_path / "app.aci")).strip() == app
    rocket("image", "verify", "--all")
    assert sorted(os.listdir(tmp_path / "host" / "data" / "images" / app)) == ["aci", "cache", "manifest", "record.json"]
    assert "name images" in rocket("image", "verify", status=254)


def test_a_tree_under_a_running_pod_is_not_repaired(rocket, fetch, tmp_path):
    app = fetch("app", {"tool": "tool"}, busybox=True, app=shell("echo up; exec sleep 1000"))
    process = rocket.start("run", "example.com/app")
    try:
        assert process.stdout.readline() == "up\n"
        (tmp_path / "host" / "data" / "trees" / app / "rootfs" / "tool").write_text("other")
        assert "a running pod uses it" in rocket("image", "verify", "--all", "--repair", status=254)
        (pod,) = json.loads(rocket("list", "--format=json"))
        rocket("stop", "--force", pod["uuid"])
    finally:
        process.communicate(timeout=60)
    assert "repaired" in rocket("image", "verify", "--all", "--repair")


def test_an_exported_image_is_the_published_file_with_its_signature(rocket, fetch, tmp_path):
    app = fetch("app", {"tool": "tool"})
    out = tmp_path / "out.aci"
    assert rocket("image", "export", "example.com/app", str(out)).strip() == app
    assert out.read_bytes() == (tmp_path / "app.aci").read_bytes() and not os.path.exists(f"{out}.asc")
    assert "exists" in rocket("image", "export", "example.com/app", str(out), status=254)
    (tmp_path / "host" / "data" / "images" / app / "aci.asc").write_text("signature")
    rocket("image", "export", "--overwrite", "example.com/app", str(out))
    assert (tmp_path / "out.aci.asc").read_text() == "signature"
    os.unlink(tmp_path / "host" / "data" / "images" / app / "aci.asc")
    rocket("image", "export", "--overwrite", "example.com/app", str(out))
    assert not os.path.exists(f"{out}.asc"), "an old signature beside another file"
    assert "A1" in rocket("image", "export", "example.com/app", str(tmp_path / "out.tar"), status=254)
    with open(tmp_path / "host" / "data" / "images" / app / "aci", "r+b") as file:
        file.seek(30)
        file.write(b"!")
    told = rocket("image", "export", "--overwrite", "example.com/app", str(tmp_path / "out2.aci"), status=254)
    assert "damaged" in told and not os.path.exists(tmp_path / "out2.aci")


RAN = "echo one > /made; rm /gone; rm -r /dir; mkdir /dir; echo two > /dir/new; ln -s made /link; chown 7 /made; chmod 4711 /made"


def test_what_ended_becomes_an_image_that_runs_again(rocket, fetch, tmp_path):
    fetch("base", {"gone": "x", "dir/old": "x", "kept": "kept"}, busybox=True)
    fetch("app", dependencies=[{"imageName": "example.com/base"}], app=shell("true"), files={"app": "x"})
    rocket("run", "example.com/app", "--exec=/bin/sh", "--", "-c", f"{RAN}; echo $0; sleep 0")
    (pod,) = json.loads(rocket("list", "--format=json"))
    out = tmp_path / "out.aci"
    made = rocket("export", "--name=example.com/debug", "--version=2.0", pod["uuid"], str(out)).strip()
    root = tmp_path / "root"
    assert rocket("image", "extract", str(out), str(root)).strip() == made
    manifest = json.loads((root / "manifest").read_text())
    assert (manifest["name"], manifest["labels"]) == ("example.com/debug", [{"name": "version", "value": "2.0"}])
    assert "dependencies" not in manifest and manifest["app"]["exec"][0] == "/bin/sh"
    top = root / "rootfs"
    assert (top / "made").read_text() == "one\n" and (top / "dir" / "new").read_text() == "two\n" and (top / "kept").read_text() == "kept"
    assert not (top / "gone").exists() and not (top / "dir" / "old").exists() and os.readlink(top / "link") == "made"
    assert (os.stat(top / "made").st_mode & 0o7777, os.stat(top / "made").st_uid) == (0o4711, 7)
    assert rocket("fetch", str(out)).strip() == made
    assert rocket("run", "example.com/debug", "--exec=/bin/sh", "--", "-c", "cat /made /kept /dir/new") == "one\nkepttwo\n"
    assert "exists" in rocket("export", pod["uuid"], str(out), status=254)
    rocket("export", "--overwrite", pod["uuid"], str(out))
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        assert str(tmp_path) not in lines.read()


def test_only_what_ended_is_exported(rocket, fetch, tmp_path):
    fetch("app", {"tool": "tool"}, busybox=True, app=shell("echo up; exec sleep 1000"))
    process = rocket.start("run", "example.com/app")
    try:
        assert process.stdout.readline() == "up\n"
        (pod,) = json.loads(rocket("list", "--format=json"))
        assert "the pod is running" in rocket("export", pod["uuid"], str(tmp_path / "out.aci"), status=254)
        rocket("stop", "--force", pod["uuid"])
    finally:
        process.communicate(timeout=60)
    assert "no app other" in rocket("export", "--app=other", pod["uuid"], str(tmp_path / "out.aci"), status=254)
    assert not os.path.exists(tmp_path / "out.aci")
