# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What an archive may use up while it is unpacked: entries, bytes, memory, time, and the space that the host keeps."""

from __future__ import annotations

import ctypes
import gzip
import os
import resource

import pytest
from corpus_bombs import MIB, xz_dictionary
from image_archives import block, file, image, pax
from image_corpus import R

from _rocket.errors import ArchiveError, RocketError, StoreError
from _rocket.image import sandbox
from _rocket.image.check import inspect
from _rocket.image.extract import extract
from _rocket.image.limits import Limits


def big(size):
    """Return an image of one file of zeros."""
    return image(file(R + b"big", bytes(size)))


@pytest.mark.parametrize("case", ["entries", "bytes", "bytes of one file", "seconds", "global headers", "depth", "metadata"])
def test_limits(unpack, case):
    data, limits = {
        "entries": (image(file(R + b"x"), file(R + b"y")), Limits(entries=3)),
        "global headers": (image(*[pax((b"comment", b"c"), kind=b"g")] * 5), Limits(entries=3)),
        "bytes": (big(20000), Limits(bytes=16384)),
        "bytes of one file": (image(block(R + b"x", size=1 << 40)), Limits(bytes=1024)),
        "depth": (image(file(R + b"a/b/c/d")), Limits(depth=4)),
        "metadata": (image(pax((b"comment", b"c" * 5000)), file(R + b"x")), Limits(metadata=5000)),
        "seconds": (image(*[file(R + b"%d" % n) for n in range(30000)]), Limits(seconds=0)),
    }[case]
    with pytest.raises(ArchiveError) as caught:
        unpack(data, limits)
    assert caught.value.code == "archive-limit"


def test_looking_is_bounded_as_unpacking_is(tmp_path):
    """Who looks has often not verified the archive yet: it may not cost more than it may when it is trusted."""
    many = image(*[file(R + b"%d" % n) for n in range(30000)])
    cases = ((many, Limits(seconds=0)), (xz_dictionary(), Limits(decoder_memory=1 << 40, working_memory=256 * MIB)))
    path = tmp_path / "image.aci"
    for data, bound in cases:
        path.write_bytes(data)
        with pytest.raises(ArchiveError) as caught:
            inspect(str(path), bound)
        assert caught.value.code == "archive-limit", bound
        assert str(path) in str(caught.value)


def test_what_reaches_a_limit_is_let_through(unpack):
    data = image(file(R + b"a/b/c/d", bytes(5000)), pax((b"comment", b"c" * 4986)), file(R + b"x"))
    result = unpack(data, Limits(entries=4, bytes=len(data), depth=5, metadata=5000))
    assert result.files == 2


def test_memory_of_the_child(unpack):
    """Were the bound of the decoder not there, that of the process would be: it says so instead of falling over."""
    with pytest.raises(ArchiveError) as caught:
        unpack(xz_dictionary(), Limits(decoder_memory=1 << 40, working_memory=256 * MIB))
    assert caught.value.code == "archive-limit"
    assert "memory" in str(caught.value)


def test_size_of_a_file_in_the_child(unpack):
    """Where a file may not grow further, that is an error with a name, and no signal."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, 2 * MIB))
            with pytest.raises(ArchiveError, match="larger than a file may be") as caught:
                unpack(gzip.compress(big(3 * MIB)))
            status = 0 if caught.value.code == "archive-limit" else 2
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize("bound", ["reserve", "reserve_files"])
def test_the_reserve_is_looked_at_before(unpack, bound):
    with pytest.raises(StoreError) as caught:
        unpack(image(), Limits(**{bound: 1 << 60}))
    assert caught.value.code == "no-space"
    assert os.listdir(unpack.path("staging")) == [b"rootfs"]


@pytest.fixture
def small_disk(root, tmp_path):
    """Run a function that unpacks to a small file system of its own, in a child; return what it found, as JSON."""
    if not sandbox._may_mount():
        pytest.skip("missing ability: CAP_SYS_ADMIN")

    def run(options, data, limits):
        (tmp_path / "image").write_bytes(data)
        (tmp_path / "disk").mkdir()

        def work():
            # The child has a mount namespace of its own.
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.mount(b"none", os.fsencode(tmp_path / "disk"), b"tmpfs", 0, options.encode()) != 0:
                return {"skip": os.strerror(ctypes.get_errno())}
            (tmp_path / "disk" / "staging").mkdir()
            with open(tmp_path / "image", "rb") as stream:
                try:
                    extract(stream.fileno(), str(tmp_path / "disk" / "staging"), limits)
                    found = {"code": ""}
                except RocketError as error:
                    found = {"code": error.code, "text": str(error)}
            space = os.statvfs(tmp_path / "disk")
            return {**found, "free": space.f_bavail * space.f_frsize, "inodes": space.f_favail}

        found = sandbox.run(work, (), Limits())
        if "skip" in found:
            pytest.skip(f"missing ability: mount of a tmpfs ({found['skip']})")
        return found

    return run


@pytest.mark.parametrize("files", [1, 48])
def test_the_reserve_stays_free_while_files_are_written(small_disk, files):
    """There is room for the first half: the rest may not take what the host keeps, not even on the way to the error."""
    data = image(*[file(R + b"%d" % n, bytes(48 * MIB // files)) for n in range(files)])
    found = small_disk("size=64m", data, Limits(reserve=32 * MIB))
    assert found["code"] == "no-space"
    assert found["free"] >= 32 * MIB


@pytest.mark.parametrize("deep", [b"", b"d/" * 200])
def test_the_reserve_of_inodes_stays_free(small_disk, deep):
    """Directories that the archive does not name take inodes too."""
    count = 3000 if not deep else 30
    data = image(*[pax((b"path", R + b"%d/" % n + deep + b"x")) + file(b"x", b"") for n in range(count)])
    found = small_disk("nr_inodes=3000,size=64m", data, Limits(reserve=0, reserve_files=512))
    assert found["code"] == "no-space"
    assert found["inodes"] >= 512


def test_a_full_disk_is_named(small_disk):
    found = small_disk("size=4m", big(8 * MIB), Limits(reserve=-64 * MIB, reserve_files=0))
    assert found["code"] == "no-space"
    assert "rocket gc" in found["text"]


def test_what_fits_beside_the_reserve_is_unpacked(small_disk):
    found = small_disk("size=64m", big(20 * MIB), Limits(reserve=32 * MIB))
    assert found["code"] == ""
    assert found["free"] >= 32 * MIB
