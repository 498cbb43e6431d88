# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The modules tell the truth: check mode predicts and writes nothing, a second run is empty, refusals say what to do.

Real playbooks on this machine as the host, with directories of the test's own; images signed by GnuPG, fetched from files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from signed_images import NAME, STATIC

TARGET_PYTHON = "/usr/bin/python3"


class Fleet:
    """A host of its own below a directory, and ansible-playbook to drive it."""

    def __init__(self, directory, collections):
        self.directory = directory
        self.host = directory / "host"
        self.host.mkdir()
        self.environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": collections,
            "ANSIBLE_HOME": str(directory / "ansible"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_RETRY_FILES_ENABLED": "0",
        }
        self.defaults = {
            "data_dir": f"{self.host}/data",
            "config_dir": f"{self.host}/etc",
            "system_config_dir": f"{self.host}/usr",
        }
        self.places = {"libexec_dir": f"{self.host}/libexec", "bin_dir": f"{self.host}/bin"}

    def rocket(self, *words):
        options = [f"--dir={self.host}/data", f"--local-config={self.host}/etc", f"--system-config={self.host}/usr"]
        outcome = subprocess.run([f"{self.host}/bin/rocket", *options, *words], capture_output=True, text=True, check=False, timeout=120)
        assert outcome.returncode == 0, (words, outcome.stdout, outcome.stderr)
        return outcome.stdout

    def play(self, tasks):
        """Run the tasks, each a (module, arguments, keywords) triple; return their results, failed ones too."""
        listed = []
        for index, (module, arguments, keywords) in enumerate(tasks):
            task = {"name": f"Task {index}", module: arguments, "register": f"result_{index}", "ignore_errors": True, **keywords}
            listed.append(task)
        wanted = ", ".join(f"result_{index}" for index in range(len(tasks)))
        output = self.directory / "results.json"
        copy = {"content": "{{ [" + wanted + "] | to_json }}", "dest": str(output), "mode": "0600"}
        listed.append({"name": "Results", "ansible.builtin.copy": copy, "check_mode": False, "diff": False})
        play = {
            "name": "Test",
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": TARGET_PYTHON},
            "module_defaults": {"group/appc.rocket.rocket": self.defaults},
            "tasks": listed,
        }
        (self.directory / "play.json").write_text(json.dumps([play]))
        program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
        outcome = subprocess.run(
            [program, "-i", "localhost,", str(self.directory / "play.json")],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=600,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stdout[-4000:] + outcome.stderr[-2000:]
        return json.loads(output.read_text())

    def truth(self, steps):
        """Run each step in check mode, for real, and again; return the three results of each, proving what all modules promise."""
        listing = {"argv": ["find", str(self.host), "-printf", "%p %y %s %m %U %G %T@ %l\\n"]}
        tasks = []
        for module, arguments in steps:
            tasks += [
                ("ansible.builtin.command", listing, {"changed_when": False}),
                (module, arguments, {"check_mode": True, "diff": True}),
                ("ansible.builtin.command", listing, {"changed_when": False}),
                (module, arguments, {"diff": True}),
                (module, arguments, {"diff": True}),
            ]
        results = self.play(tasks)
        found = []
        for index, (module, _arguments) in enumerate(steps):
            before, checked, after, applied, again = results[5 * index : 5 * index + 5]
            for result in (checked, applied, again):
                assert not result.get("failed"), (module, result)
            assert quiet(before["stdout"]) == quiet(after["stdout"]), (module, "check mode wrote something")
            assert checked["changed"] == applied["changed"], (module, checked, applied)
            assert checked["plan"]["steps"] == applied["plan"]["steps"], module
            assert checked["diff"] == applied["diff"], module
            assert not again["changed"], (module, again)
            assert again["diff"]["before"] == again["diff"]["after"], (module, again)
            found.append((checked, applied, again))
        return found


def quiet(listing):
    """Leave out what running apps write by themselves: their logs and volumes."""
    return sorted(line for line in listing.splitlines() if "/logs/" not in line and "/upper" not in line and "/work" not in line)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, collections):
    if os.geteuid() != 0:
        pytest.skip("missing ability: root")
    if not os.path.exists(TARGET_PYTHON):
        pytest.skip(f"missing ability: the program {TARGET_PYTHON}")
    made = Fleet(tmp_path_factory.mktemp("fleet"), collections)
    yield made
    if os.path.exists(f"{made.host}/bin/rocket"):
        for pod in json.loads(made.rocket("list", "--format=json")):
            if pod["state"] == "running":
                made.rocket("stop", "--force", pod["uuid"])


