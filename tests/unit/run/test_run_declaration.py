# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy

import pytest

from _rocket.errors import SpecError
from _rocket.run.declaration import Declaration

SHOP = {
    "name": "shop",
    "apps": [
        {
            "name": "web",
            "image": "example.com/shop/web:1.4.0",
            "environment": {"LOG_LEVEL": "info", "PORT": 80},
            "mounts": [{"volume": "data", "path": "/srv/"}],
            "isolators": {"memory": "256Mi", "cpu": "500m", "pids": 100, "capabilities": ["CAP_KILL"], "no_new_privileges": True},
        }
    ],
    "volumes": [{"name": "data", "kind": "host", "source": "/srv//shop"}],
    "network": "host",
    "stop_timeout": 5,
    "isolators": {"memory": "1Gi"},
    "user_annotations": {"team": "shop"},
}


def changed(**members):
    return {**copy.deepcopy(SHOP), **members}


def app(**members):
    return changed(apps=[{**copy.deepcopy(SHOP["apps"][0]), **members}])


def error(value):
    with pytest.raises(SpecError) as caught:
        Declaration.from_json(value)
    return str(caught.value)


def test_the_normal_form_is_the_same_however_it_was_written():
    listed = app(
        environment=[{"name": "PORT", "value": "80"}, {"name": "LOG_LEVEL", "value": "info"}],
        isolators=[
            {"name": "resource/cpu", "value": {"limit": "500m"}},
            {"name": "os/linux/no-new-privileges", "value": True},
            {"name": "appc.rocket/pids", "value": {"limit": 100}},
            {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_KILL"]}},
            {"name": "resource/memory", "value": {"limit": "256Mi"}},
        ],
        mounts=[{"path": "/srv", "volume": "data", "read_only": False}],
    )
    assert Declaration.from_json(SHOP).normal() == Declaration.from_json(listed).normal()


def test_the_normal_form_declares_itself():
    normal = Declaration.from_json(SHOP).normal()
    assert Declaration.from_json(normal).normal() == normal


def test_normal_hands_out_a_copy():
    declaration = Declaration.from_json(SHOP)
    declaration.normal()["apps"][0]["image"] = "evil"
    assert declaration.normal()["apps"][0]["image"] == "example.com/shop/web:1.4.0"


@pytest.mark.parametrize(
    ("value", "path", "word"),
    [
        (changed(netwrok="host"), "netwrok", "did you mean network?"),
        (changed(restart="always"), "restart", "unknown member"),
        (changed(ports=[]), "ports", "unknown member"),
        (changed(stage1="x"), "stage1", "unknown member"),
        (app(health={}), "apps[0].health", "unknown member"),
        (app(enviroment={}), "apps[0].enviroment", "did you mean environment?"),
        (app(isolators={"memroy": 1}), "apps[0].isolators.memroy", "did you mean memory?"),
        (changed(isolators={"capabilities": []}), "isolators.capabilities", "unknown member"),
        (app(mounts=[{"volume": "data", "path": "/a", "readOnly": True}]), "apps[0].mounts[0].readOnly", "did you mean read_only?"),
        (changed(volumes=[{"name": "data", "kind": "empty", "source": "/x"}]), "volumes[0].source", "unknown member"),
        ({"name": "shop", "app": []}, "app", "did you mean apps?"),
    ],
)
def test_what_is_not_offered_is_refused_with_its_path_and_the_nearest_word(value, path, word):
    text = error(value)
    assert text.startswith(f"{path}: ") and word in text


def test_a_network_that_is_not_offered_yet_says_what_is():
    text = error(changed(network="default"))
    assert text.startswith("network: ") and "none and host" in text


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([], ""),
        ("shop", ""),
        (changed(name="../etc"), "name"),
        (changed(name="a--b"), "name"),
        (changed(name=7), "name"),
        (changed(name="x" * 64), "name"),
        (changed(apps={}), "apps"),
        (changed(apps=[]), "apps"),
        (changed(apps=[None]), "apps[0]"),
        (changed(apps=[SHOP["apps"][0], SHOP["apps"][0]]), "apps[1].name"),
        (changed(stop_timeout=True), "stop_timeout"),
        (changed(stop_timeout=-1), "stop_timeout"),
        (changed(stop_timeout="10"), "stop_timeout"),
        (changed(user_annotations={"a": 1}), "user_annotations.a"),
        (changed(volumes=[{"name": "data", "kind": "tmpfs"}]), "volumes[0].kind"),
        (changed(volumes=[{"name": "data", "kind": "host", "source": "srv"}]), "volumes[0].source"),
        (changed(volumes=[{"name": "data", "kind": "host", "source": "/srv/../etc"}]), "volumes[0].source"),
        (changed(volumes=[{"name": "data", "kind": "empty", "mode": "0999"}]), "volumes[0].mode"),
        (changed(volumes=[{"name": "data", "kind": "empty", "mode": "4755"}]), "volumes[0].mode"),
        (changed(volumes=[{"name": "data", "kind": "empty", "mode": 755}]), "volumes[0].mode"),
        (changed(volumes=[{"name": "data", "kind": "empty", "uid": -1}]), "volumes[0].uid"),
        (changed(volumes=[{"name": "data", "kind": "empty", "uid": 1 << 31}]), "volumes[0].uid"),
        (changed(volumes=[]), "apps[0].mounts[0].volume"),
        (app(name="Web"), "apps[0].name"),
        (app(image=""), "apps[0].image"),
        (app(image="sha512-abc"), "apps[0].image"),
        (app(image="docker://x"), "apps[0].image"),
        (app(image="docker:x"), "apps[0].image"),
        (app(image="docker://example.com/Web"), "apps[0].image"),
        (app(image="oci:/srv/web"), "apps[0].image"),
        (app(image="/srv/web.aci"), "apps[0].image"),
        (app(image="https://example.com/web.aci"), "apps[0].image"),
        (app(image="a/../b"), "apps[0].image"),
        (app(exec="/bin/sh -c x"), "apps[0].exec"),
        (app(exec=[]), "apps[0].exec"),
        (app(exec=[""]), "apps[0].exec"),
        (app(exec=["/a", 1]), "apps[0].exec[1]"),
        (app(exec=["/a\0b"]), "apps[0].exec[0]"),
        (app(environment={"1A": "x"}), "apps[0].environment.1A"),
        (app(environment={"A": True}), "apps[0].environment.A"),
        (app(environment={"A": 1.5}), "apps[0].environment.A"),
        (app(environment={"A": None}), "apps[0].environment.A"),
        (app(environment=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]), "apps[0].environment[1].name"),
        (app(environment=["A=1"]), "apps[0].environment[0]"),
        (app(mounts=[{"volume": "data", "path": "srv"}]), "apps[0].mounts[0].path"),
        (app(mounts=[{"volume": "data", "path": "/srv/../x"}]), "apps[0].mounts[0].path"),
        (app(working_directory="srv"), "apps[0].working_directory"),
        (app(read_only_root="yes"), "apps[0].read_only_root"),
        (app(user=-1), "apps[0].user"),
        (app(user=True), "apps[0].user"),
        (app(group=""), "apps[0].group"),
        (app(isolators={"memory": "16m"}), "apps[0].isolators"),
        (app(isolators={"memory": "1GB"}), "apps[0].isolators.memory"),
        (app(isolators={"memory": {}}), "apps[0].isolators.memory"),
        (app(isolators={"cpu": 0.5}), "apps[0].isolators.cpu"),
        (app(isolators={"pids": 0}), "apps[0].isolators.pids"),
        (app(isolators={"capabilities": ["SYS_ADMIN"]}), "apps[0].isolators"),
        (app(isolators={"no_new_privileges": "yes"}), "apps[0].isolators.no_new_privileges"),
        (app(isolators=[{"name": "resource/memory"}]), "apps[0].isolators[0].value"),
        (changed(isolators=[{"name": "os/linux/no-new-privileges", "value": True}]), "isolators[0].name"),
        (changed(manifest={}), "apps"),
    ],
)
def test_hostile_values_are_refused_where_they_stand(value, path):
    assert error(value).startswith(path)


