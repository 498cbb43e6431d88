# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What a pod may have left outside its directory, freed before the directory goes: its control groups."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..paths import Paths


def cgroups(paths: Paths) -> Callable[[str], None]:
    """Return what removes the control groups of a pod by its UUID; no error where there are none.

    The supervisor does it itself; these are of one that was killed.
    """
    from ..run.cgroup.detect import detect
    from ..run.pod_directory import PodDirectory

    def release(uuid: str) -> None:
        try:
            apps = os.listdir(f"{PodDirectory(paths, uuid).location}/apps")
        except FileNotFoundError:
            apps = []  # never got as far as having apps
        detect(uuid).remove(apps)

    return release
