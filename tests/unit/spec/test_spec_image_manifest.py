# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The image manifest: every rule of section 4, and what is kept and written back."""

from __future__ import annotations

import json

import manifest_samples
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from _rocket.errors import SpecError
from _rocket.spec.image_manifest import App, ImageManifest, parse_image_manifest
from _rocket.spec.values import NamedValue, parse_version

# A slow machine is no defect of the code.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

FULL = manifest_samples.IMAGE


def changed(path, value):
    """Return the image manifest with one thing changed."""
    return manifest_samples.changed(FULL, path, value)


@pytest.mark.spec("M4", "M9", "M11", "M13", "M14", "M15", "M16", "M17", "M18", "T11")
def test_everything_is_read_and_written_back():
    manifest = parse_image_manifest(json.dumps(FULL).encode())
    assert manifest.to_json() == FULL
    assert ImageManifest.from_json(manifest.to_json()) == manifest
    assert manifest.app.exec == ("/bin/app", "", "-v")
    assert manifest.label("version") == "1"
    assert manifest.warnings() == ()


@pytest.mark.spec("M6", "M10")
def test_the_smallest_manifest_has_the_defaults():
    small = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "a", "app": {"user": "0", "group": "0"}}
    manifest = ImageManifest.from_json(small)
    assert manifest.to_json() == small
    assert (manifest.app.working_directory, manifest.app.exec, manifest.path_whitelist) == ("/", (), ())


@pytest.mark.spec("M5")
def test_null_is_absent_and_never_written():
    members = ("labels", "app", "dependencies", "pathWhitelist", "annotations", "more")
    manifest = ImageManifest.from_json({**FULL, **dict.fromkeys(members)})
    assert manifest.to_json() == {name: FULL[name] for name in ("acKind", "acVersion", "name")}


@pytest.mark.spec("M4", "M9", "M11", "M13", "M14", "T3", "T7", "T10")
@pytest.mark.parametrize(
    ("path", "value", "where", "rule"),
    [
        ("acKind", "PodManifest", "acKind", "M1"),
        ("acVersion", "0.08.1", "acVersion", "T4"),
        ("acVersion", "0.8.11\n", "acVersion", "T4"),
        ("labels.0.name", "os", "labels[1].name", "T9"),
        ("labels.1.value", "plan9", "labels[1].value", "T10"),
        ("labels.2.value", "x86_64", "labels[2].value", "T10"),
        ("app.group", "/../etc", "app.group", "M7"),
        ("app.exec", "sh", "app.exec", "M6"),
        ("app.exec", [""], "app.exec[0]", "M6"),
        ("app.exec", ["/a\0b"], "app.exec[0]", "M6"),
        ("app.supplementaryGIDs", [-1], "app.supplementaryGIDs[0]", "M8"),
        ("app.supplementaryGIDs", [2**32 - 1], "app.supplementaryGIDs[0]", "M8"),
        ("app.supplementaryGIDs", ["wheel"], "app.supplementaryGIDs[0]", "M8"),
        ("app.supplementaryGids", [1], "app.supplementaryGids", "M8"),
        ("app.eventHandlers.0.name", "post-stop", "app.eventHandlers[1].name", "M9"),
        ("app.workingDirectory", "/../srv", "app.workingDirectory", "M10"),
        ("app.environment.0.name", "B", "app.environment[1].name", "M11"),
        ("app.environment.0.name", "A\n", "app.environment[0].name", "M11"),
        ("app.environment.0.name", "-A", "app.environment[0].name", "M11"),
        ("app.isolators.0.value", {}, "app.isolators[0].value", "I3"),
        ("app.mountPoints.0.path", "data", "app.mountPoints[0].path", "M13"),
        ("app.mountPoints.0.path", "/a/../../b", "app.mountPoints[0].path", "M13"),
        ("app.mountPoints.0.path", "/.", "app.mountPoints[0].path", "M13"),
        ("app.mountPoints.0.name", "log", "app.mountPoints[1].name", "M13"),
        ("app.ports.0.port", 65535, "app.ports[0].count", "M14"),
        ("app.ports.0.port", "80", "app.ports[0].port", "M14"),
        ("dependencies.0.labels", [{"name": "name", "value": "x"}], "dependencies[0].labels[0].name", "T9"),
        ("pathWhitelist.0", "/etc/../../x", "pathWhitelist[0]", "M17"),
        ("annotations.0.value", "2026-01-31", "annotations[0].value", "T7"),
        ("annotations.0.name", "appc.rocket/x", "annotations[1].name", "T11"),
    ],
)
def test_refused(path, value, where, rule):
    with pytest.raises(SpecError) as refused:
        ImageManifest.from_json(changed(path, value))
    assert (refused.value.path, refused.value.rule) == (where, rule)
    assert "\n" not in str(refused.value)


def test_a_path_can_stand_before_every_path():
    with pytest.raises(SpecError) as refused:
        ImageManifest.from_json(changed("app.user", ""), "images[1]")
    assert refused.value.path == "images[1].app.user"


@pytest.mark.spec("M8")
def test_the_other_spelling_of_gids_is_read_and_never_written():
    manifest = json.loads(json.dumps(FULL))
    manifest["app"]["supplementaryGids"] = manifest["app"].pop("supplementaryGIDs")
    assert ImageManifest.from_json(manifest).to_json() == FULL


@pytest.mark.spec("M17")
def test_paths_are_normalised():
    manifest = ImageManifest.from_json(changed("pathWhitelist", ["/usr/", "//usr/./bin", "/usr", "/"]))
    assert manifest.path_whitelist == ("/usr", "/usr/bin", "/")


