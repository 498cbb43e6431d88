# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from _rocket.errors import IsolatorError, NotFound, PodError, SpecError
from _rocket.run.declaration import Declaration
from _rocket.run.isolation import as_found
from _rocket.run.launch_record import decode, encode, launch_record
from _rocket.run.names import image_ids
from _rocket.run.reify import Generation, reify
from _rocket.run.template import MADE_OF, made_of
from _rocket.spec.canonical import digest
from _rocket.spec.pod_manifest import PodManifest, check_reified
from _rocket.store.dependencies import layered_tree_id

FULL = {
    "exec": ["/bin/web", "--fast"],
    "user": "web",
    "group": "web",
    "supplementaryGIDs": [7],
    "workingDirectory": "/srv",
    "eventHandlers": [{"name": "pre-start", "exec": ["/pre"]}, {"name": "post-stop", "exec": ["/post"]}],
    "environment": [{"name": "A", "value": "image"}, {"name": "Z", "value": "image"}],
    "isolators": [
        {"name": "resource/memory", "value": {"limit": "64Mi"}},
        {"name": "os/linux/capabilities-remove-set", "value": {"set": ["CAP_KILL"]}},
    ],
    "mountPoints": [{"name": "data", "path": "/data"}, {"name": "cache", "path": "/cache", "readOnly": True}],
}


def generation(store, app=None, named="web", **members):
    value = {"name": "shop", "apps": [{"name": named, "image": "example.com/web", **(app or {})}], **members}
    return reify(Declaration.from_json(value), store)


def record(made, **options):
    trees = {app["image"]["id"]: "/tree" for app in made.manifest["apps"]}
    return launch_record(made.manifest, trees, "6f2a7c11-9c1e-4f3e-8b1a-5f0f6c9d2e11", made.name, "/pod/volumes", **options)


@pytest.fixture
def full(make_store, make_image):
    return make_store(make_image(app=FULL))


def test_an_image_of_a_registry_is_found_by_what_was_declared(full):
    """Tag and digest decide, not the labels that the image has here."""
    asked = []

    class Images:
        def resolve(self, text):
            asked.append(text)
            return full.resolve("example.com/web")

        made_of = staticmethod(full.made_of)

    value = {"name": "shop", "apps": [{"name": "web", "image": "docker://EXAMPLE.com/web:9"}]}
    made = reify(Declaration.from_json(value), Images())
    assert asked == ["docker://example.com/web:9"] and made.manifest["apps"][0]["image"]["id"] == "sha512-" + "a" * 128
    with pytest.raises(SpecError, match="P5"):
        reify(Declaration.from_json({"name": "shop", "apps": [{"name": "web", "image": "docker://example.com/other:9"}]}), Images())


@pytest.mark.spec("P3")
def test_a_reified_manifest_stands_on_its_own(full):
    made = generation(full)
    check_reified(PodManifest.from_json(made.manifest))
    (app,) = made.manifest["apps"]
    assert app["image"]["id"] == "sha512-" + "a" * 128
    assert {mount["path"]: mount["volume"] for mount in app["mounts"]} == {"/data": "web-data", "/cache": "web-cache"}
    assert [volume["kind"] for volume in made.manifest["volumes"]] == ["empty", "empty"]
    assert made.digest == digest(made.manifest)


@pytest.mark.spec("P3")
def test_a_mount_point_takes_the_volume_of_its_name_and_apps_share_nothing_by_chance(make_store, make_image):
    store = make_store(make_image(app=FULL))
    value = {
        "name": "shop",
        "apps": [{"name": name, "image": "example.com/web"} for name in ("one", "two")],
        "volumes": [{"name": "data", "kind": "empty"}],
    }
    made = reify(Declaration.from_json(value), store)
    mounts = [{mount["path"]: mount["volume"] for mount in app["mounts"]} for app in made.manifest["apps"]]
    assert mounts == [{"/data": "data", "/cache": "one-cache"}, {"/data": "data", "/cache": "two-cache"}]


