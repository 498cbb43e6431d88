# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Which extended attributes travel in an image.

``user.*`` belongs to the files and travels. ``security.capability`` makes programs privileged and needs a decision.
The rest says something about one host: labels (selinux, ima, evm), ``trusted.*``, ``system.*``. Attributes of overlayfs
would let an image show directories of another one (docs/security-model.md, L37).
"""

from __future__ import annotations

CAPABILITY = b"security.capability"


def travels(name: bytes, capabilities: bool) -> bool:
    """Return whether the attribute `name` is kept; `capabilities` decides about CAPABILITY."""
    if name == CAPABILITY:
        return capabilities
    return name.startswith(b"user.") and len(name) > 5 and not name.startswith(b"user.overlay.") and b"\0" not in name
