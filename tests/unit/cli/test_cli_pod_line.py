# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The grammar of several apps, and the declaration that a command line stands for."""

from __future__ import annotations

import pytest

from _rocket.cli import context, declare, options, pod_line, run
from _rocket.errors import NotFound, RocketError, SpecError, TrustError, UsageError
from _rocket.paths import Paths
from _rocket.run.declaration import Declaration
from _rocket.run.names import Named, Names
from _rocket.spec.image_manifest import ImageManifest
from _rocket.store.record import ImageRecord
from _rocket.store.verdict import Verdict

ID = "sha512-" + "ab" * 64
MANIFEST = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.com/shop/web",
    "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}],
    "app": {"exec": ["/bin/web", "--port=80"], "user": "0", "group": "0"},
}


def record(kind="pinned", name="example.com/shop/web", app=True):
    value = dict(MANIFEST, name=name)
    if not app:
        del value["app"]
    return ImageRecord(ID, name, (("os", "linux"),), ImageManifest.from_json(value), Verdict(kind), "", "", 0, 0)


class Shelf:
    """A store of one image."""

    def __init__(self, found=None):
        self.found = found

    def resolve(self, text):
        if self.found is None:
            raise NotFound(f"no image {text} in the store", where="/images", hint="fetch it first")
        return self.found

    find_id = resolve

    def made_of(self, record):
        return (record.id,)


def line(*words):
    return pod_line.parse(run.COMMAND, words)


def value(*words, found=None):
    return declare.value(line(*words), Shelf(found or record()))


def test_pod_options_image_app_options_arguments_and_a_second_image():
    parsed = line(
        "--net=host", "--set-env", "A=1", "one", "--name=a", "--memory", "1Mi", "--", "-x", "--name=b", "--", "---", "two", "--cpu=1"
    )
    assert parsed.values.text("--net") == "host" and parsed.values.every("--set-env") == ["A=1"]
    first, second = parsed.apps
    assert (first.image, first.values.text("--name"), first.arguments) == ("one", "a", ("-x", "--name=b", "--"))
    assert (second.image, second.values.text("--cpu"), second.arguments) == ("two", "1", ())


def test_images_without_arguments_are_separated_too():
    assert [app.image for app in line("one", "---", "two", "---", "three").apps] == ["one", "two", "three"]


def test_an_option_after_the_arguments_mark_is_the_apps():
    assert line("one", "--", "--help", "--net=host").apps[0].arguments == ("--help", "--net=host")
    assert not line("one", "--", "--help").help


@pytest.mark.parametrize("words", [["--help"], ["one", "--help"], ["--net=host", "-h"]])
def test_help_before_or_after_the_image(words):
    assert line(*words).help


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["one", "two"], "arguments of the app follow --, another image follows ---"),
        (["one", "--net=host"], "--net: belongs to the pod: write it before the first image"),
        (["--memory=1Mi", "one"], "--memory: belongs to an app: write it after its image"),
        (["one", "--meory=1Mi"], "did you mean --memory?"),
        (["one", "---"], "an image was expected after ---"),
        (["--", "one"], "an image was expected, not '--'"),
        (["---", "one"], "an image was expected, not '---'"),
        (["one", "--name=a", "--name=b"], "given twice"),
    ],
)
def test_lines_that_mean_nothing(words, message):
    with pytest.raises(UsageError) as caught:
        line(*words)
    assert message in str(caught.value)


def test_the_declaration_of_a_full_line_is_accepted_by_run():
    made = value(
        "--net=host",
        "--stop-timeout=3",
        "--volume=data,kind=host,source=/srv,readOnly=true,recursive=false",
        "--volume=tmp,kind=empty,mode=0700,uid=5,gid=6",
        "--mount=volume=tmp,target=/tmp",
        "--set-env=A=1",
        "--set-env=B=x=y",
        "example.com/shop/web",
        "--name=front",
        "--user=1000",
        "--group=1000",
        "--working-dir=/srv",
        "--environment=A=2",
        "--mount=volume=data,target=/data,readOnly=true",
        "--memory=64Mi",
        "--cpu=500m",
        "--caps-retain=CAP_KILL,CAP_CHOWN",
        "--no-new-privileges",
        "--readonly-rootfs",
        "--",
        "-v",
    )
    normal = Declaration.from_json(made, named=False).normal()
    app = normal["apps"][0]
    assert normal["network"] == "host" and normal["stop_timeout"] == 3
    assert app["image"] == ID and app["name"] == "front"
    assert app["exec"] == ["/bin/web", "--port=80", "-v"]
    assert app["environment"] == {"A": "2", "B": "x=y"}
    assert [mount["path"] for mount in app["mounts"]] == ["/tmp", "/data"]
    assert app["read_only_root"] is True
    assert [isolator["name"] for isolator in app["isolators"]] == [
        "os/linux/capabilities-retain-set",
        "os/linux/no-new-privileges",
        "resource/cpu",
        "resource/memory",
    ]
    assert normal["volumes"][0]["read_only"] is True and normal["volumes"][1]["mode"] == "0700"


