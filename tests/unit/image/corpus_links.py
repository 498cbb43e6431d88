# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Links, devices, extended attributes and names that mean something elsewhere."""

from __future__ import annotations

import struct

from image_archives import block, content, directory, file, hardlink, pax, symlink
from image_corpus import R, table

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
X = b"SCHILY.xattr."
FOREIGN = (
    b"trusted.overlay.redirect",
    b"user.overlay.opaque",
    b"security.selinux",
    b"trusted.x",
    b"system.posix_acl_access",
    b"security.ima",
)
EVIL = {"mode": 0o4777, "uid": 5, "gid": 6}

CASES = [
    *table(
        "symlinks",
        "inside",
        {
            "write through an absolute link": lambda out: [symlink(R + b"l", out), file(R + b"l/file", b"evil")],
            "write through a relative link": [symlink(R + b"l", b"../../outside"), file(R + b"l/file", b"evil")],
            "write through a link in the parent": [directory(R + b"d/"), symlink(R + b"d/l", b"../../../outside"), file(R + b"d/l/x")],
            "mkdir through a link": lambda out: [symlink(R + b"l", out), directory(R + b"l/new/")],
            "directory attributes through a link": lambda out: [symlink(R + b"l", out), directory(R + b"l/sub/", **EVIL)],
            "FIFO through a link": lambda out: [symlink(R + b"l", out), block(R + b"l/fifo", b"6")],
            "symlink through a link": lambda out: [symlink(R + b"l", out), symlink(R + b"l/new", b"x")],
            "hard link made through a link": lambda out: [file(R + b"f"), symlink(R + b"l", out), hardlink(R + b"l/new", R + b"f")],
            "mode through a link": lambda out: [symlink(R + b"l", out), file(R + b"l/passwd", b"canary", **EVIL)],
            "time through a link": lambda out: [symlink(R + b"l", out), directory(R + b"l/sub/", mtime=1)],
            "attributes through a link": lambda out: [symlink(R + b"l", out), pax((X + b"user.x", b"evil")), directory(R + b"l/sub/")],
            "attributes of a link": lambda out: [pax((X + b"user.x", b"evil")), symlink(R + b"l", out + b"/file", uid=5)],
            "file over a link": lambda out: [symlink(R + b"l", out + b"/file"), symlink(R + b"s", b"."), file(R + b"s/l", b"evil", **EVIL)],
            "chain of links": lambda out: [
                symlink(R + b"a", b"b"),
                symlink(R + b"b", b"c"),
                symlink(R + b"c", out),
                file(R + b"a/file", b"evil"),
            ],
            "dangling link as a parent": [symlink(R + b"a", b"../../outside/new"), file(R + b"a/x")],
            "dangling absolute link": lambda out: [symlink(R + b"a", out + b"/new"), directory(R + b"a/x/")],
            "directory replaced before its deferred mode": lambda out: [
                directory(R + b"d/", **EVIL),
                symlink(R + b"s", b"."),
                symlink(R + b"s/d", out + b"/sub"),
            ],
            "parent replaced before the deferred mode": lambda out: [
                symlink(R + b"p", b"q"),
                directory(R + b"q/sub/", **EVIL),
                directory(R + b"p/sub2/", mode=0o777),
                symlink(R + b"s", b"."),
                symlink(R + b"s/p", out),
            ],
            "proc magic link": lambda out: [symlink(R + b"l", b"/proc/self/root" + out), file(R + b"l/file", b"evil")],
            "proc cwd": [symlink(R + b"l", b"/proc/self/cwd"), file(R + b"l/file", b"evil")],
            "proc of a descriptor": [symlink(R + b"l%d" % n, b"/proc/self/fd/%d" % n) for n in range(3, 12)]
            + [file(R + b"l%d/rocket-test" % n, b"evil") for n in range(3, 12)],
        },
    ),
    *table(
        "symlinks",
        "refuse",
        {
            "loop of links": [symlink(R + b"a", b"b"), symlink(R + b"b", b"a"), file(R + b"a/x")],
            "link to itself": [symlink(R + b"a", b"a"), file(R + b"a/x")],
            "too many links": [symlink(R + b"l%d" % n, b"l%d" % (n + 1)) for n in range(60)] + [directory(R + b"l60/"), file(R + b"l0/x")],
        },
        seen="tree",
    ),
    *table(
        "symlinks",
        "accept",
        {
            "merged usr": [
                directory(R + b"usr/"),
                directory(R + b"usr/lib/"),
                symlink(R + b"lib", b"usr/lib"),
                symlink(R + b"lib64", b"/usr/lib"),
                file(R + b"lib/x", b"1"),
                file(R + b"lib64/y", b"2"),
            ],
            "absolute link to the image's own": [
                directory(R + b"etc/"),
                directory(R + b"d/"),
                symlink(R + b"d/l", b"/etc"),
                file(R + b"d/l/rocket-test", b"1"),
            ],
            "file replaces a link": lambda out: [symlink(R + b"l", out + b"/file"), symlink(R + b"s", b"."), file(R + b"s/l", b"new")],
            "dotdot in a link target": [directory(R + b"d/"), symlink(R + b"d/l", b"../../../../d"), file(R + b"d/l/x", b"1")],
            "directory replaces a link": [
                directory(R + b"d/"),
                symlink(R + b"d/self", b"."),
                file(R + b"d/self/a"),
                directory(R + b"d/self/self/"),
                file(R + b"d/self/b"),
            ],
            "second directory of a name behind a link": [
                directory(R + b"r/"),
                directory(R + b"r/sub/", mode=0o700, uid=1),
                directory(R + b"q/"),
                symlink(R + b"p", b"q"),
                directory(R + b"p/sub/", mode=0o777, uid=2),
                symlink(R + b"s", b"."),
                symlink(R + b"s/p", b"r"),
            ],
        },
    ),
    *table(
        "hard links",
        "refuse",
        {
            "hard link absolute": lambda out: [hardlink(R + b"x", out + b"/file")],
            "hard link dotdot": [hardlink(R + b"x", b"rootfs/../../outside/file"), symlink(R + b"s", b"."), file(R + b"s/x", b"evil")],
            "hard link out of rootfs": [hardlink(R + b"x", b"manifest")],
            "hard link to rootfs": [hardlink(R + b"x", b"rootfs")],
            "hard link relative to its directory": [file(R + b"f"), hardlink(R + b"x", b"f")],
            "hard link to another top": [file(R + b"f"), hardlink(R + b"x", b"other/f")],
            "hard link by pax path": [pax((b"linkpath", R + b"../../outside/file")), hardlink(R + b"x", b"short")],
            "hard link itself": [hardlink(R + b"x", R + b"x")],
            "hard link without target": [hardlink(R + b"x", b"")],
            "hard link with data": [file(R + b"f"), block(R + b"x", b"1", link=R + b"f", size=4) + content(b"evil")],
        },
    ),
    *table(
        "hard links",
        "refuse",
        {
            "hard link missing": [hardlink(R + b"x", R + b"y")],
            "hard link before its target": [hardlink(R + b"x", R + b"y"), file(R + b"y")],
            "hard link itself through a link": [file(R + b"x"), symlink(R + b"l", b"."), hardlink(R + b"l/x", R + b"x")],
            "hard link to a directory": [directory(R + b"d/"), hardlink(R + b"x", R + b"d")],
            "hard link to a FIFO": [block(R + b"f", b"6"), hardlink(R + b"x", R + b"f")],
            "hard link to a skipped device": [block(R + b"f", b"3"), hardlink(R + b"x", R + b"f")],
        },
        seen="tree",
    ),
    *table(
        "hard links",
        "inside",
        {
            "hard link through a linked directory": lambda out: [symlink(R + b"l", out), hardlink(R + b"x", R + b"l/file")],
            "hard link through a linked directory, then written": lambda out: [
                symlink(R + b"l", out),
                hardlink(R + b"x", R + b"l/file"),
                symlink(R + b"s", b"."),
                file(R + b"s/x", b"evil", **EVIL),
            ],
            "hard link to a symlink, then written": lambda out: [
                symlink(R + b"l", out + b"/file"),
                hardlink(R + b"h", R + b"l"),
                symlink(R + b"s", b"."),
                file(R + b"s/h", b"evil", **EVIL),
            ],
            "hard link to a linked directory, then used": lambda out: [
                symlink(R + b"l", out),
                hardlink(R + b"h", R + b"l"),
                file(R + b"h/file", b"evil"),
            ],
            "hard link written through a directory link": lambda out: [symlink(R + b"l", out), hardlink(R + b"l/x", R + b"l/passwd")],
        },
    ),
    *table(
        "hard links",
        "accept",
        {
            "one name of a pair overwritten": [
                file(R + b"a", b"old"),
                hardlink(R + b"b", R + b"a"),
                symlink(R + b"s", b"."),
                file(R + b"s/a", b"new"),
            ],
            "hard links": [file(R + b"a"), hardlink(R + b"b", R + b"a"), symlink(R + b"l", b"nowhere"), hardlink(R + b"m", R + b"l")],
        },
    ),
    *table("symlinks", "refuse", {"symlink with data": [block(R + b"x", b"2", link=b"f", size=4) + content(b"evil")]}),
    *table("symlinks", "refuse", {"symlink without target": [symlink(R + b"x", b"")]}),
    *table(
        "nodes",
        "skip",
        {
            "devices": [block(R + b"null", b"3", device=(1, 3)), block(R + b"sda\x1b", b"4", device=(8, 0)), block(R + b"w", b"3")],
            "device through a link": lambda out: [symlink(R + b"l", out), block(R + b"l/null", b"3", device=(1, 3))],
            "device with empty numbers": [block(R + b"null", b"3", device=(b"", b""))],
            "150 devices": [block(R + b"n%d" % n, b"3", device=(1, n)) for n in range(150)],
        },
    ),
    *table(
        "nodes",
        "refuse",
        {
            "device with data": [block(R + b"x", b"3", size=4) + content(b"evil")],
            "FIFO with data": [block(R + b"x", b"6", size=4) + content(b"evil")],
            "directory with data": [block(R + b"x", b"5", size=4) + content(b"evil")],
            "device number no number": [block(R + b"x", b"3", device=(b"x", b"y"))],
        },
    ),
    *table(
        "xattrs",
        "accept",
        {
            "attributes of overlayfs": [
                *[directory(R + b"d/"), directory(R + b"d/secret/")],
                *[pax((X + b"trusted.overlay.redirect", b"/d/secret"), (X + b"trusted.overlay.opaque", b"y")), directory(R + b"e/")],
                *[pax((X + b"user.overlay.redirect", b"/d/secret"), (X + b"user.overlay.opaque", b"y")), directory(R + b"f/")],
            ],
            "attributes of a host": [
                pax((X + b"security.capability", CAPABILITY), *[(X + name, b"y") for name in FOREIGN]),
                file(R + b"f"),
                pax(*[(X + name, b"y") for name in FOREIGN]),
                directory(R + b"d/"),
            ],
            "attributes of users": [pax((X + b"user.x", b"a\0\nb"), (X + b"user.y", b"")), file(R + b"f")],
            "attribute without a name": [pax((X, b"y"), (X + b"user.", b"y")), file(R + b"f")],
            "attribute with NUL": [pax((X + b"user.a\0b", b"y")), file(R + b"f")],
        },
    ),
    *table(
        "xattrs",
        "refuse",
        {
            "attribute with a long name": [pax((X + b"user." + b"n" * 251, b"y")), file(R + b"f")],
            "attribute of 64 KiB and a byte": [pax((X + b"user.x", b"y" * 65537)), file(R + b"f")],
        },
    ),
    *table(
        "whiteouts",
        "accept",
        {
            "whiteout": [file(R + b"x", b"1"), file(R + b".wh.x", b"")],
            "opaque directory": [directory(R + b"d/"), file(R + b"d/a", b"1"), file(R + b"d/.wh..wh..opq", b""), file(R + b"d/b", b"2")],
            "whiteouts that name nothing": [file(R + b".wh.", b""), file(R + b".wh..", b""), file(R + b".wh...", b"")],
            "whiteout through a link": lambda out: [directory(R + b"d/"), symlink(R + b"l", b"/d"), file(R + b"l/.wh.file", b"")],
        },
    ),
    *table(
        "whiteouts",
        "inside",
        {"whiteout of the outside": lambda out: [symlink(R + b"l", out), file(R + b"l/.wh.file", b""), file(R + b"l/.wh..wh..opq", b"")]},
    ),
]
