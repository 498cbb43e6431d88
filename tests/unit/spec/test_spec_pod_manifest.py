# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The pod manifest: its members, and what holds across them before a pod may run."""

from __future__ import annotations

import json

import manifest_samples
import pytest
from manifest_samples import APP, ID, WWW
from manifest_samples import POD as FULL

from _rocket.errors import SpecError
from _rocket.record import replace
from _rocket.spec.addresses import parse_address
from _rocket.spec.image_manifest import App, ImageManifest, MountPoint
from _rocket.spec.pod_manifest import PodManifest, check_image, check_reified, parse_pod_manifest
from _rocket.spec.reading import Node


def changed(path, value):
    """Return the pod manifest with one thing changed."""
    return manifest_samples.changed(FULL, path, value)


def refusal(call, *arguments):
    with pytest.raises(SpecError) as refused:
        call(*arguments)
    assert "\n" not in str(refused.value)
    return refused.value.path, refused.value.rule


@pytest.mark.spec("P5", "P8", "P10", "P11")
def test_everything_is_read_and_written_back():
    manifest = parse_pod_manifest(json.dumps(FULL).encode())
    assert manifest.to_json() == FULL
    assert PodManifest.from_json(manifest.to_json()) == manifest
    assert manifest.warnings() == ("the volume tmp is mounted by no app",)
    (own,) = PodManifest.from_json(changed("apps.0.app.environment", [{"name": "AC_APP_NAME", "value": "x"}])).warnings()[1:]
    assert own == "web: the variable AC_APP_NAME of the app is ignored: the executor sets it (E2)"


@pytest.mark.spec("T2")
def test_names_of_apps_are_those_of_hosts_and_names_of_volumes_may_be_longer():
    PodManifest.from_json(changed("volumes.1.name", "a" * 255))
    PodManifest.from_json(changed("apps.0.name", "a" * 63))
    assert refusal(PodManifest.from_json, changed("volumes.1.name", "a" * 256)) == ("volumes[1].name", "T2")
    assert refusal(PodManifest.from_json, changed("apps.0.name", "a" * 64)) == ("apps[0].name", "T2")


@pytest.mark.spec("P9")
def test_annotations_of_pods_and_their_apps_are_named_by_identifiers():
    for path in ("annotations", "apps.0.annotations"):
        PodManifest.from_json(changed(path, [{"name": "a/b.c", "value": ""}, {"name": "a", "value": "x"}]))
        where = path.replace("apps.0", "apps[0]")
        assert refusal(PodManifest.from_json, changed(path, [{"name": "a/b", "value": ""}] * 2)) == (f"{where}[1].name", "T11")
        assert refusal(PodManifest.from_json, changed(path, [{"name": "A", "value": ""}])) == (f"{where}[0].name", "T1")


def test_annotations_are_always_a_list_and_nothing_is_null():
    small = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [{"name": "a", "image": {"id": ID}}]}
    absent = dict.fromkeys(("volumes", "isolators", "annotations", "ports", "userLabels"))
    assert PodManifest.from_json({**small, **absent}).to_json() == {**small, "annotations": []}


@pytest.mark.spec("P10")
def test_volumes_have_the_defaults():
    host, empty = PodManifest.from_json(
        changed("volumes", [{"name": "data", "kind": "host", "source": "//srv/./data/"}, {"name": "e", "kind": "empty"}])
    ).volumes
    assert (host.source, host.recursive, host.read_only) == ("/srv/data", True, False)
    assert (empty.mode, empty.uid, empty.gid, empty.read_only) == (0o755, 0, 0, False)


