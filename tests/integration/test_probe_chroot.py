# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A launcher that itself is in a chroot: the root of an app's namespace would be the host's, so nothing starts."""

from __future__ import annotations

import ctypes
import os

from launcher_pods import Pod, make_app, make_tree

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 1 << 18


def test_nothing_is_started_in_a_chroot(host, tmp_path):
    """Red without the check: the app starts, and what joins its namespace later sees the host's files."""
    place = tmp_path / "chroot"
    place.mkdir()
    script = "touch /started"
    pod = Pod(tmp_path / "pod", [make_app("app", make_tree(tmp_path / "tree"), script)])

    def enter_chroot():
        libc = ctypes.CDLL(None, use_errno=True)
        for result in (
            libc.unshare(CLONE_NEWNS),
            libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None),
            libc.mount(b"/", str(place).encode(), None, MS_BIND | MS_REC, None),
        ):
            if result:
                raise OSError(ctypes.get_errno(), "no chroot for the test")
        os.chroot(place)
        os.chdir("/")

    assert pod.run(prepare=enter_chroot) == 254
    assert "in a chroot" in pod.error
    assert not (pod.directory / "apps/app/upper/started").exists()
