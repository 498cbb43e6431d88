# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Platforms of images and hosts."""

from __future__ import annotations

import pytest

from _rocket.platform import arch_of_machine, fits, host, labels_of


@pytest.mark.spec("T10")
@pytest.mark.parametrize(
    ("labels", "platform", "fit"),
    [
        ({"os": "linux", "arch": "amd64"}, "linux/amd64", True),
        ({"os": "linux", "arch": "amd64"}, "linux/aarch64", False),
        ({"os": "linux", "arch": "amd64"}, "freebsd/amd64", False),
        ({"os": "linux"}, "linux/s390x", True),
        ({"arch": "s390x"}, "linux/s390x", True),
        ({"arch": "amd64"}, "linux/s390x", False),
        ({"version": "1.0"}, "linux/s390x", True),
    ],
)
def test_which_images_fit_a_host(labels, platform, fit):
    assert fits(labels.items(), labels_of(platform)) is fit


@pytest.mark.spec("T10")
@pytest.mark.parametrize(("machine", "arch"), [("x86_64", "amd64"), ("i686", "i386"), ("aarch64", "aarch64"), ("armv7l", "armv7l")])
def test_machines(machine, arch):
    assert arch_of_machine(machine) == arch


def test_this_host():
    import os

    assert host() == f"linux/{arch_of_machine(os.uname().machine)}"
