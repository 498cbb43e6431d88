# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Layers in memory and archives on a disk are resolved alike: one layer makes the tree that unpacking its entries makes, or
neither is taken. The kernel's own resolution of paths is the judge of ours."""

from __future__ import annotations

import os

import pytest
from generated_archives import archives
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_archives import ZEROS
from image_corpus import corpus
from layered import converted

from _rocket.errors import ArchiveError
from _rocket.image.extract import extract
from _rocket.image.header import header, padding
from _rocket.image.layout import ROOTFS, Layout
from _rocket.image.limits import Limits
from _rocket.image.tar import Reader
from _rocket.record import replace

# Who unpacks finds a directory again by its path; where that led through a link that was replaced since, the directory keeps
# the mode and time that it was made with. In memory a directory is itself.
LOST = ("parent replaced before the deferred mode", "directory replaces a link", "second directory of a name behind a link")
CASES = {name: case for name, case in corpus().items() if not case.large and name not in LOST}


def layer_of(data):
    """Return the layer with the entries of an image, or None where the image is no tar or no image to any reader."""
    if not data.startswith((b"manifest", b"./", b"rootfs")):
        return None
    reader, layout, found = Reader(iter([data]), Limits()), Layout(Limits()), []
    try:
        for entry in reader.entries():
            parts = layout.place(entry)
            content = b"".join(reader.data(entry))
            if parts[:1] == ROOTFS and any(part.startswith(b".wh.") for part in parts):
                return None
            if parts[:1] == ROOTFS:
                name = b"/".join(parts[1:]) or b"."
                link = entry.link[len(b"rootfs/") :] if entry.kind == "hardlink" else entry.link
                found.append(header(replace(entry, name=name, link=link)) + content + padding(len(content)))
        layout.finish()
    except ArchiveError:
        return None
    return b"".join(found) + ZEROS


def unpacked(place, data):
    """Return the listing of the tree that an archive makes, or None where it is refused."""
    place.mkdir()
    (place / "image").write_bytes(data)
    (place / "tree").mkdir()
    with open(place / "image", "rb") as stream:
        try:
            extract(stream.fileno(), str(place / "tree"), listing=True, capabilities=True)
        except ArchiveError:
            return None
    # A directory that no entry names has one in the image that is made of layers.
    lines = (place / "tree" / "listing").read_bytes().splitlines()
    return [line.replace(b" i ", b" d ", 1) for line in lines]


def check_same_tree(place, data):
    layer = layer_of(data)
    if layer is None:
        return False
    expected = unpacked(place / "direct", data)
    try:
        made = converted(place, layer)[0]
    except ArchiveError as error:
        assert expected is None, str(error)
        return True
    assert unpacked(place / "converted", made) == expected
    return True


@pytest.mark.parametrize("name", CASES)
def test_the_corpus(root, tmp_path, name):
    data = CASES[name].make(os.fsencode(tmp_path / "outside"))
    (tmp_path / "outside").mkdir()
    compared = check_same_tree(tmp_path, data)
    assert compared or CASES[name].verdict == "refuse" or CASES[name].group in ("whiteouts", "compressed", "format", "bombs")
    assert os.listdir(tmp_path / "outside") == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=archives(st))
def test_archives_made_by_chance(root, tmp_path_factory, made):
    check_same_tree(tmp_path_factory.mktemp("same"), b"".join(made.members()) + ZEROS)
