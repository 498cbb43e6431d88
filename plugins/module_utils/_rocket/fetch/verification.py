# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""May this file enter the store? Signature or digest first, then what it is, then whether it is what was asked for.

Nothing of an image is parsed before its bytes are known to be the signer's or the operator's choice: with one exception,
a signed file or URL whose name the operator did not give, where the manifest has to say for which name a key is needed.
"""

from __future__ import annotations

import time

from ..errors import ArchiveError, FetchError, UsageError
from ..record import Record
from ..spec.image_name import ImageName
from ..store.verdict import Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from ..image.check import Inspection
    from ..store.staged_tree import StagedTree
    from .options import FetchOptions

    class Verifier(Protocol):
        """What trust/ offers to fetch/."""

        def require_key(self, name: str) -> None:
            """Raise TrustError unless some key is trusted for the name."""

        def verify(self, fd: int, signature: bytes, name: str) -> Verdict:
            """Return the verdict on a file, or raise TrustError."""

        def stands(self, verdict: Verdict, name: str) -> bool:
            """Whether somebody who signed what is stored is trusted for the name today."""


class Wanted(Record):
    """What a file has to be.

    Attributes:
        asked: name and labels asked for; None for a file or URL without a name.
        host_labels: (os, arch) of this host where its choice was left to us, else an empty tuple.
    """

    asked: ImageName | None
    host_labels: tuple[tuple[str, str], ...] = ()


def needs_signature(options: FetchOptions) -> bool:
    """Whether a signature has to be had: not for an image that is only pinned, and not where the operator gave it up (V8)."""
    return not options.unverified and (options.signed or not options.expected_id)


def check_file(
    fd: int, signature: bytes | None, where: str, wanted: Wanted, options: FetchOptions, verifier: Verifier, tree: StagedTree | None = None
) -> tuple[Inspection, Verdict]:
    """Return what the staged file is and why it may enter the store.

    Args:
        fd: of the file.
        signature: of the file; None where none is needed.
        where: it came from.
        wanted: what it has to be.
        options: what the operator said.
        verifier: what trust/ says about it.
        tree: is filled in the same pass, where it is known by then who vouches for the file.

    Raises:
        TrustError: its signature does not do.
        FetchError: ``digest-mismatch``, ``not-an-image``, ``name-mismatch``, ``label-mismatch`` (V7).
        ArchiveError, SpecError: it is no App Container Image.
    """
    from ..image.check import inspect

    _check_magic(fd, where)
    verdict = None
    if options.expected_id:
        verdict = _pinned(fd, where, options)
    if signature is not None:
        verdict = verifier.verify(fd, signature, wanted.asked.name) if wanted.asked is not None else None
    inspection = inspect(fd) if tree is None or verdict is None else tree.fill(fd)
    if options.expected_id and inspection.image_id != options.expected_id:
        raise _digest_mismatch(where, inspection.image_id, options.expected_id)
    if verdict is None:
        if signature is not None:
            verdict = verifier.verify(fd, signature, inspection.manifest.name)
        elif options.unverified:
            verdict = Verdict(kind="insecure", checked_at=int(time.time()), insecure_options=tuple(sorted(options.insecure)))
        else:
            raise UsageError("an image without signature or pinned image ID needs --insecure-options=image")
    check_wanted(inspection, where, wanted)
    return inspection, verdict


def _check_magic(fd: int, where: str) -> None:
    """Name what is often in the place of an image before anything harder is tried; compares bytes, parses nothing."""
    import os

    from ..image.compression import SNIFF, sniff

    start = os.pread(fd, SNIFF, 0)
    try:
        sniff(start)
    except ArchiveError as error:
        if start.lstrip()[:1] == b"<":
            error.what, error.hint = "not an App Container Image but a web page", "is there a login or a proxy in the way?"
        raise FetchError(error.what, where=where, hint=error.hint, code=error.code) from error


def _pinned(fd: int, where: str, options: FetchOptions) -> Verdict:
    """Compare the digest of the uncompressed archive before the archive is opened."""
    from ..image.compression import decompressed
    from ..image.limits import DEFAULT
    from ..image.stream import Digest, file_stream

    digest = Digest()
    try:
        for _piece in digest.watch(decompressed(file_stream(fd, DEFAULT.bytes), DEFAULT)):
            pass
        found = digest.image_id()
    finally:
        digest.close()
    if found != options.expected_id:
        raise _digest_mismatch(where, found, options.expected_id)
    return Verdict(kind="pinned", checked_at=int(time.time()), insecure_options=tuple(sorted(options.insecure)))


def _digest_mismatch(where: str, found: str, expected: str) -> FetchError:
    return FetchError(
        f"the image has the ID {found}, not the pinned {expected}",
        where=where,
        hint="the source serves another image than was pinned: find out why before you pin it anew",
        code="digest-mismatch",
        found=found,
        expected=expected,
    )


def check_wanted(inspection: Inspection, where: str, wanted: Wanted) -> None:
    """Refuse an image that is not the one asked for, signed or not (V7).

    Raises:
        FetchError: ``name-mismatch`` or ``label-mismatch``.
    """
    manifest = inspection.manifest
    if wanted.asked is not None and manifest.name != wanted.asked.name:
        raise FetchError(
            f"the image is {manifest.name}, asked for was {wanted.asked.name} (V7)",
            where=where,
            hint="ask its supplier",
            code="name-mismatch",
        )
    given = {label.name: label.value for label in manifest.labels}
    asked = wanted.asked.labels if wanted.asked is not None else ()
    for name, value in asked:
        if given.get(name) != value:
            raise _label_mismatch(where, name, given.get(name, "missing"), value, "asked for was")
    for name, value in wanted.host_labels:
        if given.get(name, value) != value:
            raise _label_mismatch(where, name, given[name], value, "this host has")


def _label_mismatch(where: str, name: str, found: str, value: str, clause: str) -> FetchError:
    from ..errors import printable

    return FetchError(
        f"the image's label {name} is {printable(found)}, {clause} {printable(value)} (V7)",
        where=where,
        hint="ask for the label you want, or ask its supplier",
        code="label-mismatch",
    )