@pytest.mark.spec("P10", "P11", "P16", "T3", "T12")
@pytest.mark.parametrize(
    ("path", "value", "where", "rule"),
    [
        ("acKind", "ImageManifest", "acKind", "P4"),
        ("apps.0.name", "a/b", "apps[0].name", "T2"),
        ("apps.0.name", "side", "apps[1].name", "P5"),
        ("apps.0.image", "example.com/web", "apps[0].image", "P5"),
        ("apps.0.image.id", "sha512-00", "apps[0].image.id", "T5"),
        ("apps.0.app.user", None, "apps[0].app.user", "M7"),
        ("apps.0.readOnlyRootFS", "yes", "apps[0].readOnlyRootFS", "P7"),
        ("apps.0.mounts.0.volume", "other", "apps[0].mounts[0].volume", "P8"),
        ("apps.0.mounts.0.path", "data", "apps[0].mounts[0].path", "P8"),
        ("apps.0.mounts.0.path", "/x/../../etc", "apps[0].mounts[0].path", "P8"),
        ("apps.0.mounts.0.path", "//.", "apps[0].mounts[0].path", "P8"),
        ("apps.0.mounts.0.path", "/own/", "apps[0].mounts[1].path", "P16"),
        ("apps.0.mounts.0.path", "/own/deeper", "apps[0].mounts[1].path", "P16"),
        ("apps.0.mounts.1.path", "/data/deeper", "apps[0].mounts[1].path", "P16"),
        ("apps.0.mounts.1.appVolume", {}, "apps[0].mounts[1].appVolume.name", "P10"),
        ("apps.0.annotations.0.name", "created", "apps[0].annotations[0].value", "T7"),
        ("volumes.1.name", "data", "volumes[1].name", "P10"),
        ("volumes.0.source", "srv", "volumes[0].source", "P10"),
        ("volumes.0.source", "/srv/../etc", "volumes[0].source", "P10"),
        ("volumes.0.source", "/srv\0", "volumes[0].source", "P10"),
        ("volumes.0.mode", "0755", "volumes[0].mode", "P10"),
        ("volumes.0.uid", 0, "volumes[0].uid", "P10"),
        ("volumes.0.gid", 0, "volumes[0].gid", "P10"),
        ("volumes.1.source", "/srv", "volumes[1].source", "P10"),
        ("volumes.1.recursive", True, "volumes[1].recursive", "P10"),
        ("volumes.1.mode", "04755", "volumes[1].mode", "P10"),
        ("volumes.1.mode", "-755", "volumes[1].mode", "P10"),
        ("volumes.1.mode", "7_5", "volumes[1].mode", "P10"),
        ("volumes.1.gid", 2**32 - 1, "volumes[1].gid", "P10"),
        ("isolators.0.name", "os/linux/no-new-privileges", "isolators[0].name", "P11"),
        ("isolators", [FULL["isolators"][0]] * 2, "isolators[1].name", "I5"),
        ("annotations", [FULL["annotations"][0]] * 2, "annotations[1].name", "T11"),
        ("userLabels", {"a": True}, "userLabels.a", "T12"),
        ("ports.0.name", "raw", "ports[1].name", "P12"),
        ("ports.0.hostPort", "80", "ports[0].hostPort", "P12"),
        ("ports.1.hostPort", 65535, "ports[1].hostPort", "P12"),
        ("ports.1.podPort", {"name": "raw", "protocol": "udp"}, "ports[1].podPort.port", "M14"),
    ],
)
def test_refused(path, value, where, rule):
    assert refusal(PodManifest.from_json, changed(path, value)) == (where, rule)


@pytest.mark.spec("P3")
def test_only_a_template_may_leave_out_the_id_of_a_named_image():
    named, nameless = changed("apps.0.image", {"name": "example.com/web"}), changed("apps.0.image", {})
    template = PodManifest.from_json(named, template=True)
    assert template.apps[0].image.id == ""
    assert template.to_json() == named
    assert refusal(PodManifest.from_json, named) == ("apps[0].image.id", "P5")
    assert refusal(lambda: PodManifest.from_json(nameless, template=True)) == ("apps[0].image.id", "P5")
    assert refusal(check_reified, template, {"side": App("0", "0")}) == ("apps[0].image.id", "P5")


SIDE = App("0", "0")


@pytest.mark.spec("P13")
def test_a_reified_manifest_is_complete():
    check_reified(PodManifest.from_json(FULL), {"side": SIDE})


@pytest.mark.spec("P13")
def test_every_app_needs_something_to_run():
    assert refusal(check_reified, PodManifest.from_json(FULL)) == ("apps[1].app", "P3")


@pytest.mark.spec("P13")
def test_every_mount_point_of_the_app_that_runs_is_covered():
    manifest = PodManifest.from_json(FULL)
    with_point = replace(SIDE, mount_points=(MountPoint("log", "/log"),))
    assert refusal(check_reified, manifest, {"side": with_point}) == ("apps[1].mounts", "P3")
    # The image's app does not count where the pod replaces it as a whole.
    check_reified(manifest, {"side": SIDE, "web": with_point})


@pytest.mark.spec("P13")
def test_a_manifest_put_together_by_hand_is_checked_as_one_that_was_read():
    manifest = replace(PodManifest.from_json(FULL), volumes=())
    assert refusal(check_reified, manifest, {"side": SIDE}) == ("apps[0].mounts[0].volume", "P8")


@pytest.mark.spec("P12")
def test_an_exposed_port_belongs_to_exactly_one_app():
    manifest = PodManifest.from_json(FULL)
    port = manifest.apps[0].app.ports[0]
    assert refusal(check_reified, manifest, {"side": replace(SIDE, ports=(port,))}) == ("apps[1].app.ports[0].name", "P12")
    twice = changed("apps.1.app", {**APP, "mountPoints": []})
    assert refusal(PodManifest.from_json, twice) == ("apps[1].app.ports[0].name", "P12")
    twice["apps"][1]["app"]["ports"] = [{**WWW, "name": "other"}]
    PodManifest.from_json(twice)
    unknown = PodManifest.from_json(changed("apps.0.app.ports", []))
    assert refusal(check_reified, unknown, {"side": SIDE}) == ("ports[0].name", "P12")
    one_app = {**FULL, "apps": FULL["apps"][:1]}
    PodManifest.from_json(one_app)
    one_app["ports"] = [{"name": "ftp", "hostPort": 21}]
    assert refusal(PodManifest.from_json, one_app) == ("ports[0].name", "P12")


