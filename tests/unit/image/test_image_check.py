# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Looking at an archive: what it is. Which archives are refused is in test_image_corpus.py."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os

import pytest
from image_archives import MANIFEST, ZEROS, file, image
from image_corpus import R

from _rocket.errors import ArchiveError
from _rocket.image.check import inspect
from _rocket.image.tar import Reader, entries


def sha(data):
    return "sha512-" + hashlib.sha512(data).hexdigest()


@pytest.mark.spec("A5")
@pytest.mark.spec("A9")
@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["none", "gzip", "bzip2", "xz"])
def test_both_digests(look, compress):
    tar = image(file(R + b"x", os.urandom(3 << 20)))
    data = compress(tar)
    found = look(data)
    assert (found.image_id, found.tar_size) == (sha(tar), len(tar))
    assert (found.file_digest, found.file_size) == (sha(data), len(data))
    assert found.manifest_bytes == MANIFEST
    assert found.manifest.name == "example.com/app"
    assert found.entries == 3


def test_a_descriptor_is_read_from_its_start_and_not_moved(tmp_path):
    (tmp_path / "image").write_bytes(image())
    with open(tmp_path / "image", "rb") as stream:
        stream.seek(77)
        assert inspect(stream.fileno()).image_id == sha(image())
        assert stream.tell() == 77


@pytest.mark.parametrize("name", [b"x/", b"rootfs/x//"])
def test_the_reader_itself_refuses_a_file_named_as_a_directory(name):
    with pytest.raises(ArchiveError, match="ends in"):
        list(entries(iter([file(name) + ZEROS])))


def test_only_the_content_of_the_current_entry_is_given():
    reader = Reader(iter([file(b"a", b"1") + file(b"b", b"2") + ZEROS]))
    found = reader.entries()
    first = next(found)
    next(found)
    with pytest.raises(ValueError, match="current"):
        list(reader.data(first))


def test_the_whole_file_is_looked_at(look):
    with pytest.raises(ArchiveError, match="after the end"):
        look(image() + bytes(3 << 20) + b"\1")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["FIFO", "directory"])
def test_only_regular_files(tmp_path, make):
    make(tmp_path / "x")
    with pytest.raises(ArchiveError, match="regular file"):
        inspect(str(tmp_path / "x"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ArchiveError, match="nowhere"):
        inspect(str(tmp_path / "nowhere"))


def test_the_message_escapes_what_the_archive_says(look):
    with pytest.raises(ArchiveError) as caught:
        look(image(file(b"evil\n\x1b[31m")))
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_no_thread_is_left(look):
    import threading

    before = threading.active_count()
    for data in (image(), gzip.compress(image()), gzip.compress(image())[:-9], b"junk", image()[:-1]):
        try:
            look(data)
        except ArchiveError:
            pass
        assert threading.active_count() == before


def test_every_single_changed_bit_of_a_header_is_noticed_or_changes_the_image(look):
    """Sum over the header: a flipped bit is a wrong checksum, or (in the checksum's own padding) another image ID."""
    good = image(file(R + b"x"))
    for at in range(1024, 1536, 7):
        data = bytearray(good)
        data[at] ^= 4
        try:
            assert look(bytes(data)).image_id != sha(good)
        except ArchiveError:
            pass
