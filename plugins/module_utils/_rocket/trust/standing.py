# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Is a stored verdict still good today? ``run``'s side of trust: names of files, no packets, no mathematics.

An image that was let in by an option does not run without that option, and one whose signers have been distrusted
since does not run at all.

Not handled here: expiry of keys (a running fleet has to survive a reboot on the day a key ends; fetch refuses then);
revocations in key files that were not written by ``rocket trust``, which leaves a mark in the first lines.
"""

from __future__ import annotations

import os

from ..audit.log import Acting
from ..errors import TrustError
from . import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..paths import Paths
    from ..store.verdict import Verdict

_REVOKED = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: revoked\n"


def _marked_revoked(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return os.read(fd, len(_REVOKED)) == _REVOKED
        finally:
            os.close(fd)
    except OSError as error:
        raise TrustError(
            f"a trusted key cannot be read: {error.strerror or error}", where=path, code="untrusted", hint="check its owner and mode"
        ) from error


def _why_not(fingerprint: str, name: str, paths: Paths) -> str:
    """Return why the key is not trusted for `name` today; empty when it is."""
    if not layout.is_fingerprint(fingerprint):
        return "is not a fingerprint"
    trusted, reason = False, "is not trusted"
    for prefix in layout.prefixes_of(name):
        found = layout.entry(paths, prefix, fingerprint)
        if found is None:
            continue
        if found.masked:
            reason = f"is masked by {found.path}"
        elif found.problem:
            reason = f"is in {found.path}, which {found.problem}"
        elif _marked_revoked(found.path):
            return "was revoked by its owner"
        else:
            trusted = True
    return "" if trusted else reason


def _check_signers(verdict: Verdict, name: str, paths: Paths) -> None:
    refused = []
    for signer in verdict.signers:
        reason = _why_not(signer.fingerprint, name, paths)
        if not reason:
            return
        refused.append(f"{signer.fingerprint} {reason}")
    raise TrustError(
        f"no signer is trusted for it today: {'; '.join(refused) or 'the record names none'}",
        where=name,
        code="signer-unknown",
        hint=f"if its supplier is to be trusted again: `rocket trust --prefix {name} KEYFILE`, else fetch an image by a trusted signer",
    )


def standing(paths: Paths, insecure: Collection[str]) -> Callable[[Verdict, str], None]:
    """Return what refuses an image at a start, as check_standing does, and writes a refusal down."""

    def check(verdict: Verdict, name: str) -> None:
        with Acting(paths, "run", name, ahead=False):
            check_standing(verdict, name, paths, insecure)

    return check


def check_standing(verdict: Verdict, name: str, paths: Paths, insecure: Collection[str]) -> None:
    """Refuse an image whose stored verdict does not hold today.

    Args:
        verdict: as stored with the image.
        name: the image's name.
        paths: of this host.
        insecure: names of the relaxations in force now.

    Raises:
        TrustError: ``signer-unknown``: no signer is trusted for the name; ``verdict-insecure``: it was let in without a
            signature and ``image`` is not among `insecure`; ``untrusted``: a verdict of another kind.
        SpecError: `name` is not an AC identifier.
    """
    if verdict.kind == "pinned":
        return
    if verdict.kind == "signed":
        _check_signers(verdict, name, paths)
    elif verdict.kind != "insecure":
        raise TrustError("its stored verdict is of no known kind", where=name, code="untrusted", hint="fetch the image again")
    elif "image" not in insecure:
        raise TrustError(
            "it was stored without a valid signature",
            where=name,
            code="verdict-insecure",
            hint="fetch it again with its signature, pin its image ID, or allow it with --insecure-options=image",
        )
