# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Public keys (RFC 9580 section 5.5): which ones may sign, and the checks that no mathematics library makes.

``cryptography`` loads RSA of 1024 bits and even moduli, compressed points, and Ed25519 points that are off the curve,
not canonical or of small order (which verify anything), so these are refused here.
"""

from __future__ import annotations

from ...errors import TrustError
from ...record import Record
from .packets import Octets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    Parameters = Union[tuple[int, int], bytes]

RSA = (1, 3)
ECDSA = 19
EDDSA = 22
RSA_BITS = (2048, 16384)
P256, P384, P521, ED25519 = "ECDSA P-256", "ECDSA P-384", "ECDSA P-521", "Ed25519"
CURVES = {
    (ECDSA, "2a8648ce3d030107"): P256,
    (ECDSA, "2b81040022"): P384,
    (ECDSA, "2b81040023"): P521,
    (EDDSA, "2b06010401da470f01"): ED25519,
}
COORDINATE = {P256: 32, P384: 48, P521: 66, ED25519: 32}
# Bits of the shortest hash that a curve is used with: a shorter one makes of its signatures what a smaller curve's are. GnuPG has the same.
SHORTEST = {P256: 256, P384: 384, P521: 512}
_OTHERS = {2: "RSA for encryption", 16: "ElGamal", 17: "DSA", 18: "ECDH", 25: "X25519", 26: "X448", 27: "Ed25519 (RFC 9580)", 28: "Ed448"}
_FIELD = 2**255 - 19
_D = -121665 * pow(121666, _FIELD - 2, _FIELD) % _FIELD
# The ordinate of the points of order 8 that is below the middle of the field; the other one is its negative.
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826


class PublicKey(Record):
    """One key packet.

    Attributes:
        body: the packet's body, as it is hashed.
        created: seconds since the epoch.
        algorithm: number of the public-key algorithm.
        label: for people: ``RSA 4096``, ``Ed25519``.
        parameters: (modulus, exponent), or the octets of the point; empty when the key cannot sign.
        refusal: why signatures of this key are never accepted; empty when they may be.
        fingerprint: 40 lower-case hex digits.
    """

    body: bytes
    created: int
    algorithm: int
    label: str
    parameters: Parameters
    refusal: str
    fingerprint: str

    @property
    def key_id(self) -> str:
        """The last 16 digits of the fingerprint."""
        return self.fingerprint[-16:]

    def hashed(self) -> bytes:
        """Return the form in which certifications and bindings hash a key (RFC 9580 section 5.2.4)."""
        return b"\x99" + len(self.body).to_bytes(2, "big") + self.body


def small_order(ordinate: int) -> bool:
    """Tell whether a point of Ed25519 with this ordinate is one of the eight that make every signature fit."""
    return ordinate in (0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8)


def _check_ed25519(point: bytes, octets: Octets) -> None:
    encoded = int.from_bytes(point, "little")
    ordinate = encoded & ((1 << 255) - 1)
    if ordinate >= _FIELD:
        octets.refuse("the Ed25519 point is not canonical")
    if small_order(ordinate):
        octets.refuse("the Ed25519 point is of small order: it would verify anything")
    square = (ordinate * ordinate - 1) * pow(_D * ordinate * ordinate + 1, _FIELD - 2, _FIELD) % _FIELD
    if pow(square, (_FIELD - 1) // 2, _FIELD) != 1:
        octets.refuse("the Ed25519 point is not on the curve")


def _read_rsa(octets: Octets) -> tuple[str, Parameters, str]:
    modulus, exponent = octets.mpi(), octets.mpi()
    octets.end("the RSA key")
    bits = modulus.bit_length()
    if bits > RSA_BITS[1]:
        octets.refuse(f"the RSA modulus has {bits} bits, more than {RSA_BITS[1]}")
    if not modulus & 1:
        octets.refuse("the RSA modulus is even")
    if not exponent & 1 or exponent < 3 or exponent.bit_length() > 64:
        octets.refuse("the RSA exponent is not an odd number from 3 to 64 bits")
    refusal = f"RSA keys have at least {RSA_BITS[0]} bits, this one has {bits}" if bits < RSA_BITS[0] else ""
    return f"RSA {bits}", (modulus, exponent), refusal


def _read_point(algorithm: int, octets: Octets) -> tuple[str, Parameters, str]:
    size = octets.number(1)
    if size in (0, 0xFF):
        octets.refuse("the curve has no name")
    curve = octets.take(size).hex()
    label = CURVES.get((algorithm, curve), "")
    if not label:
        octets.rest()
        return f"algorithm {algorithm} on curve {curve}", b"", "this curve is not accepted: use Ed25519, P-256, P-384 or P-521"
    encoded = octets.mpi()
    octets.end("the point")
    point = encoded.to_bytes((encoded.bit_length() + 7) // 8, "big")
    form, coordinates = point[:1], point[1:]
    if label == ED25519:
        if form != b"\x40" or len(coordinates) != 32:
            octets.refuse("the Ed25519 point is not 32 octets in native form")
        _check_ed25519(coordinates, octets)
        return label, coordinates, ""
    if form != b"\x04" or len(coordinates) != 2 * COORDINATE[label]:
        octets.refuse(f"the {label} point is not in uncompressed form")
    return label, point, ""


def read_public_key(body: bytes, where: str) -> PublicKey:
    """Read the body of a public key or public subkey packet.

    Raises:
        TrustError: ``key-malformed``: another version than 4, lengths that lie, parameters that no honest key has.
    """
    import hashlib

    octets = Octets(body, "key-malformed", where)
    version = octets.number(1)
    if version != 4:
        octets.refuse(f"a key of version {version}: only version 4 is supported")
    created, algorithm = octets.number(4), octets.number(1)
    if len(body) > 0xFFFF:
        octets.refuse("the key is longer than 65535 octets")
    parameters: Parameters = b""
    if algorithm in RSA:
        label, parameters, refusal = _read_rsa(octets)
    elif algorithm in (ECDSA, EDDSA):
        label, parameters, refusal = _read_point(algorithm, octets)
    else:
        octets.rest()
        label = _OTHERS.get(algorithm, f"algorithm {algorithm}")
        refusal = f"{label} keys do not sign images: use Ed25519, RSA from {RSA_BITS[0]} bits, P-256, P-384 or P-521"
    digest = hashlib.new("sha1", b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False)
    return PublicKey(body, created, algorithm, label, parameters, refusal, digest.hexdigest())


def refuse_weak(key: PublicKey, where: str) -> None:
    """Refuse a key whose signatures are never accepted.

    Raises:
        TrustError: ``algorithm-refused``.
    """
    if key.refusal:
        raise TrustError(
            f"key {key.fingerprint} is {key.label}: {key.refusal}",
            where=where,
            code="algorithm-refused",
            hint="ask the owner for a signature by a modern key",
            fingerprint=key.fingerprint,
        )
