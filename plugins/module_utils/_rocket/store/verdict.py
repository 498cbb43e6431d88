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
    """

    fingerprint: str
    prefix: str
    identity: str = ""
    signed_at: int = 0


class Verdict(Record):
    """Why an image may be in the store.

    Attributes:
        kind: ``signed`` (by trusted keys), ``pinned`` (its image ID was given by the operator) or ``insecure`` (an
            option of that name let it in).
        signers: the valid signatures by trusted keys, in the order of the file; at least one when signed.
        checked_at: seconds since the epoch.
        insecure_options: the relaxations in force when it was made, sorted.
        digest: of the OCI manifest or index that was pinned instead of the image ID; else empty.
    """

    kind: str
    signers: tuple[Signer, ...] = ()
    checked_at: int = 0
    insecure_options: tuple[str, ...] = ()
    digest: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as a JSON value."""
        return {
            "kind": self.kind,
            "signers": [dict(signer.__dict__) for signer in self.signers],
            "checked_at": self.checked_at,
            "insecure_options": list(self.insecure_options),
            **({"digest": self.digest} if self.digest else {}),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Verdict:
        """Read what to_json wrote; the store's own record, so no rule of the spec applies."""
        return cls(
            kind=value["kind"],
            signers=tuple(Signer(**signer) for signer in value["signers"]),
            checked_at=value["checked_at"],
            insecure_options=tuple(value["insecure_options"]),
            digest=value.get("digest", ""),
        )
