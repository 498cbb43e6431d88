# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Certificates (transferable public keys, RFC 9580 section 10.1): one key, who it says it is, what it may do.

Every self-signature and revocation has to verify: OpenPGP tools skip a damaged one, and one flipped bit then takes a
revocation back. The newest self-signature governs; when that one is weak or expired the key is refused, so that
damaging it cannot bring an older one back.

Not handled here: the clock (whether a key is usable at a time is usability.py's).
"""

from __future__ import annotations

from ...errors import TrustError, printable
from ...record import Record
from . import armor, packets
from .key import PublicKey, read_public_key, refuse_weak
from .mathematics import fits, refuse_short
from .packets import Packet
from .signature import FLAGS, KEY_EXPIRES, MAY_SIGN, Signature, read_signature
from .subkey import Subkey, judge_subkey

LIMIT = 1 << 20
PACKETS = 8192
CERTIFICATIONS = (0x10, 0x11, 0x12, 0x13)
DIRECT, KEY_REVOCATION, IDENTITY_REVOCATION = 0x1F, 0x20, 0x30
CODE = "key-malformed"
_EXPORT = "export it again with `gpg --armor --export FINGERPRINT`"
REVOKED_MARK = "revoked"


class Certificate(Record):
    """One verified certificate.

    Attributes:
        primary: the primary key.
        identities: user IDs that are certified and not revoked, escaped for display.
        certified_at: time of the governing self-signature, seconds since the epoch.
        expires: when the primary key ends, seconds since the epoch; 0 for never.
        revoked: why the key is revoked; empty when it is not.
        may_sign: whether the primary key itself may sign data.
        subkeys: in order, those that do not count included.
        revocations: what each revocation in it covers; a later copy has to hold them all.
        dropped: how many certifications by others were left out.
        packets: the canonical copy, binary.
    """

    primary: PublicKey
    identities: tuple[str, ...]
    certified_at: int
    expires: int
    revoked: str
    may_sign: bool
    subkeys: tuple[Subkey, ...]
    revocations: tuple[bytes, ...]
    dropped: int
    packets: bytes

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the primary key, 40 lower-case hex digits."""
        return self.primary.fingerprint

    def canonical(self) -> bytes:
        """Return the armored form that the keyring stores; comments mark a revoked key and subkeys for readers without a parser."""
        gone = [subkey.key.fingerprint for subkey in self.subkeys if subkey.code == "key-revoked"]
        marks = [REVOKED_MARK] if self.revoked else []
        return armor.enarmor(self.packets, armor.PUBLIC_KEY, [*marks, *(f"{REVOKED_MARK} {fingerprint}" for fingerprint in gone)])


class _Part:
    """A key or user ID packet with the signatures that follow it."""

    def __init__(self, packet: Packet) -> None:
        self.packet = packet
        self.signatures: list[Signature] = []
        self.foreign = 0

    def canonical(self) -> bytes:
        written = [Packet(packets.SIGNATURE, signature.canonical()).to_bytes() for signature in self.signatures]
        return self.packet.to_bytes() + b"".join(dict.fromkeys(written))


def malformed(what: str, where: str) -> TrustError:
    """Return the error of a certificate that is damaged or forged."""
    return TrustError(what, where=where, code=CODE, hint=_EXPORT)


def _mismatch(where: str) -> TrustError:
    return TrustError(
        "holds more than one certificate, and a key file holds exactly one",
        where=where,
        code="key-mismatch",
        hint=f"{_EXPORT}, one file a key",
    )


def _dearmor(data: bytes, where: str) -> bytes:
    if not data.strip():
        raise malformed("the key file is empty", where)
    if len(data) > LIMIT:
        raise malformed(f"the key file is larger than {LIMIT} octets", where)
    if data[0] & 0x80:
        raise malformed("the key is binary, and trusted keys are ASCII-armored", where)
    if data.count(armor.begin_line(armor.PUBLIC_KEY)) > 1:
        raise _mismatch(where)
    return armor.dearmor(data, armor.PUBLIC_KEY, CODE, where)


def _split(found: list[Packet], where: str) -> list[_Part]:
    parts: list[_Part] = []
    for packet in found:
        if packet.tag in (packets.SECRET_KEY, packets.SECRET_SUBKEY):
            raise malformed("this is a secret key: remove the file, and trust the public key", where)
        if packet.tag == packets.PUBLIC_KEY and parts:
            raise _mismatch(where)
        if packet.tag in (packets.PUBLIC_KEY, packets.USER_ID, packets.PUBLIC_SUBKEY, packets.USER_ATTRIBUTE):
            parts.append(_Part(packet))
            if parts[0].packet.tag != packets.PUBLIC_KEY:
                raise malformed("does not begin with a public key", where)
        elif packet.tag == packets.SIGNATURE and parts:
            _add_signature(parts, packet.body, where)
        elif packet.tag not in (*packets.PRIVATE, packets.TRUST) or not parts:
            raise malformed(f"a packet of type {packet.tag} has no place in a certificate", where)
    if not parts:
        raise malformed("holds no public key", where)
    return parts


def _add_signature(parts: list[_Part], body: bytes, where: str) -> None:
    part = parts[-1]
    named = part.packet.tag in (packets.USER_ID, packets.USER_ATTRIBUTE)
    # Old certifications by others have version 3; what is no certification is never skipped.
    if named and body[:1] != b"\x04":
        part.foreign += 1
        return
    part.signatures.append(read_signature(body, CODE, where))


def _allowed(part: _Part) -> tuple[int, ...]:
    if part.packet.tag == packets.PUBLIC_KEY:
        return (DIRECT, KEY_REVOCATION)
    if part.packet.tag == packets.PUBLIC_SUBKEY:
        return (0x18, 0x28)
    return (*CERTIFICATIONS, IDENTITY_REVOCATION)


def _drop_foreign(part: _Part, primary: PublicKey, where: str) -> None:
    """Leave out certifications by others; refuse what can only be the owner's and is not."""
    kept = []
    for signature in part.signatures:
        certifies = part.packet.tag != packets.PUBLIC_SUBKEY and signature.kind != KEY_REVOCATION
        if certifies and not signature.names(primary.fingerprint):
            part.foreign += 1
            continue
        if signature.kind not in _allowed(part):
            raise malformed(f"a signature of type 0x{signature.kind:02x} has no place there", where)
        if signature.kind == KEY_REVOCATION and not signature.names(primary.fingerprint):
            raise malformed(f"a revocation by another key ({signature.issuer}) cannot be checked", where)
        kept.append(signature)
    part.signatures = kept


def _signed_octets(part: _Part, primary: PublicKey) -> bytes:
    if part.packet.tag == packets.PUBLIC_KEY:
        return primary.hashed()
    mark = b"\xb4" if part.packet.tag == packets.USER_ID else b"\xd1"
    return primary.hashed() + mark + len(part.packet.body).to_bytes(4, "big") + part.packet.body


def _verify_own(part: _Part, primary: PublicKey, where: str) -> None:
    """Check every self-signature of the primary key or a user ID; a weak one proves nothing and is not checked."""
    octets = _signed_octets(part, primary)
    for signature in part.signatures:
        if signature.weak:
            continue
        begun = signature.hash()
        begun.update(octets)
        kind = "revocation" if signature.kind in (KEY_REVOCATION, IDENTITY_REVOCATION) else "self-signature"
        if not fits(primary, signature, signature.digest(begun)):
            refuse_short(primary, signature, where)
            raise malformed(f"a {kind} does not verify", where)
        if signature.created < primary.created:
            raise malformed(f"a {kind} is older than its key", where)
        strange = signature.not_understood()
        if strange and kind == "self-signature":
            raise malformed(f"a self-signature carries {strange}, which is not understood", where)


def _certifications(part: _Part) -> list[Signature]:
    return [signature for signature in part.signatures if signature.kind in (*CERTIFICATIONS, DIRECT)]


def _identity_revoked(part: _Part) -> bool:
    revocations = [signature for signature in part.signatures if signature.kind == IDENTITY_REVOCATION]
    newest = max(signature.created for signature in _certifications(part))
    return any(signature.weak or signature.created >= newest for signature in revocations)


def _weakly_certified(part: _Part) -> bool:
    return max((signature.created, signature.weak) for signature in _certifications(part))[1]


def _expiry(governing: Signature, primary: PublicKey) -> int:
    span = governing.seconds(KEY_EXPIRES)
    ends = [end for end in (primary.created + span if span else 0, governing.expires) if end]
    return min(ends, default=0)


def _governing(parts: list[_Part], primary: PublicKey, where: str) -> Signature:
    found = [signature for part in parts for signature in _certifications(part)]
    if not found:
        raise malformed("no self-signature: nothing says that the owner made this key", where)
    never = 1 << 40
    governing = max(found, key=lambda one: (one.created, one.weak, -(_expiry(one, primary) or never)))
    if governing.weak:
        raise TrustError(
            f"the newest self-signature of key {primary.fingerprint} uses {governing.hash_name}",
            where=where,
            code="algorithm-refused",
            hint="its owner certifies it again with SHA-256 or better (`gpg --cert-digest-algo SHA512 --quick-set-expire FINGERPRINT 2y`)",
            fingerprint=primary.fingerprint,
        )
    return governing


def _identity(part: _Part) -> str:
    return printable(part.packet.body.decode("utf-8", "backslashreplace"))


def _revocations(parts: list[_Part]) -> tuple[bytes, ...]:
    kinds = (KEY_REVOCATION, 0x28, IDENTITY_REVOCATION)
    return tuple(part.packet.body + signature.covered for part in parts for signature in part.signatures if signature.kind in kinds)


def read_certificate(data: bytes, where: str) -> Certificate:
    """Read and verify an armored file with exactly one certificate.

    Args:
        data: the file.
        where: its path or origin, for messages.

    Raises:
        TrustError: ``key-malformed``, ``key-mismatch`` (more than one certificate), ``algorithm-refused``.
        MissingPackage: ``cryptography`` is not installed.
    """
    parts = _split(packets.read_packets(_dearmor(data, where), CODE, where, PACKETS), where)
    primary = read_public_key(parts[0].packet.body, where)
    refuse_weak(primary, where)
    for part in parts:
        _drop_foreign(part, primary, where)
    named = [part for part in parts if part.packet.tag in (packets.USER_ID, packets.USER_ATTRIBUTE)]
    for part in [parts[0], *named]:
        _verify_own(part, primary, where)
    if any(not _certifications(part) for part in named):
        raise malformed("a user ID without a self-signature", where)
    return _conclude(parts, named, primary, where)


def _conclude(parts: list[_Part], named: list[_Part], primary: PublicKey, where: str) -> Certificate:
    standing = [part for part in named if not _identity_revoked(part)]
    revoked = ""
    if any(signature.kind == KEY_REVOCATION for signature in parts[0].signatures):
        revoked = "its owner revoked it"
    elif named and not standing and not _certifications(parts[0]):
        revoked = "its owner revoked all its user IDs"
    governing = _governing([parts[0], *(standing or named)], primary, where)
    subkeys = tuple(
        judge_subkey(read_public_key(part.packet.body, where), tuple(part.signatures), primary, where)
        for part in parts
        if part.packet.tag == packets.PUBLIC_SUBKEY
    )
    kept = [part for part in parts if part.packet.tag != packets.USER_ATTRIBUTE]
    return Certificate(
        primary=primary,
        identities=tuple(_identity(part) for part in standing if part.packet.tag == packets.USER_ID and not _weakly_certified(part)),
        certified_at=governing.created,
        expires=_expiry(governing, primary),
        revoked=revoked,
        may_sign=bool(governing.values(FLAGS) and governing.values(FLAGS)[0][:1] and governing.values(FLAGS)[0][0] & MAY_SIGN),
        subkeys=subkeys,
        revocations=_revocations(kept),
        dropped=sum(part.foreign for part in parts),
        packets=b"".join(part.canonical() for part in kept),
    )
