# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What holds for every manifest: unknown members survive at every level, canonical ones are unchanged, and an error names the place,
the value and the rule."""

from __future__ import annotations

import json
import re

import manifest_breaks as breaks
import manifest_samples as samples
import manifest_strategies as manifests
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from _rocket.errors import SpecError, printable
from _rocket.spec.canonical import digest, dumps
from _rocket.spec.image_manifest import parse_image_manifest
from _rocket.spec.pod_manifest import parse_pod_manifest

# A slow machine is no defect of the code.
PATIENT = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
MANIFESTS = manifests.image_manifests() | manifests.pod_manifests()
# Objects whose members are data of the user or of the isolator, not members of the specification.
MAPS = ("userLabels", "userAnnotations")


def parse(manifest, kind=None):
    """Read `manifest` as what it is, or as what it was before it was broken."""
    return (parse_pod_manifest if (kind or manifest["acKind"]) == "PodManifest" else parse_image_manifest)(json.dumps(manifest).encode())


@PATIENT
@given(MANIFESTS)
def test_a_canonical_manifest_is_written_back_as_it_was(manifest):
    assert parse(manifest).to_json() == manifest
    assert parse(parse(manifest).to_json()) == parse(manifest)


def _shuffled(value, random):
    if isinstance(value, dict):
        names = list(value)
        random.shuffle(names)
        return {name: _shuffled(value[name], random) for name in names}
    return [_shuffled(item, random) for item in value] if isinstance(value, list) else value


@PATIENT
@given(MANIFESTS, st.randoms(use_true_random=False))
def test_canonical_json_is_stable(manifest, random):
    written = dumps(parse(manifest).to_json())
    assert dumps(parse(_shuffled(manifest, random)).to_json()) == written
    assert dumps(parse(json.loads(written)).to_json()) == written
    assert digest(parse(manifest).to_json()) == digest(json.loads(written))


def _objects(manifest):
    """The paths of all objects that may hold members of the specification."""
    for path in breaks.places(manifest):
        inside = [part for part in path if isinstance(part, str)]
        if isinstance(breaks.at(manifest, path), dict) and not any(name in MAPS for name in inside) and "value" not in inside[:-1]:
            yield path


@PATIENT
@given(st.data(), MANIFESTS)
def test_unknown_members_survive_at_every_level(data, manifest):
    changed = json.loads(json.dumps(manifest))
    for path in _objects(manifest):
        isolator = breaks.at(manifest, path[:-1]) if path[-1:] == ("value",) else {}
        if isolator.get("name") != "os/unix/sysctl":
            breaks.at(changed, path)[data.draw(st.sampled_from(["more", "Name", "x y", "acName", "imageid"]))] = data.draw(manifests.JSON)
    assert parse(changed).to_json() == changed


DEFAULTS = [
    ("", {"labels": [], "dependencies": [], "pathWhitelist": [], "annotations": []}, "ImageManifest"),
    ("", {"volumes": [], "isolators": [], "ports": [], "userLabels": {}, "userAnnotations": {}}, "PodManifest"),
    ("app", {"exec": [], "workingDirectory": "/", "ports": [], "userLabels": {}, "isolators": [], "supplementaryGIDs": []}, ""),
    ("apps[]", {"readOnlyRootFS": False, "mounts": [], "annotations": []}, "PodManifest"),
    ("mountPoints[]", {"readOnly": False}, ""),
    ("app.ports[]", {"count": 1, "socketActivated": False}, ""),
    ("volumes[]", {"readOnly": False}, "PodManifest"),
]


@PATIENT
@given(MANIFESTS, st.booleans())
def test_a_default_written_out_or_null_is_not_written_back(manifest, null):
    changed = json.loads(json.dumps(manifest))
    for path in list(breaks.places(manifest)):
        place = breaks.at(changed, path)
        pattern = breaks.shown(tuple("*" if isinstance(part, int) else part for part in path)).replace(".*", "[]")
        for end, members, kind in DEFAULTS:
            if isinstance(place, dict) and (pattern.endswith(end) if end else not path) and kind in ("", manifest["acKind"]):
                for name, value in members.items():
                    place.setdefault(name, None if null else value)
    assert parse(changed).to_json() == manifest


BROKEN = (
    *("T1", "T2", "T4", "T5", "T6", "T9", "T11", "T12", "M1", "M2", "M3", "M5", "M6", "M7", "M8", "M9", "M10", "M11", "M13", "M14", "M15"),
    *("M16", "M17", "P4", "P5", "P7", "P8", "P10", "P12"),
)


def _check_error(manifest, choice):
    one = breaks.broken(manifest, choice)
    with pytest.raises(SpecError) as refused:
        parse(one.manifest, manifest["acKind"])
    error = refused.value
    assert (error.path, error.rule) == (one.path, one.rule), (str(error), choice)
    message = str(error)
    assert message.startswith(f"{one.path}: ")
    assert message.partition("; ")[0].endswith(f"({one.rule})")
    assert "\n" not in message
    if breaks.shown(choice[0]) == one.path and isinstance(one.value, (str, int)) and one.value != "":
        assert f"not {printable(one.value)}" in message


@PATIENT
@given(st.data(), MANIFESTS)
def test_an_error_names_the_place_the_value_and_the_rule(data, manifest):
    for choice in data.draw(st.lists(st.sampled_from(breaks.candidates(manifest)), min_size=1, max_size=10)):
        _check_error(manifest, choice)


@pytest.mark.spec(
    "T1",
    "T2",
    "T4",
    "T5",
    "T6",
    "T9",
    "T11",
    "T12",
    "M1",
    "M2",
    "M3",
    "M5",
    "M6",
    "M7",
    "M8",
    "M9",
    "M10",
    "M11",
    "M13",
    "M14",
    "M15",
    "M16",
    "M17",
    "P4",
    "P5",
    "P7",
    "P8",
    "P10",
    "P12",
)
@pytest.mark.parametrize("manifest", [samples.IMAGE, samples.POD], ids=["image", "pod"])
def test_everything_that_can_be_broken_in_a_full_manifest_is_refused_at_its_place(manifest):
    choices = breaks.candidates(manifest)
    assert len(choices) > 500
    for choice in choices:
        _check_error(manifest, choice)


def _ends(places):
    return {(re.sub(r"\[\d+\]", "[]", where), rule) for where, rule in places}


@pytest.mark.parametrize(
    ("prefix", "table"),
    [
        ("app", breaks.APP),
        ("app.ports[]", breaks.PORT),
        ("labels[]", breaks.LABEL),
        ("annotations[]", breaks.ANNOTATION),
        ("volumes[]", breaks.VOLUME),
        ("isolators[]", breaks.ISOLATOR),
        ("", breaks.IMAGE),
        ("", breaks.POD),
    ],
)
def test_the_full_manifests_have_a_place_for_every_way_to_break_one(prefix, table):
    found = _ends((where, rule) for manifest in (samples.IMAGE, samples.POD) for _path, _value, where, rule in breaks.candidates(manifest))
    wanted = _ends((prefix + end + place.at, place.rule) for end, places in table.items() for place in places)
    assert {(end, rule) for end, rule in wanted if not any(where.endswith(end) and rule == other for where, other in found)} == set()
