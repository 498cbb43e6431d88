# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A verifier whose keyring, and whose code, is read when something is to be verified: most fetches find all that they want."""

from __future__ import annotations

import time

from ..errors import TrustError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..paths import Paths
    from ..store.verdict import Verdict
    from .verify import Verifier


class LateVerifier:
    """What Verifier is, of the keys that a host trusts now.

    Args:
        paths: of the host.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._made: Verifier | None = None

    def require_key(self, name: str) -> None:
        """Raise TrustError unless some key is trusted for the name."""
        self._verifier().require_key(name)

    def verify(self, fd: int, signature: bytes, name: str) -> Verdict:
        """Return the verdict on a file; raises as Verifier.verify()."""
        return self._verifier().verify(fd, signature, name)

    def stands(self, verdict: Verdict, name: str) -> bool:
        """Tell whether a signer of a stored verdict is trusted for the name today, as the start of a pod will ask: without any package."""
        from .standing import check_standing

        try:
            check_standing(verdict, name, self._paths, ())
        except TrustError:
            return False  # Whoever verifies it again is told why.
        return True

    def _verifier(self) -> Verifier:
        from .keyring import Keyring
        from .verify import Verifier

        if self._made is None:
            self._made = Verifier(Keyring(self._paths), time.time)
        return self._made
