# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What we accept means the same to another reader: names, kinds, numbers, attributes and content of every member."""

from __future__ import annotations

import io
import os
import re
import tarfile
import tempfile

import pytest
from generated_archives import archives, listing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_corpus import corpus

from _rocket.errors import ArchiveError, RocketError
from _rocket.image.check import inspect
from _rocket.image.compression import decompressed
from _rocket.image.extract import extract
from _rocket.image.limits import DEFAULT
from _rocket.image.remove import remove_tree
from _rocket.image.tar import KINDS, Reader, split_name

CASES = [pytest.param(case, id=name) for name, case in corpus().items() if case.verdict != "refuse" and not case.large]
SECONDS = 10**9


def ours(data):
    """Return the members as we read them."""
    reader = Reader(iter([data]))
    found = []
    for entry in reader.entries():
        content = b"".join(reader.data(entry))
        numbers = (entry.mode, entry.uid, entry.gid, entry.mtime_ns // SECONDS)
        found.append((b"/".join(split_name(entry.name)), entry.kind, numbers, entry.link, dict(entry.xattrs), content))
    return found


def theirs(data):
    """Return the members as the standard library reads them, in our words."""
    archive = tarfile.open(fileobj=io.BytesIO(data))
    found = []
    for member in archive:
        kind = KINDS[member.type]
        # Beyond what file systems hold we clamp.
        seconds = min(max(int(member.mtime // 1), -(1 << 31)), 1 << 34)
        xattrs = {key[13:]: value for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr.")}
        found.append(
            (
                b"/".join(split_name(os.fsencode(member.name))),
                kind,
                (member.mode & 0o7777, member.uid, member.gid, seconds),
                os.fsencode(member.linkname) if kind in ("symlink", "hardlink") else b"",
                {os.fsencode(key): os.fsencode(value) for key, value in xattrs.items()},
                archive.extractfile(member).read() if kind == "file" else b"",
            )
        )
    return found


@pytest.mark.parametrize("case", CASES)
def test_the_corpus(case):
    data = b"".join(decompressed(iter([case.make(b"/nowhere")]), DEFAULT))
    assert ours(data) == theirs(data)


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(archives(st))
def test_archives_by_chance(archive):
    data = b"".join(archive.members()) + bytes(1024)
    try:
        found = ours(data)
    except ArchiveError:
        # The reader alone takes more than an image may hold; what it refuses is of no interest here.
        assert archive.defects
        return
    assert found == theirs(data), listing(data)


# What only who unpacks can see: entries that contradict each other in the tree.
IN_THE_TREE = "cannot be placed in the tree|a hard link leads to (itself|neither)"


@settings(max_examples=150, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(archives(st))
def test_who_looks_and_who_unpacks_agree(root, archive):
    with tempfile.TemporaryDirectory() as top:
        path = os.path.join(top, "x.aci")
        with open(path, "wb") as stream:
            stream.write(archive.data())
        os.mkdir(os.path.join(top, "staging"))
        with open(path, "rb") as stream:
            looked, unpacked = verdict(inspect, path), verdict(extract, stream.fileno(), os.path.join(top, "staging"))
        remove_tree(os.path.join(top, "staging"))
    assert unpacked == looked or re.search(IN_THE_TREE, unpacked), (looked, unpacked)


def verdict(read, *arguments):
    """Return the image ID, or why there is none."""
    try:
        return read(*arguments).image_id
    except RocketError as error:
        return error.what
