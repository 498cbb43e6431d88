# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Armor and packets octet by octet."""

from __future__ import annotations

import pytest

from _rocket.errors import TrustError
from _rocket.trust.openpgp import armor, packets

BODY = bytes(range(200))
GOOD = armor.enarmor(BODY, armor.SIGNATURE)


def read(data):
    return armor.dearmor(data, armor.SIGNATURE, "signature-malformed", "here")


def test_crc_of_the_standard():
    assert armor.crc24(b"") == 0xB704CE
    assert armor.crc24(b"123456789") == 0x21CF02


@pytest.mark.parametrize("size", [1, 2, 3, 47, 48, 49, 1000])
def test_round_trip(size):
    assert read(armor.enarmor(bytes(size), armor.SIGNATURE, ["a comment", "another"])) == bytes(size)


LINES = GOOD.split(b"\n")
BAD = {
    "character outside": GOOD.replace(LINES[2], b"!" + LINES[2][1:]),
    "space inside": GOOD.replace(LINES[2], LINES[2][:10] + b" " + LINES[2][10:]),
    "not ASCII": GOOD.replace(LINES[2], b"\xc3\xa9" + LINES[2]),
    "padding in the middle": GOOD.replace(LINES[2], b"AA==" + LINES[2]),
    "loose bits at the end": armor.enarmor(b"\0", armor.SIGNATURE).replace(b"AA==", b"AB=="),
    "empty line in the data": GOOD.replace(LINES[3], LINES[3] + b"\n"),
    "long line": GOOD.replace(LINES[2] + b"\n", LINES[2]),
    "wrong checksum": GOOD.replace(LINES[-3], b"=AAAA"),
    "checksum that is none": GOOD.replace(LINES[-3], b"=A==="),
    "header without a colon": GOOD.replace(b"-----\n\n", b"-----\nVersion\n\n", 1),
    "no empty line": GOOD.replace(b"-----\n\n", b"-----\n", 1),
    "no end": b"\n".join(LINES[:-2]),
    "end of another kind": GOOD.replace(b"END PGP SIGNATURE", b"END PGP MESSAGE"),
    "six dashes": b"-" + GOOD,
    "nothing inside": b"-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n",
    "begin alone": b"-----BEGIN PGP SIGNATURE-----",
    "NUL in front": b"\0" + GOOD,
}


@pytest.mark.parametrize("case", BAD)
def test_bad_armor(case):
    assert BAD[case] != GOOD
    with pytest.raises(TrustError) as caught:
        read(BAD[case])
    assert (caught.value.code, caught.value.where) == ("signature-malformed", "here")


def split(data, limit=16):
    return packets.read_packets(data, "key-malformed", "here", limit)


@pytest.mark.parametrize(
    "header",
    [b"\xc2\x03", b"\xc2\xff\0\0\0\x03", b"\x88\x03", b"\x89\0\x03", b"\x8a\0\0\0\x03"],
    ids=["new", "new, five octets", "old, one", "old, two", "old, four"],
)
def test_headers(header):
    (found,) = split(header + b"abc")
    assert (found.tag, found.body) == (2, b"abc")
    assert split(found.to_bytes()) == [found]


def test_two_octet_length():
    (found,) = split(b"\xc2\xc0\x08" + b"x" * 200)
    assert len(found.body) == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x02\x00",
        b"\xc2",
        b"\xc2\x05abc",
        b"\xc2\xff\xff\xff\xff\xff",
        b"\x8babc",
        b"\xc2\xe1abc",
        b"\xc0\x00",
        b"\x80\x00",
        b"\xc2\xff\0\0",
    ],
)
def test_bad_headers(data):
    with pytest.raises(TrustError) as caught:
        split(data)
    assert caught.value.code == "key-malformed"


def test_too_many_packets():
    assert len(split(b"\xc2\x00" * 16)) == 16
    with pytest.raises(TrustError):
        split(b"\xc2\x00" * 17)


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x09\x01", b"\x00\x02\x01", b"\x00\x08\x01", b"\x00\x01\x02", b"\x00\x09\x00\x01"])
def test_integers_have_one_form(data):
    with pytest.raises(TrustError):
        packets.Octets(data, "key-malformed", "here").mpi()


def test_integer():
    octets = packets.Octets(b"\x00\x09\x01\xff!", "key-malformed", "here")
    assert (octets.mpi(), octets.left) == (0x1FF, 1)
    with pytest.raises(TrustError):
        octets.end("the integer")
