# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Listings: every fact of a tree is in them, and any change of it is found and named."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_archives import block, directory, file, hardlink, image, pax, symlink

from _rocket.errors import ArchiveError, StoreError
from _rocket.image.extract import extract
from _rocket.image.limits import DEFAULT, Limits
from _rocket.image.listing import Line, again, content_digest, differences, digest, escaped, plain, take

R = b"rootfs/"
HELLO = b"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


@pytest.fixture
def tree(root, tmp_path):
    """A tree with one of each kind, on a file system of its own time."""
    top = tmp_path / "tree"
    (top / "bin").mkdir(parents=True)
    (top / "bin" / "hello").write_text("hello")
    os.chown(top / "bin" / "hello", 7, 8)
    os.chmod(top / "bin" / "hello", 0o4755)
    os.setxattr(top / "bin" / "hello", "user.k=y", b"\0v")
    os.symlink("a b", top / "bin" / "link")
    os.mkfifo(top / "pipe", 0o640)
    (top / os.fsdecode(b"caf\xe9 %=\n")).write_bytes(b"")
    for path in (top / "bin" / "hello", top / "bin" / "link", top / "pipe", top / os.fsdecode(b"caf\xe9 %=\n"), top / "bin", top):
        os.utime(path, ns=(1, 1_500_000_001), follow_symlinks=False)
    os.chmod(top, 0o755)
    os.chmod(top / os.fsdecode(b"caf\xe9 %=\n"), 0o644)
    return top


def listed(top, limits=DEFAULT, **options):
    fd = os.open(top, os.O_RDONLY)
    try:
        return b"".join(line + b"\n" for line in take(fd, content_digest, limits, **options))
    finally:
        os.close(fd)


def reread(top, expected):
    fd = os.open(top, os.O_RDONLY)
    try:
        return again(fd, expected, DEFAULT)
    finally:
        os.close(fd)


def test_lines(tree):
    empty = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert listed(tree).splitlines() == [
        b"/ d 0755 0 0 1500000001",
        b"/bin d 0755 0 0 1500000001",
        b"/bin/hello f 4755 7 8 1500000001 5 " + HELLO + b" user.k%3Dy=0076",
        b"/bin/link l 0777 0 0 1500000001 a%20b",
        b"/caf%E9%20%25%3D%0A f 0644 0 0 1500000001 0 " + empty,
        b"/pipe p 0640 0 0 1500000001",
    ]


def test_a_line_makes_the_entry_again(tree):
    entries = {line.path: line.entry() for line in map(Line, listed(tree).splitlines())}
    hello = entries[b"/bin/hello"]
    assert (hello.name, hello.kind, hello.mode, hello.uid, hello.gid, hello.size) == (b"hello", "file", 0o4755, 7, 8, 5)
    assert (hello.mtime_ns, hello.xattrs) == (1_500_000_001, ((b"user.k=y", b"\0v"),))
    assert (entries[b"/bin/link"].kind, entries[b"/bin/link"].link) == ("symlink", b"a b")
    assert (entries[b"/pipe"].kind, entries[b"/"].kind, entries[b"/"].name) == ("fifo", "directory", b".")


@given(st.binary(max_size=300))
def test_any_bytes_are_written_without_spaces_and_read_again(raw):
    text = escaped(raw)
    assert plain(text) == raw
    assert all(0x21 <= byte < 0x7F and byte != 0x3D for byte in text)


def flip(top):
    with open(top / "bin" / "hello", "r+b") as stream:
        stream.write(b"hellp")


def later(path):
    os.utime(path, ns=(1, 2), follow_symlinks=False)


def relink(top):
    os.unlink(top / "bin" / "link")
    os.symlink("other", top / "bin" / "link")
    os.utime(top / "bin" / "link", ns=(1, 1_500_000_001), follow_symlinks=False)


def swap(top):
    os.unlink(top / "pipe")
    (top / "pipe").write_text("x")


