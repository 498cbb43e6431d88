# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Platforms in the words of image labels, ``os/arch``, and which one this host is (T10)."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_ARCHES = {"x86_64": "amd64", "i386": "i386", "i486": "i386", "i586": "i386", "i686": "i386"}


def arch_of_machine(machine: str) -> str:
    """Return the arch label of a Linux machine name (``uname -m``)."""
    return _ARCHES.get(machine, machine)


def host() -> str:
    """Return ``os/arch`` of this host."""
    return f"{os.uname().sysname.lower()}/{arch_of_machine(os.uname().machine)}"


def labels_of(platform: str) -> tuple[tuple[str, str], ...]:
    """Return the labels os and arch of a platform."""
    system, _slash, arch = platform.partition("/")
    return (("os", system), ("arch", arch))


def fits(labels: Iterable[tuple[str, str]], wanted: Iterable[tuple[str, str]]) -> bool:
    """Return whether an image with `labels` has each label that is wanted, or none of its name: no label, no condition (T9, V7)."""
    given = dict(labels)
    return all(given.get(name, value) == value for name, value in wanted)
