# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Does a subkey count? Only when the primary key bound it for signing and it agreed by a back-signature.

A subkey without that proof may be a stranger's, pasted onto a trusted certificate; one without a back-signature may be
taken from its real owner. Such a subkey does not make the certificate malformed: it just never counts, and the reason
is kept for the message.
"""

from __future__ import annotations

from ...errors import TrustError
from ...record import Record
from .key import PublicKey
from .mathematics import fits, refuse_short
from .signature import BACK_SIGNATURE, EMBEDDED, FLAGS, KEY_EXPIRES, MAY_SIGN, Signature, read_signature

BINDING, REVOCATION = 0x18, 0x28


class Subkey(Record):
    """One subkey.

    Attributes:
        key: the key.
        code: message class of why it does not count; empty when it counts.
        reason: the same for people.
        expires: seconds since the epoch; 0 for never.
        bound_at: time of the governing binding, 0 where there is none.
    """

    key: PublicKey
    code: str
    reason: str
    expires: int = 0
    bound_at: int = 0


def _digest(signature: Signature, key: PublicKey, primary: PublicKey) -> bytes:
    begun = signature.hash()
    begun.update(primary.hashed())
    begun.update(key.hashed())
    return signature.digest(begun)


def _verify_own(signatures: tuple[Signature, ...], key: PublicKey, primary: PublicKey, where: str) -> None:
    for signature in signatures:
        if signature.weak or not signature.names(primary.fingerprint):
            continue
        kind = "revocation" if signature.kind == REVOCATION else "binding"
        if not fits(primary, signature, _digest(signature, key, primary)):
            refuse_short(primary, signature, where)
            problem = f"the {kind} of subkey {key.fingerprint} does not verify"
        elif signature.created < key.created:
            problem = f"the {kind} of subkey {key.fingerprint} is older than the subkey"
        elif kind == "binding" and signature.not_understood():
            problem = f"the binding of subkey {key.fingerprint} carries {signature.not_understood()}, which is not understood"
        else:
            continue
        raise TrustError(problem, where=where, code="key-malformed", hint="export it again with `gpg --armor --export FINGERPRINT`")


def _back_signature_problem(binding: Signature, key: PublicKey, primary: PublicKey, where: str) -> tuple[str, str]:
    embedded = binding.values(EMBEDDED, hashed=False)
    if not embedded:
        return "signer-unknown", "the subkey never agreed to belong to the key (no back-signature)"
    for body in embedded:
        back = read_signature(body, "key-malformed", where)
        if back.kind != BACK_SIGNATURE:
            continue
        if back.weak:
            return "algorithm-refused", f"its back-signature uses {back.hash_name}"
        if not back.not_understood() and back.created >= key.created and fits(key, back, _digest(back, key, primary)):
            return "", ""
    return "signer-unknown", "its back-signature does not verify"


def _why_not(
    bindings: list[Signature], signatures: tuple[Signature, ...], key: PublicKey, primary: PublicKey, where: str
) -> tuple[str, str]:
    if any(signature.kind == REVOCATION and signature.names(primary.fingerprint) for signature in signatures):
        return "key-revoked", "its owner revoked this subkey"
    if any(not signature.names(primary.fingerprint) for signature in signatures):
        return "signer-unknown", "the subkey was bound or revoked by another key"
    if not bindings:
        return "signer-unknown", "the subkey is not bound to the key"
    governing = bindings[-1]
    if governing.weak:
        return "algorithm-refused", f"the newest binding of the subkey uses {governing.hash_name}"
    flags = governing.values(FLAGS)
    if not flags or not flags[0][:1] or not flags[0][0] & MAY_SIGN:
        return "signer-unknown", "the subkey is not for signing"
    if key.refusal:
        return "algorithm-refused", key.refusal
    return _back_signature_problem(governing, key, primary, where)


def _expiry(governing: Signature, key: PublicKey) -> int:
    span = governing.seconds(KEY_EXPIRES)
    return min([end for end in (key.created + span if span else 0, governing.expires) if end], default=0)


def judge_subkey(key: PublicKey, signatures: tuple[Signature, ...], primary: PublicKey, where: str) -> Subkey:
    """Return the subkey with whether it counts.

    Raises:
        TrustError: ``key-malformed``: a binding or revocation by the primary key does not verify.
    """
    _verify_own(signatures, key, primary, where)
    never = 1 << 40
    bindings = sorted(
        (one for one in signatures if one.kind == BINDING and one.names(primary.fingerprint)),
        key=lambda one: (one.created, one.weak, -(_expiry(one, key) or never)),
    )
    code, reason = _why_not(bindings, signatures, key, primary, where)
    if not bindings:
        return Subkey(key, code, reason)
    return Subkey(key, code, reason, _expiry(bindings[-1], key), bindings[-1].created)
