# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Attributes of overlayfs in an image (L37): with them one image shows directories of the image below it."""

from __future__ import annotations

import ctypes
import os
import subprocess

import pytest
from image_archives import directory, image, pax
from image_corpus import R

from _rocket.image import sandbox
from _rocket.image.extract import extract
from _rocket.image.limits import Limits

DATA = image(
    pax((b"SCHILY.xattr.trusted.overlay.redirect", b"/secret"), (b"SCHILY.xattr.trusted.overlay.opaque", b"n")),
    directory(R + b"open/"),
    pax((b"SCHILY.xattr.trusted.overlay.opaque", b"y")),
    directory(R + b"hidden/"),
)


@pytest.fixture
def mounted(root, tmp_path):
    """Mount the tree `top` over another image, and return what is seen, in a child with mounts of its own."""
    if not sandbox._may_mount():
        pytest.skip("missing ability: CAP_SYS_ADMIN")
    for name in ("below/secret", "below/hidden", "view", "top"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "below/secret/key").write_text("of another image")
    (tmp_path / "below/hidden/shadow").write_text("of another image")

    def work():
        options = f"lowerdir={tmp_path}/top/rootfs:{tmp_path}/below,redirect_dir=follow"
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"overlay", os.fsencode(tmp_path / "view"), b"overlay", 0, options.encode()) != 0:
            return {"skip": os.strerror(ctypes.get_errno())}
        return {"open": os.listdir(tmp_path / "view/open"), "hidden": os.listdir(tmp_path / "view/hidden")}

    def run():
        found = sandbox.run(work, (), Limits())
        if "skip" in found:
            pytest.skip(f"missing ability: mount of an overlay ({found['skip']})")
        return found

    return run


def test_no_directory_shows_one_of_another_image(mounted, tmp_path):
    (tmp_path / "image").write_bytes(DATA)
    with open(tmp_path / "image", "rb") as stream:
        extract(stream.fileno(), str(tmp_path / "top"))
    assert mounted() == {"open": [], "hidden": ["shadow"]}


def test_a_naive_extractor_shows_it(mounted, tmp_path, program):
    (tmp_path / "image").write_bytes(DATA)
    subprocess.run(
        [program("tar"), "--xattrs", "--xattrs-include=*", "-C", str(tmp_path / "top"), "-xf", str(tmp_path / "image")], check=True
    )
    assert mounted() == {"open": ["key"], "hidden": []}