def test_a_made_up_volume_never_takes_the_name_of_a_declared_one(full):
    made = generation(
        full,
        {"mounts": [{"volume": "web-data", "path": "/other"}]},
        volumes=[{"name": "web-data", "kind": "host", "source": "/secret"}],
    )
    assert {mount["path"]: mount["volume"] for mount in made.manifest["apps"][0]["mounts"]}["/data"] == "web-data-2"


@pytest.mark.spec("P6")
def test_the_app_of_a_pod_manifest_replaces_the_image_s_as_a_whole(full):
    app = {"exec": ["/other"], "user": "0", "group": "0"}
    manifest = {
        "acKind": "PodManifest",
        "acVersion": "0.8.11",
        "apps": [{"name": "web", "image": {"name": "example.com/web"}, "app": app}],
    }
    made = reify(Declaration.from_json({"name": "shop", "manifest": manifest}), full)
    assert made.manifest["apps"][0]["app"] == app
    assert "volumes" not in made.manifest


@pytest.mark.spec("D2")
def test_the_app_of_a_dependency_is_ignored(make_store, make_image):
    base = make_image(name="example.com/base", digit="b", app=FULL)
    store = make_store(make_image(app=None, dependencies=[{"imageName": "example.com/base"}]), base)
    with pytest.raises(SpecError, match="the image does not say its exec"):
        generation(store)
    own = make_store(make_image(dependencies=[{"imageName": "example.com/base"}]), base)
    (app,) = generation(own).manifest["apps"]
    assert (app["app"]["exec"], "mounts" in app, "volumes" in generation(own).manifest) == (["/bin/web"], False, False)


@pytest.mark.spec("T11a")
def test_annotations_of_an_image_say_nothing_about_the_pod(make_store, make_image):
    bold = [{"name": "appc.rocket/network", "value": "host"}, {"name": "appc.rocket/stop-timeout", "value": "9"}]
    made, plain = generation(make_store(make_image(annotations=bold))), generation(make_store(make_image()))
    assert made.manifest == plain.manifest
    assert (record(made)["network"], record(made)["stop_timeout"]) == ("none", 10)


@pytest.mark.spec("T12")
def test_a_pod_runs_the_same_whatever_the_user_annotations_say(make_store, make_image):
    words = {"userAnnotations": {"restart": "always", "user": "root"}, "userLabels": {"os": "plan9", "": "x"}}
    manifest = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [{"name": "web", "image": {"name": "example.com/web"}}]}
    store, worded = make_store(make_image(app=FULL)), make_store(make_image(app={**FULL, **words}))
    plain = reify(Declaration.from_json({"name": "shop", "manifest": manifest}), store)
    made = reify(Declaration.from_json({"name": "shop", "manifest": {**manifest, **words}}), worded)
    assert made.manifest["userLabels"] == made.manifest["apps"][0]["app"]["userLabels"] == words["userLabels"]
    assert record(made) == record(plain)


def test_overrides_complete_the_image_s_app(full):
    made = generation(
        full,
        {
            "exec": ["/bin/other"],
            "environment": {"Z": "declared", "B": "declared"},
            "isolators": {"memory": "1Gi", "capabilities": ["CAP_NET_ADMIN"]},
            "user": 7,
        },
    )
    app = made.manifest["apps"][0]["app"]
    assert app["exec"] == ["/bin/other"] and app["user"] == "7" and app["group"] == "web"
    assert [(item["name"], item["value"]) for item in app["environment"]] == [("A", "image"), ("Z", "declared"), ("B", "declared")]
    names = [item["name"] for item in app["isolators"]]
    assert names == ["os/linux/capabilities-retain-set", "resource/memory"]
    assert [handler["exec"] for handler in app["eventHandlers"]] == [["/pre"], ["/post"]]


@pytest.mark.spec("P5")
@pytest.mark.parametrize(
    ("image", "path"),
    [
        ({"id": "sha512-" + "a" * 128, "name": "example.com/other"}, "manifest.apps[0].image.name"),
        (
            {"id": "sha512-" + "a" * 128, "name": "example.com/web", "labels": [{"name": "version", "value": "2.0"}]},
            "manifest.apps[0].image.labels[0].value",
        ),
    ],
)
def test_an_id_with_the_name_of_another_image_is_refused(full, image, path):
    manifest = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [{"name": "web", "image": image}]}
    with pytest.raises(SpecError) as caught:
        reify(Declaration.from_json({"name": "shop", "manifest": manifest}), full)
    assert caught.value.where == path


