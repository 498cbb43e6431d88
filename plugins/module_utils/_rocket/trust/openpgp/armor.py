# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""ASCII armor (RFC 9580 section 6): exactly one block, nothing around it, canonical base64.

Not handled here: cleartext signatures, several blocks, data outside ASCII (all refused).
"""

from __future__ import annotations

from ...errors import TrustError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SIGNATURE = "SIGNATURE"
PUBLIC_KEY = "PUBLIC KEY BLOCK"
_SPACE = b" \t\r\n"
_CRC_START = 0xB704CE
_CRC_POLYNOMIAL = 0x1864CFB


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        crc = value << 16
        for _bit in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= _CRC_POLYNOMIAL
        table.append(crc)
    return table


def crc24(data: bytes) -> int:
    """Return the CRC-24 of RFC 9580 section 6.1; it finds accidents, not attackers."""
    table = _crc_table()
    crc = _CRC_START
    for octet in data:
        crc = ((crc << 8) & 0xFFFFFF) ^ table[(crc >> 16) ^ octet]
    return crc


def begin_line(kind: str) -> bytes:
    """Return the first line of the armor of `kind`, without the line end."""
    return f"-----BEGIN PGP {kind}-----".encode("ascii")


def _lines(data: bytes, kind: str, code: str, where: str) -> list[bytes]:
    begin, end = begin_line(kind), begin_line(kind).replace(b"BEGIN", b"END")
    lines = [line.rstrip(b" \t\r") for line in data.strip(_SPACE).split(b"\n")]
    if lines[0] != begin:
        if lines[0].startswith(b"-----BEGIN PGP"):
            shown = printable(lines[0].decode("latin-1"), 60)
            raise TrustError(f"an armored {kind} is expected, not {shown}", where=where, code=code, hint=_expected(kind))
        raise TrustError(f"does not start with {begin.decode()}", where=where, code=code, hint=_expected(kind))
    if lines[-1] != end:
        raise TrustError(f"does not end with {end.decode()}", where=where, code=code, hint=_expected(kind))
    inner = lines[1:-1]
    if any(line.startswith(b"-----") for line in inner):
        raise TrustError("holds more than one armor block", where=where, code=code, hint=_expected(kind))
    return inner


def _expected(kind: str) -> str:
    command = "gpg --armor --detach-sign FILE" if kind == SIGNATURE else "gpg --armor --export FINGERPRINT"
    return f"the file is the unchanged output of `{command}`"


def _after_headers(lines: list[bytes], kind: str, code: str, where: str) -> list[bytes]:
    for index, line in enumerate(lines):
        if not line:
            return lines[index + 1 :]
        name, colon, _value = line.partition(b":")
        if not colon or not name.replace(b"-", b"").isalnum():
            break
    raise TrustError("no empty line between armor headers and data", where=where, code=code, hint=_expected(kind))


def dearmor(data: bytes, kind: str, code: str, where: str) -> bytes:
    """Return the bytes inside the one armor block of `kind` (SIGNATURE or PUBLIC_KEY).

    Line ends may be CRLF, headers such as ``Version:`` are skipped, the checksum line may be missing.

    Raises:
        TrustError: with `code`: anything before or after the block, another kind, base64 that is not canonical, a
            wrong checksum.
    """
    import binascii

    lines = _after_headers(_lines(data, kind, code, where), kind, code, where)
    checksum = b""
    if lines and lines[-1].startswith(b"=") and len(lines[-1]) == 5:
        checksum = lines.pop()[1:]
    text = b"".join(lines)
    try:
        octets = binascii.a2b_base64(text)
        expected = binascii.a2b_base64(checksum)
    except binascii.Error as error:
        raise TrustError("the armor is not base64", where=where, code=code, hint=_expected(kind)) from error
    # a2b_base64 skips what is no base64; only the one text that encodes these bytes is taken.
    if not octets or binascii.b2a_base64(octets, newline=False) != text or any(not 0 < len(line) <= 76 for line in lines):
        raise TrustError("the armor is not canonical base64", where=where, code=code, hint=_expected(kind))
    if checksum and expected != crc24(octets).to_bytes(3, "big"):
        raise TrustError("the checksum of the armor is wrong", where=where, code=code, hint="fetch the file again; it was damaged")
    return octets


def enarmor(data: bytes, kind: str, comments: Sequence[str] = ()) -> bytes:
    """Return `data` in one armor block of `kind`, 64 characters a line, with a checksum; `comments` are ASCII."""
    import binascii

    lines = [begin_line(kind)]
    lines += [b"Comment: " + comment.encode("ascii") for comment in comments]
    lines.append(b"")
    lines += [binascii.b2a_base64(data[at : at + 48], newline=False) for at in range(0, len(data), 48)]
    lines.append(b"=" + binascii.b2a_base64(crc24(data).to_bytes(3, "big"), newline=False))
    lines.append(begin_line(kind).replace(b"BEGIN", b"END"))
    return b"\n".join(lines) + b"\n"
