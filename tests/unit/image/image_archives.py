# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Archives for tests, honest and hostile, byte by byte: no library would write most of them."""

from __future__ import annotations

import json
import os
import stat

MANIFEST = json.dumps(
    {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/app", "labels": [{"name": "os", "value": "linux"}]}
).encode()
ZEROS = bytes(1024)
POSIX, GNU = b"ustar\x0000", b"ustar  \0"


def octal(value, width):
    """Return a number as tar writes it; bytes are taken as they are."""
    return value.ljust(width, b"\0")[:width] if isinstance(value, bytes) else b"%0*o\0" % (width - 1, value)


def base256(value, width):
    """Return a number in GNU's binary form."""
    raw = (value & ((1 << 8 * width) - 1)).to_bytes(width, "big")
    return bytes([raw[0] | 0x80]) + raw[1:]


def block(
    name,
    kind=b"0",
    *,
    size=0,
    mode=0o644,
    uid=0,
    gid=0,
    mtime=1_000_000_000,
    link=b"",
    magic=POSIX,
    prefix=b"",
    device=(0, 0),
    checksum=None,
    uname=b"",
    rest=b"",
):
    """Return one header block."""
    head = name.ljust(100, b"\0")[:100] + octal(mode, 8) + octal(uid, 8) + octal(gid, 8) + octal(size, 12) + octal(mtime, 12)
    tail = kind + link.ljust(100, b"\0")[:100] + magic + uname.ljust(32, b"\0") + bytes(32)
    tail += octal(device[0], 8) + octal(device[1], 8) + prefix.ljust(155, b"\0") + rest.rjust(12, b"\0")
    total = sum(head) + sum(tail) + 256 if checksum is None else checksum
    return head + b"%06o\0 " % total + tail


def content(data):
    """Return data with its padding."""
    return data + bytes(-len(data) % 512)


def record(key, value):
    """Return one PAX record."""
    rest = len(key) + len(value) + 3
    length = rest
    while length != rest + len(str(length)):
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def pax(*pairs, kind=b"x", raw=None):
    """Return an extended header."""
    data = b"".join(record(key, value) for key, value in pairs) if raw is None else raw
    return block(b"PaxHeaders/x", kind, size=len(data)) + content(data)


def long(name, kind=b"L"):
    """Return a GNU long name (L) or long link (K)."""
    return block(b"././@LongLink", kind, size=len(name) + 1, magic=GNU) + content(name + b"\0")


def file(name, data=b"data", **fields):
    """Return a file."""
    return block(name, size=len(data), **fields) + content(data)


def directory(name, **fields):
    """Return a directory."""
    return block(name, b"5", **{"mode": 0o755, **fields})


def symlink(name, target, **fields):
    """Return a symbolic link."""
    return block(name, b"2", link=target, mode=0o777, **fields)


def hardlink(name, target, **fields):
    """Return a hard link."""
    return block(name, b"1", link=target, **fields)


def image(*members, manifest=MANIFEST, root=None):
    """Return an uncompressed image with `members` behind manifest and rootfs."""
    return file(b"manifest", manifest) + (directory(b"rootfs/") if root is None else root) + b"".join(members) + ZEROS


def snapshot(top):
    """Return everything about a tree that a test could miss: inode facts, contents, extended attributes."""
    facts = {}
    for path, directories, files in os.walk(os.fsencode(top)):
        for name in [*directories, *files, b"."]:
            each = os.path.join(path, name)
            info = os.lstat(each)
            fact = [info.st_mode, info.st_uid, info.st_gid, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_nlink, info.st_ino]
            if stat.S_ISREG(info.st_mode):
                with open(each, "rb") as stream:
                    fact.append(stream.read())
            if stat.S_ISLNK(info.st_mode):
                fact.append(os.readlink(each))
            fact.append(
                sorted((name, os.getxattr(each, name, follow_symlinks=False)) for name in os.listxattr(each, follow_symlinks=False))
            )
            facts[each] = fact
    return facts


def facts(top, whole_seconds=False, xattrs=True, link_times=True):
    """Return what an image has to keep of a tree, by name, and which names are one inode."""
    found, inodes = {}, {}
    top = os.fsencode(top)
    for path, directories, files in os.walk(top):
        for name in [*directories, *files, b"."]:
            each = os.path.join(path, name)
            info = os.lstat(each)
            content = b""
            if stat.S_ISREG(info.st_mode):
                with open(each, "rb") as stream:
                    content = stream.read()
            elif stat.S_ISLNK(info.st_mode):
                content = os.readlink(each)
            attributes = os.listxattr(each) if xattrs and not stat.S_ISLNK(info.st_mode) else []
            time = info.st_mtime_ns // 10**9 if whole_seconds else info.st_mtime_ns
            if stat.S_ISLNK(info.st_mode) and not link_times:
                time = 0
            kept = sorted((name, os.getxattr(each, name)) for name in attributes)
            found[os.path.relpath(each, top)] = (info.st_mode, info.st_uid, info.st_gid, time, content, kept)
            inodes.setdefault(info.st_ino, set()).add(os.path.relpath(each, top))
    return found, sorted(map(sorted, inodes.values()))


def canary(top):
    """Make a tree outside that must never change; return its path."""
    path = os.path.join(os.fsencode(top), b"outside")
    os.makedirs(os.path.join(path, b"sub"))
    for name in (b"file", b"sub/file", b"passwd"):
        with open(os.path.join(path, name), "wb") as stream:
            stream.write(b"canary")
    os.symlink(b"file", os.path.join(path, b"link"))
    return path
