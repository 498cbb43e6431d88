# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Compressed archives: gzip, bzip2, xz or none, known by their first bytes and never by a name (A5); zstd as our extension.

Concatenated members are one stream, as each of the formats says. Anything else behind the end is refused, and so is a
stream that ends early: what was hashed is what was read.

Not handled here: PGP encryption (A6), which is recognised and refused by name.
"""

from __future__ import annotations

from ..errors import ArchiveError, HostError
from .stream import CHUNK, over_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .limits import Limits

SNIFF = 512
FORMATS = ("none", "gzip", "bzip2", "xz", "zstd")
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))
# A frame that zstd skips: 16 numbers for programs to tell things apart by. Some write one in front.
_SKIPPABLE = (b"\x2a\x4d\x18", range(0x50, 0x60))
# Session keys and encrypted data (RFC 4880 4.2): tags 1, 3, 9 in the old form, 1, 3, 9, 18, 20 in the new one.
_PGP = frozenset((*range(0x84, 0x88), *range(0x8C, 0x90), *range(0xA4, 0xA8), 0xC1, 0xC3, 0xC9, 0xD2, 0xD4))
# Input goes in small pieces: the ratio is counted by what was fed, and zlib copies what it has not used.
_PIECE = 64 << 10


def sniff(start: bytes) -> str:
    """Return the compression, one of FORMATS, of an archive that begins with `start` (SNIFF bytes, or all there are).

    Raises:
        ArchiveError: none of these (A5); an encrypted archive is named as such (A6).
    """
    # In the order of the specification's own reader: a file can be a tar and a gzip at once, which skips what is the tar.
    for magic, name in _MAGIC:
        if start.startswith(magic):
            return name
    if start[1:4] == _SKIPPABLE[0] and start[0] in _SKIPPABLE[1]:
        return "zstd"
    if start[257:262] == b"ustar":
        return "none"
    if start.startswith(b"-----BEGIN PGP MESSAGE") or (start[:1] and start[0] in _PGP):
        raise ArchiveError(
            "the archive is encrypted with PGP, which is not supported (A6)",
            code="not-an-image",
            hint="decrypt it first, or ask its publisher for the plain form",
        )
    raise ArchiveError(
        "this is no App Container Image: neither a tar nor one in gzip, bzip2, xz or zstd (A5)",
        code="not-an-image",
        hint="look at the file: a login page or an error page is a common cause",
    )


class _Inflate:
    """``zlib`` with the interface that ``bz2`` and ``lzma`` share."""

    def __init__(self) -> None:
        import zlib

        self._inflate = zlib.decompressobj(31)
        self._tail = b""
        self.needs_input = True
        self.eof = False
        self.unused_data = b""

    def decompress(self, data: bytes, limit: int) -> bytes:
        output = self._inflate.decompress(self._tail + data if self._tail else data, limit)
        self._tail = self._inflate.unconsumed_tail
        self.eof = self._inflate.eof
        self.unused_data = self._inflate.unused_data
        # A full output buffer may hide more of it, although all input is used.
        self.needs_input = not self._tail and len(output) < limit
        return output


def _decoder(name: str, limits: Limits) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    """Return what makes a decoder of one member, and the errors of damaged data."""
    if name == "zstd":
        from . import zstd

        return zstd.Decompressor(limits.decoder_memory).begin, (zstd.Damage,)
    try:
        if name == "gzip":
            import zlib

            return _Inflate, (zlib.error,)
        if name == "bzip2":
            import bz2

            return bz2.BZ2Decompressor, (OSError, ValueError)
        import lzma
    except ImportError as error:
        raise HostError(f"this Python was built without {name}", hint=f"use an image in another compression ({error})") from error
    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.decoder_memory), (lzma.LZMAError,)


def decompressed(stream: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    """Return the stream of the tar in `stream`.

    Raises (while iterating):
        ArchiveError: no known format, damaged, cut, data behind the end; over a limit (code ``archive-limit``).
        HostError: this Python, or for zstd this host, lacks the decoder.
    """
    start, stream = _peek(stream)
    name = sniff(start)
    if name == "none":
        yield from _bounded(stream, limits)
        return
    make, damage = _decoder(name, limits)
    decoder, fed, produced, members = None, 0, 0, 0
    for data in _pieces(stream):
        fed += len(data)
        while data or (decoder is not None and not decoder.needs_input):
            if decoder is None:
                decoder = make()
                members += 1
                if members > limits.entries:
                    raise over_limit(f"the {name} data has more than {limits.entries} members")
            try:
                output = decoder.decompress(data, CHUNK)
            except damage as error:
                raise _damaged(name, members, error) from error
            produced += len(output)
            _check(produced, fed, limits)
            if output:
                yield output
            data = b""
            if decoder.eof:
                data, decoder = decoder.unused_data, None
    if decoder is not None:
        raise ArchiveError(f"the {name} data ends early", hint="the file is cut; get it again")


def _check(produced: int, fed: int, limits: Limits) -> None:
    if produced > limits.bytes:
        raise over_limit(f"the archive holds more than {limits.bytes} bytes")
    if produced > limits.ratio_after and produced > fed * limits.ratio:
        raise over_limit(f"the archive expands more than {limits.ratio} times")


def _damaged(name: str, members: int, error: Exception) -> ArchiveError:
    if "limit" in str(error).lower():
        return over_limit(f"the {name} data asks for too much memory")
    if members > 1:
        return ArchiveError(f"there is data after the end of the {name} data", hint="the file was changed; get it again")
    return ArchiveError(f"the {name} data is damaged ({error})", hint="get the file again")


def _peek(stream: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first SNIFF bytes at least, where there are so many, and the whole stream again."""
    start: list[bytes] = []
    for chunk in stream:
        start.append(chunk)
        if sum(map(len, start)) >= SNIFF:
            break

    def whole() -> Iterator[bytes]:
        yield from start
        yield from stream

    return b"".join(start), whole()


def _bounded(stream: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    produced = 0
    for chunk in stream:
        produced += len(chunk)
        _check(produced, produced, limits)
        yield chunk


def _pieces(stream: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in stream:
        for at in range(0, len(chunk), _PIECE):
            yield chunk[at : at + _PIECE]
