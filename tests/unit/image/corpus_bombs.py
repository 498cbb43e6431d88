# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Bombs, by size, count, ratio and memory, in real amounts; and compressed archives that are damaged or cut."""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import struct
import zlib

from image_archives import MANIFEST, ZEROS, block, directory, file, image, pax, record
from image_corpus import R, table

from _rocket.image import zstd

MIB, GIB = 1 << 20, 1 << 30
COMPRESS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


def zstd_compress(data):
    """Return `data` as one zstd frame with a checksum."""
    compressor = zstd.Compressor(3)
    return compressor.compress(data) + compressor.flush()


# Without the library nothing in zstd can be read either: test_image_zstd.py says so.
if zstd.available():
    COMPRESS["zstd"] = zstd_compress
PLAIN = image(file(R + b"x", bytes(range(256)) * 40))


@functools.lru_cache(None)
def head(size):
    """Return an image up to the content of its last file, of `size` bytes."""
    return file(b"manifest", MANIFEST) + directory(R) + block(R + b"zeros", size=size)


def gzip_zeros(size):
    """Return an image with `size` zeros in one gzip member of a thousandth of that; made from one piece, repeated."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = deflate.compress(head(size)) + deflate.flush(zlib.Z_FULL_FLUSH)
    piece = deflate.compress(bytes(MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)
    end = deflate.compress(ZEROS) + deflate.flush()
    check = zlib.crc32(head(size))
    for _piece in range(size // MIB):
        check = zlib.crc32(bytes(MIB), check)
    check = zlib.crc32(ZEROS, check)
    total = len(head(size)) + size + len(ZEROS)
    return b"\x1f\x8b\x08" + bytes(7) + start + piece * (size // MIB) + end + struct.pack("<II", check, total & 0xFFFFFFFF)


def members(compress, size, piece=16 * MIB):
    """Return an image with `size` zeros as a row of compressed members."""
    return compress(head(size)) + compress(bytes(piece)) * (size // piece) + compress(ZEROS)


def zstd_zeros(size, window=0x58):
    """Return an image with `size` zeros in one zstd frame: raw blocks around blocks of one repeated byte, by hand.

    A window descriptor `window` is exponent << 3 | mantissa: 2^(10 + exponent) bytes and eighths of it.
    """
    before, after = head(size), ZEROS
    blocks = [_block(0, before, len(before)), *[_block(1, b"\0", 128 << 10)] * (size // (128 << 10)), _block(0, after, len(after), last=1)]
    return b"\x28\xb5\x2f\xfd\x00" + bytes([window]) + b"".join(blocks)


def _block(kind, data, size, last=0):
    return struct.pack("<I", size << 3 | kind << 1 | last)[:3] + data


def zstd_frame(header, data=PLAIN, size=1 << 17):
    """Return a frame of raw blocks behind a frame header that is given byte by byte."""
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    blocks = [_block(0, piece, len(piece), last=piece is pieces[-1]) for piece in pieces]
    return b"\x28\xb5\x2f\xfd" + header + b"".join(blocks)


def skippable(data, number=0):
    """Return a frame that zstd skips."""
    return struct.pack("<II", 0x184D2A50 + number, len(data)) + data


def both():
    """Return a file that is a tar and a gzip: what gzip skips is a tar, in which the compressed data is the content of a file."""
    compressed, plain = image(file(R + b"of the gzip")), file(R + b"of the tar")
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = deflate.compress(compressed) + deflate.flush() + struct.pack("<II", zlib.crc32(compressed), len(compressed))
    members = file(b"manifest", MANIFEST) + directory(R) + plain + block(R + b"data", size=len(data))
    start = b"\x1f\x8b\x08\x04" + bytes(6) + struct.pack("<H", 1024 + len(members) - 12)
    comment = pax((b"comment", b"x"), kind=b"g")
    return block(start, b"g", size=len(record(b"comment", b"x"))) + comment[512:] + members + data + bytes(-len(data) % 512) + ZEROS


def xz_dictionary():
    """Return an xz stream of 68 bytes that asks for a dictionary of 1.5 GiB."""
    small = lzma.compress(b"some data", filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 4096}])
    # Block header: size, flags, filter 0x21, one byte of properties: the dictionary, here 3 << 29; then its checksum.
    header = bytearray(small[12:20])
    header[4] = 37
    return small[:12] + bytes(header) + struct.pack("<I", zlib.crc32(header)) + small[24:]


def damaged(data):
    """Return `data` with one bit changed in the middle."""
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    return bytes(changed)


def each(rows):
    """Return `rows`, name -> what makes an archive of a compression, for each compression."""
    return {
        f"{what} ({name})": (lambda _outside, make=make, compress=compress: make(compress))
        for what, make in rows.items()
        for name, compress in COMPRESS.items()
    }


DAMAGED = {
    "cut": lambda compress: compress(PLAIN)[:-9],
    "cut by a byte": lambda compress: compress(PLAIN)[:-1],
    "cut at half": lambda compress: compress(PLAIN)[: len(compress(PLAIN)) // 2],
    "one bit changed": lambda compress: damaged(compress(PLAIN)),
    "junk behind": lambda compress: compress(PLAIN) + b"junk",
    "zeros behind": lambda compress: compress(PLAIN) + bytes(512),
    "another format behind": lambda compress: compress(PLAIN) + (gzip if compress is bz2.compress else bz2).compress(b""),
    "compressed twice": lambda compress: compress(compress(PLAIN)),
    "a second archive as a member": lambda compress: compress(PLAIN) + compress(image(file(R + b"y"))),
}
WHOLE = {
    "in one piece": lambda compress: compress(PLAIN),
    "in many members": lambda compress: b"".join(compress(PLAIN[at : at + 1000]) for at in range(0, len(PLAIN), 1000)),
    "empty members between": lambda compress: compress(b"") * 3 + compress(PLAIN) + compress(b"") * 3,
}


def _zstd():
    """Return what only zstd can do; the first byte of a frame header says what follows, here mostly a window."""
    return [
        *table(
            "bombs", "refuse", {"1 GiB of zeros (zstd)": lambda _outside: zstd_zeros(GIB)}, "archive", "archive-limit", "200 times", True
        ),
        *table(
            "bombs",
            "refuse",
            {
                "window of 2 GiB (zstd)": lambda _outside: zstd_zeros(MIB, window=21 << 3),
                "window of 144 MiB (zstd)": lambda _outside: zstd_frame(bytes([0, 17 << 3 | 1])),
                "window of 2 GiB for one byte (zstd)": lambda _outside: zstd_compress(PLAIN) + zstd_frame(b"\x40\xa8\x00\x00", b"x" * 256),
                "window as large as the content (zstd)": lambda _outside: zstd_frame(b"\xe0" + struct.pack("<Q", 1 << 40)),
            },
            code="archive-limit",
            words="memory",
        ),
        *table(
            "compressed",
            "refuse",
            {
                "reserved bit (zstd)": lambda _outside: zstd_frame(b"\x08\x58"),
                "dictionary (zstd)": lambda _outside: zstd_frame(b"\x01\x58\x07"),
                "reserved block (zstd)": lambda _outside: zstd_frame(b"\x00\x58")[: -len(PLAIN) - 3] + b"\x07\0\0" + PLAIN,
                "another content size (zstd)": lambda _outside: zstd_frame(b"\x80\x58" + struct.pack("<I", len(PLAIN) + 1)),
                "skipped frame cut (zstd)": lambda _outside: zstd_compress(PLAIN) + skippable(b"x" * 99)[:-1],
                "nothing but skipped frames (zstd)": lambda _outside: skippable(b"x" * 600),
                "frame of an earlier format (zstd)": lambda _outside: zstd_compress(PLAIN) + b"\x27\xb5\x2f\xfd" + bytes(20),
                "magicless frame (zstd)": lambda _outside: zstd_compress(PLAIN) + zstd_compress(b"")[4:],
            },
        ),
        *table(
            "compressed",
            "accept",
            {
                "window of 128 MiB (zstd)": lambda _outside: zstd_frame(bytes([0, 17 << 3])),
                "raw blocks (zstd)": lambda _outside: zstd_frame(b"\x00\x58", size=1000),
                "content size (zstd)": lambda _outside: zstd_frame(b"\x80\x58" + struct.pack("<I", len(PLAIN))),
                "skipped frames (zstd)": lambda _outside: skippable(b"a" * 600) + zstd_compress(PLAIN) + skippable(b"", 15),
            },
        ),
    ]


CASES = [
    *table(
        "bombs",
        "refuse",
        {
            "1 GiB of zeros (gzip)": lambda _outside: gzip_zeros(GIB),
            "1 GiB of zeros in members (gzip)": lambda _outside: members(gzip.compress, GIB),
            "1 GiB of zeros (bzip2)": lambda _outside: members(bz2.compress, GIB),
            "1 GiB of zeros (xz)": lambda _outside: members(lzma.compress, GIB),
        },
        code="archive-limit",
        words="200 times",
        large=True,
    ),
    *table(
        "bombs",
        "refuse",
        {"a million empty members (gzip)": lambda _outside: gzip.compress(PLAIN) + gzip.compress(b"") * 1_000_000},
        code="archive-limit",
        words="members",
        large=True,
    ),
    *table(
        "bombs",
        "refuse",
        {"a million records": lambda _outside: image(*[pax(raw=b"", kind=b"g")] * 1_000_000)},
        code="archive-limit",
        words="entries",
        large=True,
    ),
    *table("bombs", "refuse", {"dictionary of 1.5 GiB (xz)": lambda _outside: xz_dictionary()}, code="archive-limit", words="memory"),
    *table("bombs", "accept", {"9 MiB of zeros (gzip)": lambda _outside: gzip_zeros(9 * MIB)}),
    *table("compressed", "refuse", each(DAMAGED)),
    *table("compressed", "refuse", {"a gzip and a tar": lambda _outside: both()}, words="after the end of the gzip data"),
    *(_zstd() if zstd.available() else ()),
    *table("compressed", "accept", each(WHOLE)),
]
