# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The audit log of a host on which an operator works: each action is on record, and none is done that cannot be."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import time

import pytest
from rocket_command import Rocket
from signed_images import NAME


@pytest.fixture(autouse=True)
def cleared(tmp_path):
    """However a test ends, no pod of it goes on, and no control group stays."""
    yield
    if (tmp_path / "data").exists():
        Rocket(tmp_path).clear_away()


def events(rocket):
    assert json.loads(rocket("audit", "verify", "--format=json"))["intact"]
    return json.loads(rocket("audit", "show", "--since=1", "--format=json"))


def wait_for(condition):
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit, "waited too long"
        time.sleep(0.02)


def state(rocket, uuid):
    return json.loads(rocket("status", "--format=json", uuid))["state"]


def trusted(tmp_path, signed):
    """Return the command on a host that trusts the release key."""
    rocket = Rocket(tmp_path, insecure=False)
    (tmp_path / "key.asc").write_text(signed["release_key"])
    rocket("trust", f"--prefix={NAME}", f"--fingerprint={signed['release']}", "--quiet", str(tmp_path / "key.asc"))
    return rocket


def test_all_that_an_operator_does_and_what_is_refused(host, signed, tmp_path):
    rocket = trusted(tmp_path, signed)
    assert rocket("fetch", signed["1"]).strip() == signed["id_1"]
    assert "signer-unknown" not in rocket("fetch", signed["3"], status=254)
    careless = Rocket(tmp_path)
    careless("fetch", signed["2"])
    rocket("run", f"{NAME}:2", status=254)
    assert careless("run", f"{NAME}:2", "--exec=/bin/busybox", "--", "false", status=1) == ""
    uuid = rocket("prepare", f"{NAME}:1").strip()
    process = rocket.start("run-prepared", uuid)
    wait_for(lambda: state(rocket, uuid) == "running")
    rocket("enter", uuid, "/bin/busybox", "echo", "a secret")
    rocket("enter", uuid, "/bin/busybox", "false", status=1)
    rocket("stop", "--force", uuid)
    process.communicate(timeout=60)
    rocket("rm", uuid)
    rocket("gc", "--grace-period=0", "--image-grace=0", "--expire-prepared=0")
    rocket("trust", f"--prefix={NAME}", f"--remove={signed['release']}")
    found = events(rocket)
    told = [(event["action"], event["outcome"]) for event in found]
    # gc: how many lines depends on what dead processes left, and the order of the images on their IDs.
    before_gc = told.index(("gc", "allowed"))
    assert told[:before_gc] == [
        ("trust", "allowed"),
        ("fetch", "allowed"),
        ("fetch", "refused"),
        ("fetch", "allowed"),
        ("run", "refused"),
        ("run", "allowed"),
        ("exit", "allowed"),
        ("prepare", "allowed"),
        ("run", "allowed"),
        ("enter", "allowed"),
        ("enter", "allowed"),
        ("stop", "allowed"),
        ("exit", "allowed"),
        ("rm", "allowed"),
    ]
    assert told[-1] == ("untrust", "allowed")
    assert sorted(event["subject"] for event in found if event["action"] == "image-rm") == sorted((signed["id_1"], signed["id_2"]))
    trust, first, refused, second, not_run, ran, ended, prepared = found[:8]
    fingerprint = signed["release"].lower()
    assert (trust["subject"], trust["facts"]["prefix"], trust["by"]["via"]) == (fingerprint, NAME, "rocket trust")
    verdict = first["facts"]["verdict"]
    assert (first["subject"], first["facts"]["image_id"], verdict["kind"], verdict["signers"]) == (
        NAME,
        signed["id_1"],
        "signed",
        [fingerprint],
    )
    assert first["facts"]["source"].endswith("/1.aci") and first["insecure"] == []
    assert refused["subject"] == signed["3"] and refused["facts"]["code"] == "signer-unknown"
    assert (second["facts"]["verdict"]["kind"], second["insecure"]) == ("insecure", ["image"])
    assert (not_run["subject"], not_run["facts"]["code"]) == (NAME, "verdict-insecure")
    assert list(ran["facts"]["images"].values()) == [signed["id_2"]] and ran["insecure"] == ["image"]
    assert (ended["subject"], ended["facts"]) == (ran["subject"], {"status": 1})
    assert prepared["subject"] == uuid and prepared["facts"]["manifest"] == found[8]["facts"]["manifest"]
    entered = found[9]
    assert entered["facts"] == {"app": "app", "program": "/bin/busybox"} and "a secret" not in json.dumps(found)
    assert found[11]["facts"] == {"force": True}