@pytest.fixture(scope="module")
def ready(fleet, signed):
    """The fleet with its runtime, its trusted key and the signed image; each step proven on the way."""
    key = {"fingerprint": signed["release"], "prefix": NAME, "key": signed["release_key"]}
    runtime, trusted, image = fleet.truth(
        [
            ("appc.rocket.runtime", fleet.places),
            ("appc.rocket.trust", key),
            ("appc.rocket.image", {"name": signed["1"]}),
        ]
    )
    assert runtime[1]["changed"] and trusted[1]["changed"] and image[1]["changed"]
    assert image[2]["image"]["verdict"]["signers"][0]["fingerprint"] == signed["release"].lower()
    return fleet


def pod(fleet, **members):
    members.setdefault("apps", [{"name": "app", "image": f"{NAME}:1", "environment": {"LEVEL": "1"}}])
    return {"name": "shop", "libexec_dir": fleet.places["libexec_dir"], "stop_timeout": 1, **members}


def test_the_life_of_a_pod_is_as_check_mode_says(ready):
    changed = pod(ready, apps=[{"name": "app", "image": f"{NAME}:1", "environment": {"LEVEL": "2"}}])
    stopped = {**changed, "state": "stopped"}
    running, replaced, halted, gone = ready.truth(
        [
            ("appc.rocket.pod", pod(ready)),
            ("appc.rocket.pod", changed),
            ("appc.rocket.pod", stopped),
            ("appc.rocket.pod", {"name": "shop", "state": "absent", "libexec_dir": ready.places["libexec_dir"]}),
        ]
    )
    assert running[1]["pod"]["lifecycle"] == "running" and running[2]["pod"]["uuid"] == running[1]["pod"]["uuid"]
    assert [step["action"] for step in replaced[0]["plan"]["steps"]] == ["prepare", "stop", "start"]
    assert "apps[0].environment.LEVEL" in replaced[0]["plan"]["steps"][0]["reason"]
    assert '"LEVEL": "(hidden)"' in replaced[0]["diff"]["before"]
    assert '"LEVEL": "(hidden, another value than before)"' in replaced[0]["diff"]["after"]
    assert replaced[1]["pod"]["generation"] == 2
    assert halted[1]["pod"]["lifecycle"] == "exited"
    assert gone[1]["diff"]["after"] == "" and ready.rocket("list", "--format=json").strip() == "[]"


def test_a_pod_that_died_is_drift_not_a_change_of_the_declaration(ready):
    started = ready.play([("appc.rocket.pod", pod(ready, name="fragile"), {})])[0]
    assert not started.get("failed"), started
    ready.rocket("stop", "--force", "fragile")
    checked, applied, told, removed = ready.play(
        [
            ("appc.rocket.pod", pod(ready, name="fragile"), {"check_mode": True, "diff": True}),
            ("appc.rocket.pod", pod(ready, name="fragile"), {}),
            ("appc.rocket.pod_info", {"name": "fragile"}, {}),
            ("appc.rocket.pod", pod(ready, name="fragile", apps=None, stop_timeout=None, state="absent"), {}),
        ]
    )
    assert checked["changed"] and checked["diff"]["before"] == checked["diff"]["after"]
    assert checked["plan"]["drift"] and "not running" in checked["plan"]["drift"][0]
    assert applied["pod"]["lifecycle"] == "running" and applied["pod"]["generation"] == 1
    assert "running" in [known["state"] for known in told["pods"]]
    assert removed["changed"]


def test_images_are_told_with_who_vouches_for_them_and_what_needs_them(ready, signed):
    gone = {"name": "shop", "state": "absent", "libexec_dir": ready.places["libexec_dir"]}
    idle, _started, used, by_id, nothing, _stopped = ready.play(
        [
            ("appc.rocket.image_info", {}, {}),
            ("appc.rocket.pod", pod(ready), {}),
            ("appc.rocket.image_info", {"name": f"{NAME}:1"}, {"check_mode": True}),
            ("appc.rocket.image_info", {"name": signed["id_1"][:20]}, {}),
            ("appc.rocket.image_info", {"name": f"{NAME}:9"}, {}),
            ("appc.rocket.pod", gone, {}),
        ]
    )
    (image,) = idle["images"]
    assert (image["id"], image["name"], image["labels"]) == (signed["id_1"], NAME, {"version": "1"})
    assert image["verdict"]["signers"][0]["fingerprint"] == signed["release"].lower() and image["source"].endswith("/1.aci")
    assert image["size"] == os.path.getsize(signed["1"]) and image["dependencies"] == [] and not image["in_use"]
    assert [each["in_use"] for each in used["images"]] == [True] and by_id["images"] == used["images"]
    assert [(use["name"], use["state"], use["apps"]) for use in used["images"][0]["pods"]] == [("shop", "running", ["app"])]
    assert image["standing"] == {"good": True, "code": "", "problem": ""} and image["pods"] == []
    assert nothing["images"] == [] == nothing["damaged"] and not any(result["changed"] for result in (idle, used, by_id, nothing))