@pytest.mark.spec("P16")
@pytest.mark.parametrize("other", ["/data", "/data/x", "/dat/../data/"])
def test_mounts_inside_each_other_are_refused(full, other):
    with pytest.raises(SpecError, match=r"P16|without \.\."):
        generation(
            full,
            {"mounts": [{"volume": "v", "path": "/data"}, {"volume": "v", "path": other}]},
            volumes=[{"name": "v", "kind": "empty"}],
        )


@pytest.mark.spec("P16")
def test_mounts_with_a_common_beginning_are_not_inside_each_other(full):
    mounts = [{"volume": "v", "path": path} for path in ("/data", "/data-2", "/dat")]
    made = generation(full, {"mounts": mounts}, volumes=[{"name": "v", "kind": "empty"}])
    assert len(made.manifest["apps"][0]["mounts"]) == 4


def test_an_image_without_an_app_has_to_be_completed(make_store, make_image):
    store = make_store(make_image(app=None))
    with pytest.raises(SpecError, match="exec"):
        generation(store)
    generation(store, {"exec": ["/bin/x"], "user": 0, "group": 0})


def test_an_image_cannot_give_itself_more_power(make_store, make_image):
    greedy = {"exec": ["/x"], "user": "0", "group": "0"}
    greedy["isolators"] = [{"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_SYS_ADMIN", "CAP_KILL"]}}]
    store = make_store(make_image(app=greedy))
    with pytest.raises(IsolatorError, match="CAP_SYS_ADMIN"):
        generation(store)
    made = generation(store, {"isolators": {"capabilities": ["CAP_SYS_ADMIN"]}})
    assert record(made)["apps"][0]["capabilities"] == ["CAP_SYS_ADMIN"]


def test_what_the_declaration_does_not_say_does_not_change_the_digest(full):
    assert generation(full).digest == generation(full, network="none", stop_timeout=10).digest
    assert generation(full).digest != generation(full, stop_timeout=11).digest
    assert generation(full).digest != generation(full, network="host").digest


def test_a_missing_image_is_not_found(make_store):
    with pytest.raises(NotFound):
        generation(make_store(), {"image": "example.com/none"})


def test_a_generation_is_read_back_and_a_changed_one_refused(full):
    made = generation(full)
    assert Generation.from_json(made.to_json()) == made
    value = made.to_json()
    value["manifest"] = {**value["manifest"], "apps": []}
    with pytest.raises(PodError, match="digest"):
        Generation.from_json(value)


@pytest.mark.spec("T4")
def test_what_is_odd_in_an_image_is_worth_a_word(make_store, make_image):
    newer = generation(make_store(make_image(acVersion="0.9.0")))
    assert newer.warnings == ("web: acVersion 0.9.0 is newer than 0.8.11: what it added is ignored (T4)",)
    assert generation(make_store(make_image())).warnings == ()


def test_a_volume_that_nobody_mounts_is_worth_a_word(full):
    made = generation(full, volumes=[{"name": "idle", "kind": "empty"}])
    assert any("idle" in warning for warning in made.warnings)


def test_the_launch_record_is_primitives_and_complete(full):
    made = generation(
        full,
        {"mounts": [{"volume": "host", "path": "/data"}], "read_only_root": True},
        volumes=[{"name": "host", "kind": "host", "source": "/srv", "recursive": False}],
        stop_timeout=3,
    )
    launch = record(made)
    assert decode(encode(launch), "launch") == launch
    assert (launch["network"], launch["stop_timeout"], launch["hostname"], launch["version"]) == ("none", 3, "shop", 1)
    app = launch["apps"][0]
    assert app["mounts"] == [
        {"source": "/srv", "target": "/data", "read_only": False, "recursive": False, "volume": "host"},
        {"source": "/pod/volumes/web-cache", "target": "/cache", "read_only": True, "recursive": False, "volume": "web-cache"},
    ]
    assert (app["pre_start"], app["post_stop"]) == (["/pre"], ["/post"])
    assert app["environment"] == [["A", "image"], ["Z", "image"]]
    assert app["supplementary_gids"] == [7] and app["read_only_root"] is True and app["working_directory"] == "/srv"
    assert "CAP_KILL" not in app["capabilities"] and len(app["capabilities"]) == 13