def test_exec_replaces_the_program_and_takes_the_arguments():
    assert value("web", "--exec=/bin/other", "--", "a")["apps"][0]["exec"] == ["/bin/other", "a"]
    assert "exec" not in value("web")["apps"][0]


def test_arguments_need_a_program():
    with pytest.raises(UsageError, match="name one with --exec"):
        value("web", "--", "a", found=record(app=False))


@pytest.mark.parametrize(("image", "name"), [("example.com/shop/web", "web"), ("example.com/a.b_c", "a-b-c"), ("example.com/x/-", "app")])
def test_the_app_is_named_by_the_last_part_of_the_image(image, name):
    assert declare._app_name(image) == name


@pytest.mark.parametrize("image", ["./web.aci", "/tmp/web.aci", "https://example.com/web.aci", "oci:/srv/web", "file:///x"])
def test_run_does_not_fetch(image):
    with pytest.raises(UsageError, match="first: rocket fetch"):
        value(image)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["web", "---", "web"],
        ["--set-env=A", "web"],
        ["--pod-manifest=/x", "web"],
        ["--pod-manifest=/x", "--volume=a,kind=empty"],
        ["--volume=data,kind=host,sauce=/x", "web"],
        ["--volume=data,kind=host,source=/x,source=/y", "web"],
        ["--volume=data,kind=empty,readOnly=yes", "web"],
        ["--volume=data,kind=empty,uid=-1", "web"],
        ["web", "--mount=volume=data"],
        ["--stop-timeout=soon", "web"],
    ],
)
def test_values_that_mean_nothing(words):
    with pytest.raises(UsageError):
        value(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["--volume=../x,kind=empty", "web"],
        ["--volume=data,kind=host,source=../etc", "web"],
        ["--volume=data,kind=elsewhere", "web"],
        ["--net=default", "web"],
        ["web", "--name=../../x"],
        ["web", "--mount=volume=none,target=/x"],
        ["web", "--memory=much"],
        ["web", "--caps-retain=CAP_ALL"],
        ["web", "--environment=A B=1"],
    ],
)
def test_what_breaks_a_rule_of_the_specification_is_refused_before_a_pod_exists(words):
    with pytest.raises(SpecError):
        Declaration.from_json(value(*words), named=False)


def test_an_image_that_is_not_stored_says_how_to_get_it():
    images = declare.Trusted(Shelf(), context.Context(Paths()))
    with pytest.raises(NotFound, match=r"rocket fetch example\.com/x"):
        images.resolve("example.com/x")


def test_an_image_let_in_by_an_option_does_not_run_without_it(paths):
    """rkt.md section 12: fetched once with --insecure-options=image, a later secure run must refuse."""
    shelf = Shelf(record("insecure"))
    with pytest.raises(TrustError, match="without a valid signature"):
        declare.Trusted(shelf, context.Context(paths)).resolve("example.com/shop/web")
    assert declare.Trusted(shelf, context.Context(paths, ("image",))).resolve("example.com/shop/web").id == ID
    with pytest.raises(TrustError):
        declare.Trusted(shelf, context.Context(paths, ("http", "pubkey"))).resolve("example.com/shop/web")


def test_supplementary_groups_reach_the_manifest(paths):
    made = declare.generation(line("web", "--supplementary-gids=5,6"), Shelf(record()), context.Context(paths))
    assert made.manifest["apps"][0]["app"]["supplementaryGIDs"] == [5, 6]
    with pytest.raises(UsageError):
        declare.generation(line("web", "--supplementary-gids=wheel"), Shelf(record()), context.Context(paths))


def test_a_pod_manifest_is_read_strictly(paths, tmp_path):
    path = tmp_path / "pod.json"
    path.write_text('{"acKind": "PodManifest", "acKind": "PodManifest"}')
    with pytest.raises(RocketError):
        declare.generation(line(f"--pod-manifest={path}"), Shelf(record()), context.Context(paths))
    path.write_text('{"acKind":"PodManifest","acVersion":"0.8.11","apps":[{"name":"web","image":{"name":"example.com/shop/web"}}]}')
    made = declare.generation(line("--net=host", f"--pod-manifest={path}"), Shelf(record()), context.Context(paths))
    assert made.manifest["apps"][0]["image"]["id"] == ID
    assert {"name": "appc.rocket/network", "value": "host"} in made.manifest["annotations"]


def test_values_keep_their_order():
    assert options.Values((("--a", "1"), ("--b", "2"), ("--a", "3"))).every("--a") == ["1", "3"]


def test_a_pod_name_that_a_declaration_has_is_refused(paths):
    made = declare.generation(line("--pod-name=shop", "web", "--supplementary-gids=5"), Shelf(record()), context.Context(paths))
    assert made.name == "shop"
    names = Names(paths)
    with names.lock("shop"):
        names.write(Named("shop"))
    with pytest.raises(UsageError, match="rocket run-prepared shop"):
        declare.generation(line("--pod-name=shop", "web"), Shelf(record()), context.Context(paths))
    with pytest.raises(SpecError):
        declare.generation(line("--pod-name=../x", "web"), Shelf(record()), context.Context(paths))
