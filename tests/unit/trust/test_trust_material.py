# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Keys whose numbers are no good, though their packets are."""

from __future__ import annotations

import pytest
from trust_bench import START

from _rocket.errors import TrustError

pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")

import trust_forge as forge
from trust_forge import Key

OWNER = Key(1)


def _rsa(modulus, exponent=65537, created=START):
    return b"\x04" + forge.number(created, 4) + b"\x01" + forge.mpi(modulus) + forge.mpi(exponent)


def _point(oid, algorithm, point):
    return (
        b"\x04" + forge.number(START, 4) + bytes((algorithm, len(oid) // 2)) + bytes.fromhex(oid) + forge.mpi(int.from_bytes(point, "big"))
    )


P256, ED25519 = "2a8648ce3d030107", "2b06010401da470f01"
FIELD = 2**255 - 19
MATERIAL = {
    "even RSA modulus": (_rsa(1 << 2047), "key-malformed", "even"),
    "oversized RSA modulus": (_rsa((1 << 16384) | 1), "key-malformed", "16385"),
    "RSA-1024": (_rsa((1 << 1023) | 1), "algorithm-refused", "1024"),
    "RSA-2047": (_rsa((1 << 2046) | 1), "algorithm-refused", "2047"),
    "RSA exponent 1": (_rsa((1 << 2047) | 1, 1), "key-malformed", "exponent"),
    "RSA exponent even": (_rsa((1 << 2047) | 1, 65536), "key-malformed", "exponent"),
    "compressed P-256": (_point(P256, 19, b"\x02" + b"\x11" * 32), "key-malformed", "uncompressed"),
    "P-256 off the curve": (_point(P256, 19, b"\x04" + b"\x11" * 64), "key-malformed", "does not verify"),
    "P-256 as EdDSA": (_point(P256, 22, b"\x04" + b"\x11" * 64), "algorithm-refused", "curve"),
    "brainpool": (_point("2b2403030208010107", 19, b"\x04" + b"\x11" * 64), "algorithm-refused", "curve"),
    "Ed25519 off the curve": (_point(ED25519, 22, b"\x40" + b"\x02" + bytes(31)), "key-malformed", "curve"),
    "Ed25519 not canonical": (_point(ED25519, 22, b"\x40" + (FIELD + 4).to_bytes(32, "little")), "key-malformed", "canonical"),
    "version 3": (b"\x03" + OWNER.body[1:], "key-malformed", "version 3"),
    "version 6": (b"\x06" + OWNER.body[1:], "key-malformed", "version 6"),
    "DSA": (b"\x04" + forge.number(START, 4) + b"\x11" + b"\0\x01\x01" * 4, "algorithm-refused", "DSA"),
    "octets after the key": (OWNER.body + b"\0", "key-malformed", "follow"),
}


@pytest.mark.parametrize("case", MATERIAL)
def test_refused_material(bench, case):
    body, code, words = MATERIAL[case]
    key = Key(1, body=body)
    with pytest.raises(TrustError) as caught:
        bench.keyring.plan_add(forge.key_file(forge.certificate(key)), key.fingerprint, None)
    assert (caught.value.code, words in str(caught.value)) == (code, True), str(caught.value)


def _small_order_points():
    """Find the eight points by arithmetic: multiples of the order of the base point of any point on the curve."""
    d = -121665 * pow(121666, FIELD - 2, FIELD) % FIELD
    order = 2**252 + 27742317777372353535851937790883648493

    def add(one, two):
        (a, b), (c, e) = one, two
        cross = d * a * b * c * e % FIELD
        return (
            (a * e + b * c) * pow(1 + cross, FIELD - 2, FIELD) % FIELD,
            (b * e + a * c) * pow(1 - cross, FIELD - 2, FIELD) % FIELD,
        )

    found = set()
    for y in range(2, 60):
        square = (y * y - 1) * pow(d * y * y + 1, FIELD - 2, FIELD) % FIELD
        x = pow(square, (FIELD + 3) // 8, FIELD)
        if x * x % FIELD != square:
            x = x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
        if x * x % FIELD != square:
            continue
        total, step = (0, 1), (x, y)
        for bit in range(order.bit_length()):
            if order >> bit & 1:
                total = add(total, step)
            step = add(step, step)
        found.add(total)
        if len(found) == 8:
            break
    return found


def test_every_ed25519_point_of_small_order_is_refused(bench):
    points = _small_order_points()
    assert len({y for _x, y in points}) >= 4
    for x, y in points | {(FIELD - x, y) for x, y in points}:
        encoded = (y | (x & 1) << 255).to_bytes(32, "little")
        key = Key(1, body=_point(ED25519, 22, b"\x40" + encoded))
        with pytest.raises(TrustError) as caught:
            bench.keyring.plan_add(forge.key_file(forge.certificate(key)), key.fingerprint, None)
        assert caught.value.code == "key-malformed"
        assert "small order" in str(caught.value)


def test_a_small_order_key_would_verify_anything():
    """The reason for the check: without it the mathematics says yes."""
    from cryptography.hazmat.primitives.asymmetric import ed25519

    identity = (1).to_bytes(32, "little")
    ed25519.Ed25519PublicKey.from_public_bytes(identity).verify(identity + bytes(32), b"whatever")
