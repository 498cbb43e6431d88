# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A writer of OpenPGP packets for tests, honest and hostile: every field can be given as it should not be."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from trust_bench import DAY, SIGNED, START

from _rocket.trust.openpgp import armor

HASHES = {1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512"}
_CLASSES = {1: hashes.MD5, 2: hashes.SHA1, 8: hashes.SHA256, 9: hashes.SHA384, 10: hashes.SHA512}
CURVES = {
    "nistp256": ("2a8648ce3d030107", ec.SECP256R1),
    "nistp384": ("2b81040022", ec.SECP384R1),
    "nistp521": ("2b81040023", ec.SECP521R1),
}
UID = "Owner <owner@example.com>"


def number(value, size):
    return value.to_bytes(size, "big")


def mpi(value):
    return number(value.bit_length(), 2) + number(value, (value.bit_length() + 7) // 8)


def packet(tag, body):
    return bytes((0xC0 | tag, 0xFF)) + number(len(body), 4) + body


def subpacket(kind, data, critical=False):
    return b"\xff" + number(len(data) + 1, 4) + bytes((kind | (0x80 if critical else 0),)) + data


class Key:
    """A key that signs whatever it is told to."""

    def __init__(self, seed=1, created=START, algorithm="ed25519", body=None):
        self.created = created
        if algorithm == "ed25519":
            self.number = 22
            self.secret = ed25519.Ed25519PrivateKey.from_private_bytes(bytes((seed,)) * 32)
            raw = self.secret.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            material = bytes.fromhex("092b06010401da470f01") + mpi(int.from_bytes(b"\x40" + raw, "big"))
        elif algorithm in CURVES:
            self.number = 19
            oid, curve = CURVES[algorithm]
            self.secret = ec.derive_private_key(1000 + seed, curve())
            point = self.secret.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
            material = bytes((len(oid) // 2,)) + bytes.fromhex(oid) + mpi(int.from_bytes(point, "big"))
        else:
            self.number = 1
            self.secret = rsa.generate_private_key(65537, algorithm)
            public = self.secret.public_key().public_numbers()
            material = mpi(public.n) + mpi(public.e)
        self.body = body or b"\x04" + number(created, 4) + bytes((self.number,)) + material
        self.fingerprint = hashlib.sha1(b"\x99" + number(len(self.body), 2) + self.body).hexdigest()

    def hashed(self):
        return b"\x99" + number(len(self.body), 2) + self.body

    def sign(self, kind, octets, created=SIGNED, hashed=(), unhashed=(), digest=10, issuer=None, stated=True, version=4, sign_as=None):
        """Return the body of a signature packet over `octets`."""
        issuer = self.fingerprint if issuer is None else issuer
        area = subpacket(2, number(created, 4)) if stated else b""
        area += (subpacket(33, b"\x04" + bytes.fromhex(issuer)) if issuer else b"") + b"".join(hashed)
        covered = bytes((version, kind, sign_as or self.number, digest)) + number(len(area), 2) + area
        state = hashlib.new(HASHES[digest], octets + covered + b"\x04\xff" + number(len(covered), 4)).digest()
        loose = b"".join(unhashed)
        return covered + number(len(loose), 2) + loose + state[:2] + self._material(state, digest)

    def _material(self, state, digest):
        if self.number == 22:
            made = self.secret.sign(state)
            return mpi(int.from_bytes(made[:32], "big")) + mpi(int.from_bytes(made[32:], "big"))
        if self.number == 19:
            return b"".join(map(mpi, utils.decode_dss_signature(self.secret.sign(state, ec.ECDSA(utils.Prehashed(_CLASSES[digest]()))))))
        made = self.secret.sign(state, padding.PKCS1v15(), utils.Prehashed(_CLASSES[digest]()))
        return mpi(int.from_bytes(made, "big"))

    def detached(self, data, **options):
        """Return an armored detached signature of `data`."""
        return signature_file(self.sign(options.pop("kind", 0), data, **options))


def signature_file(*bodies):
    return armor.enarmor(b"".join(packet(2, body) for body in bodies), armor.SIGNATURE)


def key_file(packets):
    return armor.enarmor(packets, armor.PUBLIC_KEY)


def flags(value):
    return subpacket(27, bytes((value,)))


def key_expires(seconds):
    return subpacket(9, number(seconds, 4))


def user(primary, uid=UID, created=START, hashed=None, **options):
    """Return a user ID packet and its self-signature."""
    octets = primary.hashed() + b"\xb4" + number(len(uid.encode()), 4) + uid.encode()
    signer = options.pop("signer", primary)
    kind = options.pop("kind", 0x13)
    return packet(13, uid.encode()) + packet(2, signer.sign(kind, octets, created, (flags(3),) if hashed is None else hashed, **options))


def identity_revocation(primary, uid=UID, created=START + DAY, **options):
    octets = primary.hashed() + b"\xb4" + number(len(uid.encode()), 4) + uid.encode()
    return packet(2, primary.sign(0x30, octets, created, **options))


def revocation(primary, created=START + DAY, reason=1, **options):
    return packet(2, primary.sign(0x20, primary.hashed(), created, (subpacket(29, bytes((reason,))),), **options))


def back_signature(primary, subkey, created=START, **options):
    signer = options.pop("signer", subkey)
    return subpacket(32, signer.sign(0x19, primary.hashed() + subkey.hashed(), created, **options))


def binding(primary, subkey, created=START, flag=2, back=True, hashed=(), signer=None, **options):
    """Return a binding signature packet; `back` is a subpacket, True for a good one or False for none."""
    back = back_signature(primary, subkey) if back is True else back
    areas = (flags(flag), *hashed)
    octets = primary.hashed() + subkey.hashed()
    return packet(2, (signer or primary).sign(0x18, octets, created, areas, (back,) if back else (), **options))


def subkey_revocation(primary, subkey, created=START + DAY, **options):
    return packet(2, primary.sign(0x28, primary.hashed() + subkey.hashed(), created, **options))


def certificate(primary, **options):
    """Return the packets of a plain certificate."""
    return packet(6, primary.body) + user(primary, **options)
