# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Signature packets (RFC 9580 section 5.2), version 4.

What a signature says about itself counts only when it stands in the hashed area; who made it may stand in either,
because a wrong name only leads to a key that does not fit.
"""

from __future__ import annotations

from ...errors import TrustError
from ...record import Record
from . import packets
from .armor import SIGNATURE, dearmor
from .key import ECDSA, EDDSA, RSA
from .packets import Octets, Packet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DOCUMENT, TEXT, BACK_SIGNATURE = 0x00, 0x01, 0x19
HASHES = {8: "sha256", 9: "sha384", 10: "sha512"}
_HASH_NAMES = {1: "MD5", 2: "SHA-1", 3: "RIPEMD-160", 8: "SHA-256", 9: "SHA-384", 10: "SHA-512", 11: "SHA-224"}
LIMIT = 64 << 10
COUNT = 16
CREATED, EXPIRES, KEY_EXPIRES, ISSUER, NOTATION, FLAGS, EMBEDDED, ISSUER_FINGERPRINT = 2, 3, 9, 16, 20, 27, 32, 33
_FOR_DOCUMENTS = (CREATED, EXPIRES, ISSUER, ISSUER_FINGERPRINT)
_FOR_KEYS = (CREATED, EXPIRES, 7, KEY_EXPIRES, 11, 12, ISSUER, 21, 22, 25, FLAGS, 29, 30, EMBEDDED, ISSUER_FINGERPRINT)
_SINGLE = (CREATED, EXPIRES, KEY_EXPIRES, FLAGS)
MAY_SIGN = 0x02


class Subpacket(Record):
    """One statement inside a signature; `hashed` when the signature covers it."""

    number: int
    critical: bool
    data: bytes
    hashed: bool


class Signature(Record):
    """One signature packet.

    Attributes:
        kind: signature type, 0x00 for a document.
        algorithm: number of the public-key algorithm.
        hash_algorithm: number of the hash algorithm.
        covered: the octets of the packet that the signature covers, from the version to the hashed area.
        subpackets: hashed and unhashed, in order.
        left: the first two octets of the digest.
        material: the octets of the integers.
        numbers: the integers; empty for an algorithm that we do not verify.
        created: seconds since the epoch.
    """

    kind: int
    algorithm: int
    hash_algorithm: int
    covered: bytes
    subpackets: tuple[Subpacket, ...]
    left: bytes
    material: bytes
    numbers: tuple[int, ...]
    created: int

    def values(self, number: int, hashed: bool = True) -> list[bytes]:
        """Return the data of the subpackets of type `number`: of the hashed area, or of both."""
        return [item.data for item in self.subpackets if item.number == number and (item.hashed or not hashed)]

    def seconds(self, number: int) -> int:
        """Return a time span of the hashed area; 0 when it is not stated."""
        found = self.values(number)
        return int.from_bytes(found[0], "big") if found else 0

    @property
    def expires(self) -> int:
        """When the signature ends, seconds since the epoch; 0 for never."""
        span = self.seconds(EXPIRES)
        return self.created + span if span else 0

    @property
    def issuer(self) -> str:
        """Who says to have signed: a fingerprint (40 hex digits), else a key ID (16), else empty."""
        for data in self.values(ISSUER_FINGERPRINT, hashed=False):
            return data[1:].hex()
        for data in self.values(ISSUER, hashed=False):
            return data.hex()
        return ""

    @property
    def hash_name(self) -> str:
        """The hash algorithm for people: ``SHA-1``."""
        return _HASH_NAMES.get(self.hash_algorithm, f"hash algorithm {self.hash_algorithm}")

    @property
    def weak(self) -> bool:
        """Whether the hash algorithm proves nothing any more."""
        return self.hash_algorithm not in HASHES

    def names(self, fingerprint: str) -> bool:
        """Tell whether the signature names this key as its maker; one that names none may be anyone's."""
        return fingerprint.endswith(self.issuer)

    def not_understood(self) -> str:
        """Return what the signature wants understood and we do not understand, or an empty string."""
        known = _FOR_DOCUMENTS if self.kind == DOCUMENT else _FOR_KEYS
        for item in self.subpackets:
            if item.critical and item.number not in known:
                return "a critical notation" if item.number == NOTATION else f"a critical subpacket of type {item.number}"
        return ""

    def hash(self) -> Any:
        """Return a new hash object of the signature's algorithm."""
        import hashlib

        return hashlib.new(HASHES[self.hash_algorithm])

    def digest(self, begun: Any) -> bytes:
        """Return the digest to verify: `begun` is a hash object that has taken in what is signed."""
        complete = begun.copy()
        complete.update(self.covered)
        complete.update(b"\x04\xff" + len(self.covered).to_bytes(4, "big"))
        result: bytes = complete.digest()
        return result

    def canonical(self) -> bytes:
        """Return the packet's body with nothing uncovered but the maker and the back-signature, in one order."""
        kept = sorted(
            {
                (item.number, item.data)
                for item in self.subpackets
                if not item.hashed and item.number in (ISSUER, EMBEDDED, ISSUER_FINGERPRINT)
            }
        )
        area = b"".join(b"\xff" + (len(data) + 1).to_bytes(4, "big") + bytes((number,)) + data for number, data in kept)
        return self.covered + len(area).to_bytes(2, "big") + area + self.left + self.material


