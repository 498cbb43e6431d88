# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The audit of a fleet by its playbook: real modules on hosts of this machine, one that is down, one that lies."""

from __future__ import annotations

import json
import os

import pytest
from audited_fleet import PREFIX
from fetch_site import free_port
from fleet_hosts import HEAD, IMAGE, SCRIPT, TEMPLATE, answers


def recap(out, name):
    """Return the counters of a host in the last lines of a play."""
    (line,) = [line for line in out.split("PLAY RECAP")[1].splitlines() if line.split(":")[0].strip() == name]
    return {word.split("=")[0]: int(word.split("=")[1]) for word in line.split(":")[-1].split()}


def listing(directory):
    return sorted((str(path.relative_to(directory)), path.stat().st_mtime_ns) for path in directory.rglob("*"))


def test_a_fleet_is_told_and_the_same_state_is_no_change(root, audited, signed):
    audited.add("one").add("../two")
    audited.trust()
    audited.fetch("1")
    audited.run("--check")
    assert not audited.audit.exists()
    out = audited.run()
    assert recap(out, "../two")["changed"] > 0 == recap(out, "one")["changed"]
    told, page = audited.told(), audited.page()
    for host in told["hosts"].values():
        (image,), (key,) = host["images"], host["keys"]
        assert image["id"] == signed["id_1"] == key["images"][0]["id"] and image["standing"]["good"] and host["state"] == "reached"
        assert host["log"]["intact"] and host["log"]["seq"] == 2 and host["errors"] == [] == host["damaged"]
    assert signed["id_1"] in page and "2 events" in page
    # A name that is a path is a file of the directory.
    names = sorted(str(path.relative_to(audited.audit)) for path in audited.audit.rglob("*") if path.is_file())
    assert names == ["audit.html", "audit.json", "checkpoints/..%2Ftwo.json", "checkpoints/one.json"]
    kept = json.loads((audited.audit / "checkpoints" / "..%2Ftwo.json").read_text())
    assert kept == {name: told["hosts"]["../two"]["log"][name] for name in ("seq", "head")}
    before = listing(audited.audit / "checkpoints")
    assert recap(audited.run("--check"), "../two")["changed"] == 0 == recap(audited.run(), "../two")["changed"]
    again = audited.told()
    assert again["collected"]["at"] > told["collected"]["at"] and {**again, "collected": 0} == {**told, "collected": 0}
    assert listing(audited.audit / "checkpoints") == before and str(audited.directory) not in os.listdir(audited.directory.parent)
    # The key goes, and its image is the first that a reader sees.
    audited.fill({"name": "Mask", "appc.rocket.trust": {"prefix": PREFIX, "fingerprint": signed["release"], "state": "masked"}})
    assert recap(audited.run("--limit", "one"), "one")["changed"] > 0
    hosts = audited.told()["hosts"]
    assert hosts["one"]["images"][0]["standing"]["code"] == "signer-unknown" and hosts["one"]["keys"][0]["state"] == "masked"
    assert hosts["../two"] == {**told["hosts"]["../two"], "state": "not-asked"}
    assert audited.page().index("Would not start today (1)") < audited.page().index("Signed (1)")


def test_a_log_that_was_cut_or_begins_anew_is_told_and_its_checkpoint_stays(root, audited, signed):
    audited.add("cut").add("anew").add("good")
    audited.trust()
    audited.fetch("1")
    audited.run()
    kept = {name: (audited.audit / "checkpoints" / f"{name}.json").read_bytes() for name in audited.hosts}
    for name, lines in (("cut", 1), ("anew", 0)):
        path = f"{audited.hosts[name]['rocket_data_dir']}/audit.log"
        with open(path, "rb") as log:
            content = log.read().splitlines(keepends=True)[:lines]
        os.unlink(path)
        if content:
            with open(path, "wb") as log:
                log.write(b"".join(content))
    # What was done before is not there any more; what is done from now on is written as if nothing had been.
    audited.hosts, hosts = {"anew": audited.hosts["anew"]}, audited.hosts
    audited.fetch("2", "image")
    audited.hosts = hosts
    for _time in range(2):
        out = audited.run(status=2)
        message = next(line for line in out.splitlines() if "the audit log is not what it was" in line)
        assert "cut: " in message and "anew: " in message and "from event 2 on" in message and "good: " not in message
        logs = {name: host["log"] for name, host in audited.told()["hosts"].items()}
        assert [logs[name]["intact"] for name in ("cut", "anew", "good")] == [False, False, True]
        assert [problem["code"] for problem in logs["cut"]["problems"]] == ["truncated"] and logs["anew"]["seq"] == 1
        assert {name: (audited.audit / "checkpoints" / f"{name}.json").read_bytes() for name in audited.hosts} == kept
    assert audited.page().count("NOT INTACT") == 2
    # Who understood what happened removes the checkpoint, and the log counts from there.
    for name in ("cut", "anew"):
        (audited.audit / "checkpoints" / f"{name}.json").unlink()
    audited.run()
    assert json.loads((audited.audit / "checkpoints" / "anew.json").read_text())["seq"] == 1


