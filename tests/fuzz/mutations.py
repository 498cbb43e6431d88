# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Damaged signatures and certificates, by somebody who knows their form: as text, as packets, and made anew by the key itself.

The last are the strangest: every statement in them is signed as it should be, only no honest program would make it.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

import trust_forge as forge
from trust_bench import DATA, DAY, SIGNED, START
from trust_forge import Key

from _rocket.errors import TrustError
from _rocket.trust.openpgp import armor, packets

SIZES = {2: 4, 3: 4, 4: 1, 5: 2, 7: 1, 9: 4, 12: 22, 16: 8, 25: 1, 27: 1, 29: 1, 33: 21}
SUBPACKETS = (*range(2, 8), *range(9, 13), 16, *range(20, 36), 99, 100, 110)


class Mutant(NamedTuple):
    """What is to be judged: how it was made, a key file, a signature file."""

    kind: str
    key: bytes
    signature: bytes


def maker(key):
    """Return the subpacket by which GnuPG knows who signed."""
    return forge.subpacket(16, bytes.fromhex(key.fingerprint[-16:]))


class Owner:
    """A key that signs by itself and by a subkey."""

    def __init__(self, seed, algorithm):
        self.key, self.subkey = Key(seed, algorithm=algorithm), Key(seed + 100)
        self.unhashed = (maker(self.key),)
        self.plain = self.certificate()

    def back(self):
        return forge.back_signature(self.key, self.subkey, unhashed=(maker(self.subkey),))

    def certificate(self, user=(), binding=(), extra=b"", flag=2):
        """Return its packets: `user` and `binding` are what the self-signature and the binding say besides."""
        signed = forge.user(self.key, hashed=(forge.flags(3), *user), unhashed=self.unhashed)
        octets = self.key.hashed() + self.subkey.hashed()
        areas = (forge.flags(flag), *binding)
        bound = forge.packet(2, self.key.sign(0x18, octets, START, areas, (self.back(), *self.unhashed)))
        return forge.packet(6, self.key.body) + extra + signed + forge.packet(14, self.subkey.body) + bound


