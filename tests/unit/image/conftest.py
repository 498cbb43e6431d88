# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of archives: looking at bytes, and unpacking them beside a tree that must not change."""

from __future__ import annotations

import os

import pytest
from image_archives import canary, snapshot

from _rocket.image.check import inspect
from _rocket.image.extract import extract
from _rocket.image.limits import Limits


@pytest.fixture
def look(tmp_path):
    """Inspect bytes."""

    def run(data, limits=None):
        path = tmp_path / "image"
        path.write_bytes(data)
        return inspect(str(path), limits or Limits())

    return run


class Unpacking:
    """Unpacks bytes beside a canary; whatever happens, the canary stays byte-identical."""

    def __init__(self, top, openat2):
        self.top = os.fsencode(top)
        self.outside = canary(top)
        self.rootfs = os.path.join(self.top, b"staging", b"rootfs")
        self.openat2 = openat2

    def __call__(self, data, limits=None, **options):
        with open(self.path("image.aci"), "wb") as stream:
            stream.write(data)
        os.mkdir(self.path("staging"))
        before, around = snapshot(self.outside), sorted(os.listdir(self.top))
        with open(self.path("image.aci"), "rb") as stream:
            try:
                return extract(stream.fileno(), os.fsdecode(self.path("staging")), limits or Limits(), openat2=self.openat2, **options)
            finally:
                assert snapshot(self.outside) == before
                assert sorted(os.listdir(self.top)) == around
                assert set(os.listdir(self.path("staging"))) <= {b"rootfs"}

    def path(self, name):
        """Return a path beside the canary."""
        return os.path.join(self.top, os.fsencode(name))

    def at(self, *parts):
        """Return lstat of a path in the tree."""
        return os.lstat(os.path.join(self.rootfs, *parts))

    def read(self, *parts):
        """Return the content of a real file in the tree."""
        fd = os.open(os.path.join(self.rootfs, *parts), os.O_RDONLY | os.O_NOFOLLOW)
        with open(fd, "rb") as stream:
            return stream.read()


@pytest.fixture(params=[True, False], ids=["openat2", "walk"])
def unpack(request, root, tmp_path):
    """Unpack bytes, by the kernel's own resolution of paths and by ours."""
    return Unpacking(tmp_path, request.param)