CHANGES = {
    "a flipped byte": (flip, "/bin/hello has another content"),
    "a changed mode": (lambda top: os.chmod(top / "bin" / "hello", 0o755), "/bin/hello has another mode"),
    "a changed mode of a directory": (lambda top: os.chmod(top / "bin", 0o1755), "/bin has another mode"),
    "a changed mode of the root": (lambda top: os.chmod(top, 0o700), "/ has another mode"),
    "a changed owner": (lambda top: os.chown(top / "bin" / "hello", 1, 8), "/bin/hello has another mode, owner"),
    "a changed group": (lambda top: os.chown(top / "pipe", 0, 1), "/pipe has another group"),
    "an added file": (lambda top: (top / "bin" / "new").write_text(""), "/bin/new was added"),
    "an added directory": (lambda top: (top / "new").mkdir(), "/new was added"),
    "a missing file": (lambda top: os.unlink(top / "pipe"), "/pipe is missing"),
    "another target": (relink, "/bin/link has another target"),
    "another kind": (swap, "/pipe is of another kind"),
    "a changed xattr": (
        lambda top: os.setxattr(top / "bin" / "hello", "user.k=y", b"x"),
        "/bin/hello has another extended attribute user.k%3Dy",
    ),
    "an added xattr": (lambda top: os.setxattr(top / "bin", "user.new", b""), "/bin has another extended attribute user.new"),
    "a removed xattr": (
        lambda top: os.removexattr(top / "bin" / "hello", "user.k=y"),
        "/bin/hello has another extended attribute user.k%3Dy",
    ),
    "another time": (lambda top: later(top / "bin" / "link"), "/bin/link has another time"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_is_found_and_named(tree, case):
    before = listed(tree)
    assert reread(tree, before) == before
    change, clause = CHANGES[case]
    times = {path: os.lstat(path).st_mtime_ns for path in (tree, tree / "bin", tree / "bin" / "hello")}
    change(tree)
    for path, time in times.items():
        os.utime(path, ns=(1, time))
    after = reread(tree, before)
    assert digest(after) != digest(before)
    assert [found for found in differences(before, after) if found.startswith(clause)], differences(before, after)
    # What else a change touched is at most the time of the directory, which was put back.
    assert len(differences(before, after)) == 1


def test_differences_are_bounded(tree):
    before = listed(tree)
    for number in range(50):
        (tree / f"new{number}").write_text("")
    assert len(differences(before, listed(tree))) == 20


def test_what_no_image_brings_is_refused(tree):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "s"))
    with pytest.raises(StoreError, match="sockets"):
        listed(tree)


def test_labels_of_the_host_are_no_change(tree):
    before = listed(tree)
    os.setxattr(tree / "bin", "trusted.x", b"1")
    assert listed(tree) == before


@pytest.fixture
def unpacked(root, tmp_path):
    """Unpack an archive with its listing; return the tree and the listing."""

    def run(*members, limits=DEFAULT):
        (tmp_path / "image").write_bytes(image(*members))
        (tmp_path / "staging").mkdir()
        with open(tmp_path / "image", "rb") as stream:
            extract(stream.fileno(), str(tmp_path / "staging"), limits, listing=True)
        return tmp_path / "staging" / "rootfs", (tmp_path / "staging" / "listing").read_bytes()

    return run


def test_the_listing_of_an_extraction_is_that_of_its_tree(unpacked):
    """Through links, over links, over each other: what was written is what is there."""
    top, listing = unpacked(
        directory(R + b"usr/"),
        directory(R + b"usr/lib/", mode=0o2755, gid=5),
        symlink(R + b"lib", b"usr/lib"),
        file(R + b"lib/x", b"one"),
        file(R + b"usr/lib/y", b"two"),
        symlink(R + b"self", b"."),
        pax((b"SCHILY.xattr.user.a", b"b")),
        file(R + b"self/usr/lib/y", b"three", mode=0o4711, uid=3),
        hardlink(R + b"hard", R + b"usr/lib/y"),
        file(R + b"no/entry/of/its/own", b""),
        block(R + b"null", b"3", device=(1, 3)),
        block(R + b"fifo", b"6"),
        file(R + b"caf\xe9 \n", b"x" * 3_000_000),
    )
    assert reread(top, listing) == listing
    letters = b" ".join(line.path + b":" + line.letter for line in map(Line, listing.splitlines()))
    assert letters == (
        b"/:d /caf%E9%20%0A:f /fifo:p /hard:f /lib:l /no:i /no/entry:i /no/entry/of:i /no/entry/of/its:i /no/entry/of/its/own:f "
        b"/self:l /usr:d /usr/lib:d /usr/lib/x:f /usr/lib/y:f"
    )
    assert b"/usr/lib/y f 4711 3 0 1000000000000000000 5" in listing and b"user.a=62" in listing


def test_an_entry_that_comes_later_is_an_entry(unpacked):
    _top, listing = unpacked(file(R + b"a/b", b""), directory(R + b"a/", mode=0o700))
    assert b"/a d 0700" in listing


def test_links_cannot_make_a_tree_deeper_or_longer_than_the_limit(unpacked):
    """Each name has few parts; where it leads has many."""
    members = [symlink(R + b"l0", b"."), directory(R + b"d/")]
    for number in range(6):
        members += [directory(R + b"l%d/a%d/" % (number, number)), symlink(R + b"l%d" % (number + 1), b"l%d/a%d" % (number, number))]
    with pytest.raises(ArchiveError) as caught:
        unpacked(*members, limits=Limits(depth=5))
    assert caught.value.code == "archive-limit"


def test_a_path_longer_than_any_is_refused(root, tmp_path):
    top = tmp_path / "tree"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _turn in range(20):
        os.mkdir("d" * 250, dir_fd=fd)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    with pytest.raises(ArchiveError, match="longer than 4095"):
        listed(top)