def test_read_only_holds_if_either_says_so(full):
    made = generation(
        full,
        {"mounts": [{"volume": "host", "path": "/data"}, {"volume": "two", "path": "/new", "read_only": True}]},
        volumes=[{"name": "host", "kind": "host", "source": "/srv", "read_only": True}, {"name": "two", "kind": "empty"}],
    )
    assert [mount["read_only"] for mount in record(made)["apps"][0]["mounts"]] == [True, True, True]


def test_volumes_of_one_app_are_never_another_s(make_store):
    own = {"name": "data", "kind": "empty"}
    app = {"exec": ["/x"], "user": "0", "group": "0"}
    apps = [
        {
            "name": name,
            "image": {"name": "example.com/web"},
            "app": app,
            "mounts": [{"volume": "data", "path": "/d", "appVolume": own}],
        }
        for name in ("one", "two")
    ]
    manifest = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps}
    made = reify(Declaration.from_json({"name": "shop", "manifest": manifest}), make_store())
    sources = [app["mounts"][0]["source"] for app in record(made)["apps"]]
    assert sources == ["/pod/volumes/one_data", "/pod/volumes/two_data"]


def outcomes(launch, name):
    return [(item["scope"], item["outcome"]) for item in launch["isolators"] if item["name"] == name]


@pytest.mark.spec("I1")
def test_the_pod_bounds_its_apps(make_store):
    made = generation(
        make_store(),
        {"isolators": {"memory": {"request": "1Gi", "limit": "2Gi"}, "cpu": "2", "pids": 50}},
        isolators={"memory": "512Mi", "cpu": "1", "pids": 60},
    )
    launch = record(made)
    limits = launch["apps"][0]["limits"]
    assert (limits["memory_limit"], limits["memory_request"], limits["cpu_limit"], limits["pids"]) == (1 << 29, 1 << 29, 1000, 50)
    assert outcomes(launch, "resource/memory") == [("pod", "enforced"), ("web", "modified")]
    assert outcomes(launch, "appc.rocket/pids") == [("pod", "enforced"), ("web", "enforced")]
    assert launch["limits"]["memory_limit"] == 1 << 29


@pytest.mark.spec("I2", "M12")
def test_what_is_not_enforced_is_said_and_refused_in_strict_mode(make_store):
    made = generation(make_store(), {"isolators": [{"name": "example.com/new", "value": 1}]})
    launch = record(made)
    assert outcomes(launch, "example.com/new") == [("web", "ignored")]
    with pytest.raises(IsolatorError, match=r"example\.com/new"):
        record(made, strict=True)
    assert outcomes(record(made, strict=True, allow_ignored=("example.com/new",)), "example.com/new") == [("web", "ignored")]
    misspelt = generation(make_store(), {"isolators": [{"name": "resource/memmory", "value": {"limit": "1G"}}]})
    reasons = {row["name"]: row["reason"] for row in record(misspelt)["isolators"] + launch["isolators"]}
    assert reasons["resource/memmory"] == "it is not known here, resource/memory is"
    assert reasons["example.com/new"] == "it is not known here"


