# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The corpus is hostile: a naive extractor does, for each class, the harm that ours is there to prevent.

The archives name the test's own temporary directory alone, so the harm is done to the canary in it. Nothing here says
anything about our code; a case that no longer harms the naive extractor proves nothing in test_image_corpus.py either.
"""

from __future__ import annotations

import json
import lzma
import os
import resource
import stat
import subprocess
import zlib

import naive_tar
import pytest
from image_archives import canary, snapshot
from image_corpus import corpus

CASES = corpus()
# Class -> archives with which the naive extractor changes what lies outside of its directory.
ESCAPES = {
    "names": ["dotdot", "dotdot by prefix", "dotdot by long name", "dotdot by pax path", "dotdot of a directory", "dotdot of a symlink"],
    "names that are absolute": ["absolute, outside", "absolute by pax path"],
    "image": ["root is a link to the outside"],
    "symlinks": [
        *("write through an absolute link", "write through a relative link", "write through a link in the parent", "mkdir through a link"),
        *("directory attributes through a link", "FIFO through a link", "symlink through a link", "hard link made through a link"),
        *("mode through a link", "time through a link", "file over a link", "chain of links", "proc magic link", "file replaces a link"),
    ],
    "hard links": [
        *("hard link absolute", "hard link dotdot", "hard link by pax path", "hard link through a linked directory, then written"),
        *("hard link to a symlink, then written", "hard link to a linked directory, then used"),
    ],
    "nodes": ["device through a link"],
    "whiteouts": ["whiteout of the outside"],
    "sparse": ["sparse, a name that leads out"],
    "records": ["global path that leads out"],
}
# Class -> archives that it unpacks without a word, although each has to be refused: a part of a tree, or another one.
BELIEVES = {
    "names": ["dotdot that stays inside", "NUL hidden in the name field"],
    "image": ["text prefix of rootfs", "no manifest", "manifest a device", "dot part"],
    "duplicates": ["duplicate file", "second manifest", "duplicate by prefix", "duplicate with and without dot"],
    "shape": ["file named as a directory", "directory replaced by a link through a link"],
    "owner and mode": ["uid 2^32-1", "uid negative", "gid 2^32-1"],
    "hard links": ["hard link to a FIFO", "hard link itself through a link", "hard link with data"],
    "symlinks": ["symlink with data", "symlink without target"],
    "nodes": ["device with data", "directory with data"],
    "types": ["unknown type", "multi-volume", "volume label", "access list of Solaris"],
    "sparse": ["sparse, old", "sparse of star", "sparse of Solaris"],
    "headers": ["size hides an entry", "checksum wrong", "size no number", "other version of ustar"],
    "records": ["pax length zero", "pax repeated key", "pax unknown key", "two pax headers", "global owner"],
    "ends": ["no end marker", "header cut", "data after the end", "second archive after the end", "checksum wrong in the middle"],
    "format": ["zeros"],
    "manifest": ["member given twice", "manifest of a pod"],
    "compressed": ["junk behind (gzip)", "junk behind (bzip2)", "another format behind (xz)", "a second archive as a member (gzip)"],
}
# Classes that harm in other ways: each has a test of its own below.
OTHERWISE = {"xattrs", "bombs"}
# Honest archives at the edge, which have to be read: nothing to be naive about.
HONEST = {"times"}


@pytest.fixture
def place(root, tmp_path):
    (tmp_path / "staging").mkdir()
    return tmp_path


def naive(place, name):
    """Unpack a case naively; return whether the canary has changed."""
    outside = canary(place)
    (place / "image").write_bytes(CASES[name].make(outside))
    before = snapshot(outside)
    naive_tar.unpack(place / "image", place / "staging")
    return snapshot(outside) != before


@pytest.mark.parametrize("name", [name for names in ESCAPES.values() for name in names])
def test_a_naive_extractor_is_led_outside(place, name):
    assert naive(place, name)


@pytest.mark.parametrize("name", [name for names in BELIEVES.values() for name in names])
def test_a_naive_extractor_believes(place, name):
    assert CASES[name].verdict == "refuse"
    assert not naive(place, name)


def test_a_naive_extractor_makes_devices(place):
    naive(place, "devices")
    made = os.lstat(place / "staging" / "rootfs" / "null")
    assert stat.S_ISCHR(made.st_mode)
    assert made.st_rdev == os.makedev(1, 3)


def test_a_naive_extractor_leaves_files_of_nobody_to_root(place):
    naive(place, "uid 2^32-1")
    assert os.lstat(place / "staging" / "rootfs" / "x").st_uid == 0


def test_gnu_tar_restores_the_attributes_of_overlayfs(place, program):
    (place / "image").write_bytes(CASES["attributes of overlayfs"].make(b""))
    subprocess.run(
        [program("tar"), "--xattrs", "--xattrs-include=*", "-C", str(place / "staging"), "-xf", str(place / "image")], check=True
    )
    assert os.getxattr(place / "staging" / "rootfs" / "e", "trusted.overlay.opaque") == b"y"


def test_naive_decompression_takes_what_a_bomb_asks_for():
    """68 bytes make xz reserve 1.5 GiB; a megabyte of gzip gives a gibibyte, here up to its first 64 MiB."""
    bomb = CASES["dictionary of 1.5 GiB (xz)"].make(b"")
    assert len(bomb) == 68
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with open("/proc/self/statm", "rb") as lines:
                mapped = int(lines.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (mapped + (1 << 30),) * 2)
            try:
                lzma.decompress(bomb)
            except MemoryError:
                status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    data = CASES["1 GiB of zeros (gzip)"].make(b"")
    assert len(data) < 1_100_000
    assert len(zlib.decompressobj(31).decompress(data, 64 << 20)) == 64 << 20


def test_naive_json_takes_the_last_of_two_members():
    archive = CASES["member given twice"].make(b"")
    start = archive.index(b"{")
    assert json.loads(archive[start : archive.index(b"\0", start)])["name"] == "example.com/app"


def test_every_class_has_its_evidence():
    shown = {CASES[name].group for table in (ESCAPES, BELIEVES) for names in table.values() for name in names}
    assert {case.group for case in CASES.values()} == shown | OTHERWISE | HONEST
