# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Compression: known by magic, bounded in size, ratio and memory, complete or refused."""

from __future__ import annotations

import gzip
import lzma
import os
import resource

import pytest
from corpus_bombs import COMPRESS
from image_archives import image

from _rocket.errors import ArchiveError
from _rocket.image.compression import decompressed, sniff
from _rocket.image.limits import Limits
from _rocket.image.stream import ahead


def expand(data, limits=None, chunk=1 << 20):
    pieces = (data[at : at + chunk] for at in range(0, len(data), chunk))
    return b"".join(decompressed(pieces, limits or Limits()))


@pytest.mark.spec("A5")
@pytest.mark.parametrize("chunk", [7, 1 << 20])
@pytest.mark.parametrize("name", COMPRESS)
def test_round_trip(name, chunk):
    data = os.urandom(100_000) + bytes(1_000_000)
    assert sniff(COMPRESS[name](data)) == name
    assert expand(COMPRESS[name](data), chunk=chunk) == data


@pytest.mark.spec("A5")
@pytest.mark.parametrize("name", COMPRESS)
def test_concatenated_members_are_one_stream(name):
    assert expand(COMPRESS[name](b"one") + COMPRESS[name](b"two")) == b"onetwo"


@pytest.mark.parametrize("cut", [1, 5, 9, 1000])
@pytest.mark.parametrize("name", COMPRESS)
def test_truncated(name, cut):
    with pytest.raises(ArchiveError):
        expand(COMPRESS[name](os.urandom(5000))[:-cut])


@pytest.mark.parametrize("tail", [b"\0", b"junk", b"\0" * 512, b"\x1f", b"\x1f\x8b", b"BZh"])
@pytest.mark.parametrize("name", COMPRESS)
def test_trailing_data(name, tail):
    with pytest.raises(ArchiveError):
        expand(COMPRESS[name](b"data") + tail)


@pytest.mark.parametrize("name", COMPRESS)
def test_damaged(name):
    data = bytearray(COMPRESS[name](os.urandom(5000)))
    data[len(data) // 2] ^= 1
    with pytest.raises(ArchiveError):
        expand(bytes(data))


@pytest.mark.parametrize("name", COMPRESS)
def test_bomb(name):
    """64 MiB of zeros: the ratio is noticed soon after the first 10 MiB."""
    produced = 0
    with pytest.raises(ArchiveError, match="200 times") as caught:
        for piece in decompressed(iter([COMPRESS[name](bytes(64 << 20))]), Limits()):
            produced += len(piece)
    assert caught.value.code == "archive-limit"
    assert produced <= 40 << 20


@pytest.mark.parametrize("name", COMPRESS)
def test_bomb_of_many_members(name):
    member = COMPRESS[name](bytes(1 << 20))
    with pytest.raises(ArchiveError, match="200 times"):
        expand(member * 64)


def test_a_small_image_may_expand_more():
    assert len(expand(gzip.compress(bytes(9 << 20)))) == 9 << 20


def test_size():
    with pytest.raises(ArchiveError) as caught:
        expand(gzip.compress(os.urandom(5000)), Limits(bytes=4999))
    assert caught.value.code == "archive-limit"
    assert len(expand(gzip.compress(os.urandom(5000)), Limits(bytes=5000))) == 5000


def test_members():
    with pytest.raises(ArchiveError, match="members"):
        expand(gzip.compress(b"") * 11, Limits(entries=10))


def test_xz_dictionary_is_bounded():
    """A few bytes ask for a dictionary of 1.5 GiB; the process must not even reserve it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bomb = lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 256 << 20}])
    with pytest.raises(ArchiveError, match="memory") as caught:
        expand(bomb)
    assert caught.value.code == "archive-limit"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 128 << 10


@pytest.mark.spec("A6")
@pytest.mark.parametrize("start", [b"\x8c\x0d\x04\x09", b"\xc3\x0d\x04\x09", b"\x85\x02", b"\xd2\x01", b"-----BEGIN PGP MESSAGE-----\n"])
def test_encrypted_is_named(start):
    with pytest.raises(ArchiveError, match="encrypted") as caught:
        sniff(start + bytes(600))
    assert "decrypt" in caught.value.hint


def test_gpg_output_is_recognised(program, tmp_path):
    gpg = program("gpg")
    import subprocess

    (tmp_path / "home").mkdir(mode=0o700)
    subprocess.run(
        [gpg, "--homedir", str(tmp_path / "home"), "--batch", "--passphrase", "x", "--pinentry-mode", "loopback", "-o", "out", "-c", "-"],
        input=image(),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    subprocess.run(["gpgconf", "--homedir", str(tmp_path / "home"), "--kill", "all"], check=False)
    with pytest.raises(ArchiveError, match="encrypted"):
        sniff((tmp_path / "out").read_bytes())


@pytest.mark.parametrize("data", [b"", b"x", b"<html>login</html>" * 50, b"PK\x03\x04"])
def test_unknown(data):
    with pytest.raises(ArchiveError) as caught:
        expand(data)
    assert caught.value.code == "not-an-image"


def test_reading_ahead_keeps_order_and_errors():
    def source():
        yield from (b"%d" % n for n in range(100))
        raise ArchiveError("late")

    seen = []
    with pytest.raises(ArchiveError, match="late"):
        for piece in ahead(source()):
            seen.append(int(piece))
    assert seen == list(range(100))


def test_reading_ahead_ends_when_nobody_reads_on():
    import threading

    before = threading.active_count()
    stream = ahead(b"x" for _turn in range(10**9))
    assert next(stream) == b"x"
    stream.close()
    assert threading.active_count() == before
