# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Stores that are not what this version makes: every command that touches one says so in one line and changes nothing."""

from __future__ import annotations

import os

import pytest
from fetch_site import archive

from _rocket.cli import main
from _rocket.image.check import inspect
from _rocket.run.pod_directory import PodDirectory
from _rocket.store.record import new_record
from _rocket.store.store import Store
from _rocket.store.verdict import Verdict

UUID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
IMAGE = "example.com/app"
TOUCH = (
    ("fetch", "./none.aci"),
    ("fetch", IMAGE),
    ("run", IMAGE),
    ("prepare", IMAGE),
    ("run-prepared", UUID),
    ("rm", UUID),
    ("gc",),
    ("gc", "--dry-run"),
    ("gc", "--mark-only"),
    ("gc", "--high-water=2", "--low-water=1"),
    ("export", UUID, "/none.aci"),
    ("image", "list"),
    ("image", "cat-manifest", IMAGE),
    ("image", "verify", "--all"),
    ("image", "verify", "--all", "--repair"),
    ("image", "export", IMAGE, "/none.aci"),
    ("image", "extract", IMAGE, "/none"),
    ("image", "render", IMAGE, "/none"),
    ("image", "rm", IMAGE),
)


@pytest.fixture
def image(paths):
    """An image in the store, and a pod that ended."""
    store = Store(paths)
    fd, path = store.staging_file()
    os.write(fd, archive(name=IMAGE))
    found = inspect(fd)
    record = store.add(path, new_record(found, Verdict("insecure"), "file"), found.manifest_bytes)
    os.close(fd)
    with PodDirectory.create(paths, UUID) as pod:
        pod.move("run")
    return record


@pytest.fixture
def rocket(paths, capsys):
    def call(*words):
        code = main.main([f"--dir={paths.data}", f"--local-config={paths.local}", "--insecure-options=image", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def seen(paths):
    found = {}
    for directory, names, files in os.walk(paths.data):
        for name in (*names, *files):
            path = f"{directory}/{name}"
            found[path] = (os.lstat(path).st_mode, os.lstat(path).st_mtime_ns, os.lstat(path).st_ino)
    return found


@pytest.mark.parametrize("words", TOUCH, ids=" ".join)
def test_a_later_version_is_refused(rocket, paths, image, words):
    with open(f"{paths.data}/version", "w") as file:
        file.write("2\n")
    before = seen(paths)
    code, output, errors = rocket(*words)
    assert (code, output) == (254, "") and errors.count("\n") == 1
    assert "the store is of version 2, this rocket knows 1" in errors
    assert seen(paths) == before


@pytest.mark.parametrize("words", TOUCH, ids=" ".join)
def test_the_store_of_another_user_is_refused(root, rocket, paths, image, words):
    """Whoever it belongs to can put another root file system in the place of a signed one at any time."""
    os.chown(paths.data, 65534, 65534)
    before = seen(paths)
    code, output, errors = rocket(*words)
    assert (code, output) == (254, "") and errors.count("\n") == 1
    assert "belongs to user 65534" in errors
    assert seen(paths) == before


@pytest.mark.parametrize("part", ["images", "trees", "staging", "garbage", "locks"])
def test_a_part_of_another_user_is_refused_by_who_writes_and_a_loose_one_is_taken_back(root, rocket, paths, image, part):
    place = getattr(paths, part)
    os.chmod(place, 0o777)
    assert rocket("image", "rm", "sha512-" + "0" * 128)[0] == 254
    Store(paths).lock(image.id).close()
    assert os.stat(place).st_mode & 0o7777 == 0o700
    os.chown(place, 65534, 65534)
    code, _output, errors = rocket("image", "rm", IMAGE)
    assert code == 254 and errors.count("\n") == 1 and "not a directory of this user" in errors and place in errors
    assert Store(paths).ids() == [image.id]


def test_a_part_that_is_a_link_is_refused(rocket, paths, image, tmp_path):
    os.rename(paths.trees, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", paths.trees)
    code, _output, errors = rocket("image", "rm", IMAGE)
    assert code == 254 and errors.count("\n") == 1 and "not a directory of this user" in errors
