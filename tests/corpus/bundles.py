# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Bundles for tests, honest and hostile, written by other code than the product's: each part can be another one than it should be."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile

END = bytes(1024)


def header(name, size, kind=b"0", mode=0o644, mtime=0, owner=0):
    """Return one header block of a ustar archive."""
    front = name.encode().ljust(100, b"\0") + b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode, owner, owner, size, mtime)
    back = kind + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\x000000000\0" + bytes(167)
    return front + b"%06o\0 " % (sum(front) + sum(back) + 256) + back


def member(name, content, **fields):
    """Return a member with its padding."""
    return header(name, len(content), **fields) + content + bytes(-len(content) % 512)


def image_id(data):
    """Return the image ID of an archive that is plain or gzip."""
    return "sha512-" + hashlib.sha512(gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).hexdigest()


class Part:
    """One image of a bundle: its bytes, its signature, and what is said of it.

    Args:
        data: the archive.
        name: that the bundle gives it.
        signature: content of its signature; empty for none.
        named: whether the operator named it.
        said: members of its object in ``bundle.json`` that are other ones.
    """

    def __init__(self, data, name, signature=b"", named=True, labels=None, **said):
        self.data, self.signature = data, signature
        self.said = {
            "id": said.get("id") or image_id(data),
            "name": name,
            "labels": {"version": "1.0"} if labels is None else labels,
            "named": named,
        }
        self.said |= {"size": len(data), "signatureSize": len(signature), **said}


def index(parts, **changes):
    """Return the value of ``bundle.json``."""
    images = [{"file": f"{number:03}.aci", **part.said} for number, part in enumerate(parts, 1)]
    return {"rktKind": "bundle", "rktVersion": "v1", "images": images, **changes}


def text(value):
    """Return a JSON value as ``bundle.json`` has it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def pieces(parts, said=None):
    """Return the members of a bundle, one item each, without the end."""
    found = [member("bundle.json", text(index(parts)) if said is None else said)]
    for number, part in enumerate(parts, 1):
        if part.signature:
            found.append(member(f"{number:03}.aci.asc", part.signature))
        found.append(member(f"{number:03}.aci", part.data))
    return found


def bundle(*parts, said=None):
    """Return a bundle."""
    return b"".join(pieces(parts, said)) + END


def names(path):
    """Return the names in a tar, as another reader sees them."""
    with tarfile.open(path) as archive:
        return archive.getnames()
