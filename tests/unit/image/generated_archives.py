# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Archives made by chance: a small tree in any order, by our writer or byte by byte, with up to two defects."""

from __future__ import annotations

import bz2
import gzip
import lzma
from typing import Any, NamedTuple

import image_archives as make

from _rocket.image.header import header, padding
from _rocket.image.tar import Entry

PARTS = ("a", "b", "bin", "caf\udce9", "n" * 90, "x.y")
KINDS = ("file", "directory", "symlink", "hardlink", "fifo", "char")
COMPRESS = {"none": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


def _swapped(members, at):
    return [*members[at % len(members) :], *members[: at % len(members)]]


def _without(members, name):
    return [member for member in members if not member.startswith(name + b"\0") and not member.startswith(name + b"/\0")]


def _dated(members):
    return [make.pax((b"mtime", b"1.5")) + member if member.startswith(b"manifest\0") else member for member in members]


def _changed(data, at, value):
    changed = bytearray(data)
    changed[at % len(data)] ^= value
    return bytes(changed)


# Name -> (whether it has to be refused, what it does to the members, what it does to the bytes before compression).
DEFECTS = {
    "any order": (False, _swapped, None),
    "more zeros": (False, None, lambda data, at: data + bytes(512 * (at % 20))),
    "top entry": (False, lambda members, at: [make.directory(b"./"), *members], None),
    "record for the manifest": (False, lambda members, at: _dated(members), None),
    "hard link to nowhere": (False, lambda members, at: [*members, make.hardlink(b"rootfs/gone", b"rootfs/nowhere")], None),
    "repeated entry": (True, lambda members, at: [*members, members[at % len(members)]], None),
    "no manifest": (True, lambda members, at: _without(members, b"manifest"), None),
    "no rootfs": (True, lambda members, at: _without(members, b"rootfs"), None),
    "second manifest": (True, lambda members, at: [*members, make.file(b"manifest", make.MANIFEST)], None),
    "third name": (True, lambda members, at: [*members, make.file(b"etc/passwd")], None),
    "text prefix": (True, lambda members, at: [*members, make.file(b"rootfsx/y")], None),
    "absolute": (True, lambda members, at: [*members, make.file(b"/rootfs/y")], None),
    "dotdot": (True, lambda members, at: [*members, make.file(b"rootfs/../rootfs/y")], None),
    "empty part": (True, lambda members, at: [*members, make.file(b"rootfs//y")], None),
    "manifest of another kind": (True, lambda members, at: [make.directory(b"manifest/"), *_without(members, b"manifest")], None),
    "owner that cannot be": (True, lambda members, at: [*members, make.file(b"rootfs/y", uid=make.base256(-1 - at, 8))], None),
    "unknown type": (True, lambda members, at: [*members, make.block(b"rootfs/y", b"Z")], None),
    "sparse": (True, lambda members, at: [*members, make.pax((b"GNU.sparse.major", b"1")), make.file(b"rootfs/y")], None),
    "unknown key": (True, lambda members, at: [*members, make.pax((b"VENDOR.key", b"1")), make.file(b"rootfs/y")], None),
    "hard link outside": (True, lambda members, at: [*members, make.hardlink(b"rootfs/y", b"../etc/passwd")], None),
    "checksum": (True, lambda members, at: [*members, make.file(b"rootfs/y", checksum=at)], None),
    "cut": (True, None, lambda data, at: data[: len(data) - 1 - at % len(data)]),
    "data behind": (True, None, lambda data, at: data + bytes(at % 600) + b"x"),
    "one bit of the first header": (True, None, lambda data, at: _changed(data, at % 148, 4)),
}


# One of these makes up for the other.
MADE_UP = [{"no manifest", "second manifest"}, {"cut", "more zeros"}, {"cut", "data behind"}, {"record for the manifest", "no manifest"}]


class Archive(NamedTuple):
    """What chance chose."""

    entries: tuple[Any, ...]
    ours: bool
    compression: str
    defects: tuple[tuple[str, int], ...]

    def members(self):
        """Return the members, defects of members included."""
        found = [_member(Entry(name=b"manifest", kind="file", size=len(make.MANIFEST)), make.MANIFEST, self.ours)]
        found.append(_member(Entry(name=b"rootfs/", kind="directory", mode=0o755), b"", self.ours))
        for entry, content in self.entries:
            found.append(_member(entry, content, self.ours or max(len(entry.name), len(entry.link)) > 99))
        for name, at in self.defects:
            change = DEFECTS[name][1]
            found = change(found, at) if change else found
        return found

    def data(self):
        """Return the bytes of the archive."""
        data = b"".join(self.members()) + bytes(1024)
        for name, at in self.defects:
            change = DEFECTS[name][2]
            data = change(data, at) if change else data
        return COMPRESS[self.compression](data)

    def refused(self):
        """Whether one of the defects has to be refused."""
        return any(DEFECTS[name][0] for name, _at in self.defects)


def _member(entry, content, ours):
    """Return an entry with its content, by our writer or byte by byte."""
    if ours:
        return header(entry) + content + padding(len(content))
    kind = {"file": b"0", "hardlink": b"1", "symlink": b"2", "char": b"3", "directory": b"5", "fifo": b"6"}[entry.kind]
    fields = {"mode": entry.mode, "uid": _owner(entry.uid), "gid": _owner(entry.gid), "link": entry.link, "device": entry.device}
    return make.block(entry.name, kind, size=len(content), magic=make.GNU, **fields) + make.content(content)


def _owner(number):
    return number if number < 8**7 else make.base256(number, 8)


def archives(st):
    """Return the strategy of hypothesis that makes Archives; `st` is hypothesis.strategies."""
    parts = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3)
    path = parts.map(lambda found: b"rootfs/" + "/".join(found).encode("utf-8", "surrogateescape"))
    number = st.sampled_from([0, 1, 65534, 2**21, 2**31])

    @st.composite
    def entry(draw, name):
        kind = draw(st.sampled_from(KINDS))
        content = draw(st.binary(max_size=700)) if kind == "file" else b""
        more = {"size": len(content), "uid": draw(number), "gid": draw(number), "mode": draw(st.integers(0, 0o7777))}
        if kind in ("symlink", "hardlink"):
            more["link"] = draw(path if kind == "hardlink" else st.sampled_from([b"a", b"/etc", b"../..", b"t" * 150]))
        if kind == "file":
            more["mtime_ns"] = draw(st.integers(-(2**40), 2**61))
            more["xattrs"] = ((b"user.x", draw(st.binary(max_size=20))),) if draw(st.booleans()) else ()
        suffix = b"/" if kind == "directory" else b""
        if more.get("link") == name:
            more["link"] = b"rootfs/other"
        return Entry(name=name + suffix, kind=kind, **more), content

    defect = st.tuples(st.sampled_from(sorted(DEFECTS)), st.integers(0, 5000))

    @st.composite
    def archive(draw):
        names = draw(st.lists(path, max_size=5, unique=True))
        return Archive(
            entries=tuple(draw(entry(name)) for name in names),
            ours=draw(st.booleans()),
            compression=draw(st.sampled_from(sorted(COMPRESS))),
            defects=tuple(draw(st.lists(defect, max_size=2, unique_by=lambda chosen: chosen[0]))),
        )

    return archive().filter(lambda made: {name for name, _at in made.defects} not in MADE_UP)


def listing(data):
    """Return what looks like headers in an uncompressed archive, for the message of a test."""
    lines = []
    for at in range(0, len(data) - 511, 512):
        block = data[at : at + 512]
        if block[257:262] == b"ustar":
            name, size, link = (block[start:end].rstrip(b"\0") for start, end in ((0, 100), (124, 136), (157, 257)))
            lines.append(f"{at:>8} {block[156:157]!r} {name!r} size {size!r} link {link!r}")
    return "\n".join([f"{len(data)} bytes, which begin {data[:24]!r}", *lines[:40]])
