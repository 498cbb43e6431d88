# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""An image file in the wanted state: planned without writing, applied as planned, and then there is nothing to do."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

from _rocket import command
from _rocket.errors import ArchiveError, RocketError, SpecError, UsageError
from _rocket.host import image_file
from _rocket.host.gnupg import GnuPG
from _rocket.host.image_file import Wanted, apply, apply_absent, plan_absent, plan_file
from _rocket.host.sign import find_signer
from _rocket.image.build import open_source
from _rocket.image.check import inspect
from _rocket.image.compression import sniff
from _rocket.spec.image_manifest import ImageManifest


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home of GnuPG with two keys that can sign, and their fingerprints."""
    pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")
    for program in ("gpg", "gpgconf"):
        if not any(os.access(f"{directory}/{program}", os.X_OK) for directory in command.SEARCHED):
            pytest.skip(f"missing ability: the program {program}")
    made = tmp_path_factory.mktemp("g")
    made.chmod(0o700)
    base = ["gpg", "--homedir", str(made), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    for name in ("one", "other"):
        subprocess.run([*base, "--quick-generate-key", name, "ed25519", "sign", "1d"], check=True, capture_output=True)
    listing = subprocess.run([*base, "--with-colons", "--list-keys"], check=True, capture_output=True, text=True).stdout
    yield str(made), *[line.split(":")[9].lower() for line in listing.splitlines() if line.startswith("fpr")]
    subprocess.run(["gpgconf", "--homedir", str(made), "--kill", "all"], check=False)


@pytest.fixture
def signer(home):
    return find_signer(GnuPG(home[0]), home[1], time.time)


def manifest(version="1", **app):
    value = {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": "example.com/shop/web",
        "labels": [{"name": "version", "value": version}],
    }
    return ImageManifest.from_json({**value, "app": {"user": "0", "group": "0", **app}} if app else value)


def facts(top):
    found = {}
    for path, directories, files in os.walk(top):
        for name in [".", *directories, *files]:
            info = os.lstat(os.path.join(path, name))
            found[os.path.join(path, name)] = (info.st_ino, info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    return found


@pytest.fixture
def place(tmp_path):
    """A tree, and a directory for the image."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "x").write_text("x")
    (tmp_path / "out").mkdir()
    return tmp_path


@pytest.fixture
def bring(place):
    """Plan without writing, apply, and plan again; return the plan that was applied."""

    def call(signer=None, **wanted):
        wanted = Wanted(path=f"{place}/out/web.aci", **{"manifest": manifest(), **wanted})
        with open_source(f"{place}/tree") as source:
            before = facts(place)
            outcome = plan_file(source, wanted, signer)
            assert facts(place) == before, "planning wrote something"
            apply(source, wanted, signer, outcome)
            after = facts(place)
            again = plan_file(source, wanted, signer)
            assert not again.plan.changed and again.plan.before == again.plan.after and again.image_id == outcome.image_id
            apply(source, wanted, signer, again)
            assert facts(place) == after, "a second time changed something"
        assert inspect(wanted.path).image_id == outcome.image_id
        return outcome.plan

    return call


def steps(plan):
    return [(step.action, os.path.basename(step.subject), step.reason) for step in plan.steps]


def test_a_file_that_is_missing_is_built(bring):
    plan = bring()
    assert steps(plan) == [("build", "web.aci", "missing")]
    assert plan.before is None and plan.after["manifest"]["name"] == "example.com/shop/web"
    assert not bring().changed


def test_what_changed_is_said(bring, place):
    bring()
    assert steps(bring(manifest=manifest("2"))) == [("build", "web.aci", "manifest changed at labels[0].value")]
    (place / "tree" / "more").write_text("y")
    assert steps(bring(manifest=manifest("2"), overwrite=True)) == [("build", "web.aci", "files changed")]


def test_another_form_of_the_same_image_is_a_change_of_the_file(bring, place):
    bring()
    plan = bring(compression="xz")
    assert steps(plan) == [("build", "web.aci", "compressed as gzip")]
    assert plan.before["image_id"] == plan.after["image_id"]
    assert sniff((place / "out" / "web.aci").read_bytes()[:512]) == "xz"


@pytest.mark.spec("T9a")
@pytest.mark.parametrize("there", ["another build", "no image"])
def test_what_others_may_have_fetched_stays_unless_it_may_go(bring, place, there):
    path = place / "out" / "web.aci"
    if there == "another build":
        bring()
        (place / "tree" / "more").write_text("y")
    else:
        path.write_bytes(b"junk" * 1000)
    before = path.read_bytes()
    with pytest.raises(UsageError) as caught:
        bring()
    assert "T9a" in str(caught.value) and ("example.com/shop/web:1, sha512-" in str(caught.value)) == (there == "another build")
    assert path.read_bytes() == before
    assert bring(overwrite=True).changed


def test_the_values_of_variables_are_in_no_plan(bring):
    def variables(**values):
        return manifest(values.pop("version"), environment=[{"name": name, "value": value} for name, value in sorted(values.items())])

    bring(manifest=variables(version="1", TOKEN="s3cret-1", KEPT="s3cret-2"))
    plan = bring(manifest=variables(version="2", TOKEN="s3cret-3", KEPT="s3cret-2"))
    shown = json.dumps([plan.to_diff(), plan.to_json()])
    assert "s3cret" not in shown and shown.count("another value than before") == 1
    assert "app.environment[1].value" in plan.steps[0].reason


