# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What was found out about who supplied an image; kept with the image and checked again at run.

Shared by the tools: `trust` makes verdicts, `fetch` hands them to the store, `run` has them checked.
"""

from __future__ import annotations

from ..record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Signer(Record):
    """One valid signature by a trusted key.

    Attributes:
        fingerprint: 40 lower-case hex digits of the primary key.
        prefix: the prefix it is trusted for; empty for a root key.
        identity: first user ID of the key, escaped for display.
        signed_at: time of the signature, seconds since the epoch.
        part: fingerprint of the subkey that made it; empty for the primary key itself, and in records from before it was kept.
    """

    fingerprint: str
    prefix: str
    identity: str = ""
    signed_at: int = 0
    part: str = ""


class Rule(Record):
    """What a policy asks of the images below one prefix (trust/policy.py); the one of the defaults counts where there is no policy.

    Attributes:
        prefix: whose images it is about; empty for the rule of all others.
        require: ``signed``, ``pinned``, ``signed-or-pinned``, ``open`` or ``refuse``.
        threshold: how many distinct primary keys have to sign.
        keys: fingerprints of those that count; empty for all that are trusted for the name.
        second_opinion: ``none``, or which other program has to accept the signature too: ``gpgv``, ``sqv`` or ``any``.
    """

    prefix: str = ""
    require: str = "signed-or-pinned"
    threshold: int = 1
    keys: tuple[str, ...] = ()
    second_opinion: str = "none"

    def __str__(self) -> str:
        return f"the policy for {self.prefix} is `{self.require}`" if self.prefix else f"the policy's default is `{self.require}`"

    def needs_signature(self, pinned: bool) -> bool:
        """Return whether a signature has to be had for an image that the operator `pinned` by its digest, or did not."""
        return self.require == "signed" or (self.require == "signed-or-pinned" and not pinned)

    def to_json(self) -> dict[str, Any]:
        """Return the rule as a JSON value."""
        return {**self.__dict__, "keys": list(self.keys)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Rule:
        """Read what to_json wrote.

        Raises:
            KeyError, TypeError: not such a value.
        """
        _check_members(value, {"prefix": str, "require": str, "threshold": int, "keys": list, "second_opinion": str})
        return cls(**{**value, "keys": tuple(value["keys"])})


class Verdict(Record):
    """Why an image may be in the store.

    Attributes:
        kind: ``signed`` (by trusted keys), ``pinned`` (its image ID was given by the operator), ``open`` (the policy asks for neither) or
            ``insecure`` (an option of that name let it in).
        signers: the valid signatures by trusted keys, in the order of the file; at least one when signed.
        checked_at: seconds since the epoch.
        insecure_options: the relaxations in force when it was made, sorted.
        digest: of the OCI manifest or index that was pinned instead of the image ID; else empty.
        pinned: whether the operator gave its image ID or digest, be it signed or not.
        policy: the rule that it was let in under; None in a record from before there were policies.
    """

    kind: str
    signers: tuple[Signer, ...] = ()
    checked_at: int = 0
    insecure_options: tuple[str, ...] = ()
    digest: str = ""
    pinned: bool = False
    policy: Rule | None = None

    @property
    def by_pin(self) -> bool:
        """Whether the operator gave its image ID or digest; records from before the mark say so by their kind."""
        return self.pinned or self.kind == "pinned"

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as a JSON value."""
        return {
            "kind": self.kind,
            "signers": [dict(signer.__dict__) for signer in self.signers],
            "checked_at": self.checked_at,
            "insecure_options": list(self.insecure_options),
            **({"digest": self.digest} if self.digest else {}),
            **({"pinned": True} if self.pinned else {}),
            **({"policy": self.policy.to_json()} if self.policy is not None else {}),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Verdict:
        """Read what to_json wrote; the store's own record, so no rule of the spec applies.

        Raises:
            KeyError, TypeError: not such a value. What a later version wrote and this one does not know may take something back.
        """
        _check_members(value, {"kind": str, "signers": list, "checked_at": int, "insecure_options": list}, _LATER)
        policy = value.get("policy")
        return cls(
            kind=value["kind"],
            signers=tuple(Signer(**signer) for signer in value["signers"]),
            checked_at=value["checked_at"],
            insecure_options=tuple(value["insecure_options"]),
            digest=value.get("digest", ""),
            pinned=value.get("pinned", False),
            policy=None if policy is None else Rule.from_json(policy),
        )


_LATER = {"digest": str, "pinned": bool, "policy": dict}


def _check_members(value: dict[str, Any], needed: dict[str, type], others: dict[str, type] | None = None) -> None:
    """Refuse an object that has not exactly these members, each of its type; `others` may be missing."""
    known = {**needed, **(others or {})}
    for name, member in value.items():
        # True is an int to isinstance().
        if name not in known or not isinstance(member, known[name]) or (isinstance(member, bool) and known[name] is not bool):
            raise TypeError(f"{name} is not as a verdict has it")
    for name in needed:
        if name not in value:
            raise KeyError(name)
