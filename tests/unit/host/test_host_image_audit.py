# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What an audit says of the images of a host, by itself and through the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "store"))

from store_archives import INSECURE, PINNED, Imports

from _rocket.cli import main, output
from _rocket.errors import StoreError
from _rocket.host.image_audit import audit
from _rocket.record import replace
from _rocket.run.launch_record import encode
from _rocket.run.names import Named, Names
from _rocket.run.pod_directory import PodDirectory
from _rocket.run.reify import Generation
from _rocket.run.template import MADE_OF
from _rocket.spec.canonical import digest, dumps
from _rocket.store.store import Store
from _rocket.store.verdict import Signer, Verdict

WEB, BASE, PRINT = "example.com/shop/web", "example.com/base", "a" * 40
KEY = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nnot read\n"
SIGNED = Verdict("signed", (Signer(PRINT, "example.com", "Release <r@example.com>", 900),), 1000)
UUIDS = [f"6ba7b810-9dad-41d1-80b4-00c04fd430c{digit}" for digit in range(8)]


@pytest.fixture
def imports(paths):
    return Imports(Store(paths))


@pytest.fixture
def trusted(paths):
    """Trust the signer; returns the file of its key."""
    place = f"{paths.local}/trustedkeys/prefix.d/example.com"
    os.makedirs(place)
    with open(f"{place}/{PRINT}", "wb") as file:
        file.write(KEY)
    return f"{place}/{PRINT}"


@pytest.fixture
def pod(paths):
    """Make a pod, as far as looking at it goes; `apps` maps names of apps to the IDs of all that each is made of, its own last."""

    def make(number, state, apps, name=""):
        listed = []
        for app, ids in apps.items():
            notes = [{"name": MADE_OF, "value": " ".join(ids)}] if len(ids) > 1 else []
            listed.append({"name": app, "image": {"id": ids[-1], "name": WEB}, "annotations": notes})
        with PodDirectory.create(paths, UUIDS[number]) as made:
            for file, value in (("pod", {"apps": listed}), ("origin.json", {"name": name, "created": 1000 + number})):
                with open(f"{made.location}/{file}", "wb") as out:
                    out.write(dumps(value))
            made.move(state)
        return UUIDS[number]

    return make


@pytest.fixture
def rocket(paths, capsys):
    def call(*words):
        code = main.main(
            [f"--dir={paths.data}", f"--local-config={paths.local}", f"--system-config={paths.system}", "image", "audit", *words]
        )
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def told(paths):
    return {image["name"]: image for image in audit(paths).to_json()["images"]}


def test_all_that_is_known_of_an_image(paths, imports, trusted):
    record = imports(name=WEB, verdict=SIGNED, source="https://example.com/web.aci")
    (image,) = audit(paths).to_json()["images"]
    assert image == {
        "id": record.id,
        "name": WEB,
        "labels": {"version": "1.0"},
        "source": "https://example.com/web.aci",
        "reference": "",
        "size": record.file_size,
        "imported_at": record.imported_at,
        "last_used": image["last_used"],
        "dependencies": [],
        "in_use": False,
        "pods": [],
        "verdict": {
            "kind": "signed",
            "signers": [
                {"fingerprint": PRINT, "prefix": "example.com", "identity": "Release <r@example.com>", "signed_at": 900, "part": ""}
            ],
            "checked_at": 1000,
            "insecure_options": [],
            "digest": "",
            "policy": None,
        },
        "standing": {"good": True, "code": "", "problem": ""},
    }
    assert image["last_used"] >= record.imported_at


def test_a_policy_in_the_verdict_is_told(paths, imports, trusted, monkeypatch):
    imports(name=WEB, verdict=SIGNED)
    plain = Verdict.to_json
    monkeypatch.setattr(Verdict, "to_json", lambda self: {**plain(self), "policy": {"require": "signed"}})
    assert told(paths)[WEB]["verdict"]["policy"] == {"require": "signed"}


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda path: None, "", ""),
        (os.unlink, "signer-unknown", "is not trusted"),
        (lambda path: os.truncate(path, 0), "signer-unknown", "is masked"),
        (lambda path: os.chmod(path, 0o666), "signer-unknown", "may be written by everyone"),
    ],
)
def test_whether_it_would_start_is_asked_of_todays_trust(paths, imports, trusted, change, code, said):
    imports(name=WEB, verdict=SIGNED)
    change(trusted)
    standing = told(paths)[WEB]["standing"]
    assert (standing["good"], standing["code"]) == (not code, code) and said in standing["problem"]


