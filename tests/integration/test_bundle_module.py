# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The module `image` with bundles: check mode says what will be, nothing enters from a bundle that is not good as a whole."""

from __future__ import annotations

import os

import pytest
from bundles import Part, bundle
from signed_images import NAME
from test_ansible_modules import TARGET_PYTHON, Fleet

IMAGE = "appc.rocket.image"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, collections, signed):
    """A host that trusts the key of the release for its name."""
    if os.geteuid() != 0:
        pytest.skip("missing ability: root")
    if not os.path.exists(TARGET_PYTHON):
        pytest.skip(f"missing ability: the program {TARGET_PYTHON}")
    made = Fleet(tmp_path_factory.mktemp("fleet"), collections)
    key = {"fingerprint": signed["release"], "prefix": NAME, "key": signed["release_key"]}
    (trusted,) = made.play([("appc.rocket.trust", key, {})])
    assert trusted["changed"]
    return made


@pytest.fixture
def write(tmp_path, signed):
    """Write a bundle of images by their versions; return its reference."""

    def make(*versions):
        parts = []
        for version in versions:
            path = signed[version]
            signature = open(f"{path}.asc", "rb").read() if os.path.exists(f"{path}.asc") else b""
            name = f"{NAME}2" if version == "4" else NAME
            parts.append(Part(open(path, "rb").read(), name, signature, labels={"version": version}))
        (tmp_path / f"{'-'.join(versions)}.bundle").write_bytes(bundle(*parts))
        return f"bundle:{tmp_path}/{'-'.join(versions)}.bundle"

    return make


def test_nothing_enters_from_a_bundle_that_is_not_good_as_a_whole(fleet, write, signed):
    refused = [write("1", other) for other in "234"]
    results = fleet.play([(IMAGE, {"name": reference}, {"check_mode": checked}) for reference in refused for checked in (True, False)])
    codes = [(result["failed"], result["error"]["code"]) if result.get("failed") else "taken" for result in results]
    # A signature that is there is verified when the image is read; that it is missing, or nobody is trusted, is known before.
    assert codes == [
        *((True, "signature-missing"),) * 2,
        "taken",
        (True, "signer-unknown"),
        *((True, "signer-unknown"),) * 2,
    ]
    assert results[0]["msg"].startswith(f"{refused[0][7:]}: {NAME}:2: ")
    (found,) = fleet.play([("appc.rocket.image_info", {}, {})])
    assert found["images"] == []


def test_check_mode_says_what_will_be_and_the_second_run_is_empty(fleet, write, signed):
    reference = write("1")
    ((checked, applied, again),) = fleet.truth([(IMAGE, {"name": reference})])
    assert [step["subject"] for step in checked["plan"]["steps"]] == [f"{NAME}:1 {signed['id_1']}"]
    assert applied["image"]["verdict"]["signers"][0]["fingerprint"] == signed["release"].lower()
    assert (applied["fetched"]["from"], again["fetched"]["from"]) == ("file", "store")
    assert [image["image_id"] for image in again["fetched"]["images"]] == [signed["id_1"]]
    pinned = write("1", "2")
    unsigned = fleet.play([(IMAGE, {"name": pinned, "image_id": signed["id_2"]}, {})])[0]
    assert unsigned["failed"] and "names 2" in unsigned["msg"]
    ((_checked, applied, _again),) = fleet.truth([(IMAGE, {"name": write("2"), "image_id": signed["id_2"]})])
    assert applied["image"]["verdict"]["kind"] == "pinned"
    (removed,) = fleet.play([(IMAGE, {"name": reference, "state": "absent"}, {})])
    assert removed["failed"] and "name the images that were in it" in removed["msg"]
