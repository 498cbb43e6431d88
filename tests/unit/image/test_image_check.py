# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Looking at an archive: what it is, and that every archive that cannot be unpacked by name alone is refused here too."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os

import pytest
from image_archives import GNU, MANIFEST, ZEROS, aci, base256, block, directory, file, hardlink, long, pax, symlink

from _rocket.errors import ArchiveError, SpecError
from _rocket.image.check import inspect
from _rocket.image.limits import Limits
from _rocket.image.tar import Reader, entries

R = b"rootfs/"


def sha(data):
    return "sha512-" + hashlib.sha512(data).hexdigest()


@pytest.fixture
def look(tmp_path):
    """Inspect bytes."""

    def run(data, limits=None):
        path = tmp_path / "image"
        path.write_bytes(data)
        return inspect(str(path), limits or Limits())

    return run


@pytest.mark.spec("A5")
@pytest.mark.spec("A9")
@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["none", "gzip", "bzip2", "xz"])
def test_both_digests(look, compress):
    tar = aci(file(R + b"x", os.urandom(3 << 20)))
    data = compress(tar)
    found = look(data)
    assert (found.image_id, found.tar_size) == (sha(tar), len(tar))
    assert (found.file_digest, found.file_size) == (sha(data), len(data))
    assert found.manifest_bytes == MANIFEST
    assert found.manifest.name == "example.com/app"
    assert found.entries == 3


def test_a_descriptor_is_read_from_its_start_and_not_moved(tmp_path):
    (tmp_path / "image").write_bytes(aci())
    with open(tmp_path / "image", "rb") as stream:
        stream.seek(77)
        assert inspect(stream.fileno()).image_id == sha(aci())
        assert stream.tell() == 77


@pytest.mark.spec("A3")
@pytest.mark.parametrize(
    "data",
    [
        directory(b"rootfs/") + file(b"manifest", MANIFEST) + ZEROS,
        directory(b"./") + file(b"./manifest", MANIFEST) + directory(b"./rootfs") + file(b"./rootfs/x") + ZEROS,
        aci(long(R + b"n" * 200), file(b"short", magic=GNU)),
        aci(pax((b"comment", b"x"), kind=b"g"), pax((b"atime", b"1"), (b"uname", b"r"), (b"path", R + b"y")), file(b"x")),
        aci(file(b"x", prefix=b"rootfs/deep"), block(R + b"null", b"3", device=(b"", b""))),
        aci(file(R + b"x", uid=base256(3_000_000, 8), mtime=base256(-7, 12), mode=b" 644 \0")),
    ],
    ids=["manifest last", "leading dot", "GNU long name", "comments", "prefix and empty device", "base-256 and spaces"],
)
def test_accepted(look, data):
    assert look(data).manifest.name == "example.com/app"


BAD = {
    "no manifest": (directory(b"rootfs/") + ZEROS, "A3"),
    "no rootfs": (file(b"manifest", MANIFEST) + ZEROS, "A3"),
    "rootfs only by its children": (file(b"manifest", MANIFEST) + file(R + b"x") + ZEROS, "A3"),
    "manifest a symlink": (symlink(b"manifest", b"rootfs/m") + directory(b"rootfs") + ZEROS, "A3"),
    "manifest a hard link": (directory(b"rootfs") + file(R + b"m", MANIFEST) + hardlink(b"manifest", R + b"m") + ZEROS, "A3"),
    "manifest a directory": (directory(b"manifest/") + directory(b"rootfs") + ZEROS, "A3"),
    "below manifest": (aci(file(b"manifest/x")), "A3"),
    "text prefix": (aci(file(b"rootfsevil/x")), "A3"),
    "third name": (aci(file(b"other")), "A3"),
    "second manifest": (aci(file(b"./manifest", MANIFEST)), "A2"),
    "duplicate": (aci(file(R + b"x"), file(R + b"x")), "A2"),
    "duplicate of a long name": (aci(*[long(R + b"n" * 200), file(b"short")] * 2), "A2"),
    "duplicate with a slash": (aci(directory(R + b"x"), directory(R + b"x/")), "A2"),
    "root twice": (directory(b"./") + aci(directory(b".")), "A2"),
    "two slashes at the end": (aci(directory(R + b"x//")), "A3"),
    "two dots in front": (aci(file(b"././rootfs/x")), "A3"),
    "absolute": (aci(file(b"/rootfs/x")), "A3"),
    "empty manifest": (file(b"manifest", b"") + directory(b"rootfs") + ZEROS, "A10"),
}


@pytest.mark.spec("A2")
@pytest.mark.spec("A3")
@pytest.mark.parametrize("case", BAD)
def test_not_an_image(look, case):
    data, rule = BAD[case]
    with pytest.raises(ArchiveError, match=rule) as caught:
        look(data)
    assert str(caught.value).count("\n") == 0


@pytest.mark.spec("A10")
@pytest.mark.parametrize("manifest", [b"{", b"[]", b"\xff", b'{"acKind":"PodManifest","acVersion":"0.8.11"}'])
def test_manifest_is_checked(look, manifest):
    with pytest.raises(SpecError):
        look(aci(manifest=manifest))


def test_a_huge_manifest_is_refused_before_it_is_read(look):
    with pytest.raises(ArchiveError) as caught:
        look(block(b"manifest", size=3 << 30) + bytes(4096))
    assert caught.value.code == "archive-limit"


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
        look(aci() + bytes(3 << 20) + b"\1")


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
        look(aci(file(b"evil\n\x1b[31m")))
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_no_thread_is_left(look):
    import threading

    before = threading.active_count()
    for data in (aci(), gzip.compress(aci()), gzip.compress(aci())[:-9], b"junk", aci()[:-1]):
        try:
            look(data)
        except ArchiveError:
            pass
        assert threading.active_count() == before


def test_every_single_changed_bit_of_a_header_is_noticed_or_changes_the_image(look):
    """Sum over the header: a flipped bit is a wrong checksum, or (in the checksum's own padding) another image ID."""
    good = aci(file(R + b"x"))
    for at in range(1024, 1536, 7):
        data = bytearray(good)
        data[at] ^= 4
        try:
            assert look(bytes(data)).image_id != sha(good)
        except ArchiveError:
            pass
