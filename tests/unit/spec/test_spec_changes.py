# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What options say, laid over what a manifest file says."""

from __future__ import annotations

import copy

import pytest

from _rocket.errors import SpecError
from _rocket.spec.changes import laid_over
from _rocket.spec.image_manifest import ImageManifest

BASE = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.10",
    "name": "example.com/old",
    "labels": [{"name": "version", "value": "1", "more": 1}, {"name": "os", "value": "linux"}],
    "dependencies": [{"imageName": "example.com/base", "size": 5}],
    "pathWhitelist": ["/bin/app"],
    "more": {"kept": True},
    "app": {
        "exec": ["/bin/app", "-v"],
        "user": "web",
        "group": "web",
        "supplementaryGids": [1],
        "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "isolators": [{"name": "os/linux/capabilities-remove-set", "value": {"set": ["CAP_CHOWN"]}}],
        "userLabels": {"tier": "web"},
    },
}
MEMORY = {"name": "resource/memory", "value": {"limit": "1G"}}
RETAIN = {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_KILL"]}}


def labels(*pairs):
    return {"labels": [{"name": name, "value": value} for name, value in pairs]}


def test_nothing_over_something_is_the_same():
    assert laid_over(BASE, {}) == BASE


def test_something_over_nothing_has_kind_and_version():
    assert laid_over({}, {"name": "example.com/new"}) == {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/new"}


def test_single_values_are_replaced_and_the_rest_stays():
    before = copy.deepcopy(BASE)
    made = laid_over(BASE, {"name": "example.com/new", "app": {"exec": ["/bin/new"], "user": "0", "supplementaryGIDs": [2, 3]}})
    assert before == BASE
    app = {name: value for name, value in BASE["app"].items() if name != "supplementaryGids"}
    assert made == {
        **BASE,
        "name": "example.com/new",
        "app": {**app, "exec": ["/bin/new"], "user": "0", "supplementaryGIDs": [2, 3]},
    }


def test_items_are_known_by_their_names():
    made = laid_over(BASE, {**labels(("arch", "amd64"), ("version", "2")), "app": {"environment": [{"name": "A", "value": "9"}]}})
    assert made["labels"] == [*labels(("version", "2"), ("os", "linux"), ("arch", "amd64"))["labels"]]
    assert made["app"]["environment"] == [{"name": "A", "value": "9"}, {"name": "B", "value": "2"}]


def test_dependencies_are_known_by_their_images():
    made = laid_over(BASE, {"dependencies": [{"imageName": "example.com/more"}, {"imageName": "example.com/base", "size": 6}]})
    assert made["dependencies"] == [{"imageName": "example.com/base", "size": 6}, {"imageName": "example.com/more"}]


def test_the_path_whitelist_grows():
    assert laid_over(BASE, {"pathWhitelist": ["/etc/app"]})["pathWhitelist"] == ["/bin/app", "/etc/app"]
    assert laid_over({}, {"pathWhitelist": ["/etc/app"]})["pathWhitelist"] == ["/etc/app"]


@pytest.mark.spec("I5")
def test_an_isolator_takes_the_place_of_its_rival():
    made = laid_over(BASE, {"app": {"isolators": [MEMORY, RETAIN]}})
    assert made["app"]["isolators"] == [MEMORY, RETAIN]
    assert ImageManifest.from_json(made)
    mine = {**BASE["app"]["isolators"][0], "value": {"set": ["CAP_KILL"]}}
    kept = {**BASE, "app": {**BASE["app"], "isolators": [*BASE["app"]["isolators"], MEMORY]}}
    assert laid_over(kept, {"app": {"isolators": [mine]}})["app"]["isolators"] == [mine, MEMORY]
    # Two rivals that are both asked for are a contradiction, not a choice.
    both = laid_over({**BASE, "app": {**BASE["app"], "isolators": []}}, {"app": {"isolators": [*BASE["app"]["isolators"], RETAIN]}})
    with pytest.raises(SpecError, match="I5"):
        ImageManifest.from_json(both)


def test_an_app_is_made_where_there_is_none():
    app = {"user": "0", "group": "0"}
    assert laid_over({"name": "x", "app": None}, {"app": app})["app"] == app


@pytest.mark.parametrize(
    ("base", "changes", "path"),
    [
        ([], {"name": "x"}, ""),
        ({"labels": {}}, labels(("a", "b")), "labels"),
        ({"labels": [1]}, labels(("a", "b")), "labels[0]"),
        ({"app": []}, {"app": {"user": "0"}}, "app"),
        ({"pathWhitelist": "/x"}, {"pathWhitelist": ["/y"]}, "pathWhitelist"),
        ({}, labels(("a", "b"), ("a", "c")), "labels[1].name"),
        ({}, {"app": {"ports": [{"protocol": "tcp"}]}}, "app.ports[0].name"),
    ],
)
def test_what_cannot_be_changed_says_where(base, changes, path):
    with pytest.raises(SpecError) as caught:
        laid_over(base, changes)
    assert caught.value.path == path


def test_a_name_that_is_no_name_is_left_to_the_reader_of_the_manifest():
    made = laid_over({"labels": [{"name": []}]}, labels(("a", "b")))
    with pytest.raises(SpecError):
        ImageManifest.from_json({**made, "name": "example.com/app"})
