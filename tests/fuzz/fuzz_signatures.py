# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed of OpenPGP: armor, files of signatures, and certificates; as text, and as packets in good armor."""

from __future__ import annotations

import base64

from _rocket.errors import TrustError
from _rocket.trust.openpgp import armor, packets
from _rocket.trust.openpgp.signature import COUNT, LIMIT, read_detached, read_signature


def _texts(data, kind):
    """Return what is read for one input: the bytes themselves, and as what good armor holds."""
    return (data, armor.enarmor(data, kind)) if data else (data,)


def _check_armor(expect, text, kind):
    """What was taken is one block, and means the same to a reader that knows nothing of armor."""
    octets = armor.dearmor(text, kind, "x", "x")
    lines = [line.strip() for line in text.strip().splitlines()]
    expect(text.count(b"-----BEGIN") == 1 and lines[0] == armor.begin_line(kind), "more than one block", text)
    data = [line for line in lines[lines.index(b"") + 1 : -1] if not (line.startswith(b"=") and len(line) == 5)]
    expect(base64.b64decode(b"".join(data), validate=True) == octets, "another reader of base64 sees other octets", text)
    again = armor.enarmor(octets, kind)
    expect(armor.dearmor(again, kind, "x", "x") == octets, "written and read again it is something else", text)


def run_signature(expect, check_error, data):
    """Files of signatures: what is accepted is armored, bounded, of the one kind that counts, and survives being written."""
    for text in _texts(data, armor.SIGNATURE):
        try:
            found = read_detached(text, "the signature")
        except TrustError as error:
            check_error(error)
            continue
        _check_armor(expect, text, armor.SIGNATURE)
        expect(1 <= len(found) <= COUNT and len(text) <= LIMIT, "no bounds", text)
        for one in found:
            expect(one.kind == 0 and not one.not_understood(), "a signature that counts for something else", one)
            expect(0 <= one.created < 1 << 32 and (not one.expires or one.expires > one.created), "a time that is none", one)
            again = read_signature(one.canonical(), "x", "x")
            same = (again.covered, again.numbers, again.left, again.created) == (one.covered, one.numbers, one.left, one.created)
            expect(same and (again.issuer == one.issuer or not one.issuer), "written and read again it is another signature", one)


def run_certificate(expect, check_error, data):
    """Certificates: what is accepted is stored in a form that means the same and says no more."""
    from _rocket.trust.openpgp.certificate import read_certificate

    for text in _texts(data, armor.PUBLIC_KEY):
        try:
            found = read_certificate(text, "the key")
        except TrustError as error:
            check_error(error)
            continue
        _check_armor(expect, text, armor.PUBLIC_KEY)
        stored = found.canonical()
        again = read_certificate(stored, "the stored key")
        expect(again.canonical() == stored and not again.dropped, "the canonical copy is not canonical", stored)
        for name in ("fingerprint", "identities", "certified_at", "expires", "revoked", "may_sign", "subkeys", "revocations"):
            expect(getattr(again, name) == getattr(found, name), f"the canonical copy says another {name}", stored)
        expect(bool(found.revoked) == stored.startswith(armor.begin_line(armor.PUBLIC_KEY) + b"\nComment: revoked\n"), "no mark", stored)
        tags = {packet.tag for packet in packets.read_packets(found.packets, "x", "x", 10_000)}
        expect(tags <= {packets.PUBLIC_KEY, packets.PUBLIC_SUBKEY, packets.USER_ID, packets.SIGNATURE}, "another packet is stored", tags)
