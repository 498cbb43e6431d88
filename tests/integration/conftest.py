# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the launcher's tests; every pod is ended however its test ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from launcher_pods import Pod, make_app, make_tree
from signed_images import make_signed
from test_ansible_modules import TARGET_PYTHON, Fleet


@pytest.fixture
def host(root, program):
    """The machine can run pods; the value is its mount table before the test."""
    program("busybox")
    return Path("/proc/self/mountinfo").read_text()


@pytest.fixture
def fleet(root, tmp_path, collections):
    """A host of its own for modules, beside whatever else a test keeps."""
    if not os.path.exists(TARGET_PYTHON):
        pytest.skip(f"missing ability: the program {TARGET_PYTHON}")
    (tmp_path / "fleet").mkdir()
    return Fleet(tmp_path / "fleet", collections)


@pytest.fixture
def tree(tmp_path):
    """A root file system with a static busybox."""
    return make_tree(tmp_path / "tree")


@pytest.fixture
def pod_with(tmp_path):
    """Make a pod of apps; it is ended and its control groups are removed after the test."""
    pods = []

    def make(apps, name="pod", **members):
        pod = Pod(tmp_path / name, apps, **members)
        pods.append(pod)
        return pod

    yield make
    for pod in pods:
        pod.end()
        pod.remove_cgroups()


@pytest.fixture
def pod_of(tree, pod_with):
    """Make a pod of one app that runs a script."""

    def make(script="true", name="pod", **members):
        return pod_with([make_app("app", tree, script, **members)], name=name)

    return make


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """Images signed by a key and by a stranger, and both keys."""
    yield from make_signed(tmp_path_factory)


@pytest.fixture
def audited(tmp_path, collections, signed):
    """A fleet without hosts yet, to be audited."""
    from audited_fleet import Audited
    from test_ansible_modules import TARGET_PYTHON, Fleet

    if not os.path.exists(TARGET_PYTHON):
        pytest.skip(f"missing ability: the program {TARGET_PYTHON}")
    (tmp_path / "fleet").mkdir()
    return Audited(tmp_path, Fleet(tmp_path / "fleet", collections), signed)