def test_a_signature_is_part_of_what_is_wanted(bring, signer, home, place):
    plan = bring(signer)
    assert steps(plan) == [("build", "web.aci", "missing"), ("sign", "web.aci.asc", "the image is new")]
    assert plan.after["signed_by"] == home[1]
    (place / "out" / "web.aci.asc").unlink()
    plan = bring(signer)
    assert steps(plan) == [("sign", "web.aci.asc", "not signed")]
    assert (plan.before["signed_by"], plan.after["signed_by"]) == (None, home[1])
    # The new file's signature is the new one's, whatever lay there.
    assert [step[0] for step in steps(bring(signer, manifest=manifest("2")))] == ["build", "sign"]


def test_a_signature_by_another_key_stays_unless_it_may_go(bring, signer, home):
    bring(signer)
    other = find_signer(GnuPG(home[0]), home[2], time.time)
    with pytest.raises(UsageError, match="another signature"):
        bring(other)
    plan = bring(other, overwrite=True)
    assert steps(plan) == [("sign", "web.aci.asc", "signed by another key")]
    assert home[1] in plan.before["signed_by"] and plan.after["signed_by"] == home[2]


def test_the_signature_of_the_former_file_goes_with_it(bring, place):
    """Beside the new one it would be a bad signature: what a fetch takes for tampering."""
    signature = place / "out" / "web.aci.asc"
    bring()
    signature.write_text("of this file")
    assert not bring().changed and signature.exists()
    assert steps(bring(manifest=manifest("2")))[1] == ("remove", "web.aci.asc", "signature of the former file")
    assert not signature.exists()
    # One that lies there before the image is nobody's to remove.
    (place / "out" / "web.aci").unlink()
    signature.write_text("of a file to come")
    assert [step[0] for step in steps(bring(manifest=manifest("2")))] == ["build"] and signature.exists()


def test_a_build_that_fails_leaves_image_and_signature(bring, place, monkeypatch):
    bring()
    (place / "out" / "web.aci.asc").write_text("of this file")
    before = {name: (place / "out" / name).read_bytes() for name in os.listdir(place / "out")}
    wanted = Wanted(path=f"{place}/out/web.aci", manifest=manifest("2"))
    with open_source(f"{place}/tree") as source:
        outcome = plan_file(source, wanted, None)
        (place / "tree" / "meanwhile").write_text("x")
        with pytest.raises(ArchiveError, match="became sha512-"):
            apply(source, wanted, None, outcome)
    assert {name: (place / "out" / name).read_bytes() for name in os.listdir(place / "out")} == before


def test_a_file_that_appears_since_the_plan_stays(place):
    wanted = Wanted(path=f"{place}/out/web.aci", manifest=manifest())
    with open_source(f"{place}/tree") as source:
        outcome = plan_file(source, wanted, None)
        (place / "out" / "web.aci").write_text("mine")
        with pytest.raises(UsageError):
            apply(source, wanted, None, outcome)
    assert (place / "out" / "web.aci").read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"path": "{0}/out/web.tar"}, SpecError),
        ({"path": "out/web.aci"}, UsageError),
        ({"path": "{0}/none/web.aci"}, UsageError),
        ({"path": "{0}/tree/web.aci"}, UsageError),
        ({"path": "{0}/directory.aci"}, UsageError),
        ({"path": "{0}/signed.aci"}, UsageError),
        ({"compression": "lzma"}, UsageError),
    ],
)
def test_what_apply_would_refuse_is_refused_by_the_plan(place, monkeypatch, changes, error):
    monkeypatch.chdir(place)
    (place / "directory.aci").mkdir()
    (place / "signed.aci.asc").mkdir()
    changes = {name: value.format(place) for name, value in {"path": "{0}/out/web.aci", **changes}.items()}
    with open_source(f"{place}/tree") as source, pytest.raises(error):
        plan_file(source, Wanted(manifest=manifest(), **changes), None)


def test_absent_takes_the_signature_along(bring, place):
    bring(manifest=manifest(environment=[{"name": "TOKEN", "value": "s3cret"}]))
    (place / "out" / "web.aci.asc").write_text("x")
    before = facts(place)
    plan = plan_absent(f"{place}/out/web.aci")
    assert facts(place) == before
    assert steps(plan) == [("remove", "web.aci", "is there"), ("remove", "web.aci.asc", "is there")]
    assert plan.before["manifest"]["name"] == "example.com/shop/web" and plan.after is None
    assert "s3cret" not in json.dumps(plan.to_diff())
    apply_absent(plan)
    assert os.listdir(place / "out") == []
    assert not plan_absent(f"{place}/out/web.aci").changed and plan_absent(f"{place}/out/web.aci").before is None
    (place / "out" / "web.aci.asc").write_text("x")
    assert steps(plan_absent(f"{place}/out/web.aci")) == [("remove", "web.aci.asc", "is there")]
    for name in ("out/web.tar", "out"):
        with pytest.raises(RocketError):
            plan_absent(f"{place}/{name}")


def test_what_is_no_image_can_be_removed(place):
    (place / "out" / "web.aci").symlink_to("nowhere")
    plan = plan_absent(f"{place}/out/web.aci")
    assert plan.before == {"image_id": None}
    apply_absent(plan)
    assert os.listdir(place / "out") == []


def test_warnings_come_with_the_plan(place):
    wanted = Wanted(path=f"{place}/out/web.aci", manifest=manifest("", exec=["/none"]))
    with open_source(f"{place}/tree") as source:
        assert len(image_file.plan_file(source, wanted, None).warnings) == 2