def test_the_digest_of_a_start_is_that_of_the_pods_manifest(host, signed, tmp_path):
    rocket = trusted(tmp_path, signed)
    rocket("fetch", signed["1"])
    uuid = rocket("prepare", f"{NAME}:1", "--exec=/bin/busybox", "--", "true").strip()
    rocket("run-prepared", uuid)
    run = [event for event in events(rocket) if event["action"] == "run"][0]
    pod = (tmp_path / "data" / "pods" / "run" / uuid / "pod").read_bytes()
    assert run["facts"]["manifest"] == "sha512-" + hashlib.sha512(pod).hexdigest()


def test_a_start_that_fails_is_told(host, signed, tmp_path):
    rocket = trusted(tmp_path, signed)
    rocket("fetch", signed["1"])
    rocket("run", f"{NAME}:1", "--exec=/nothing", status=254)
    first, second = events(rocket)[-2:]
    assert (first["action"], first["outcome"], second["action"], second["outcome"]) == ("run", "allowed", "run", "failed")
    assert first["subject"] == second["subject"] and "/nothing" in second["facts"]["why"]


def spoil(tmp_path):
    """Have an audit log that nothing can be appended to."""
    log = tmp_path / "data" / "audit.log"
    os.rename(log, tmp_path / "kept.log")
    log.mkdir()


def restore(tmp_path):
    log = tmp_path / "data" / "audit.log"
    log.rmdir()
    os.rename(tmp_path / "kept.log", log)


def listing(tmp_path):
    """Return every path of the host's directories but locks and unfinished work."""
    found = []
    for top in ("data", "etc"):
        for directory, names, files in os.walk(tmp_path / top):
            names[:] = [name for name in names if name not in ("locks", "staging", "garbage", "audit.log")]
            found += [os.path.join(directory, name) for name in (*names, *files)]
    return sorted(found)


