# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The module `image` with OCI images: it tells the truth about them too, and says what to pin."""

from __future__ import annotations

import os
import re

import pytest
from oci_tools import Layout, Registry, busybox
from test_ansible_modules import TARGET_PYTHON, Fleet

IMAGE = "appc.rocket.image"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, collections):
    if os.geteuid() != 0:
        pytest.skip("missing ability: root")
    if not os.path.exists(TARGET_PYTHON):
        pytest.skip(f"missing ability: the program {TARGET_PYTHON}")
    return Fleet(tmp_path_factory.mktemp("fleet"), collections)


@pytest.fixture(scope="module")
def layout(tmp_path_factory, program):
    for name in ("umoci", "skopeo", "busybox"):
        program(name)
    made = Layout(tmp_path_factory.mktemp("umoci"))
    busybox(made.root)
    made.commit("web")
    return made


@pytest.fixture(scope="module")
def registry(layout, tmp_path_factory, program):
    program("docker-registry")
    pytest.importorskip("cryptography")
    from fetch_site import Authority

    authority = Authority(tmp_path_factory.mktemp("authority"))
    running = Registry(tmp_path_factory.mktemp("registry"), authority.certificate(), authority.file)
    running.push(f"oci:{layout.path}:web", "shop/web:1.4")
    yield running
    running.close()


def test_a_pinned_image_of_a_registry_and_of_a_layout(fleet, layout, registry):
    pinned = f"docker://{registry.host}/shop/web:1.4@{registry.digest('shop/web:1.4')}"
    local = f"oci:{layout.path}:web@{layout.digest('web')}"
    found = fleet.truth([(IMAGE, {"name": pinned, "ca_file": registry.ca_file}), (IMAGE, {"name": local})])
    for (_checked, applied, again), name in zip(found, (f"localhost~{registry.port}/shop/web", "localhost/web")):
        assert applied["image"]["name"] == name
        assert applied["image"]["verdict"]["kind"] == "pinned"
        assert again["image"] == applied["image"]
    # What is there is there without a registry, and goes by its reference too.
    gone = fleet.truth([(IMAGE, {"name": pinned, "state": "absent"})])
    assert gone[0][1]["plan"]["steps"][0]["action"] == "remove"


def test_what_is_not_pinned_fails_and_says_what_to_pin(fleet, layout):
    reference = f"oci:{layout.path}:web"
    refused, checked = fleet.play([(IMAGE, {"name": f"{reference}-other"}, {}), (IMAGE, {"name": "docker://busybox"}, {})])
    assert refused["failed"] and "it has scratch, web" in refused["msg"]
    assert checked["failed"] and "docker://HOST/busybox" in checked["msg"]
    (told,) = fleet.play([(IMAGE, {"name": reference, "data_dir": f"{fleet.host}/other"}, {})])
    assert told["failed"] and told["error"]["code"] == "signature-missing"
    assert re.search(rf"pin it: {re.escape(reference)}@{layout.digest('web')};", told["msg"])