def test_an_image_that_an_option_let_in_does_not_start_and_a_pinned_one_does(paths, imports):
    imports(name=WEB, verdict=INSECURE)
    imports(name=BASE, verdict=PINNED)
    found = told(paths)
    assert found[WEB]["standing"]["code"] == "verdict-insecure" and found[WEB]["verdict"]["insecure_options"] == ["image"]
    assert found[BASE]["standing"]["good"] and found[BASE]["verdict"]["kind"] == "pinned"


def test_an_image_starts_no_better_than_what_it_depends_on(paths, imports, trusted):
    imports(name=WEB, verdict=SIGNED, dependencies=[{"imageName": "example.com/middle"}])
    assert told(paths)[WEB]["standing"]["code"] == "not-found" and "example.com/middle" in told(paths)[WEB]["standing"]["problem"]
    imports(name="example.com/middle", verdict=SIGNED, dependencies=[{"imageName": BASE}])
    imports(name=BASE, verdict=INSECURE)
    found = told(paths)
    assert [found[name]["standing"]["code"] for name in (WEB, "example.com/middle", BASE)] == ["verdict-insecure"] * 3
    assert found[WEB]["standing"]["problem"].startswith(f"{BASE}: ") and found[WEB]["dependencies"] == ["example.com/middle"]


def test_which_pods_have_it_and_how(paths, imports, pod):
    base = imports(name=BASE, verdict=PINNED)
    web = imports(name=WEB, verdict=PINNED, dependencies=[{"imageName": BASE}])
    prepared = pod(1, "prepared", {"web": [base.id, web.id], "base": [base.id]}, "shop")
    exited = pod(2, "run", {"a": [base.id, web.id], "b": [base.id, web.id]})
    pod(3, "garbage", {"a": [base.id, web.id]})
    found = told(paths)
    assert found[WEB]["pods"] == [
        {"name": "", "uuid": exited, "state": "exited", "apps": ["a", "b"], "dependency": False},
        {"name": "shop", "uuid": prepared, "state": "prepared", "apps": ["web"], "dependency": False},
    ]
    assert [(use["uuid"], use["apps"], use["dependency"]) for use in found[BASE]["pods"]] == [
        (exited, [], True),
        (prepared, ["base"], True),
    ]


def test_a_running_pod_is_told_as_running(paths, imports):
    web = imports(name=WEB, verdict=PINNED)
    with PodDirectory.create(paths, UUIDS[0]) as made:
        with open(f"{made.location}/pod", "wb") as out:
            out.write(dumps({"apps": [{"name": "a", "image": {"id": web.id}}]}))
        made.move("run")
        assert [use["state"] for use in told(paths)[WEB]["pods"]] == ["running"] and told(paths)[WEB]["in_use"]


def test_a_damaged_pod_still_uses_what_starts_it(paths, imports, pod):
    web = imports(name=WEB, verdict=PINNED)
    uuid = pod(1, "run", {"a": [web.id]}, "shop")
    with open(f"{paths.pods('run')}/{uuid}/pod", "wb") as out:
        out.write(b"{")
    with open(f"{paths.pods('run')}/{uuid}/launch", "wb") as out:
        out.write(encode({"version": 1, "apps": [{"image_id": web.id, "tree": f"{paths.trees}/{web.id}/rootfs"}]}))
    (use,) = told(paths)[WEB]["pods"]
    assert (use["uuid"], use["name"], use["apps"], use["dependency"]) == (uuid, "shop", [], False) and told(paths)[WEB]["in_use"]


def test_an_image_of_a_generation_that_is_kept_is_in_use_without_a_pod(paths, imports):
    base = imports(name=BASE, verdict=PINNED)
    web = imports(name=WEB, verdict=PINNED, dependencies=[{"imageName": BASE}])
    names, manifest = Names(paths), {"apps": [{"name": "a", "image": {"id": web.id}}]}
    kept = names.keep(Named("shop"), Generation("shop", digest(manifest), {}, manifest, {}))
    assert not told(paths)[WEB]["in_use"] and not told(paths)[BASE]["in_use"]
    names.write(replace(kept, current=kept.latest))
    found = told(paths)
    assert found[WEB]["in_use"] and found[BASE]["in_use"] and found[WEB]["pods"] == [] and base.id != web.id