def _exposing(first, second, **port):
    ports = [{"name": name, **members} for name, members in (("www", first), ("raw", second))]
    apps = [{"name": "web", "image": {"id": ID}, "app": {**APP, "ports": [{**WWW, **port}, {**WWW, "name": "raw"}]}}]
    return {**FULL, "apps": apps, "volumes": [], "ports": ports}


@pytest.mark.spec("P12")
@pytest.mark.parametrize(
    ("first", "second", "port", "meet"),
    [
        ({"hostPort": 80}, {"hostPort": 80}, {}, True),
        ({"hostPort": 80}, {"hostPort": 81}, {}, False),
        ({"hostPort": 80}, {"hostPort": 81}, {"count": 2}, True),
        ({"hostPort": 80}, {"hostPort": 79}, {"count": 2}, False),
        ({"hostPort": 80}, {"hostPort": 80}, {"protocol": "udp"}, False),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80, "hostIP": "10.0.0.2"}, {}, False),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80, "hostIP": "10.0.0.1"}, {}, True),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80}, {}, True),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80, "hostIP": "0.0.0.0"}, {}, True),
        ({"hostPort": 80, "hostIP": "::1"}, {"hostPort": 80, "hostIP": "0.0.0.0"}, {}, False),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80, "hostIP": "::"}, {}, True),
        ({"hostPort": 80, "hostIP": "::1"}, {"hostPort": 80, "hostIP": "0:0:0:0:0:0:0:1"}, {}, True),
        ({"hostPort": 80, "hostIP": "::1"}, {"hostPort": 80, "hostIP": "0.0.0.1"}, {}, False),
    ],
)
def test_exposed_ports_do_not_meet(first, second, port, meet):
    manifest = _exposing(first, second, **port)
    if meet:
        assert refusal(PodManifest.from_json, manifest) == ("ports[1].hostPort", "P12")
    else:
        PodManifest.from_json(manifest)


@pytest.mark.spec("P12")
def test_the_whole_range_of_an_exposed_port_fits():
    assert refusal(PodManifest.from_json, _exposing({"hostPort": 65534}, {"hostPort": 1}, count=3)) == ("ports[0].hostPort", "P12")
    PodManifest.from_json(_exposing({"hostPort": 65533}, {"hostPort": 1}, count=3))


@pytest.mark.spec("P12")
@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.0.0.0", 0),
        ("203.0.113.23", 3405803799),
        ("::", 0),
        ("::1", 1),
        ("1::", 1 << 112),
        ("2001:DB8::a", 536939960 << 96 | 10),
        ("1:2:3:4:5:6:7:8", 0x00010002000300040005000600070008),
    ],
)
def test_addresses(text, number):
    assert parse_address(Node(text, "")).number == number


@pytest.mark.spec("P12")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.256",
        "1.2.3.-4",
        "1.2.3.4 ",
        "1.2.3.4\n",
        "1.2.3.٤",
        "1.2..4",
        ":",
        ":::",
        "1::2::3",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7::8",
        "12345::",
        "g::",
        "fe80::1%eth0",
        "::ffff:102:304",
        "::1.2.3.4",
        "[::1]",
        1,
    ],
)
def test_what_is_no_address(text):
    assert refusal(parse_address, Node(text, "ports[0].hostIP")) == ("ports[0].hostIP", "P12")


@pytest.mark.spec("P5")
def test_a_given_name_and_labels_are_those_of_the_image():
    app = PodManifest.from_json(FULL).apps[0]
    image = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/web"}
    right = ImageManifest.from_json({**image, "labels": [{"name": "version", "value": "1"}, {"name": "os", "value": "linux"}]})
    check_image(app, right, "apps[0]")
    check_image(replace(app, image=replace(app.image, name="", labels=())), right, "apps[0]")
    other = ImageManifest.from_json({**image, "labels": [{"name": "version", "value": "2\n3"}]})
    assert refusal(check_image, app, other, "apps[0]") == ("apps[0].image.labels[0].value", "P5")
    assert refusal(check_image, app, ImageManifest.from_json(image), "apps[0]") == ("apps[0].image.labels[0].value", "P5")
    renamed = ImageManifest.from_json({**image, "name": "example.com/web2"})
    assert refusal(check_image, app, renamed, "apps[0]") == ("apps[0].image.name", "P5")
