# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What came of a fetch, for people and machines."""

from __future__ import annotations

from ..record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..store.record import ImageRecord


class Fetched(Record):
    """An image of the store, and how it came to be there.

    Attributes:
        record: the image.
        place: ``network``, ``file``, or ``store``: it was there, and was good enough or unchanged at its source.
        transferred: bytes of content that came over the network for it, pages and signatures included.
        seconds: how long it took.
        resumed: bytes of the image that an earlier try had brought.
        dependencies: what came along because it depends on it; what was there already is not among them.
        stands_on: (reference, image) of all that it depends on, whether it came along or was there; each by its image ID where a manifest
            says so, else by name and labels.
        notes: what of an OCI image is not in the image that it became, or probably not meant, one clause each.
        named: of a bundle, all that it names, this one too; else empty.
    """

    record: ImageRecord
    place: str = "store"
    transferred: int = 0
    seconds: float = 0.0
    resumed: int = 0
    dependencies: tuple[Fetched, ...] = ()
    stands_on: tuple[tuple[str, ImageRecord], ...] = ()
    notes: tuple[str, ...] = ()
    named: tuple[Fetched, ...] = ()

    @property
    def signed_by(self) -> tuple[str, ...]:
        """Who signed it, by the identities of the keys or else their fingerprints; empty where nobody had to."""
        return tuple(signer.identity or signer.fingerprint for signer in self.record.verdict.signers)

    def to_json(self) -> dict[str, Any]:
        """Return it for results."""
        return {
            "from": self.place,
            "image_id": self.record.id,
            "source": self.record.source,
            "signed_by": list(self.signed_by),
            "transferred": self.transferred,
            "seconds": round(self.seconds, 3),
            "resumed": self.resumed,
            "dependencies": [each.to_json() for each in self.dependencies],
            **({"images": [each.to_json() for each in self.named]} if self.named else {}),
        }
