# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Modules and the audit log: who acted, where it ends, and what the controller finds by what it kept."""

from __future__ import annotations

import json

from rocket_command import Rocket
from signed_images import NAME

INFO = "appc.rocket.audit_info"


def tasks(signed):
    key = {"prefix": NAME, "fingerprint": signed["release"], "key": signed["release_key"], "actor": "job 7 of alice"}
    image = {"name": signed["1"]}
    return [("appc.rocket.trust", key, {}), ("appc.rocket.image", image, {}), ("appc.rocket.image", image, {})]


def test_each_module_says_where_the_log_ends_and_check_mode_writes_nothing(fleet, signed):
    checked = fleet.play([(module, arguments, {"check_mode": True}) for module, arguments, _keywords in tasks(signed)[:1]])
    assert [result["audit"] for result in checked] == [{"seq": 0, "head": ""}]
    results = fleet.play([*tasks(signed), (INFO, {"events": 5}, {})])
    assert [result["audit"]["seq"] for result in results] == [1, 2, 2, 2]
    assert results[1]["audit"] == results[2]["audit"]
    info = results[3]
    assert info["intact"] and not info["problems"] and not info["changed"] and info["audit"]["first"] == 1 and info["audit"]["size"] > 500
    first, second = info["events"]
    assert first["by"]["via"] == "appc.rocket.trust" and first["by"]["name"] == "job 7 of alice"
    assert second["by"]["via"] == "appc.rocket.image" and "name" not in second["by"]


def test_what_the_controller_kept_finds_what_a_host_took_back(fleet, signed):
    kept = fleet.play([*tasks(signed), (INFO, {}, {})])[-1]["audit"]
    log = fleet.host / "data" / "audit.log"
    whole = log.read_bytes()
    checks = {}
    for name, content in (("same", whole), ("cut", whole.splitlines(keepends=True)[0]), ("anew", b"")):
        log.write_bytes(content)
        checks[name] = fleet.play([(INFO, {"checkpoint": kept}, {}), (INFO, {}, {})])
    assert [checks["same"][0]["intact"], checks["same"][0]["problems"]] == [True, []]
    for name, first in (("cut", 2), ("anew", 1)):
        told, untold = checks[name]
        assert not told["intact"] and [(problem["code"], problem["seq"]) for problem in told["problems"]] == [("truncated", first)]
        assert untold["intact"]


def test_a_module_on_a_log_that_takes_nothing(fleet, signed):
    log = fleet.host / "data" / "audit.log"
    log.mkdir(parents=True)
    for insecure in ([], ["audit"]):
        result = fleet.play(
            [("appc.rocket.image", {"name": signed["2"], "insecure_options": ["image", *insecure]}, {"ignore_errors": True})]
        )[0]
        if not insecure:
            assert result["failed"] and "--insecure-options=audit" in result["msg"]
            assert json.loads(Rocket(fleet.host)("image", "list", "--format=json")) == []
        else:
            assert result["changed"] and any("not in the audit log: fetch" in text for text in result["warnings"])


def test_a_checkpoint_that_is_none_fails(fleet):
    result = fleet.play([(INFO, {"checkpoint": {"seq": 3}}, {"ignore_errors": True})])[0]
    assert result["failed"] and "rocket audit head" in result["msg"]