def _read_area(octets: Octets, data: bytes, code: str, where: str, hashed: bool) -> list[Subpacket]:
    area = Octets(data, code, where)
    found = []
    while area.left:
        size = area.number(1)
        if size == 255:
            size = area.number(4)
        elif size >= 192:
            size = ((size - 192) << 8) + area.number(1) + 192
        if size == 0:
            octets.refuse("a subpacket without a type")
        body = area.take(size)
        found.append(Subpacket(body[0] & 0x7F, bool(body[0] & 0x80), body[1:], hashed))
    return found


def _check_subpackets(found: list[Subpacket], octets: Octets) -> int:
    sizes = {CREATED: 4, EXPIRES: 4, KEY_EXPIRES: 4, ISSUER: 8}
    for item in found:
        if item.number in sizes and len(item.data) != sizes[item.number]:
            octets.refuse(f"a subpacket of type {item.number} has {len(item.data)} octets")
        if item.number == ISSUER_FINGERPRINT and (len(item.data) != 21 or item.data[0] != 4):
            octets.refuse("the fingerprint of the maker is not one of version 4")
    covered = [item.number for item in found if item.hashed]
    for number in _SINGLE:
        if covered.count(number) > 1:
            octets.refuse(f"the subpacket of type {number} is there twice")
    issuers = {item.data[-8:] for item in found if item.number in (ISSUER, ISSUER_FINGERPRINT)}
    fingerprints = {item.data for item in found if item.number == ISSUER_FINGERPRINT}
    if len(issuers) > 1 or len(fingerprints) > 1:
        octets.refuse("the signature names several makers")
    created = [item.data for item in found if item.number == CREATED and item.hashed]
    if not created:
        octets.refuse("the signature does not say when it was made")
    return int.from_bytes(created[0], "big")


def _read_numbers(algorithm: int, material: bytes, code: str, where: str) -> tuple[int, ...]:
    count = 1 if algorithm in RSA else 2 if algorithm in (ECDSA, EDDSA) else 0
    if not count:
        return ()
    octets = Octets(material, code, where)
    numbers = tuple(octets.mpi() for _index in range(count))
    octets.end("the signature")
    return numbers


def read_signature(body: bytes, code: str, where: str) -> Signature:
    """Read the body of a signature packet.

    Args:
        body: the octets.
        code: message class of what is malformed: ``signature-malformed``, or ``key-malformed`` inside a certificate.
        where: what is read, for messages.

    Raises:
        TrustError: with `code`; another version is ``signature-unsupported`` outside of certificates.
    """
    octets = Octets(body, code, where)
    version = octets.number(1)
    if version != 4:
        unsupported = "signature-unsupported" if code == "signature-malformed" else code
        raise TrustError(
            f"a signature of version {version}: only version 4 is supported",
            where=where,
            code=unsupported,
            hint="ask for a version 4 signature",
        )
    kind, algorithm, hash_algorithm = octets.number(1), octets.number(1), octets.number(1)
    size = octets.number(2)
    hashed = octets.take(size)
    covered = body[: 6 + size]
    unhashed = octets.take(octets.number(2))
    found = _read_area(octets, hashed, code, where, True) + _read_area(octets, unhashed, code, where, False)
    created = _check_subpackets(found, octets)
    left, material = octets.take(2), octets.rest()
    numbers = _read_numbers(algorithm, material, code, where)
    return Signature(kind, algorithm, hash_algorithm, covered, tuple(found), left, material, numbers, created)


def _refuse_kind(signature: Signature, where: str) -> None:
    if signature.kind != DOCUMENT:
        shown = "a text-mode signature" if signature.kind == TEXT else f"a signature of type 0x{signature.kind:02x}"
        raise TrustError(
            f"{shown} is not a signature of a file",
            where=where,
            code="signature-unsupported",
            hint="sign with `gpg --armor --detach-sign FILE`",
        )
    strange = signature.not_understood()
    if strange:
        raise TrustError(
            f"the signature carries {strange}, which is not understood", where=where, code="signature-unsupported", hint="sign without it"
        )


def _document_signatures(found: list[Packet], where: str) -> list[Signature]:
    if any(packet.tag != packets.SIGNATURE for packet in found):
        other = next(packet.tag for packet in found if packet.tag != packets.SIGNATURE)
        raise TrustError(
            f"a packet of type {other} beside the signature",
            where=where,
            code="signature-malformed",
            hint="a detached signature alone is accepted: `gpg --armor --detach-sign FILE`",
        )
    signatures = [read_signature(packet.body, "signature-malformed", where) for packet in found]
    for signature in signatures:
        _refuse_kind(signature, where)
    return signatures


def read_detached(data: bytes, where: str) -> list[Signature]:
    """Return the signatures of an armored detached signature file (A7), one to sixteen.

    Raises:
        TrustError: ``signature-missing`` (empty), ``signature-not-armored``, ``signature-malformed``,
            ``signature-unsupported``.
    """
    if not data.strip():
        raise TrustError("no signature", where=where, code="signature-missing", hint="publish one beside the image, named .aci.asc")
    if len(data) > LIMIT:
        raise TrustError(f"the signature file is larger than {LIMIT} octets", where=where, code="signature-malformed", hint="get it again")
    if data[0] & 0x80:
        _document_signatures(read_packets(data, where), where)
        raise TrustError(
            "the signature is binary, and signatures are ASCII-armored (A7)",
            where=where,
            code="signature-not-armored",
            hint="sign with `gpg --armor --detach-sign FILE`, or armor it with `gpg --enarmor`",
        )
    return _document_signatures(read_packets(dearmor(data, SIGNATURE, "signature-malformed", where), where), where)


def read_packets(data: bytes, where: str) -> list[Packet]:
    """Return the packets of a signature file, at most sixteen."""
    return packets.read_packets(data, "signature-malformed", where, COUNT)
