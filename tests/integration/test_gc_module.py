# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The module `gc`: check mode says what the run does, pods and images alike; a second run has nothing to do."""

from __future__ import annotations

import json
import os

import pytest
from rocket_command import Rocket

GC = "appc.rocket.gc"
NOTHING = {"grace_period": "30m", "image_grace": "24h"}
ALL = {"grace_period": "0", "expire_prepared": "0", "image_grace": "0"}


@pytest.fixture
def rocket(fleet):
    """The command on the host of the fleet."""
    return Rocket(fleet.host)


@pytest.fixture
def fetch(rocket, tmp_path):
    """Build an image of random bytes, fetch it, and return its image ID."""

    def make(name, size=300_000, **members):
        tree = tmp_path / name
        tree.mkdir()
        (tree / "data").write_bytes(os.urandom(size))
        value = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": f"example.com/{name}", **members}
        value["labels"] = [{"name": "version", "value": "1"}]
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
        path = tmp_path / f"{name}.aci"
        rocket("image", "build", f"--manifest={tmp_path}/{name}.json", f"--output={path}", str(tree))
        return rocket("fetch", str(path)).strip()

    return make


APP = {"app": {"exec": ["/data"], "user": "0", "group": "0"}}


def steps(result):
    return [(step["action"], step["subject"]) for step in result["plan"]["steps"]]


def test_pods_and_images_go_as_check_mode_says(fleet, rocket, fetch):
    kept, gone = fetch("kept", **APP), fetch("gone", **APP)
    expired = rocket("prepare", "example.com/gone").strip()
    named = fleet.play(
        [
            (
                "appc.rocket.pod",
                {
                    "name": "shop",
                    "state": "prepared",
                    "apps": [{"name": "web", "image": "example.com/kept"}],
                    "insecure_options": ["image"],
                    "libexec_dir": fleet.places["libexec_dir"],
                },
                {},
            )
        ]
    )
    assert not named[0].get("failed"), named
    quiet, everything = fleet.truth([(GC, NOTHING), (GC, ALL)])
    assert not quiet[1]["changed"] and quiet[1]["frees"] == 0
    checked, applied, _again = everything
    assert steps(applied) == [("mark", expired), ("sweep", expired), ("remove", gone)]
    assert checked["frees"] == applied["frees"] == sum(step.get("bytes", 0) for step in applied["plan"]["steps"]) > 600_000
    assert gone in applied["diff"]["before"] and gone not in applied["diff"]["after"]
    assert [image["id"] for image in json.loads(rocket("image", "list", "--format=json"))] == [kept]


def test_watermarks(fleet, rocket, fetch):
    for name in ("first", "second"):
        fetch(name)
    # Where both came in the same second what counts is the order of their IDs.
    listed = json.loads(rocket("image", "list", "--format=json"))
    first, second = [image[1] for image in sorted((image["last_used"], image["id"]) for image in listed)]
    marks = {"high_water": "500k", "low_water": "400k"}
    down, never = fleet.truth([(GC, marks), (GC, {"high_water": "2", "low_water": "1"})])
    assert steps(down[1]) == [("remove", first)] and down[1]["plan"]["drift"] == []
    assert steps(never[1]) == [("remove", second)]
    third = fetch("third", **APP)
    rocket("prepare", "example.com/third")
    (stuck,) = fleet.truth([(GC, {"high_water": "2", "low_water": "1"})])
    assert not stuck[1]["changed"] and "nothing else may go" in stuck[1]["plan"]["drift"][0]
    told = json.loads(rocket("gc", "--high-water=2", "--low-water=1", "--format=json"))
    assert told["drift"] == stuck[1]["plan"]["drift"] and told["steps"] == [] and told["frees"] == 0
    assert [image["id"] for image in json.loads(rocket("image", "list", "--format=json"))] == [third]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"high_water": "85%"}, "low_water: goes together with high_water"),
        ({"high_water": "85%", "low_water": "1G"}, "another kind"),
        ({"high_water": "1G", "low_water": "2G"}, "below"),
        ({"high_water": "2G", "low_water": "1G", "mark_only": True}, "watermark"),
        ({"grace_period": "soon"}, "grace_period: expects a time"),
    ],
)
def test_what_means_nothing_fails_in_one_line(fleet, arguments, says):
    for keywords in ({}, {"check_mode": True}):
        (result,) = fleet.play([(GC, arguments, keywords)])
        assert result["failed"] and says in result["msg"] and result["error"]["code"] == "usage"


def test_the_table_and_the_dry_run(rocket, fetch):
    image = fetch("one")
    dry = rocket("gc", "--dry-run", "--image-grace=0")
    assert dry.splitlines()[0].split() == ["ACTION", "WHAT", "SIZE", "WHY"] and dry.splitlines()[-1].startswith("frees ")
    machine = json.loads(rocket("gc", "--dry-run", "--image-grace=0", "--format=json"))
    assert machine["changed"] and [step["subject"] for step in machine["steps"]] == [image]
    assert rocket("gc", "--image-grace=0") == dry
    assert rocket("gc", "--image-grace=0") == ""
    assert "has to be below" in rocket("gc", "--high-water=70%", "--low-water=85%", status=254)


def test_a_store_of_a_later_version_is_refused_by_all_modules(fleet, rocket, fetch):
    fetch("app", **APP)
    (fleet.host / "data" / "version").write_text("2\n")
    before = sorted(os.listdir(fleet.host / "data" / "images"))
    pod = {"name": "shop", "apps": [{"name": "web", "image": "example.com/app"}], "libexec_dir": fleet.places["libexec_dir"]}
    tasks = [(GC, ALL), (GC, {"mark_only": True}), ("appc.rocket.image", {"name": "example.com/app"})]
    tasks += [
        ("appc.rocket.image", {"name": "example.com/app", "state": "absent"}),
        ("appc.rocket.image_info", {}),
        ("appc.rocket.pod", pod),
    ]
    for keywords in ({}, {"check_mode": True}):
        for result in fleet.play([(module, arguments, keywords) for module, arguments in tasks]):
            assert result["failed"] and result["error"]["code"] == "version", result
    assert sorted(os.listdir(fleet.host / "data" / "images")) == before