def test_what_is_refused_says_what_to_do(ready, signed):
    unsigned, stranger, beyond, typo, member, unknown = ready.play(
        [
            ("appc.rocket.image", {"name": signed["2"]}, {}),
            ("appc.rocket.image", {"name": signed["3"]}, {}),
            ("appc.rocket.image", {"name": signed["4"]}, {}),
            ("appc.rocket.pod", pod(ready, name="typo", apps=[{"name": "app", "image": f"{NAME}:1", "enviroment": {}}]), {}),
            ("appc.rocket.pod", {"name": "typo", "declaration": {"aps": []}}, {}),
            ("appc.rocket.pod", pod(ready, name="typo", apps=[{"name": "app", "image": f"{NAME}:9"}]), {}),
        ]
    )
    assert (unsigned["failed"] and unsigned["error"]["code"] == "file-unreadable") or unsigned["error"]["code"] == "signature-missing"
    assert stranger["failed"] and stranger["error"]["code"] == "signer-unknown" and signed["stranger"].lower() in stranger["msg"]
    assert beyond["failed"] and "rocket trust --prefix" in beyond["msg"] and f"{NAME}2" in beyond["msg"]
    assert typo["failed"] and "apps[0].enviroment" in typo["msg"] and "environment" in typo["msg"].replace("enviroment", "")
    assert member["failed"] and "aps" in member["msg"] and "apps" in member["msg"].replace("aps", "", 1)
    assert unknown["failed"] and f"{NAME}:9" in unknown["msg"] and "fetch" in unknown["msg"]
    stored = [image["id"] for image in json.loads(ready.rocket("image", "list", "--format=json"))]
    assert stored == [signed["id_1"]]
    assert ready.rocket("list", "--format=json").strip() == "[]"


def test_an_image_that_came_unverified_does_not_run_without_saying_so(ready, signed):
    apps = [{"name": "app", "image": signed["id_2"]}]
    gone = {"name": "loose", "state": "absent", "libexec_dir": ready.places["libexec_dir"]}
    fetched, refused, allowed, removed, given_up = ready.play(
        [
            ("appc.rocket.image", {"name": signed["2"], "insecure_options": ["image"]}, {}),
            ("appc.rocket.pod", pod(ready, name="loose", apps=apps), {}),
            ("appc.rocket.pod", pod(ready, name="loose", apps=apps, insecure_options=["image"]), {}),
            ("appc.rocket.pod", gone, {}),
            ("appc.rocket.image", {"name": signed["id_2"], "state": "absent"}, {}),
        ]
    )
    assert fetched["image"]["verdict"]["kind"] == "insecure"
    assert refused["failed"] and "--insecure-options=image" in refused["msg"]
    assert not allowed.get("failed"), allowed
    assert removed["changed"] and given_up["changed"], (removed, given_up)


def test_a_key_that_is_trusted_no_longer_stops_the_next_start(ready, signed):
    key = {"fingerprint": signed["release"], "prefix": NAME}
    (removed,) = ready.truth([("appc.rocket.trust", {**key, "state": "absent"})])
    refused, again = ready.play(
        [
            ("appc.rocket.pod", pod(ready, name="late"), {}),
            ("appc.rocket.trust", {**key, "key": signed["release_key"]}, {}),
        ]
    )
    assert removed[1]["changed"] and again["changed"]
    assert refused["failed"] and signed["release"].lower() in refused["msg"] and "rocket trust --prefix" in refused["msg"]


@pytest.fixture
def buildable(fleet):
    """A root file system and a directory for images, on the host."""
    top = fleet.host / "build"
    shutil.rmtree(top, ignore_errors=True)
    (top / "tree" / "bin").mkdir(parents=True)
    (top / "images").mkdir()
    shutil.copy2(STATIC, top / "tree" / "bin" / "busybox")
    return top


