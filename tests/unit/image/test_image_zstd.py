# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""zstd: read within bounds where the host has it, written on request alone, and named where it is missing."""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import subprocess
import sys

import pytest
from corpus_bombs import MIB, PLAIN, skippable, zstd_compress, zstd_frame, zstd_zeros
from image_archives import MANIFEST, image

from _rocket.errors import ArchiveError, HostError
from _rocket.image import zstd
from _rocket.image.build import build
from _rocket.image.check import inspect
from _rocket.image.compression import decompressed, sniff
from _rocket.image.limits import Limits
from _rocket.spec.image_manifest import parse_image_manifest


@pytest.fixture
def library():
    """The host has a libzstd."""
    if not zstd.available():
        pytest.skip("missing ability: the library libzstd")


def expand(data, limits=None, size=MIB):
    return b"".join(decompressed((data[at : at + size] for at in range(0, len(data), size)), limits or Limits()))


@pytest.mark.spec("A5")
def test_reading_names_what_is_missing(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert not zstd.available()
    with pytest.raises(HostError, match="libzstd1") as caught:
        expand(b"\x28\xb5\x2f\xfd" + bytes(600))
    assert str(caught.value).isprintable()


def test_an_old_library_is_refused(library, monkeypatch):
    monkeypatch.setattr(zstd, "_OLDEST", 1 << 30)
    with pytest.raises(HostError, match="older"):
        zstd.Compressor(3)


def test_writing_names_what_is_missing_and_leaves_nothing(tmp_path, monkeypatch):
    def missing(name):
        raise OSError(name)

    (tmp_path / "tree").mkdir()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(HostError, match="libzstd1"):
        build(str(tmp_path / "tree"), parse_image_manifest(MANIFEST), str(tmp_path / "x.aci"), "zstd")
    assert os.listdir(tmp_path) == ["tree"]


@pytest.mark.parametrize(
    ("header", "window"),
    [
        (b"\x00\x58", 2 * MIB),
        (b"\x00\x00", 1024),
        (b"\xc3\x89", 144 * MIB),
        (b"\x20\x05", 5),
        (b"\x60\x01\x01", 256 + 257),
        (b"\xa0" + struct.pack("<I", 1 << 31), 1 << 31),
        (b"\xe0" + struct.pack("<Q", 1 << 40), 1 << 40),
        (b"\x21\xff\x07", 7),
        (b"\x22\xff\xff\x07", 7),
        (b"\x23\xff\xff\xff\xff\x07", 7),
    ],
)
def test_the_window_of_a_header(header, window):
    """A window descriptor, or a size behind a dictionary's number; with each byte less, more is asked for."""
    start = zstd.FRAME + header
    assert zstd._window(start + b"\xff") == window
    needed = zstd.FRAME + header[: 2 if not header[0] & 0x20 else None]
    assert [zstd._window(needed[:end]) for end in range(len(needed))] == [-1] * len(needed)


@pytest.mark.parametrize("size", [1, 4, 5, 6, MIB])
def test_a_header_in_pieces_is_bounded_too(library, size):
    with pytest.raises(ArchiveError, match="memory"):
        expand(zstd_frame(b"\x00\x89"), size=size)
    assert expand(zstd_frame(b"\x00\x88"), size=size) == PLAIN


@pytest.mark.parametrize("first", [*(bytes((number,)) + b"\x2a\x4d\x18" for number in range(0x50, 0x60)), zstd.FRAME])
def test_every_first_frame_is_known(first):
    assert sniff(first + bytes(600)) == "zstd"


@pytest.mark.parametrize("first", [b"\x4f\x2a\x4d\x18", b"\x60\x2a\x4d\x18", b"\x27\xb5\x2f\xfd", b"\x28\xb5\x2f"])
def test_what_only_looks_like_one_is_not(first):
    with pytest.raises(ArchiveError) as caught:
        sniff(first + bytes(600))
    assert caught.value.code == "not-an-image"


@pytest.mark.parametrize("options", [["-1"], ["-19"], ["--ultra", "-22"], ["--long=27"], ["--no-check"], ["-T2"], ["--rsyncable"]])
def test_what_zstd_itself_writes_is_read(library, program, options):
    data = os.urandom(50_000) + bytes(300_000)
    done = subprocess.run([program("zstd"), "-q", "-c", *options], input=data, capture_output=True, check=True)
    assert expand(done.stdout) == data


def test_a_window_beyond_the_limit_is_refused_as_such(library):
    wide = zstd_zeros(MIB, window=18 << 3)
    for limit in (128 * MIB, 256 * MIB - 1, 255, 0):
        with pytest.raises(ArchiveError, match="memory") as caught:
            expand(wide, Limits(decoder_memory=limit))
        assert caught.value.code == "archive-limit"
    for limit in (256 * MIB, 1 << 32):
        assert len(expand(wide, Limits(decoder_memory=limit))) > MIB


def test_what_is_written_is_read_by_zstd_itself(library, program, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "f").write_bytes(os.urandom(1000) * 3000)
    manifest = parse_image_manifest(MANIFEST)
    ids = {build(str(tmp_path / "tree"), manifest, str(tmp_path / f"{form}.aci"), form) for form in ("none", "zstd", "gzip")}
    assert {inspect(str(tmp_path / "zstd.aci")).image_id} == ids
    subprocess.run([program("zstd"), "-q", "-d", str(tmp_path / "zstd.aci"), "-o", str(tmp_path / "tar")], check=True)
    assert (tmp_path / "tar").read_bytes() == (tmp_path / "none.aci").read_bytes()
    assert (tmp_path / "zstd.aci").read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    (tmp_path / "again").mkdir()
    build(str(tmp_path / "tree"), manifest, str(tmp_path / "again" / "zstd.aci"), "zstd")
    assert (tmp_path / "again" / "zstd.aci").read_bytes() == (tmp_path / "zstd.aci").read_bytes()


def test_it_is_never_written_by_default(tmp_path):
    (tmp_path / "tree").mkdir()
    build(str(tmp_path / "tree"), parse_image_manifest(MANIFEST), str(tmp_path / "x.aci"))
    assert (tmp_path / "x.aci").read_bytes()[:2] == b"\x1f\x8b"


def test_the_specifications_own_reader_refuses_it(library, program, tmp_path):
    """What we say of images in zstd: others do not read them."""
    (tmp_path / "x.aci").write_bytes(zstd_compress(PLAIN))
    done = subprocess.run([program("actool"), "validate", str(tmp_path / "x.aci")], capture_output=True, check=False)
    assert done.returncode != 0


def test_many_frames_use_one_context(library):
    """A million frames may come: what each takes has to be given back."""
    frames = zstd_compress(b"x") * 20_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert expand(frames) == b"x" * 20_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30 << 10
    with pytest.raises(ArchiveError, match="members"):
        expand(frames, Limits(entries=19_999))


def test_contexts_are_freed(library):
    expand(zstd_compress(bytes(MIB)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _turn in range(200):
        expand(zstd_compress(bytes(MIB)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 << 10


def test_a_frame_of_an_earlier_format_is_refused_although_the_library_reads_it(library):
    """Format 0.7, which the standard does not know; its reader is old code that nobody looks at."""
    old = b"\x27\xb5\x2f\xfd\x00\x50" + b"\x40\x00\x05hello" + b"\xc0\x00\x00"
    reader = zstd.Decompressor(128 * MIB)
    reader._start = None
    try:
        text = reader.decompress(old, 100)
    except zstd.Damage:
        pytest.skip("missing ability: a libzstd that reads earlier formats")
    assert text == b"hello"
    with pytest.raises(ArchiveError, match="after the end"):
        expand(zstd_compress(b"x") + old)


@pytest.mark.parametrize("space", [1, 64, 1000])
def test_a_small_buffer_of_output_changes_nothing(library, monkeypatch, space):
    data = os.urandom(3000) + bytes(5000)
    whole = zstd_compress(data)
    monkeypatch.setattr(zstd, "CHUNK", space)
    assert zstd_compress(data) == whole
    assert expand(whole) == data
    assert expand(whole, size=7) == data


def test_no_more_is_given_than_asked_for(library):
    reader = zstd.Decompressor(128 * MIB)
    assert reader.decompress(zstd_compress(b"x" * 1000), 10) == b"x" * 10
    assert not reader.needs_input
    assert not reader.eof


def test_frames_that_are_skipped_are_counted(library):
    with pytest.raises(ArchiveError, match="members"):
        expand(skippable(b"") * 11 + zstd_compress(image()), Limits(entries=10))


def test_nothing_loads_it_before_it_is_needed():
    program = "import sys; from _rocket.image import check, extract, build, compression; print('_rocket.image.zstd' in sys.modules)"
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.stdout == "False\n"
