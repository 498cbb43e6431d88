# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""When a pod last had its images: written down in the store when the pod goes, so that a launch writes nothing.

Until then the images are in use and nobody asks. It is the time of the image's blob, which nothing else reads or sets once
the image is in the store; what is not written down for whatever reason makes an image look older, and goes earlier.
"""

from __future__ import annotations

import os
import time

from ..errors import RocketError
from ..store.catalogue import is_image_id
from .names import used_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..paths import Paths


def had(location: str) -> dict[str, float]:
    """Return the images of the pod in the directory `location`, with when it last had them, in seconds since the epoch."""
    moment = min(_end(location), time.time())
    try:
        return dict.fromkeys(filter(is_image_id, used_by(location)), moment)
    except (RocketError, OSError):
        return {}  # Its files are damaged. That keeps nobody from removing it.


def _end(location: str) -> float:
    """Return when the pod ended, or came to its present state where it never ran or its supervisor was killed; 0 where it is gone."""
    for path in (f"{location}/ended", location):
        try:
            found = os.lstat(path)
        except OSError:
            continue
        return found.st_mtime if path != location else found.st_ctime
    return 0.0


def write_down(paths: Paths, images: dict[str, float]) -> None:
    """Write down in the store when images were last had; a later time that is there stays."""
    for image_id, moment in images.items():
        path = f"{paths.images}/{image_id}/aci"
        try:
            if os.lstat(path).st_mtime < moment:
                os.utime(path, (moment, moment), follow_symlinks=False)
        except OSError:
            # The image is gone or damaged, or may not be written to. A pod has to be removable all the same.
            continue