def test_the_life_of_an_image_file_is_as_check_mode_says(fleet, signed, buildable):
    image = {
        "src": str(buildable / "tree"),
        "dest": str(buildable / "images" / "web.aci"),
        "name": "example.com/shop/web",
        "labels": {"version": 2, "os": "linux", "arch": "amd64"},
        "exec": ["/bin/busybox", "sleep", 3600],
        "user": 0,
        "group": 0,
        "supplementary_gids": [5],
        "working_directory": "/bin",
        "environment": {"TOKEN": "s3cret-1", "LEVEL": 1},
        "mounts": [{"name": "data", "path": "/srv", "read_only": True}, {"name": "log", "path": "/log"}],
        "ports": [{"name": "http", "protocol": "tcp", "port": 80, "count": 2, "socket_activated": True}],
        "isolators": {"memory": "64Mi", "capabilities": ["CAP_NET_BIND_SERVICE"]},
        "event_handlers": {"pre-start": ["/bin/busybox", "true"]},
        "annotations": {"authors": "the shop"},
        "dependencies": [f"example.com/base:1,os=linux@{signed['id_1']}"],
        "path_whitelist": ["/bin/busybox"],
        "owner": "0:0",
        "mtime": 1000000000,
    }
    changed = {**image, "environment": {"TOKEN": "s3cret-2", "LEVEL": 1}, "labels": {**image["labels"], "version": "3"}}
    key = {"key": signed["release"], "gpg_homedir": signed["home"]}
    built, replaced, resigned, again, gone = fleet.truth(
        [
            ("appc.rocket.image_build", image),
            ("appc.rocket.image_build", changed),
            ("appc.rocket.image_build", {**changed, "sign": key}),
            ("appc.rocket.image_build", {**changed, "sign": key, "compression": "xz"}),
            ("appc.rocket.image_build", {"dest": image["dest"], "state": "absent"}),
        ]
    )
    actions = [[step["action"] for step in results[1]["plan"]["steps"]] for results in (built, replaced, resigned, again, gone)]
    assert actions == [["build"], ["build"], ["sign"], ["build", "sign"], ["remove", "remove"]]
    for results in (built, replaced, resigned, again):
        assert results[0]["image"] == results[1]["image"] == results[2]["image"]
        assert "s3cret" not in json.dumps(results)
    assert built[1]["image"]["labels"] == {"arch": "amd64", "os": "linux", "version": "2"}
    assert replaced[1]["image"]["id"] == again[1]["image"]["id"] != built[1]["image"]["id"]
    assert resigned[0]["signature"] == resigned[1]["signature"] and resigned[1]["signature"]["identity"] == "release"
    assert "(hidden, another value than before)" in replaced[0]["diff"]["after"]
    assert json.loads(built[1]["diff"]["after"])["manifest"]["app"] == {
        "exec": ["/bin/busybox", "sleep", "3600"],
        "user": "0",
        "group": "0",
        "supplementaryGIDs": [5],
        "workingDirectory": "/bin",
        "environment": [{"name": "LEVEL", "value": "(hidden)"}, {"name": "TOKEN", "value": "(hidden)"}],
        "mountPoints": [{"name": "data", "path": "/srv", "readOnly": True}, {"name": "log", "path": "/log"}],
        "ports": [{"name": "http", "protocol": "tcp", "port": 80, "count": 2, "socketActivated": True}],
        "isolators": [
            {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_NET_BIND_SERVICE"]}},
            {"name": "resource/memory", "value": {"limit": "64Mi"}},
        ],
        "eventHandlers": [{"name": "pre-start", "exec": ["/bin/busybox", "true"]}],
    }
    assert os.listdir(buildable / "images") == []


def test_an_image_is_the_same_from_a_tar_and_with_its_manifest_in_the_inventory(fleet, buildable):
    archive, copy = buildable / "tree.tar.gz", buildable / "images" / "copy.aci"
    subprocess.run(["tar", "-C", str(buildable / "tree"), "-czf", str(archive), "."], check=True)
    options = {"name": "example.com/shop/web", "labels": {"version": "1"}, "exec": ["/bin/busybox"], "user": "0", "group": "0"}
    whole = {
        "name": "example.com/shop/web",
        "labels": [{"name": "version", "value": "1"}],
        "app": {"exec": ["/bin/busybox"], "user": "0", "group": "0"},
    }
    tasks = [
        {"src": str(buildable / "tree"), "dest": str(buildable / "images" / "one.aci"), **options},
        {"src": str(archive), "dest": str(buildable / "images" / "two.aci"), "manifest": whole},
        {"src": str(buildable / "images" / "one.aci"), "dest": str(copy), "labels": {"version": "2"}},
    ]
    one, two, changed = fleet.truth([("appc.rocket.image_build", task) for task in tasks])
    assert one[1]["image"]["id"] == two[1]["image"]["id"]
    assert one[1].get("warnings", []) == two[1].get("warnings", []) == []
    manifest = json.loads(changed[1]["diff"]["after"])["manifest"]
    assert manifest == {**whole, "acKind": "ImageManifest", "acVersion": "0.8.11", "labels": [{"name": "version", "value": "2"}]}


def test_what_an_image_cannot_be_says_what_to_do(fleet, signed, buildable):
    image = {"src": str(buildable / "tree"), "dest": str(buildable / "images" / "web.aci"), "name": "example.com/shop/web"}
    (buildable / "other").mkdir()
    check = {"check_mode": True}
    warned, built, strict, published, allowed, number, member, keys, nokey, relative, unsigned = fleet.play(
        [
            ("appc.rocket.image_build", {**image, "exec": ["/bin/wbe"], "user": "www", "group": "0"}, check),
            ("appc.rocket.image_build", {**image, "labels": {"version": "1"}}, {}),
            ("appc.rocket.image_build", {**image, "dest": f"{image['dest']}2.aci", "strict": True}, check),
            ("appc.rocket.image_build", {**image, "src": str(buildable / "other"), "labels": {"version": "1"}}, check),
            ("appc.rocket.image_build", {**image, "src": str(buildable / "other"), "labels": {"version": "1"}, "overwrite": True}, {}),
            ("appc.rocket.image_build", {**image, "labels": {"version": 1.5}}, check),
            ("appc.rocket.image_build", {**image, "ports": [{"name": "a", "prot": "tcp"}]}, check),
            ("appc.rocket.image_build", {**image, "labels": {"version": "2"}, "sign": {"gpg_homedir": signed["home"]}}, check),
            ("appc.rocket.image_build", {**image, "labels": {"version": "2"}, "sign": {"gpg_homedir": str(buildable)}}, check),
            ("appc.rocket.image_build", {**image, "src": "tree", "labels": {"version": "2"}}, check),
            ("appc.rocket.image_build", {"dest": image["dest"], "name": "x"}, check),
        ]
    )
    assert warned["changed"] and len(warned["warnings"]) == 3 and not warned.get("failed")
    assert built["changed"] and strict["failed"] and "T9a" in strict["msg"]
    assert published["failed"] and built["image"]["id"] in published["msg"] and "T9a" in published["msg"]
    assert allowed["changed"] and allowed["image"]["id"] != built["image"]["id"]
    assert number["failed"] and "labels.version" in number["msg"] and "quotes" in number["msg"]
    assert member["failed"] and "ports[0].prot" in member["msg"] and "did you mean port?" in member["msg"]
    assert keys["failed"] and signed["release"].lower() in keys["msg"] and signed["stranger"].lower() in keys["msg"]
    assert nokey["failed"] and "no secret key" in nokey["msg"]
    assert relative["failed"] and "absolute" in relative["msg"]
    assert unsigned["failed"] and "src" in unsigned["msg"]
    assert sorted(os.listdir(buildable / "images")) == ["web.aci"]


LOGGED = """
import json, sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": json.loads(sys.argv[1])}).encode()
basic._ANSIBLE_PROFILE = "legacy"
basic.AnsibleModule.log = lambda self, message, log_args=None: sys.stderr.write(f"{message} {log_args}")
from ansible_collections.appc.rocket.plugins.modules import image_build, pod
{"image_build": image_build, "pod": pod}[sys.argv[2]].main()
"""


@pytest.mark.parametrize("module", ["pod", "image_build"])
def test_the_environment_of_an_app_is_in_no_log_of_the_host(collections, tmp_path, module):
    environment = {"TOKEN": "s3cret"}
    arguments = {
        "pod": {"name": "shop", "apps": [{"name": "app", "image": "example.com/none", "environment": environment}]},
        "image_build": {
            "src": str(tmp_path),
            "dest": f"{tmp_path.parent}/x.aci",
            "name": "example.com/a",
            "environment": environment,
            "user": "0",
            "group": "0",
        },
    }[module]
    arguments.update({"data_dir": str(tmp_path), "_ansible_check_mode": True, "_ansible_diff": True})
    outcome = subprocess.run(
        [sys.executable, "-c", LOGGED, json.dumps(arguments), module],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": collections},
        timeout=60,
        check=False,
    )
    assert json.loads(outcome.stdout)["changed"], outcome.stderr
    assert "s3cret" not in outcome.stderr
    assert "s3cret" not in json.dumps(json.loads(outcome.stdout)["diff"])