class Maker:
    """Makes mutants from one source of chance."""

    def __init__(self, chance):
        self.chance = chance
        self.owners = [Owner(seed, algorithm) for seed, algorithm in enumerate(("ed25519", 2048, *forge.CURVES), 1)]
        self.kinds = (self.text_of_signature, self.packets_of_signature, self.made_signature)
        self.kinds += (self.text_of_key, self.packets_of_key, self.made_key)

    def mutant(self):
        """Return one mutant."""
        return self.chance.choice(self.kinds)(self.chance.choice(self.owners))

    def _signed(self, owner):
        """Return the body of a good signature."""
        key = self.chance.choice((owner.key, owner.subkey))
        return key.sign(0, DATA, unhashed=(maker(key),))

    def text_of_signature(self, owner):
        """The armor of a good signature."""
        good = forge.signature_file(*(self._signed(owner) for _each in range(self.chance.choice((1, 1, 2)))))
        return Mutant("text of a signature", forge.key_file(owner.plain), self.text(good))

    def text_of_key(self, owner):
        """The armor of a good key."""
        return Mutant("text of a key", self.text(forge.key_file(owner.plain)), forge.signature_file(self._signed(owner)))

    def packets_of_signature(self, owner):
        """The packets of a good signature."""
        good = forge.packet(2, self._signed(owner)) + (forge.packet(2, self._signed(owner)) if self.chance.random() < 0.2 else b"")
        return Mutant("packets of a signature", forge.key_file(owner.plain), armored(self.damage(good), armor.SIGNATURE))

    def packets_of_key(self, owner):
        """The packets of a good key."""
        damaged = self.damage(owner.certificate(extra=self.chance.choice((b"", forge.revocation(owner.key)))))
        return Mutant("packets of a key", armored(damaged, armor.PUBLIC_KEY), forge.signature_file(self._signed(owner)))

    def made_signature(self, owner):
        """A signature of which everything is signed."""
        key = self.chance.choice((owner.key, owner.subkey))
        body = key.sign(
            self.chance.choice((0,) * 12 + (1, 2, 0x10, 0x40)),
            DATA,
            created=self.moment(),
            hashed=self.statements(),
            unhashed=(*self.chance.choice(((maker(key),), ())), *self.statements()),
            digest=self.chance.choice((10, 10, 9, 8, 2)),
            issuer=self.chance.choice((None, None, None, "")),
            version=self.chance.choice((4,) * 12 + (3, 5)),
        )
        return Mutant("made signature", forge.key_file(owner.plain), forge.signature_file(body))

    def made_key(self, owner):
        """A certificate of which everything is signed."""
        extra = b""
        if self.chance.random() < 0.3:
            kind = self.chance.choice((0x1F, 0x1F, 0x20))
            made = owner.key.sign(kind, owner.key.hashed(), self.moment(), self.statements(), owner.unhashed)
            extra = forge.packet(2, made)
        packed = owner.certificate(self.statements(), self.statements(), extra, self.chance.choice((2, 2, 2, 3, 1, 0x0C)))
        if self.chance.random() < 0.3:
            more = {"hashed": (forge.flags(3), *self.statements()), "created": self.moment(), "unhashed": owner.unhashed}
            packed += forge.user(owner.key, "Other <other@example.com>", **more)
        return Mutant("made key", forge.key_file(packed), forge.signature_file(self._signed(owner)))

    def moment(self):
        """Return a time at which something was signed."""
        return self.chance.choice((SIGNED, SIGNED, SIGNED, START, START - 1, START + 30 * DAY, 0, 0xFFFFFFFF))

    def statements(self):
        """Return some subpackets, most of them in order."""
        return tuple(self.statement() for _each in range(self.chance.choice((0, 0, 1, 1, 2, 4))))

    def statement(self):
        """Return one subpacket."""
        chance = self.chance
        kind = chance.choice(SUBPACKETS)
        size = max(0, SIZES.get(kind, chance.randrange(12)) + (chance.choice((-1, 1)) if chance.random() < 0.1 else 0))
        data = chance.choice((bytes(size), b"\x01" * size, chance.randbytes(size)))
        if kind in (3, 9):
            data = forge.number(chance.choice((0, 1, DAY, 2000 * DAY, 0xFFFFFFFF)), 4)
        critical = chance.random() < 0.15
        octets = bytes((kind | (0x80 if critical else 0),)) + data
        lengths = (b"\xff" + forge.number(len(octets), 4), bytes((len(octets),)))
        return chance.choice(lengths) + octets

    def damage(self, data):
        """Return packets with some of them moved, changed or written in another way, and some octets changed."""
        chance = self.chance
        found = packets.read_packets(data, "x", "x", 100)
        bodies = [(packet.tag, packet.body) for packet in found]
        for _each in range(chance.choice((0, 1, 1, 2))):
            at = chance.randrange(len(bodies))
            deed = chance.randrange(6)
            if deed == 0 and len(bodies) > 1:
                del bodies[at]
            elif deed == 1:
                bodies.insert(chance.randrange(len(bodies) + 1), bodies[at])
            elif deed == 2:
                bodies.append(bodies.pop(at))
            elif deed == 3:
                bodies[at] = (chance.choice((2, 5, 6, 7, 10, 11, 12, 13, 14, 17, 20, 21, 60, 63)), bodies[at][1])
            elif deed == 4:
                bodies.insert(at, (chance.choice((10, 12, 13, 17, 21, 40, 60)), chance.choice((b"", b"PGP", b"\0" * 8))))
            else:
                bodies[at] = (bodies[at][0], octets_of(bodies[at][1], chance))
        return b"".join(self.written(*body) for body in bodies)

    def written(self, tag, body):
        """Return a packet in one of the forms that there are."""
        form, size = self.chance.randrange(9), len(body)
        if form == 0 and size < 192:
            return bytes((0xC0 | tag, size)) + body
        if form == 1 and 192 <= size < 8384:
            return bytes((0xC0 | tag, ((size - 192) >> 8) + 192, (size - 192) & 0xFF)) + body
        if form == 2 and tag < 16:
            return bytes((0x82 | tag << 2,)) + forge.number(size, 4) + body
        if form == 3 and tag < 16 and size < 65536:
            return bytes((0x81 | tag << 2,)) + forge.number(size, 2) + body
        if form == 4 and tag < 16 and self.chance.random() < 0.2:
            return bytes((0x83 | tag << 2,)) + body
        return forge.packet(tag, body)

    def text(self, good):
        """Return armor with some lines or octets changed."""
        chance = self.chance
        lines = good.split(b"\n")
        for _each in range(chance.choice((1, 1, 2))):
            at = chance.randrange(len(lines))
            deed = chance.randrange(12)
            if deed == 0:
                lines[at] += chance.choice((b" ", b"\t", b"\r", b"\r\r", b"\0", b"="))
            elif deed == 1:
                lines[at] = chance.choice((b" ", b"\r", b"-", b">")) + lines[at]
            elif deed == 2:
                lines[at : at + 2] = [b"".join(lines[at : at + 2])]
            elif deed == 3 and lines[at]:
                cut = chance.randrange(len(lines[at]))
                lines[at : at + 1] = [lines[at][:cut], lines[at][cut:]]
            elif deed == 4:
                lines.insert(at, chance.choice((b"", b" ", b"Version: x", b"Comment: y", b"Hash: SHA1", lines[at], b"=AAAA")))
            elif deed == 5:
                lines = [line for line in lines if not line.startswith(b"=")]
            elif deed == 6 and len(lines) > 1:
                del lines[at]
            elif deed == 7:
                lines.insert(0, chance.choice((b"text", b"", b"\xef\xbb\xbf", lines[0])))
            elif deed == 8:
                lines.append(chance.choice((b"text", b"", *lines)))
            elif deed == 9:
                lines = [line + b"\r" for line in lines]
            elif deed == 10:
                lines[at] = lines[at].replace(b"PGP", b"pgp").replace(b"-----", chance.choice((b"----", b"------")))
            else:
                lines = octets_of(b"\n".join(lines), chance).split(b"\n")
            lines = lines or [b""]
        return b"\n".join(lines)


def octets_of(data, chance):
    """Return `data` with one to three octets changed, left out or repeated."""
    changed = bytearray(data or b"\0")
    for _each in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(changed))
        deed = chance.randrange(6)
        if deed < 3:
            changed[at] ^= 1 << chance.randrange(8)
        elif deed == 3:
            changed[at] = chance.choice((0, 1, 4, 0x7F, 0x80, 0xC2, 0xFF))
        elif deed == 4 and len(changed) > 8:
            del changed[at : at + chance.choice((1, 2, 8))]
        else:
            changed[at:at] = changed[at : at + chance.choice((1, 4, 40))]
    return bytes(changed)


def armored(data, kind):
    """Return armor around any bytes."""
    return armor.enarmor(data or b"\0", kind)


def binary(data, kind):
    """Return what armor holds as another reader takes it: all base64 between the first and the last line of dashes."""
    try:
        return armor.dearmor(data, kind, "x", "x")
    except TrustError:
        inner = data.split(b"-----")[2:-2]
        return base64.b64decode(b"".join(inner), validate=False) if inner else b""
