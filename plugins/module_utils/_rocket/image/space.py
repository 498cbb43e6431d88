# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The space that a host keeps for itself: looked at before something is written, and while it is."""

from __future__ import annotations

import os

from ..errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .limits import Limits

# How much is written between two looks at the free space: each look wants that much beside the reserve.
LOOK_EVERY = 8 << 20
LOOK_EVERY_FILES = 256


def look(fd: int, limits: Limits) -> None:
    """Check that the file system of `fd` keeps its reserve until the next look.

    Raises:
        StoreError: code ``no-space``.
    """
    space = os.fstatvfs(fd)
    few = space.f_files and space.f_favail < limits.reserve_files + LOOK_EVERY_FILES
    if few or space.f_bavail * space.f_frsize < limits.reserve + LOOK_EVERY:
        raise StoreError("there is no space left for the image", code="no-space", hint="free space, or collect garbage with: rocket gc")
