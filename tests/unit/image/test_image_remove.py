# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Removing trees: deep, hostile, mounted, immutable; a canary outside stays as it is."""

from __future__ import annotations

import os
import subprocess

import pytest
from image_archives import canary, snapshot

from _rocket.errors import StoreError
from _rocket.image import remove
from _rocket.image.remove import remove_tree
from _rocket.image.resolve import enter, kernel_openat2


@pytest.fixture(params=["openat2", "walk"])
def each_kernel(request, monkeypatch):
    """With and without openat2."""
    if request.param == "walk":
        monkeypatch.setattr(remove, "kernel_openat2", lambda: None)


def deep(top, levels):
    """Make a chain of directories longer than any path may be."""
    fd = os.open(top, os.O_RDONLY)
    for _turn in range(levels):
        os.mkdir("directory", dir_fd=fd)
        below = os.open("directory", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


@pytest.mark.parametrize("openat2", [kernel_openat2(), None], ids=["openat2", "walk"])
def test_a_link_that_takes_the_place_of_a_directory_is_not_entered(tmp_path, openat2):
    os.symlink(canary(tmp_path), tmp_path / "l")
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError):
            enter(fd, b"l", openat2)
    finally:
        os.close(fd)


def test_removes_a_tree_and_nothing_outside(each_kernel, tmp_path):
    outside = canary(tmp_path)
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "f").write_text("x")
    os.symlink(outside, tree / "a" / "l")
    os.symlink(os.path.join(outside, b"sub"), tree / "d")
    os.mkfifo(tree / "p")
    (tree / "a" / os.fsdecode(b"caf\xe9\n")).mkdir()
    before = snapshot(outside)
    remove_tree(str(tree))
    assert sorted(os.listdir(tmp_path)) == ["outside"]
    assert snapshot(outside) == before


def test_deep(each_kernel, tmp_path):
    (tmp_path / "tree").mkdir()
    deep(tmp_path / "tree", 3000)
    descriptors = len(os.listdir("/proc/self/fd"))
    remove_tree(str(tmp_path / "tree"))
    assert not (tmp_path / "tree").exists()
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_gone_is_gone(tmp_path):
    remove_tree(str(tmp_path / "tree"))
    remove_tree(str(tmp_path / "no" / "tree"))
    assert os.listdir(tmp_path) == []


def test_a_link_is_removed_and_not_its_target(tmp_path):
    outside = canary(tmp_path)
    before = snapshot(outside)
    os.symlink(outside, tmp_path / "l")
    remove_tree(str(tmp_path / "l"))
    assert not os.path.lexists(tmp_path / "l")
    assert snapshot(outside) == before


@pytest.mark.parametrize("where", ["tree/a/m", "tree"])
@pytest.mark.parametrize("without", [False, True], ids=["openat2", "walk"])
def test_a_mount_is_not_crossed(root, program, tmp_path, where, without):
    """A bind mount of the same file system: st_dev alone would not tell. In a mount namespace of its own."""
    outside = canary(tmp_path)
    (tmp_path / "tree" / "a" / "m").mkdir(parents=True)
    before = snapshot(outside)
    script = (
        "import sys; sys.path.insert(0, sys.argv[3])\n"
        "from _rocket.errors import StoreError\n"
        "from _rocket.image import remove\n"
        "if sys.argv[2]: remove.kernel_openat2 = lambda: None\n"
        "try: remove.remove_tree(sys.argv[1])\n"
        "except StoreError as error:\n"
        "    raise SystemExit(0 if error.code == 'mounted' and sys.argv[4] in str(error) else 'wrong: ' + str(error))\n"
        "raise SystemExit('removed')"
    )
    import sys

    package = os.path.dirname(os.path.dirname(os.path.dirname(remove.__file__)))
    run = 'mount --bind "$0" "$1" && shift && exec "$@"'
    arguments = [sys.executable, "-c", script, str(tmp_path / "tree"), "x" * without, package, str(tmp_path / where)]
    done = subprocess.run(
        [program("unshare"), "-m", "sh", "-c", run, os.fsdecode(outside), str(tmp_path / where), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert snapshot(outside) == before


@pytest.mark.parametrize("which", ["tree/d/f", "tree/d"])
def test_immutable_is_reported(root, program, tmp_path, which):
    chattr = program("chattr")
    (tmp_path / "tree" / "d").mkdir(parents=True)
    (tmp_path / "tree" / "d" / "f").write_text("x")
    if subprocess.run([chattr, "+i", str(tmp_path / which)], check=False, capture_output=True).returncode:
        pytest.skip("missing ability: immutable files on the temporary file system")
    try:
        with pytest.raises(StoreError) as caught:
            remove_tree(str(tmp_path / "tree"))
        assert caught.value.code == "immutable"
        assert "tree/d/f" in caught.value.where
        assert "chattr" in caught.value.hint
    finally:
        subprocess.run([chattr, "-i", str(tmp_path / which)], check=True)
    remove_tree(str(tmp_path / "tree"))
    assert not (tmp_path / "tree").exists()


def test_a_directory_that_moves_away_is_noticed(tmp_path, monkeypatch):
    """The way up is compared: whoever moves a directory out of the tree does not lead the removal elsewhere."""
    outside = canary(tmp_path)
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    os.mkdir(os.path.join(outside, b"b"))
    before = {path for path in snapshot(outside) if b"moved" not in path}
    real = os.scandir

    def scandir(fd):
        if os.readlink(f"/proc/self/fd/{fd}").endswith("a/b"):
            os.rename(tmp_path / "tree" / "a" / "b", os.path.join(outside, b"moved"))
        return real(fd)

    monkeypatch.setattr(remove.os, "scandir", scandir)
    with pytest.raises(StoreError):
        remove_tree(str(tmp_path / "tree"))
    monkeypatch.undo()
    assert {path for path in snapshot(outside) if b"moved" not in path} == before
