# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Bytes are those on the disk, of each file once, and free with the last name of it."""

from __future__ import annotations

import os
import subprocess

import pytest

from _rocket.store.usage import Tally

BIG = 1 << 20


def write(path, size=BIG):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


def blocks(*paths):
    return sum(os.lstat(path).st_blocks * 512 for path in paths)


def test_what_du_says(tmp_path, program):
    write(tmp_path / "a" / "b" / "one")
    write(tmp_path / "a" / "two", 5000)
    os.link(tmp_path / "a" / "two", tmp_path / "a" / "b" / "again")
    os.symlink("/", tmp_path / "a" / "link")
    (tmp_path / "a" / "empty").mkdir()
    said = subprocess.run([program("du"), "-s", "-B512", str(tmp_path / "a")], capture_output=True, text=True, check=True).stdout
    assert Tally().taken(str(tmp_path / "a")) == int(said.split()[0]) * 512 > BIG


def test_a_hole_takes_nothing(tmp_path):
    with open(tmp_path / "hole", "wb") as file:
        file.truncate(1 << 40)
    assert Tally().taken(str(tmp_path / "hole")) < BIG


def test_a_file_with_two_names_is_free_with_the_second(tmp_path):
    first, second = write(tmp_path / "x" / "file"), tmp_path / "y" / "file"
    second.parent.mkdir()
    os.link(first, second)
    tally = Tally()
    assert tally.freed(str(first.parent)) == blocks(first.parent)
    assert tally.freed(str(second.parent)) == blocks(second.parent, second)
    assert Tally().freed(str(first.parent), str(second.parent)) == Tally().taken(str(first.parent), str(second.parent))


def test_a_name_elsewhere_keeps_the_bytes(tmp_path):
    inside = write(tmp_path / "x" / "file")
    os.link(inside, tmp_path / "outside")
    assert Tally().freed(str(inside.parent)) == blocks(inside.parent)


def test_what_is_not_there_is_nothing(tmp_path):
    assert Tally().taken(str(tmp_path / "none")) == Tally().freed(str(tmp_path / "none")) == 0


def test_a_tree_deeper_than_a_path_may_be_long(tmp_path):
    from _rocket.image.remove import remove_tree

    top = str(tmp_path / "deep")
    os.mkdir(top)
    fd = os.open(top, os.O_RDONLY)
    for _level in range(3000):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    end = os.open("end", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
    os.write(end, bytes(BIG))
    os.close(end)
    os.close(fd)
    before = len(os.listdir("/proc/self/fd"))
    try:
        assert Tally().taken(top) >= BIG
    finally:
        remove_tree(top)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_mounted_in_it_is_none_of_it(tmp_path, root, program):
    (tmp_path / "a" / "mounted").mkdir(parents=True)
    inner = f'mount -t tmpfs small {tmp_path}/a/mounted && head -c 5000000 /dev/zero > {tmp_path}/a/mounted/file && exec "$@"'
    code = "import sys; sys.path.insert(0, sys.argv[1]); from _rocket.store.usage import Tally; print(Tally().taken(sys.argv[2]))"
    import sys

    package = os.path.dirname(os.path.dirname(os.path.dirname(sys.modules["_rocket.store.usage"].__file__)))
    words = [program("unshare"), "-m", "sh", "-c", inner, "sh", sys.executable, "-c", code, package, str(tmp_path / "a")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert int(done.stdout) == blocks(tmp_path / "a")


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_link_is_itself_and_not_what_it_leads_to(tmp_path, kind):
    write(tmp_path / "target" / "file")
    os.symlink(tmp_path / "target" / ("file" if kind == "file" else ""), tmp_path / "link")
    assert Tally().taken(str(tmp_path / "link")) < BIG