@pytest.mark.spec("T7")
@pytest.mark.parametrize(
    ("time", "good"),
    [
        ("2024-02-29T23:59:59.123456789+23:59", True),
        ("2000-02-29T00:00:00-00:00", True),
        ("1900-02-29T00:00:00Z", False),
        ("2023-02-29T00:00:00Z", False),
        ("2023-04-31T00:00:00Z", False),
        ("2023-13-01T00:00:00Z", False),
        ("2023-00-01T00:00:00Z", False),
        ("2023-01-00T00:00:00Z", False),
        ("2023-01-01T24:00:00Z", False),
        ("2023-01-01T00:60:00Z", False),
        ("2023-01-01T00:00:60Z", False),
        ("2023-01-01T00:00:00", False),
        ("2023-01-01T00:00:00.Z", False),
        ("2023-01-01T00:00:00,5Z", False),
        ("2023-01-01T00:00:00+24:00", False),
        ("2023-01-01T00:00:00+0100", False),
        ("2023-01-01t00:00:00Z", False),
        ("2023-01-01T00:00:00z", False),
        ("2023-01-01 00:00:00Z", False),
        ("2023-01-01T00:00:00Z\n", False),
        ("٢٠٢٣-01-01T00:00:00Z", False),
    ],
)
def test_timestamps(time, good):
    _annotation("created", time, good)


@pytest.mark.spec("T11")
@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("https://example.com/a?b#c", True),
        ("http://user@[::1]:80/", True),
        ("http://", False),
        ("http:///path", False),
        ("https://:443/", False),
        ("https://user@/", False),
        ("http://?x", False),
        ("javascript://example.com", False),
        ("example.com", False),
        ("https://example.com/\n", False),
        ("https://exa mple.com/", False),
    ],
)
def test_web_addresses(address, good):
    _annotation("homepage", address, good)
    _annotation("documentation", address, good)


@pytest.mark.spec("T11")
@pytest.mark.parametrize(("value", "good"), [("true", True), ("false", True), ("maybe", False), ("True", False), ("", False)])
def test_notify(value, good):
    _annotation("appc.io/executor/supports-systemd-notify", value, good)


def _annotation(name, value, good):
    manifest = changed("annotations", [{"name": name, "value": value}])
    if good:
        assert ImageManifest.from_json(manifest).annotations == (NamedValue(name, value),)
        return
    with pytest.raises(SpecError) as refused:
        ImageManifest.from_json(manifest)
    assert refused.value.path == "annotations[0].value"


@pytest.mark.spec("T4")
@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0.8.11", (0, 8, 11)),
        ("0.8.11-rc.1+build.05", (0, 8, 11)),
        ("10.20.30", (10, 20, 30)),
        ("0.8", None),
        ("0.8.11.1", None),
        ("0.08.1", None),
        ("v0.8.11", None),
        ("0.8.11-", None),
        ("0.8.11-01", None),
        ("0.8.11-a..b", None),
        ("0.8.11+", None),
        ("0.8.11+a_b", None),
        ("0.8.²", None),
        ("", None),
    ],
)
def test_versions(text, numbers):
    assert parse_version(text) == numbers


@pytest.mark.spec("T4", "T9")
def test_warnings():
    manifest = ImageManifest.from_json({**FULL, "acVersion": "0.9.0", "labels": [{"name": "arch", "value": "vax"}]})
    newer, arch = manifest.warnings()
    assert "newer than 0.8.11" in newer
    assert "without os" in arch
    assert ImageManifest.from_json({**FULL, "acVersion": "0.8.12"}).warnings()
    assert not ImageManifest.from_json({**FULL, "acVersion": "0.8.11"}).warnings()


@pytest.mark.spec("E2")
def test_a_variable_that_the_executor_sets_is_worth_a_word():
    names = ("AC_APP_NAME", "container", "PATH", "ACID", "AC_METADATA_URL")
    app = App("0", "0", environment=tuple(NamedValue(name, "x") for name in names))
    assert [warning.split()[2] for warning in app.warnings()] == ["AC_APP_NAME", "container", "AC_METADATA_URL"]


@pytest.mark.spec("T2")
def test_names_that_become_no_host_names_may_be_longer():
    for path in ("app.mountPoints.0.name", "app.ports.0.name"):
        ImageManifest.from_json(changed(path, "a" * 255))
        with pytest.raises(SpecError, match="at most 255 characters"):
            ImageManifest.from_json(changed(path, "a" * 256))


JSON = st.recursive(
    st.booleans() | st.integers(0, 9) | st.text(max_size=3),
    lambda x: st.lists(x, max_size=2) | st.dictionaries(st.text(max_size=2), x),
    max_leaves=4,
)


@PATIENT
@given(st.dictionaries(st.text(alphabet="xyz", min_size=1), JSON), st.dictionaries(st.text(alphabet="xyz", min_size=1), JSON))
def test_unknown_members_are_kept(top, inner):
    manifest = {**FULL, **top, "app": {**FULL["app"], **inner}}
    read = ImageManifest.from_json(manifest)
    assert read.to_json() == manifest
    assert ImageManifest.from_json(read.to_json()) == read


@PATIENT
@given(st.sampled_from(sorted(FULL)), JSON | st.none())
def test_whatever_stands_in_a_member_is_read_or_refused(name, value):
    try:
        manifest = ImageManifest.from_json({**FULL, name: value})
    except SpecError:
        return
    assert ImageManifest.from_json(manifest.to_json()) == manifest


@PATIENT
@given(st.sampled_from(sorted(FULL["app"])), JSON | st.none())
def test_whatever_stands_in_a_member_of_the_app_is_read_or_refused(name, value):
    try:
        manifest = ImageManifest.from_json({**FULL, "app": {**FULL["app"], name: value}})
    except SpecError:
        return
    assert ImageManifest.from_json(manifest.to_json()) == manifest
