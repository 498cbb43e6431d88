# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What is valid in an image and probably not meant, of a directory and of a tar."""

from __future__ import annotations

import os
import subprocess

import pytest

from _rocket.errors import UsageError
from _rocket.image import findings
from _rocket.image.build import build, open_source, work_out
from _rocket.run.linux import confine
from _rocket.spec.image_manifest import ImageManifest

VERSION = ({"name": "version", "value": "1"},)


def manifest(labels=VERSION, **app):
    value = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/app", "labels": labels}
    for name in ("dependencies", "pathWhitelist"):
        if name in app:
            value[name] = app.pop(name)
    return ImageManifest.from_json({**value, "app": {"user": "0", "group": "0", **app}})


@pytest.fixture(params=["directory", "tar"])
def warnings(request, program, tmp_path):
    """Return what is said about a manifest and a tree with users, programs and links, as a directory and as a tar."""
    top = tmp_path / "tree"
    for name in ("usr/bin", "etc", "opt/app"):
        (top / name).mkdir(parents=True)
    os.symlink("usr/bin", top / "bin")
    os.symlink("/usr/bin", top / "opt" / "sbin")
    os.symlink("../../../../../usr/bin/web", top / "opt" / "up")
    os.symlink("loop", top / "opt" / "loop")
    for name in ("usr/bin/web", "opt/app/tool"):
        (top / name).write_text("#!/bin/sh\n")
        (top / name).chmod(0o755)
    os.link(top / "usr/bin/web", top / "usr/bin/alias")
    (top / "usr/bin/data").write_text("not executable")
    (top / "etc/passwd").write_text("root:x:0:0::/:\nwww:x:33:33::/:\n")
    (top / "etc/group").write_text("www-data:x:33:\n")
    source = top
    if request.param == "tar":
        source = tmp_path / "tree.tar"
        subprocess.run([program("tar"), "-C", str(top), "-cf", str(source), "."], check=True)

    def told(**changes):
        with open_source(str(source)) as opened:
            return work_out(opened, manifest(**changes))[1]

    return told


def test_the_path_of_programs_is_the_launchers():
    assert findings.PATH == confine.PATH


@pytest.mark.parametrize(
    "app",
    [
        {},
        {"exec": ["/usr/bin/web", "x"]},
        {"exec": ["/bin/web"]},
        {"exec": ["/opt/sbin/alias"]},
        {"exec": ["//usr/./bin/../bin/web"]},
        {"exec": ["/opt/up"]},
        {"exec": ["web"]},
        {"exec": ["app/tool"], "workingDirectory": "/opt"},
        {"exec": ["tool"], "environment": [{"name": "PATH", "value": "/nowhere:/opt/app"}]},
        {"exec": ["tool"], "workingDirectory": "/opt", "environment": [{"name": "PATH", "value": "app"}]},
        {"exec": ["tool"], "workingDirectory": "/opt/app", "environment": [{"name": "PATH", "value": "/nowhere:"}]},
        {"user": "www", "group": "www-data"},
        {"user": "4711", "group": "4711"},
        {"user": "/usr/bin/web", "group": "/etc"},
        {"exec": ["/none"], "user": "none", "dependencies": [{"imageName": "example.com/base"}]},
        {"exec": ["/usr/bin/web"], "user": "www", "pathWhitelist": ["/usr/bin/web", "/etc/passwd"]},
        {"exec": ["/bin/web"], "pathWhitelist": ["/usr/bin/web", "/bin"]},
    ],
)
def test_nothing_is_said_of_what_is_there(warnings, app):
    assert warnings(**app) == ()


@pytest.mark.spec("M6", "M7")
@pytest.mark.parametrize(
    ("app", "said"),
    [
        ({"exec": ["/usr/bin/wbe"]}, "app.exec: /usr/bin/wbe is no program"),
        ({"exec": ["/usr/bin/data"]}, "no program"),
        ({"exec": ["/usr/bin"]}, "no program"),
        ({"exec": ["/usr/bin/web/"]}, "no program"),
        ({"exec": ["/usr/bin/web/x"]}, "no program"),
        ({"exec": ["/opt/loop"]}, "no program"),
        ({"exec": ["tool"]}, "no program"),
        ({"exec": ["bin/web"], "workingDirectory": "/opt"}, "no program"),
        ({"exec": ["web"], "environment": [{"name": "PATH", "value": "/opt"}]}, "no program"),
        ({"eventHandlers": [{"name": "pre-start", "exec": ["/none"]}]}, "pre-start: /none"),
        ({"user": "wwww"}, "no user wwww (M7)"),
        ({"user": "www-data"}, "no user www-data"),
        ({"group": "www"}, "no group www (M7)"),
        ({"user": "/none"}, "no user /none"),
        ({"exec": ["/usr/bin/web"], "pathWhitelist": ["/etc/passwd"]}, "/usr/bin/web is no program"),
        ({"exec": ["/bin/web"], "pathWhitelist": ["/usr/bin/web"]}, "/bin/web is no program"),
        ({"user": "www", "pathWhitelist": ["/etc/group"]}, "no user www"),
        ({"labels": [*VERSION, {"name": "arch", "value": "amd64"}]}, "arch means nothing without os"),
        ({"labels": []}, "T9a"),
        ({"labels": [{"name": "version", "value": ""}]}, "T9a"),
    ],
)
def test_what_is_not_there_is_said_once(warnings, app, said):
    (warning,) = warnings(**app)
    assert said in warning and "\n" not in warning


def test_a_table_of_users_behind_a_link_does_not_count_at_a_launch_and_not_here(tmp_path):
    (tmp_path / "tree/etc").mkdir(parents=True)
    (tmp_path / "tree/etc/real").write_text("www:x:33:33::/:\n")
    os.symlink("real", tmp_path / "tree/etc/passwd")
    with open_source(str(tmp_path / "tree")) as source:
        assert "no user www" in work_out(source, manifest(user="www"))[1][0]


def test_what_is_said_comes_before_the_file_and_can_keep_it_away(tmp_path):
    (tmp_path / "tree").mkdir()

    def refuse(said):
        assert "T9a" in said[0] and not (tmp_path / "x.aci").exists()
        raise UsageError("no")

    with pytest.raises(UsageError):
        build(str(tmp_path / "tree"), manifest(labels=[]), str(tmp_path / "x.aci"), review=refuse)
    assert os.listdir(tmp_path) == ["tree"]