@pytest.mark.spec("os/linux/capabilities-remove-set enforced")
def test_no_capabilities_is_the_removal_of_all_defaults():
    isolators = Declaration.from_json(app(isolators={"capabilities": []})).normal()["apps"][0]["isolators"]
    assert isolators[0]["name"] == "os/linux/capabilities-remove-set" and len(isolators[0]["value"]["set"]) == 14


def test_without_a_name_only_where_that_is_allowed():
    nameless = {"apps": [{"name": "web", "image": "example.com/web"}]}
    assert error(nameless).startswith("name: ")
    assert Declaration.from_json(nameless, named=False).name == ""


POD = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [{"name": "web", "image": {"name": "example.com/web"}}]}


def test_a_pod_manifest_may_be_a_template():
    declaration = Declaration.from_json({"name": "shop", "manifest": POD, "network": "host"})
    template = declaration.template()
    assert template["apps"][0]["image"] == {"name": "example.com/web"}
    assert {"name": "appc.rocket/network", "value": "host"} in template["annotations"]


@pytest.mark.spec("T11a")
def test_settings_of_a_pod_manifest_come_from_its_annotations():
    manifest = {**POD, "annotations": [{"name": "appc.rocket/stop-timeout", "value": "3"}]}
    assert Declaration.from_json({"name": "shop", "manifest": manifest}).normal()["stop_timeout"] == 3
    assert Declaration.from_json({"name": "shop", "manifest": manifest, "stop_timeout": 3}).normal()["stop_timeout"] == 3
    assert "beside the manifest" in error({"name": "shop", "manifest": manifest, "stop_timeout": 4})


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"apps": []}, "manifest.apps"),
        ({"acKind": "ImageManifest"}, "manifest.acKind"),
        ({"annotations": [{"name": "appc.rocket/netwrok", "value": "host"}]}, "manifest.annotations[0].name"),
        ({"annotations": [{"name": "appc.rocket/network", "value": "all"}]}, "manifest.annotations[0].value"),
        ({"annotations": [{"name": "appc.rocket/stop-timeout", "value": "-1"}]}, "manifest.annotations[0].value"),
        ({"apps": [{"name": "web", "image": {}}]}, "manifest.apps[0].image.id"),
        ({"ports": [{"name": "http", "hostPort": 80}]}, "manifest.ports"),
    ],
)
def test_a_hostile_pod_manifest_is_refused(members, path):
    assert error({"name": "shop", "manifest": {**POD, **members}}).startswith(path)
