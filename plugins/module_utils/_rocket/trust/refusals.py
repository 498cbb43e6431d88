# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What is told where too few keys could vouch for a name."""

from __future__ import annotations

from ..errors import TrustError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


def too_few_keys(name: str, able: int, threshold: int, keys: Collection[str]) -> TrustError:
    """Return the error for a name that could not be signed by as many keys as have to sign, whoever signs."""
    which = f" of those that the policy counts ({', '.join(keys)})" if keys else ""
    return TrustError(
        f"{able} trusted keys can be used{which}, and {threshold} have to sign",
        where=name,
        code="threshold-unmet",
        hint=f"trust the missing keys (`rocket trust --prefix {name} KEYFILE`); `rocket trust --policy {name}` shows the rule",
    )
