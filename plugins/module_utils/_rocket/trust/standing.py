# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Is a stored verdict still good today? ``run``'s side of trust: names of files, no packets, no mathematics.

An image that was let in by an option does not run without that option, one whose signers have been distrusted
since does not run at all, and one of which the policy asks more today does not run without the option.

Not handled here: expiry of keys (a running fleet has to survive a reboot on the day a key ends; fetch refuses then);
revocations in key files that were not written by ``rocket trust``, which leaves marks in the first lines.
"""

from __future__ import annotations

import os

from ..audit.log import Acting
from ..errors import TrustError
from . import layout
from .admission import judge
from .policy import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..paths import Paths
    from ..store.verdict import Signer, Verdict

_MARK = b"Comment: revoked"
_HEADERS = 1 << 16


def _marks(path: str) -> list[bytes]:
    """Return the lines of a key file between its first and the empty one."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return os.read(fd, _HEADERS).partition(b"\n\n")[0].split(b"\n")[1:]
        finally:
            os.close(fd)
    except OSError as error:
        raise TrustError(
            f"a trusted key cannot be read: {error.strerror or error}", where=path, code="untrusted", hint="check its owner and mode"
        ) from error


def why_not(signer: Signer, name: str, paths: Paths) -> str:
    """Return why a signer does not count for `name` today: the key is not trusted, it or the part that signed was revoked; else empty."""
    fingerprint = signer.fingerprint
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
        else:
            marks = _marks(found.path)
            if _MARK in marks:
                return "was revoked by its owner"
            if signer.part and _MARK + b" " + signer.part.encode() in marks:
                return f"signed with subkey {signer.part}, which its owner revoked"
            trusted = True
    return "" if trusted else reason


def standing(paths: Paths, insecure: Collection[str]) -> Callable[[Verdict, str], None]:
    """Return what refuses an image at a start, as check_standing does, and writes a refusal down."""

    def check(verdict: Verdict, name: str) -> None:
        with Acting(paths, "run", name, ahead=False):
            check_standing(verdict, name, paths, insecure)

    return check


def check_standing(verdict: Verdict, name: str, paths: Paths, insecure: Collection[str]) -> None:
    """Refuse an image whose stored verdict does not hold today, under today's policy and keyring.

    Args:
        verdict: as stored with the image.
        name: the image's name.
        paths: of this host.
        insecure: names of the relaxations in force now.

    Raises:
        TrustError: ``signer-unknown``: no signer is trusted for the name; ``verdict-insecure``: it was let in without a
            signature and ``image`` is not among `insecure`; ``policy-refused``, ``policy-unmet``, ``threshold-unmet``: today's policy
            asks for more; ``policy-malformed``: it cannot be read; ``untrusted``: a verdict of another kind.
        SpecError: `name` is not an AC identifier.
    """
    judge(verdict, name, load(paths).rule_for(name), insecure, lambda signer: why_not(signer, name, paths))
