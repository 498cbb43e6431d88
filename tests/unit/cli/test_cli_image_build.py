# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""`rocket image build` and `rocket image cat-manifest`: what is typed becomes a manifest, and a file that is whole or not there."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from _rocket.cli import image, main, progress
from _rocket.image.check import inspect
from _rocket.image.compression import FORMATS, sniff

ID = "sha512-" + "0123456789abcdef" * 8
NAMED = ("--name=example.com/shop/web", "--label=version=1.0")
ROOT = ("--user=0", "--group=0")


@pytest.fixture
def tree(tmp_path):
    top = tmp_path / "tree"
    (top / "bin").mkdir(parents=True)
    (top / "bin" / "web").write_text("#!/bin/sh\n")
    (top / "bin" / "web").chmod(0o755)
    return top


@pytest.fixture
def rocket(paths, capsys, tmp_path, monkeypatch, tree):
    """Call `rocket image` in a directory with a tree; return status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        status = main.main([f"--dir={paths.data}", "image", *words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def built(rocket):
    """Build an image of the tree without a warning and return its manifest as cat-manifest shows it."""

    def call(*words):
        status, output, errors = rocket("build", "--output=x.aci", "--overwrite", *words)
        assert (status, errors) == (0, ""), errors
        assert output.strip() == inspect("x.aci").image_id
        return json.loads(rocket("cat-manifest", "./x.aci")[1])

    return call


def test_every_option_has_its_place_in_the_manifest(built):
    found = built(
        *("--name=example.com/shop/web", "--label=version=1.0", "--label", "os=linux", "--label=arch=amd64"),
        *("--exec=/bin/web", "--user=0", "--group=0", "--supplementary-gids=5,6", "--working-dir=/bin"),
        *("--environment=A=b=c", "--environment=EMPTY=", "--mount=data,path=/srv", "--mount=conf,path=/etc/web,readOnly=true"),
        *("--port=http,protocol=tcp,port=80", "--port=rtp,protocol=udp,port=5000,count=10,socketActivated=true"),
        *('--isolator=resource/memory={"limit": "64Mi"}', "--isolator=os/linux/no-new-privileges=true"),
        *("--event-handler=pre-start=/bin/web", '--event-handler=post-stop=["/bin/web", "-s top"]'),
        *("--annotation=homepage=https://example.com/?a=b", "tree", f"--dependency=example.com/base:2,os=linux@{ID}"),
        *("--dependency=example.com/more", "--path-whitelist=/bin/web", "--path-whitelist=/etc/web", "--", "--port=80", ""),
    )
    assert found == {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": "example.com/shop/web",
        "labels": [{"name": "version", "value": "1.0"}, {"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}],
        "app": {
            "exec": ["/bin/web", "--port=80", ""],
            "user": "0",
            "group": "0",
            "supplementaryGIDs": [5, 6],
            "workingDirectory": "/bin",
            "environment": [{"name": "A", "value": "b=c"}, {"name": "EMPTY", "value": ""}],
            "mountPoints": [{"name": "data", "path": "/srv"}, {"name": "conf", "path": "/etc/web", "readOnly": True}],
            "ports": [
                {"name": "http", "protocol": "tcp", "port": 80},
                {"name": "rtp", "protocol": "udp", "port": 5000, "count": 10, "socketActivated": True},
            ],
            "isolators": [
                {"name": "resource/memory", "value": {"limit": "64Mi"}},
                {"name": "os/linux/no-new-privileges", "value": True},
            ],
            "eventHandlers": [{"name": "pre-start", "exec": ["/bin/web"]}, {"name": "post-stop", "exec": ["/bin/web", "-s top"]}],
        },
        "annotations": [{"name": "homepage", "value": "https://example.com/?a=b"}],
        "dependencies": [
            {
                "imageName": "example.com/base",
                "imageID": ID,
                "labels": [{"name": "os", "value": "linux"}, {"name": "version", "value": "2"}],
            },
            {"imageName": "example.com/more"},
        ],
        "pathWhitelist": ["/bin/web", "/etc/web"],
    }


def test_nothing_is_filled_in_but_kind_and_version(built):
    assert built(*NAMED, "tree") == {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": "example.com/shop/web",
        "labels": [{"name": "version", "value": "1.0"}],
    }


def test_options_change_what_a_file_says(built, tmp_path):
    file = {
        "acKind": "ImageManifest",
        "acVersion": "0.8.9",
        "name": "example.com/old",
        "labels": [{"name": "version", "value": "1"}, {"name": "os", "value": "linux"}],
        "app": {"exec": ["/bin/web", "-v"], "user": "1", "group": "1", "userLabels": {"kept": "yes"}},
    }
    (tmp_path / "m.json").write_text(json.dumps(file))
    assert built("--manifest=m.json", "tree") == file
    assert built("--manifest=m.json", *NAMED, "--user=0", "tree", "--", "--more") == {
        **file,
        "name": "example.com/shop/web",
        "labels": [{"name": "version", "value": "1.0"}, {"name": "os", "value": "linux"}],
        "app": {**file["app"], "user": "0", "exec": ["/bin/web", "-v", "--more"]},
    }
    assert built("--manifest=m.json", "--exec=/bin/web", "tree")["app"]["exec"] == ["/bin/web"]


def test_an_image_is_changed_without_its_files(built, rocket, tmp_path):
    built(*NAMED, *ROOT, "--exec=/bin/web", "tree")
    os.rename("x.aci", "old.aci")
    found = built("--label=version=1.1", "old.aci", "--", "-v")
    assert found["labels"] == [{"name": "version", "value": "1.1"}]
    assert found["app"]["exec"] == ["/bin/web", "-v"]
    whole = rocket("build", "--output=y.aci", *NAMED, *ROOT, "--label=version=1.1", "--exec=/bin/web", "tree", "--", "-v")
    assert whole[0] == 254, "a label is given once"
    whole = rocket("build", "--output=y.aci", NAMED[0], *ROOT, "--label=version=1.1", "--exec=/bin/web", "tree", "--", "-v")
    assert whole[1].strip() == inspect("x.aci").image_id
    # A manifest file takes the place of the image's own.
    (tmp_path / "m.json").write_text(json.dumps({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/data"}))
    assert "app" not in built("--manifest=m.json", "--label=version=1", "old.aci")


def test_a_tar_and_its_directory_are_one_image(rocket, program):
    subprocess.run([program("tar"), "-C", "tree", "-czf", "tree.tgz", "."], check=True)
    of_tree = rocket("build", "--output=a.aci", *NAMED, "tree")
    of_tar = rocket("build", "--output=b.aci", *NAMED, "tree.tgz")
    assert of_tree == of_tar and of_tree[0] == 0
    with open("a.aci", "rb") as one, open("b.aci", "rb") as other:
        assert one.read() == other.read()


@pytest.mark.parametrize("form", FORMATS)
def test_the_form_of_the_file(built, form):
    built(f"--compression={form}", *NAMED, "tree")
    with open("x.aci", "rb") as stream:
        assert sniff(stream.read(512)) == form


def test_owner_and_time_are_set(rocket, program, tree):
    os.utime(tree / "bin" / "web", (5_000_000_000, 5_000_000_000))
    assert rocket("build", "--output=x.aci", "--owner=7:8", "--mtime=4000000000", *NAMED, "tree")[0] == 0
    listing = subprocess.run(
        [program("tar"), "--numeric-owner", "--utc", "-tvzf", "x.aci"], capture_output=True, text=True, check=True
    ).stdout
    assert "7/8" in listing.splitlines()[-1] and "2096-10-02" in listing.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tree"], "--output"),
        (["--output=x.tar", *NAMED, "not looked at"], "A1"),
        (["--output=x.aci", *NAMED], "usage: rocket image build"),
        (["--output=x.aci", *NAMED, "tree", "more"], "does not know what to do with 'more'"),
        (["--output=x.aci", *NAMED, "nothing"], "nothing: cannot be read"),
        (["--output=x.aci", "tree"], "--name="),
        (["--output=x.aci", *NAMED, "--exec=/bin/web", "tree"], "--user=0 --group=0"),
        (["--output=x.aci", *NAMED, "--user=0", "tree"], "--user=0 --group=0"),
        (["--output=x.aci", *NAMED, *ROOT, "tree", "--", "-v"], "--exec=PATH"),
        (["--output=x.aci", "--name=Example.com", "tree"], "T1"),
        (["--output=x.aci", *NAMED, "--label=os", "tree"], "NAME=VALUE"),
        (["--output=x.aci", *NAMED, "--label=version=2", "tree"], "unique"),
        (["--output=x.aci", *NAMED, "--label=os=plan9", "tree"], "T10"),
        (["--output=x.aci", *NAMED, *ROOT, "--environment=A=1", "--environment=A=2", "tree"], "unique"),
        (["--output=x.aci", *NAMED, *ROOT, "--mount=data", "tree"], "path="),
        (["--output=x.aci", *NAMED, *ROOT, "--mount=data,/srv", "tree"], "member of --mount"),
        (["--output=x.aci", *NAMED, *ROOT, "--mount=data,readOnly=true", "tree"], "M13"),
        (["--output=x.aci", *NAMED, *ROOT, "--port=www,port=80", "tree"], "M14"),
        (["--output=x.aci", *NAMED, *ROOT, "--port=www,protocol=tcp,port=http", "tree"], "whole number"),
        (["--output=x.aci", *NAMED, *ROOT, "--isolator=resource/memory=64Mi", "tree"], "is not JSON"),
        (["--output=x.aci", *NAMED, *ROOT, '--isolator=resource/memory={"limit":"64Mi"', "tree"], "is not JSON"),
        (["--output=x.aci", *NAMED, *ROOT, '--isolator=resource/memory={"limti":"64Mi"}', "tree"], "I"),
        (["--output=x.aci", *NAMED, *ROOT, "--event-handler=start=/x", "tree"], "pre-start or post-stop"),
        (["--output=x.aci", *NAMED, *ROOT, "--event-handler=pre-start=[1]", "tree"], "M9"),
        (["--output=x.aci", *NAMED, "--dependency=example.com/a@sha512-12", "tree"], "128"),
        (["--output=x.aci", *NAMED, "--dependency=example.com/a:1:2", "tree"], "V10"),
        (["--output=x.aci", *NAMED, "--path-whitelist=bin", "tree"], "M17"),
        (["--output=x.aci", *NAMED, "--owner=0", "tree"], "UID:GID"),
        (["--output=x.aci", *NAMED, "--owner=0:4294967295", "tree"], "UID:GID"),
        (["--output=x.aci", *NAMED, "--owner=-1:0", "tree"], "UID:GID"),
        (["--output=x.aci", *NAMED, "--mtime=now", "tree"], "whole number"),
        (["--output=x.aci", *NAMED, "--compression=lzma", "tree"], "gzip"),
        (["--output=x.aci", *NAMED, "--working-directory=/", "tree"], "--working-dir?"),
        (["--output=x.aci", "--manifest=none.json", "tree"], "none.json"),
        (["--output=tree/x.aci", *NAMED, "tree"], "in the tree"),
        (["--output=none/x.aci", *NAMED, "tree"], " none/x.aci: the output cannot be written (No such file"),
        (["--output=x.aci", "--strict", "--name=example.com/a", "tree"], "T9a"),
        (["--output=x.aci", "--strict", *NAMED, *ROOT, "--exec=/bin/wbe", "tree"], "/bin/wbe"),
    ],
)
def test_what_is_refused_is_one_line_and_leaves_nothing(rocket, tmp_path, words, message):
    status, output, errors = rocket("build", *words)
    assert (status, output) == (254, "") and errors.count("\n") == 1
    assert message in errors
    assert sorted(os.listdir(tmp_path)) == ["tree"] and os.listdir(tmp_path / "tree") == ["bin"]


def test_a_damaged_manifest_file_names_the_place(rocket, tmp_path):
    for content, message in (('{"name": "a", "name": "b"}', "given twice"), ("[]", "object"), ('{"labels": [{"name": []}]}', "M3")):
        (tmp_path / "m.json").write_text(content)
        status, _output, errors = rocket("build", "--output=x.aci", "--manifest=m.json", "tree")
        assert status == 254 and message in errors and not os.path.exists("x.aci")


def test_what_is_probably_not_meant_is_one_line_each(rocket):
    words = ["--name=example.com/a", "--label=arch=amd64", "--user=www", "--group=0", "--exec=/bin/wbe", "tree"]
    status, output, errors = rocket("build", "--output=x.aci", *words)
    assert status == 0 and output.startswith("sha512-")
    lines = errors.splitlines()
    assert all(line.startswith("rocket: warning: ") for line in lines) and len(lines) == 4
    for part in ("T9a", "arch", "user www", "/bin/wbe"):
        assert part in errors
    assert rocket("build", "--quiet", "--overwrite", "--output=x.aci", *words) == (0, output, "")
    assert rocket("build", "--strict", "--quiet", "--output=y.aci", *words)[0] == 254


@pytest.mark.spec("T9a")
def test_a_published_version_is_not_overwritten_by_accident(rocket, tree):
    first = rocket("build", "--output=x.aci", *NAMED, "tree")[1].strip()
    (tree / "more").write_text("x")
    status, _output, errors = rocket("build", "--output=x.aci", *NAMED, "tree")
    assert status == 254 and f"example.com/shop/web:1.0, {first}" in errors and "T9a" in errors
    status, _output, errors = rocket("build", "--output=x.aci", "--overwrite", "--strict", *NAMED, "tree")
    assert status == 254 and first in errors
    assert inspect("x.aci").image_id == first
    status, output, errors = rocket("build", "--output=x.aci", "--overwrite", *NAMED, "tree")
    assert status == 0 and f"another build of example.com/shop/web:1.0, {first}" in errors
    assert inspect("x.aci").image_id == output.strip() != first
    # The same build again, and another version, take nobody's place.
    assert rocket("build", "--output=x.aci", "--overwrite", "--strict", *NAMED, "tree") == (0, output, "")
    assert rocket("build", "--output=x.aci", "--overwrite", "--strict", NAMED[0], "--label=version=1.1", "tree")[::2] == (0, "")


def test_a_signature_from_before_is_named(rocket, tmp_path):
    (tmp_path / "x.aci.asc").write_text("of another file")
    status, _output, errors = rocket("build", "--output=x.aci", "--overwrite", *NAMED, "tree")
    assert status == 0 and "rocket image sign --overwrite x.aci" in errors
    assert rocket("build", "--quiet", "--output=x.aci", "--overwrite", *NAMED, "tree")[2] == ""


def test_progress_is_shown_on_a_terminal_and_gone_in_the_end(rocket, program, monkeypatch, tree):
    monkeypatch.setattr(progress.os, "isatty", lambda fd: fd == 2)
    subprocess.run([program("tar"), "-C", "tree", "-cf", "tree.tar", "."], check=True)
    for source in ("tree", "tree.tar"):
        _status, _output, errors = rocket("build", "--output=x.aci", "--overwrite", *NAMED, source)
        assert "KiB" in errors and errors.endswith(" " * 40 + "\r")
        assert ("(100 %)" in errors) == (source == "tree.tar")
    assert rocket("build", "--output=x.aci", "--overwrite", "--quiet", *NAMED, "tree")[2] == ""
    # A warning does not stand behind what is left of the meter.
    errors = rocket("build", "--output=y.aci", "--name=example.com/a", "tree")[2]
    assert " " * 40 + "\rrocket: warning" in errors


@pytest.mark.parametrize("name", list(image.LOADERS))
def test_every_subcommand_of_image_has_help_with_examples_in_80_columns(rocket, name):
    status, text, _errors = rocket(name, "--help")
    assert status == 0 and text.startswith(f"Usage: rocket image {name}") and "Examples:" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_manifest_of_a_file_is_read_strictly(rocket, tmp_path):
    (tmp_path / "junk.aci").write_bytes(b"junk" * 500)
    status, output, errors = rocket("cat-manifest", "./junk.aci")
    assert (status, output) == (254, "") and "junk.aci" in errors
    status, output, errors = rocket("cat-manifest", f"file://{tmp_path}/none.aci")
    assert (status, output) == (254, "") and "none.aci" in errors
    # Without a / it is a name, and no file of the directory takes its place.
    rocket("build", "--output=example.aci", *NAMED, "tree")
    assert rocket("cat-manifest", "example.aci")[0] == 254
