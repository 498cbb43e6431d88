# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a pod lies on disk: what another user of the host could change or read, and places that are reached by a link."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest
from launcher_pods import make_tree

PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "plugins", "module_utils")
START = f"import sys; sys.path.insert(0, {PACKAGE!r}); from _rocket.cli.main import main; raise SystemExit(main(sys.argv[1:]))"
MANIFEST = {
    "acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/probe",
    "app": {
        "exec": ["/bin/sh", "-c", "echo $SECRET > /data/secret; ls /data"], "user": "0", "group": "0",
        "mountPoints": [{"name": "data", "path": "/data"}],
    },
}  # fmt: skip


@pytest.fixture
def rocket(host, tmp_path):
    """The command with an umask of 0, an image in its store, and its data in a place that is not there yet."""

    def call(*words, data=tmp_path / "new" / "data", status=0):
        words = [sys.executable, "-S", "-c", START, f"--dir={data}", "--insecure-options=image", *map(str, words)]
        outcome = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, preexec_fn=lambda: os.umask(0))
        assert outcome.returncode == status, outcome.stderr
        return outcome.stdout + outcome.stderr

    make_tree(tmp_path / "tree")
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    call("image", "build", f"--manifest={tmp_path}/manifest.json", f"--output={tmp_path}/probe.aci", tmp_path / "tree")
    call("fetch", f"{tmp_path}/probe.aci")
    return call


def open_to_others(directory):
    """Return what others may write to, and files that they may read, below a directory, the insides of images left out."""
    found = []
    for place, names, files in os.walk(directory):
        names[:] = [name for name in names if name not in ("rootfs", "upper", "volumes")]
        for name in [".", *files]:
            mode = os.lstat(os.path.join(place, name)).st_mode
            if mode & 0o022 and not stat.S_ISLNK(mode):
                found.append(os.path.join(place, name))
    return found


def readable(directory):
    """Return the files that others come to: every directory on the way lets them through."""
    found = []
    for place, names, files in os.walk(directory):
        names[:] = [name for name in names if os.lstat(os.path.join(place, name)).st_mode & 0o001]
        found += [name for name in files if os.lstat(os.path.join(place, name)).st_mode & 0o004]
    return found


def test_no_umask_lets_others_write_or_read_what_decides_about_root(rocket, tmp_path):
    rocket("run", "--pod-name=probe", "--set-env=SECRET=hidden", "example.com/probe")
    rocket("prepare", "--set-env=SECRET=hidden", "example.com/probe")
    rocket("gc")
    assert open_to_others(tmp_path / "new") == []
    assert readable(tmp_path / "new") == ["version"]


def test_a_store_that_everyone_may_write_to_is_refused(rocket, tmp_path):
    (tmp_path / "new/data").chmod(0o777)
    assert "everyone may write" in rocket("run", "example.com/probe", status=254)
    assert "everyone may write" in rocket("fetch", f"{tmp_path}/probe.aci", status=254)


def test_the_directory_of_pods_may_be_a_link(rocket, tmp_path):
    (tmp_path / "link").symlink_to("new/data")
    assert "secret" in rocket("run", "--set-env=SECRET=x", "example.com/probe", data=tmp_path / "link")


@pytest.mark.parametrize("file", ["pod", "origin.json", "launch"])
@pytest.mark.parametrize("left", ["", "{", "[]"])
def test_a_pod_that_a_power_cut_left_half_hides_no_other_and_can_be_removed(rocket, tmp_path, file, left):
    whole, half = (rocket("prepare", "example.com/probe").split()[-1] for _index in range(2))
    (tmp_path / "new/data/pods/prepared" / half / file).write_text(left)
    listed = {pod["uuid"] for pod in json.loads(rocket("list", "--format=json"))}
    assert listed == {whole, half}
    assert file == "launch" or file in rocket("status", half)
    rocket("gc", "--image-grace=0")
    assert "used by a pod" in rocket("image", "rm", "example.com/probe", status=254)
    assert half in rocket("rm", half)
    assert json.loads(rocket("list", "--format=json"))[0]["uuid"] == whole
