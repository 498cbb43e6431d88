# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""`rocket lock` as people and scripts see it, and the hosts that are given what it wrote."""

from __future__ import annotations

import json
import re

import pytest
from fetch_site import archive

from _rocket.cli.main import main
from _rocket.host.lock_file import read_lock


@pytest.fixture
def rocket(paths, capsys, site, authority, tmp_path, monkeypatch):
    """Run a command that fetches; returns status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    network = (f"--ca-file={authority.file}", f"--connect-to=example.com=127.0.0.1:{site.port}")

    def run(command, *words, data="data"):
        places = [f"--dir={tmp_path}/{data}", f"--local-config={paths.local}", f"--system-config={paths.system}"]
        status = main([*places, *(["--insecure-options=image"] if data == "data" else []), command, *network, *words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def pods(tmp_path, site):
    """A file of variables as an inventory has it, and the images that it names."""
    for name in ("app", "base", "other"):
        needs = [{"imageName": "example.com/base"}] if name == "app" else []
        site.publish(archive(f"example.com/{name}", dependencies=needs), f"example.com/{name}", f"/images/{name}.aci")
    path = tmp_path / "shop.yml"
    path.write_text(
        "rocket_ca_file: '{{ somewhere }}'\n"
        "rocket_pods:\n"
        "- name: shop\n"
        "  apps: [{name: a, image: example.com/app, environment: {A: '{{ a }}'}}]\n"
    )
    return path


def test_the_first_lock_the_next_one_and_an_update(rocket, pods, site, tmp_path):
    status, out, err = rocket("lock", "shop.yml")
    assert status == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["REFERENCE", "PLATFORM", "BEFORE", "AFTER"]
    assert [row[:3] for row in rows[1:]] == [["example.com/app", "all", "-"], ["example.com/base", "all", "-"]]
    assert "rocket: wrote rocket.lock.yml: 2 images, missing\n" in err and "example.com/app for linux/" in err
    first = (tmp_path / "rocket.lock.yml").read_text()
    assert rocket("lock", "shop.yml") == (0, "", "")
    site.publish(archive("example.com/base", {"rootfs/x": b"y"}), "example.com/base", "/images/base.aci")
    assert rocket("lock", "--check", "shop.yml") == (0, "", ""), "what is locked stays"
    status, out, err = rocket("lock", "--update", "--check", "shop.yml")
    assert status == 254 and "rocket.lock.yml: would change: example.com/base;" in err and len(out.splitlines()) == 2
    assert (tmp_path / "rocket.lock.yml").read_text() == first
    status, out, err = rocket("lock", "--update", "--quiet", "--format=json", "shop.yml")
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert told["changed"] and [change["reference"] for change in told["changes"]] == ["example.com/base"]
    assert told["changes"][0]["before"] in first and told["lock"] == read_lock("rocket.lock.yml").to_json()


def test_an_image_beside_the_declarations_and_another_file(rocket, pods):
    status, out, _err = rocket("lock", "--output=other.yml", "--image=example.com/other:1.0", "--platform=linux/aarch64", "shop.yml")
    assert status == 0 and len(out.splitlines()) == 4
    assert [image.reference for image in read_lock("other.yml").images] == ["example.com/app", "example.com/base", "example.com/other:1.0"]
    assert rocket("lock", "--image=example.com/other")[0] == 0
    assert [image.reference for image in read_lock("rocket.lock.yml").images] == ["example.com/other"]


def test_a_host_fetches_what_is_locked_and_says_what_drifted(rocket, pods, site):
    rocket("lock", "shop.yml")
    locked = {image.reference: image.image_id for image in read_lock("rocket.lock.yml").images}
    status, out, err = rocket("fetch", "--lock=rocket.lock.yml", "example.com/app", data="host")
    assert (status, out.strip()) == (0, locked["example.com/app"]) and err.count("pinned by its image ID") == 2
    status, _out, err = rocket("fetch", "--lock=rocket.lock.yml", "example.com/other", data="host")
    assert status == 254 and err.startswith("rocket: example.com/other: is not in the lock, and nothing else is taken; ")
    site.publish(archive("example.com/app", {"rootfs/x": b"y"}), "example.com/app", "/images/app.aci")
    status, _out, err = rocket("fetch", "--lock=rocket.lock.yml", "example.com/app", data="another")
    assert status == 254 and err.count("\n") == 1
    assert re.match(r"rocket: example\.com/app: .*drifted from the lock: .*rocket lock --update$", err.strip())


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "a file of declarations is missing"),
        (("absent.yml",), "absent.yml: cannot be read"),
        (("--platform=linux", "shop.yml"), "--platform"),
        (("--output=absent/x", "shop.yml"), "absent/x: its directory does not exist"),
        (("--image=Example.com/x", "shop.yml"), "Example.com/x"),
        (("templates.yml",), "templates.yml: rocket_pods[0].apps[0].image: is a template"),
        (("--image=example.com/absent", "shop.yml"), "example.com/absent"),
    ],
)
def test_errors_are_one_line_and_write_nothing(rocket, pods, tmp_path, words, text):
    (tmp_path / "templates.yml").write_text("rocket_pods: [{name: x, apps: [{name: a, image: '{{ image }}'}]}]\n")
    status, out, err = rocket("lock", "--quiet", *words)
    assert (status, out) == (254, "") and text in err and err.count("\n") == 1
    assert not (tmp_path / "rocket.lock.yml").exists()


def test_a_lock_that_somebody_damaged_is_not_written_over(rocket, pods, tmp_path):
    path = tmp_path / "rocket.lock.yml"
    path.write_text("version: 1\nimages:\n- {reference: example.com/app}\n")
    status, _out, err = rocket("lock", "--update", "shop.yml")
    assert status == 254 and "rocket.lock.yml: images[0].id" in err and path.read_text().endswith("app}\n")
