# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Keys by module and role: discovered and pinned, masked, and told with what they signed."""

from __future__ import annotations

import os

import pytest
from fetch_site import discovery_page
from signed_images import NAME
from test_ansible_modules import TARGET_PYTHON, Fleet

TRUST, INFO, PREFIX = "appc.rocket.trust", "appc.rocket.trust_info", "example.com/shop"


@pytest.fixture
def host(tmp_path, collections):
    if not os.path.exists(TARGET_PYTHON):
        pytest.skip(f"missing ability: the program {TARGET_PYTHON}")
    (tmp_path / "fleet").mkdir()
    return Fleet(tmp_path / "fleet", collections)


@pytest.fixture
def offered(site, signed):
    """The site of the prefix names the keys of a stranger and of the release, which is at its own address."""
    site.pages["/stranger.asc"], site.pages["/release.asc"] = signed["stranger_key"].encode(), signed["release_key"].encode()
    urls = tuple(f"{PREFIX} https://example.com/{name}.asc" for name in ("stranger", "release"))
    site.pages["/shop?ac-discovery=1"] = discovery_page(keys=urls)
    return {"discover": True, "connect_to": [f"example.com=127.0.0.1:{site.port}"]}


def test_a_discovered_key_is_the_pinned_one_or_none(root, host, site, authority, offered, signed):
    wanted = {"prefix": PREFIX, "fingerprint": signed["release"], "ca_file": authority.file, **offered}
    ((checked, applied, _again),) = host.truth([(TRUST, wanted)])
    assert applied["changed"] and signed["release"].lower() in checked["diff"]["after"] and checked["key"] == applied["key"]
    asked = len(site.requests)
    unknown = {**wanted, "fingerprint": "ab" * 20}
    kept, none, everywhere, both, distrusted = host.play(
        [
            (TRUST, wanted, {}),
            (TRUST, unknown, {}),
            (TRUST, {"root": True, "fingerprint": signed["stranger"], "discover": True}, {}),
            (TRUST, {**wanted, "key": signed["release_key"]}, {}),
            (TRUST, {"prefix": PREFIX, "fingerprint": signed["stranger"], "discover": True, "connect_to": offered["connect_to"]}, {}),
        ]
    )
    assert not kept["changed"] and not kept.get("failed")
    assert none["failed"] and none["error"]["code"] == "key-mismatch" and len(site.requests) == asked + 3
    assert signed["release"].lower() in none["msg"] and signed["stranger"].lower() in none["msg"] and "ab" * 20 in none["msg"]
    assert everywhere["failed"] and "prefix" in everywhere["msg"] and "leave key or discover out" in both["msg"]
    assert distrusted["failed"] and distrusted["error"]["code"] == "tls-failed"


def test_a_key_is_there_without_being_given_again(root, host, signed):
    place = {"prefix": PREFIX, "fingerprint": signed["release"]}
    missing, added, kept = host.play([(TRUST, place, {}), (TRUST, {**place, "key": signed["release_key"]}, {}), (TRUST, place, {})])
    assert missing["failed"] and "discover: true" in missing["msg"]
    assert added["changed"] and not kept["changed"] and not kept.get("failed")


def test_a_masked_key_stays_masked_and_is_told_with_what_it_signed(root, host, signed):
    place = {"prefix": PREFIX, "fingerprint": signed["release"]}
    fetched = host.play([(TRUST, {**place, "key": signed["release_key"]}, {}), ("appc.rocket.image", {"name": signed["1"]}, {})])
    assert not any(result.get("failed") for result in fetched), fetched
    (trusted,) = host.play([(INFO, {}, {"check_mode": True})])
    ((_checked, masked, _again),) = host.truth([(TRUST, {**place, "state": "masked"})])
    assert masked["plan"]["steps"][0]["action"] == "mask"
    told, by_name, beside, other, short, bad = host.play(
        [
            (INFO, {"fingerprint": signed["release"]}, {}),
            (INFO, {"name": NAME, "prefix": PREFIX}, {}),
            (INFO, {"name": f"{PREFIX}2"}, {}),
            (INFO, {"prefix": ""}, {}),
            (INFO, {"fingerprint": signed["release"][-16:]}, {}),
            (INFO, {"name": "../etc"}, {}),
        ]
    )
    (key,) = trusted["trusted_keys"]
    assert (key["state"], key["identities"], key["algorithm"], key["layer"]) == ("trusted", ["release"], "Ed25519", "local")
    assert key["images"] == [{"id": signed["id_1"], "name": NAME}] and key["path"].endswith(key["fingerprint"])
    assert [(key["state"], key["images"]) for key in told["trusted_keys"]] == [("masked", key["images"])] and told == by_name
    assert beside["trusted_keys"] == [] == other["trusted_keys"] and not told["changed"]
    assert short["failed"] and "40 hex digits" in short["msg"] and bad["failed"]


def test_a_host_without_the_mathematics_says_so(root, host, signed):
    """The interpreter of the host has no such package: nothing is told that was not verified."""
    hidden = {"environment": {"PYTHONPATH": str(host.directory / "hidden")}}
    (host.directory / "hidden").mkdir()
    (host.directory / "hidden" / "cryptography.py").write_text("raise ImportError('hidden')\n")
    place = {"prefix": PREFIX, "fingerprint": signed["release"], "key": signed["release_key"]}
    trusted, told = host.play([(TRUST, place, {}), (INFO, {}, hidden)])
    assert not trusted.get("failed"), trusted
    assert told["failed"] and told["error"]["code"] == "missing-package" and "cryptography" in told["msg"]


def test_the_role_discovers_and_masks(root, audited, authority, offered, signed):
    audited.add("one")
    place = f"{audited.hosts['one']['rocket_config_dir']}/trustedkeys/prefix.d/{PREFIX}/{signed['release'].lower()}"
    role = {"name": "Trust", "ansible.builtin.include_role": {"name": "appc.rocket.trust"}}
    key = {"prefix": PREFIX, "fingerprint": signed["release"]}
    reach = {"rocket_ca_file": authority.file, "rocket_connect_to": offered["connect_to"]}
    audited.fill({**role, "vars": {"rocket_trusted_keys": [{**key, "discover": True}], **reach}})
    assert os.path.getsize(place) > 0
    other = {"prefix": PREFIX, "fingerprint": signed["stranger"], "key": signed["stranger_key"]}
    audited.fill({**role, "vars": {"rocket_trusted_keys": [other, {**key, "state": "present"}]}})
    assert sorted(os.listdir(os.path.dirname(place))) == sorted((signed["release"].lower(), signed["stranger"].lower()))
    audited.fill({**role, "vars": {"rocket_trusted_keys": [{**key, "state": "masked"}]}})
    assert os.path.getsize(place) == 0
