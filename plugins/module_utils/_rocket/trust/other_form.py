# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Was the wrong form of a file signed: the tar before it was compressed? Looked at when the refusal is certain, for its message alone.

What is decompressed here is nobody's yet. So it happens in a child with bounds, nothing of the archive is parsed, and whatever the child
says, the file stays refused.
"""

from __future__ import annotations

import os

from ..errors import ArchiveError, HostError, TrustError
from ..image.limits import Limits
from .openpgp.mathematics import fits
from .openpgp.signature import HASHES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .openpgp.key import PublicKey
    from .openpgp.signature import Signature

# What an explanation is worth: larger images are refused without it.
BOUNDS = Limits(bytes=1 << 30, entries=10_000, working_memory=512 << 20, seconds=20)


def explained(error: TrustError, fd: int, candidates: list[tuple[PublicKey, Signature]]) -> TrustError:
    """Return the refusal `error` of the file behind `fd`, or one that says more.

    Args:
        error: ``signature-bad``.
        fd: the file.
        candidates: signatures, each with the key that it names.
    """
    from ..image.compression import SNIFF, sniff

    candidates = [(key, signature) for key, signature in candidates if not signature.weak]
    try:
        form = sniff(os.pread(fd, SNIFF, 0))
        if form == "none":
            error.hint = f"{error.hint}; this file is not compressed: where its compressed form was signed, that is the one to publish"
            return error
        if os.fstat(fd).st_size > BOUNDS.bytes:
            return error
        digests = _digests(fd, [signature for _key, signature in candidates])
    except (ArchiveError, HostError):
        return error  # It is no archive, or a bomb: there is no other form to speak of, and the file is refused as it is.
    if not any(fits(key, signature, digest) for (key, signature), digest in zip(candidates, digests)):
        return error
    return TrustError(
        f"{error.what}, but the archive before it was compressed ({form})",
        where=error.where,
        code=error.code,
        hint="its supplier signs the file as it is published: compress first, then `gpg --armor --detach-sign FILE.aci` (A9)",
        **error.facts,
    )


def _digests(fd: int, signatures: list[Signature]) -> list[bytes]:
    """Return the digest of the uncompressed archive for each signature."""
    from ..image import sandbox

    def work() -> dict[str, Any]:
        return {"digests": [digest.hex() for digest in hashed(fd, signatures)]}

    return [bytes.fromhex(digest) for digest in sandbox.run(work, (fd,), BOUNDS)["digests"]]


def hashed(fd: int, signatures: list[Signature]) -> list[bytes]:
    """Return the same in this process; raises ArchiveError beyond BOUNDS."""
    import hashlib

    from ..image.compression import decompressed
    from ..image.stream import file_stream

    hashes = {number: hashlib.new(HASHES[number]) for number in sorted({one.hash_algorithm for one in signatures})}
    for piece in decompressed(file_stream(fd, BOUNDS.bytes), BOUNDS):
        for begun in hashes.values():
            begun.update(piece)
    return [one.digest(hashes[one.hash_algorithm]) for one in signatures]
