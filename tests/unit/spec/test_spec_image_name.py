# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""References to images by name."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from _rocket.errors import SpecError
from _rocket.spec.image_manifest import ImageManifest
from _rocket.spec.image_name import ImageName

# A slow machine is no defect of the code.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SIMPLE = st.text(alphabet="abc0", min_size=1, max_size=5)


@pytest.mark.spec("V10")
@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("example.com/app", ()),
        ("example.com/app:1.0", (("version", "1.0"),)),
        ("example.com/app:1.0,os=linux,arch=amd64", (("arch", "amd64"), ("os", "linux"), ("version", "1.0"))),
        ("example.com/app,version=2,channel=a=b", (("channel", "a=b"), ("version", "2"))),
        ("example.com/app,channel=", (("channel", ""),)),
    ],
)
def test_references(text, labels):
    name = ImageName.parse(text)
    assert (name.name, name.labels) == ("example.com/app", labels)
    assert ImageName.parse(str(name)) == name


@pytest.mark.spec("V10")
@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("sha512-" + "0" * 128, "V10"),
        ("sha512-abc", "V10"),
        ("", "T1"),
        (":1", "T1"),
        ("Example.com/app", "T1"),
        ("a/../b:1", "T1"),
        ("a:1:2", "V10"),
        ("a,b=c:1", "V10"),
        ("a:", "V10"),
        ("a,", "V10"),
        ("a,os", "V10"),
        ("a,=x", "T1"),
        ("a,Os=linux", "T1"),
        ("a,name=b", "T9"),
        ("a:1,version=1", "T9"),
        ("a,b=1,b=1", "T9"),
        ("a,os=plan9", "T10"),
        ("a,os=linux,arch=x86", "T10"),
        ("a:1\0", "V10"),
        (5, "V10"),
    ],
)
def test_what_is_no_reference(text, rule):
    with pytest.raises(SpecError) as refused:
        ImageName.parse(text)
    assert refused.value.rule == rule


@pytest.mark.spec("V7")
@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("example.com/app", True),
        ("example.com/app:1", True),
        ("example.com/app:1,os=linux", True),
        ("example.com/app:2", False),
        ("example.com/app:1,os=freebsd", False),
        ("example.com/app:1,channel=stable", False),
        ("example.com/app,channel=", False),
        ("example.com/app2:1", False),
        ("example.com:1", False),
    ],
)
def test_a_label_asked_for_has_that_value(text, matches):
    labels = [{"name": "version", "value": "1"}, {"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]
    manifest = ImageManifest.from_json({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/app", "labels": labels})
    assert ImageName.parse(text).matches(manifest) is matches


def test_labels_as_plain_pairs_match_too():
    stored = ImageName("a", (("version", "1"),))
    assert ImageName.parse("a:1").matches(stored)
    assert not ImageName.parse("a:2").matches(stored)


@PATIENT
@given(SIMPLE, st.none() | SIMPLE, st.dictionaries(SIMPLE, st.text(alphabet="ab=/-._~+", max_size=4), max_size=3))
def test_text_and_value_are_the_same(name, version, labels):
    text = name + (f":{version}" if version else "") + "".join(f",{key}={value}" for key, value in labels.items())
    parsed = ImageName.parse(text)
    assert ImageName.parse(str(parsed)) == parsed
    assert dict(parsed.labels) == {**labels, **({"version": version} if version else {})}
