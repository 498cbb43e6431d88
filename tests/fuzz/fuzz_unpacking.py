# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The target `unpack`: bytes that say which entries an archive has, unpacked beside a canary.

Names come from a few words, so that entries meet: links, what is written through them, and what replaces them. Each
archive is unpacked in this process, where the fuzzer sees which lines run, and some of them in the child that is used in
earnest; both have to report the same.
"""

from __future__ import annotations

import os
import tempfile

import image_archives as make
from fuzz_targets import LIMITS, expect

from _rocket.errors import RocketError
from _rocket.image import extract, remove

WORDS = (b"a", b"b", b"c", b"d", b"l")
TARGETS = (
    b".",
    b"..",
    b"a",
    b"b",
    b"/",
    b"/a",
    b"../outside",
    b"../../outside",
    b"../../outside/sub",
    b"a/b",
    b"/proc/self/cwd",
    b"l",
    b"d/../b",
)
OUTSIDE = len(TARGETS)


class Choices:
    """Takes decisions from bytes; zeros when they are used up."""

    def __init__(self, data):
        self._data = data
        self._at = 0

    def left(self):
        """Whether there are bytes left."""
        return self._at < len(self._data)

    def below(self, count):
        """Return a number below `count`."""
        value = self._data[self._at] if self.left() else 0
        self._at += 1
        return value % count


def entries(data, outside):
    """Return the members of an archive that `data` stands for."""
    choices = Choices(data)
    members = []
    while choices.left() and len(members) < 24:
        kind = choices.below(8)
        name = b"rootfs/" + b"/".join(WORDS[choices.below(len(WORDS))] for _part in range(1 + choices.below(3)))
        fields = {"mode": (0o644, 0o4755, 0, 0o1777)[choices.below(4)], "uid": choices.below(3), "mtime": choices.below(9)}
        if choices.below(8) == 7:
            members.append(make.pax((b"SCHILY.xattr.user.x", b"evil"), (b"mtime", b"1.5")))
        if kind in (0, 1):
            members.append(make.file(name, b"evil" * choices.below(4), **fields))
        elif kind in (2, 3):
            members.append(make.directory(name + b"/", **fields))
        elif kind in (4, 5):
            at = choices.below(OUTSIDE + 2)
            target = TARGETS[at] if at < OUTSIDE else outside + (b"", b"/sub")[at - OUTSIDE]
            members.append(make.symlink(name, target, uid=fields["uid"], mtime=fields["mtime"]))
        elif kind == 6:
            target = b"/".join(WORDS[choices.below(len(WORDS))] for _part in range(1 + choices.below(2)))
            members.append(make.hardlink(name, b"rootfs/" + target, **fields))
        else:
            members.append(make.block(name, (b"6", b"3", b"4")[choices.below(3)], **fields))
    return members


def report(path, directory, unpack):
    """Return what unpacking says."""
    os.mkdir(directory)
    fd = os.open(path, os.O_RDONLY)
    try:
        return unpack(fd, directory)
    finally:
        os.close(fd)


def here(fd, directory):
    """Unpack in this process, and close what the child leaves open because it ends."""
    before = set(os.listdir("/proc/self/fd"))
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    mask = os.umask(0)
    try:
        found = extract._unpack(fd, root, LIMITS, extract._Wanted("", False, True, True))
    except RocketError as error:
        found = {"class": type(error).__name__, **error.to_json()}
    finally:
        os.umask(mask)
        for name in set(os.listdir("/proc/self/fd")) - before:
            try:
                os.close(int(name))
            except OSError:
                continue  # the listing itself
    return found


def in_a_child(fd, directory):
    """Unpack as it is done in earnest, without openat2."""
    try:
        found = extract.extract(fd, directory, LIMITS, openat2=False, listing=True)
    except RocketError as error:
        return {"class": type(error).__name__, **error.to_json()}
    return {name: getattr(found, name) for name in ("image_id", "files", "skipped_count", "dropped_xattrs", "owners")}


def run(data):
    """Unpack what `data` stands for."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as top:
        outside = make.canary(top)
        before = make.snapshot(outside)
        path = os.path.join(top, "image")
        with open(path, "wb") as stream:
            stream.write(make.image(*entries(data, outside)))
        try:
            found = report(path, os.path.join(top, "staging"), here)
            expect(make.snapshot(outside) == before, "something outside was changed", found)
            if data and sum(data) % 16 == 0:
                other = report(path, os.path.join(top, "second"), in_a_child)
                expect(make.snapshot(outside) == before, "something outside was changed by the child", other)
                for name in other:
                    expect(found.get(name) == other[name], "two ways of unpacking do not agree", found, other)
            expect(
                sorted(os.listdir(top)) in (["image", "outside", "staging"], ["image", "outside", "second", "staging"]),
                "a stray file",
                found,
            )
        finally:
            for name in ("staging", "second"):
                if os.path.lexists(os.path.join(top, name)):
                    remove.remove_tree(os.path.join(top, name))