def test_what_is_damaged_does_not_hide_the_rest(paths, imports, rocket):
    web, base = imports(name=WEB, verdict=PINNED), imports(name=BASE, verdict=PINNED)
    with open(f"{paths.images}/{base.id}/record.json", "ab") as out:
        out.write(b"x")
    os.makedirs(f"{paths.names}/shop")
    with open(f"{paths.names}/shop/state", "wb") as out:
        out.write(b"{")
    assert Names(paths).list() == ("shop",)
    found = audit(paths)
    assert [image.record.id for image in found.images] == [web.id]
    assert len(found.damaged) == 2 and base.id in found.damaged[0] and "names/shop/state" in found.damaged[1]
    code, out, err = rocket("--format=json")
    assert code == 0 and json.loads(out)["damaged"] == list(found.damaged) and err == ""
    code, _out, err = rocket("--strict")
    assert code == 254 and err.splitlines()[-1].startswith(
        "rocket: rocket image audit: 0 of 1 images would not start today, 2 records are damaged"
    )


def test_the_command_says_what_would_not_start_and_strict_ends_so(paths, imports, trusted, rocket, monkeypatch):
    good, loose = imports(name=WEB, verdict=SIGNED), imports(name=f"{WEB}/that/has/a/long/name/indeed", verdict=INSECURE)
    monkeypatch.setattr(output, "terminal_width", lambda: 80)
    code, out, err = rocket()
    assert code == 0 and max(map(len, out.splitlines())) <= 80 and err.count("\n") == 1 and "--insecure-options=image" in err
    assert rocket("--strict", WEB)[0] == 0 and rocket("--strict", good.id[:20])[0] == 0
    code, out, err = rocket("--strict", "--format=json", loose.name)
    assert code == 254 and [image["id"] for image in json.loads(out)["images"]] == [loose.id]
    assert err.count("\n") == 1 and "1 of 1 images would not start today" in err
    assert rocket("example.com/nothing")[:2] == (254, "")


def test_names_of_a_hostile_image_do_not_reach_the_terminal_of_an_auditor(paths, imports, rocket):
    hostile = Verdict("signed", (Signer(PRINT, "", "x\x1b[2J\ny", 1),), 1)
    imports(name=WEB, verdict=hostile, labels=[{"name": "version", "value": "\x1b[2J"}])
    code, out, err = rocket()
    assert code == 0 and "\x1b" not in out + err and len(out.splitlines()) == 2 and "\\x1b[2J" in out


def test_a_store_that_is_not_ours_to_judge_is_refused(paths, imports):
    imports(name=WEB, verdict=PINNED)
    with open(f"{paths.data}/version", "w") as out:
        out.write("99\n")
    with pytest.raises(StoreError) as caught:
        audit(paths)
    assert caught.value.code == "version"


def test_an_audit_loads_no_mathematics(paths, imports, trusted):
    """A fresh interpreter that has nothing but the standard library."""
    imports(name=WEB, verdict=SIGNED)
    source = os.path.dirname(os.path.dirname(os.path.dirname(sys.modules["_rocket.host.image_audit"].__file__)))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from _rocket.host.image_audit import audit; from _rocket.paths import Paths;"
        "print(len(audit(Paths(*sys.argv[2:])).refused), *sorted(n for n in sys.modules if n in ('cryptography', 'requests')))"
    )
    words = [sys.executable, "-I", "-S", "-B", "-c", code, source, paths.data, paths.local, paths.system]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["0"]


def test_many_images_that_depend_on_one_are_audited_at_once(paths, imports, trusted):
    """Looking the dependency up anew for each image is a square of their number: each look-up reads them all."""
    imports(name=BASE, verdict=SIGNED)
    for number in range(60):
        imports(name=f"{WEB}{number}", verdict=SIGNED, dependencies=[{"imageName": BASE}])
    reads, plain, plain_list = [], os.lstat, os.listdir
    audit(paths)
    started = time.process_time()
    try:
        os.lstat = lambda *words, **named: reads.append(words[0]) or plain(*words, **named)
        os.listdir = lambda *words: reads.append(words[0]) or plain_list(*words)
        assert len(audit(paths).images) == 61
    finally:
        os.lstat, os.listdir = plain, plain_list
    records = [path for path in reads if str(path).endswith("/record.json")]
    assert len(records) == 61 and reads.count(paths.images) == 1 and time.process_time() - started < 10
