# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What trust offers to those who fetch: policy, keyring and verifier of a host, each read when it is asked, and not before.

Most fetches find all that they want: then no key is read and none of the code that verifies is loaded.
"""

from __future__ import annotations

import time

from .admission import admit, refusal
from .policy import load
from .standing import check_standing, why_not

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from ..paths import Paths
    from ..store.verdict import Rule, Verdict
    from .verify import Verifier


class LateVerifier:
    """What a host's policy and keys say now.

    Args:
        paths: of the host.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def rule(self, name: str) -> Rule:
        """Return the rule that decides about an image name.

        Raises:
            TrustError: ``policy-refused``: nobody may supply it; ``policy-malformed``.
            SpecError: `name` is not an AC identifier.
        """
        rule = load(self._paths).rule_for(name)
        if rule.require == "refuse":
            raise refusal(name, rule)
        return rule

    def require_key(self, name: str) -> None:
        """Raise TrustError unless as many keys as have to sign are trusted for the name."""
        self._verifier(name).require_key(name)

    def verify(self, fd: int, signature: bytes, name: str) -> Verdict:
        """Return the verdict on a file; raises as Verifier.verify()."""
        return self._verifier(name).verify(fd, signature, name)

    def admit(self, verdict: Verdict, name: str, insecure: Collection[str]) -> Verdict:
        """Return a verdict that was made just now as it is to be stored, with the rule that lets it in; raises as admission.admit()."""
        return admit(verdict, name, self.rule(name), insecure, lambda signer: why_not(signer, name, self._paths))

    def check(self, verdict: Verdict, name: str, insecure: Collection[str]) -> None:
        """Raise TrustError where a stored verdict does not hold today."""
        check_standing(verdict, name, self._paths, insecure)

    def _verifier(self, name: str) -> Verifier:
        from .keyring import Keyring
        from .verify import Verifier

        rule = self.rule(name)
        return Verifier(Keyring(self._paths), time.time, rule.threshold, rule.keys, second_opinion=rule.second_opinion)