def test_a_host_that_is_down_stays_in_the_table_and_one_that_fails_is_told(root, audited, signed):
    audited.add("up").add("down")
    audited.trust()
    audited.fetch("1")
    audited.run()
    before = audited.told()
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": free_port(), "ansible_ssh_retries": 0}
    audited.hosts["down"].update(away)
    out = audited.run()
    assert recap(out, "down")["failed"] == 0
    hosts = audited.told()["hosts"]
    assert hosts["down"] == {**before["hosts"]["down"], "state": "unreachable"} and hosts["up"] == before["hosts"]["up"]
    assert audited.told()["collected"]["hosts"]["down"] == before["collected"]["hosts"]["down"] < audited.told()["collected"]["at"]
    assert "not reached; as of" in audited.page()
    # Nobody at all can be reached: all stay.
    audited.hosts["up"].update(away)
    audited.run()
    assert {host["state"] for host in audited.told()["hosts"].values()} == {"unreachable"}
    audited.hosts["up"].update(ansible_connection="local")
    with open(f"{audited.hosts['up']['rocket_data_dir']}/version", "w") as version:
        version.write("99\n")
    out = audited.run(status=2)
    assert "up: image_info: " in out and audited.told()["hosts"]["up"]["images"] is None and audited.told()["hosts"]["up"]["keys"] is None


LIAR = """#!/usr/bin/python
from __future__ import annotations
import sys
from ansible.module_utils.basic import AnsibleModule
options = {"data_dir": {}, "config_dir": {}, "checkpoint": {"type": "dict"}}
module = AnsibleModule(argument_spec=options, supports_check_mode=True)
with open(module.params["data_dir"] + "/NAME.json") as file:
    sys.stdout.write(file.read())
sys.exit(0)
"""
ANSWERS = ("image_info", "pod_info", "trust_info", "audit_info")


@pytest.fixture
def lying(audited, tmp_path, collections):
    """The collection with modules that answer what a file of the host says: what a host does that was taken over."""
    top = tmp_path / "lies" / "ansible_collections" / "appc" / "rocket"
    (top / "plugins" / "modules").mkdir(parents=True)
    real = os.path.realpath(f"{collections}/ansible_collections/appc/rocket")
    for name in os.listdir(real):
        if name not in ("plugins", ".git", ".venv"):
            (top / name).symlink_to(f"{real}/{name}")
    for name in os.listdir(f"{real}/plugins"):
        if name != "modules":
            (top / "plugins" / name).symlink_to(f"{real}/plugins/{name}")
    for name in ANSWERS:
        (top / "plugins" / "modules" / f"{name}.py").write_text(LIAR.replace("NAME", name))
    audited.fleet.environment["ANSIBLE_COLLECTIONS_PATH"] = str(tmp_path / "lies")
    return audited


def say(audited, name, entry):
    """Have a host answer so."""
    place = audited.hosts[name]["rocket_data_dir"]
    os.makedirs(place, exist_ok=True)
    for task in ANSWERS:
        with open(f"{place}/{task}.json", "w") as file:
            json.dump(entry[task], file)


def test_what_hostile_hosts_answer_is_shown_and_neither_run_nor_believed(root, lying):
    """Texts that are templates or markup; answers of no shape; a log that says of itself that it is good."""
    mark = lying.directory / "mark"
    template = TEMPLATE.replace("PLACE", str(mark))
    evil = answers("evil", log=(7, HEAD))
    image, key = evil["image_info"]["images"][0], evil["trust_info"]["trusted_keys"][0]
    image.update(name=template, source=SCRIPT, labels={"version": template, SCRIPT: template, "\u202e\0": "{% raw %}"})
    image["verdict"]["signers"][0]["identity"] = key["identities"][0] = template + SCRIPT
    evil["pod_info"]["pods"][0]["name"] = template
    evil["image_info"]["damaged"] = [template]
    lying.add("evil").add("good").add("none")
    say(lying, "evil", evil)
    say(lying, "good", answers("good"))
    say(lying, "none", {**answers("none"), "image_info": {"images": [{"id": template}], "ansible_facts": {"ansible_host": "x"}}})
    out = lying.run(status=2)
    assert "none: image_info.images[0].name: is missing" in out and not mark.exists()
    hosts = lying.told()["hosts"]
    assert hosts["evil"]["errors"] == [], out[-5000:]
    assert hosts["evil"]["images"] == [image] and hosts["evil"]["keys"] == [key] and hosts["good"]["images"] == [IMAGE]
    page = lying.page()
    assert "<script" not in page and "<img" not in page and "&lt;script&gt;alert(1)" in page and page.count("touch ") > 3
    assert json.loads((lying.audit / "checkpoints" / "evil.json").read_text()) == {"seq": 7, "head": HEAD}
    # Read back from the last audit, it is no template either.
    out = lying.run(status=2)
    assert not mark.exists() and lying.told()["hosts"]["evil"] == hosts["evil"] and recap(out, "evil")["changed"] == 0
    say(lying, "none", answers("none"))
    say(lying, "evil", answers("evil", log=(6, HEAD)))
    out = lying.run(status=2)
    assert "evil: the audit log is not what it was, from event 7 on" in out and "good: " not in out.split("Fail where")[1]
    assert json.loads((lying.audit / "checkpoints" / "evil.json").read_text()) == {"seq": 7, "head": HEAD}


def test_the_directory_has_to_be_named_and_what_is_in_it_has_to_be_ours(root, lying):
    lying.add("good")
    say(lying, "good", answers("good"))
    out = lying.run("-e", "rocket_audit_dir=", status=2)
    assert "rocket_audit_dir is not set" in out
    lying.run()
    (lying.audit / "audit.json").write_text('{"version": 9}')
    assert "move it away" in lying.run(status=2) and (lying.audit / "audit.json").read_text() == '{"version": 9}'
    (lying.audit / "audit.json").unlink()
    (lying.audit / "checkpoints" / "good.json").write_text("")
    out = lying.run(status=2)
    assert "checkpoints/good.json" in out and (lying.audit / "checkpoints" / "good.json").read_text() == ""