@pytest.mark.spec("I2")
def test_what_the_launcher_could_not_enforce_is_not_called_enforced(make_store):
    made = generation(make_store(), {"isolators": {"pids": 5, "memory": {"request": "1Mi", "limit": "2Mi"}}})
    planned = record(made)["isolators"]
    found = [
        {"scope": "web", "name": "pids", "outcome": "ignored", "effective": "", "reason": "no pids controller"},
        {"scope": "web", "name": "memory_limit", "outcome": "enforced", "effective": "2097152", "reason": ""},
        {"scope": "web", "name": "memory_request", "outcome": "ignored", "effective": "", "reason": "no memory.low"},
        {"scope": "pod", "name": "memory_limit", "outcome": "ignored", "effective": "", "reason": "another scope"},
    ]
    assert {item["outcome"] for item in planned if item["name"] in ("appc.rocket/pids", "resource/memory")} == {"enforced"}
    told = {item["name"]: item for item in as_found(planned, found)}
    assert told["appc.rocket/pids"]["outcome"] == "ignored" and "no pids controller" in told["appc.rocket/pids"]["reason"]
    assert told["resource/memory"]["outcome"] == "modified" and told["resource/memory"]["effective"] == "memory_limit 2097152"
    assert as_found(planned, found[1:2]) == tuple(planned)


def test_the_status_of_an_earlier_runtime_is_no_error():
    """A pod outlives the runtime that started it; one such status made every command about pods fail."""
    planned = ({"name": "resource/memory", "scope": "web", "outcome": "enforced", "effective": "memory limit 1", "reason": ""},)
    assert as_found(planned, [{"name": "memory_limit", "outcome": "ignored", "effective": "", "reason": "x"}]) == planned


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("os/linux/seccomp-remove-set", {"set": ["mount"]}),
        ("os/linux/seccomp-retain-set", {"set": ["read"]}),
        ("os/linux/selinux-context", {"user": "a", "role": "b", "type": "c", "level": "d"}),
        ("os/linux/apparmor-profile", {"profile": "web"}),
    ],
)
def test_a_guard_of_the_host_is_never_ignored_silently(make_store, name, value):
    made = generation(make_store(), {"isolators": [{"name": name, "value": value}]})
    with pytest.raises(IsolatorError, match=name):
        record(made)
    assert outcomes(record(made, allow_ignored=(name,)), name) == [("web", "ignored")]


def test_no_new_privileges_is_on_unless_an_isolator_says_false(make_store):
    plain = record(generation(make_store()))
    assert plain["apps"][0]["no_new_privileges"] is True
    assert outcomes(plain, "os/linux/no-new-privileges") == [("web", "modified")]
    off = record(generation(make_store(), {"isolators": {"no_new_privileges": False}}))
    assert off["apps"][0]["no_new_privileges"] is False
    assert len(plain["apps"][0]["capabilities"]) == 14


@pytest.mark.spec("I3")
def test_without_a_request_the_limit_is_the_request(make_store):
    limits = record(generation(make_store(), {"isolators": {"memory": "8Ki", "cpu": "1"}}))["apps"][0]["limits"]
    assert (limits["memory_request"], limits["cpu_request"]) == (8192, 1000)


@pytest.mark.parametrize("data", [b"", b"x", encode({"version": 99}), encode({"version": 1})[:-1]])
def test_a_damaged_launch_record_is_refused(data):
    with pytest.raises(PodError, match="prepare the pod again"):
        decode(data, "launch")


@pytest.mark.spec("I2")
def test_processes_are_bounded_unless_somebody_says_how(make_store):
    assert record(generation(make_store()))["apps"][0]["limits"]["pids"] == 2048
    assert record(generation(make_store(), {"isolators": {"pids": 5000}}))["apps"][0]["limits"]["pids"] == 5000


def test_a_generation_fixes_what_its_images_depend_on(full):
    """Another dependency is another generation; what the user writes under that name counts for nothing."""
    ids = ("sha512-" + "d" * 128, "sha512-" + "a" * 128)
    plain = generation(full, {"annotations": {MADE_OF: "mine", "example.com/kept": "x"}})
    assert [item["name"] for item in plain.manifest["apps"][0]["annotations"]] == ["example.com/kept"]
    full.made_of = lambda record: ids
    made = generation(full, {"annotations": {MADE_OF: "mine", "example.com/kept": "x"}})
    assert made_of(made.manifest["apps"][0]) == ids and made_of(plain.manifest["apps"][0]) == ids[1:]
    assert made.digest != plain.digest
    assert image_ids(plain.manifest) == ids[1:]
    assert image_ids(made.manifest) == (*ids, layered_tree_id(ids)), "what is kept of it includes its tree"