ACTIONS = {
    "fetch": lambda signed, uuid: ("fetch", signed["2"]),
    "prepare": lambda signed, uuid: ("prepare", f"{NAME}:1"),
    "run": lambda signed, uuid: ("run", f"{NAME}:1", "--exec=/bin/busybox", "--", "true"),
    "run-prepared": lambda signed, uuid: ("run-prepared", uuid),
    "rm": lambda signed, uuid: ("rm", uuid),
    "image rm": lambda signed, uuid: ("image", "rm", signed["id_4"]),
    "gc": lambda signed, uuid: ("gc", "--expire-prepared=0", "--grace-period=0", "--image-grace=0"),
    "trust": lambda signed, uuid: ("trust", f"--prefix={NAME}3", f"--fingerprint={signed['release']}", "--quiet", signed["key"]),
    "untrust": lambda signed, uuid: ("trust", f"--prefix={NAME}", f"--remove={signed['release']}"),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_is_done_that_cannot_be_written_down(host, signed, tmp_path, action):
    trusted(tmp_path, signed)
    rocket = Rocket(tmp_path)
    rocket("fetch", signed["1"])
    rocket("fetch", signed["4"])
    uuid = rocket("prepare", f"{NAME}:1", "--exec=/bin/busybox", "--", "true").strip()
    words = ACTIONS[action]({**signed, "key": str(tmp_path / "key.asc")}, uuid)
    spoil(tmp_path)
    before = listing(tmp_path)
    refused = rocket(*words, status=254)
    assert "audit log" in refused and "--insecure-options=audit" in refused, refused
    assert listing(tmp_path) == before
    relaxed = Rocket(tmp_path)
    relaxed.words = [*relaxed.words[:-1], "--insecure-options=image,audit"]
    process = relaxed.start(*words)
    _output, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and "not in the audit log: " in errors, errors
    restore(tmp_path)
    relaxed("audit", "verify")


def test_a_running_pod_is_neither_entered_nor_stopped_without_a_record_and_its_end_is_told(host, signed, tmp_path):
    rocket = trusted(tmp_path, signed)
    rocket("fetch", signed["1"])
    uuid = rocket("prepare", f"{NAME}:1").strip()
    process = rocket.start("run-prepared", uuid)
    wait_for(lambda: state(rocket, uuid) == "running")
    spoil(tmp_path)
    assert "audit log" in rocket("enter", uuid, "/bin/busybox", "true", status=254)
    assert "audit log" in rocket("stop", uuid, status=254)
    assert state(rocket, uuid) == "running"
    process.terminate()
    _output, errors = process.communicate(timeout=60)
    # It cannot be kept from ending: whoever watches the supervisor hears of it.
    assert process.returncode == 143 and f"not in the audit log: exit {uuid}" in errors, errors


def test_cut_edited_and_begun_anew_against_a_head_that_was_kept(root, signed, tmp_path):
    rocket = trusted(tmp_path, signed)
    rocket("fetch", signed["1"])
    kept = tmp_path / "head.json"
    kept.write_text(rocket("audit", "head"))
    head = json.loads(kept.read_text())
    rocket("fetch", signed["3"], status=254)
    assert "hang together" in rocket("audit", "verify", f"--checkpoint={kept}")
    assert "hang together" in rocket("audit", "verify", f"--checkpoint={head['seq']}:{head['head']}")
    log = tmp_path / "data" / "audit.log"
    whole = log.read_bytes()
    lines = whole.splitlines(keepends=True)
    for changed, first in (
        (b"".join(lines[:1]), "event 2 and all to 2 are gone"),
        (b"".join([lines[0], lines[1].replace(b"allowed", b"refused"), *lines[2:]]), "event 2 "),
        (b"".join([lines[0].replace(b"allowed", b"refused"), *lines[1:]]), "event 1 is not what it was"),
        (b"", "event 1 and all to 2 are gone"),
    ):
        log.write_bytes(changed)
        text = rocket("audit", "verify", f"--checkpoint={kept}", status=254)
        assert first in text and "find out who changed it" in text, text
    log.write_bytes(whole)
    exported = tmp_path / "events.jsonl"
    exported.write_text(rocket("audit", "export", "--since=1"))
    assert exported.read_bytes() == whole
    shutil.rmtree(tmp_path / "data")
    assert "events 1 to 3 hang together" in rocket("audit", "verify", f"--checkpoint={kept}", str(exported))
    assert "hang together" not in rocket("audit", "verify", f"--checkpoint={kept}", status=254)


@pytest.mark.parametrize("text", ["nothing", "1", "1:x", "-1:sha512-", "{}"])
def test_a_checkpoint_that_is_none(root, tmp_path, text):
    (tmp_path / "{}").write_text("{}")
    rocket = Rocket(tmp_path)
    text = str(tmp_path / "{}") if text == "{}" else text
    assert "rocket audit head" in rocket("audit", "verify", f"--checkpoint={text}", status=254)


def test_what_is_shown(root, signed, tmp_path):
    rocket = trusted(tmp_path, signed)
    rocket("fetch", signed["1"])
    rocket("fetch", signed["3"], status=254)
    Rocket(tmp_path)("fetch", signed["2"])
    table = rocket("audit", "show").splitlines()
    assert table[0].split() == ["SEQ", "TIME", "WHO", "ACTION", "OUTCOME", "SUBJECT", "MORE"] and len(table) == 5
    assert "INSECURE=image" in table[4] and "refused" in table[3]
    assert [row.split()[0] for row in rocket("audit", "show", "--refused").splitlines()[1:]] == ["3"]
    assert [row.split()[0] for row in rocket("audit", "show", "--action=trust", "--action=untrust").splitlines()[1:]] == ["1"]
    assert [row.split()[0] for row in rocket("audit", "show", "--last=2").splitlines()[1:]] == ["3", "4"]
    assert [row.split()[0] for row in rocket("audit", "show", "--since=2").splitlines()[1:]] == ["2", "3", "4"]


def test_the_commands_of_the_page_work_as_written(root, signed, tmp_path):
    rocket = trusted(tmp_path, signed)
    rocket("fetch", signed["1"])
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin" / "rocket"
    wrapper.write_text("#!/bin/sh\nexec " + " ".join(map(shlex.quote, rocket.words)) + ' "$@"\n')
    wrapper.chmod(0o755)
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "audit-log.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    environment = {**os.environ, "PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    command = ["bash", "-euc", "".join(blocks)]
    outcome = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert len(blocks) == 2 and outcome.returncode == 0, (outcome.stdout, outcome.stderr)
    assert "hang together" in outcome.stdout
