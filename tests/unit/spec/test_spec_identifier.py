# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Names: what an attacker or a slip of the pen could get through them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from _rocket.errors import SpecError
from _rocket.spec.identifier import check_ac_identifier, check_ac_name, check_image_id, check_uuid, nearest, prefix_covers

# A slow machine is no defect of the code.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

DIGITS = "0123456789abcdef" * 8
UUID = "6733c088-a507-4694-aabf-edbe4fc5266f"
REFUSED = [
    "",
    "-",
    "a-",
    "-a",
    "a--b",
    "a//b",
    "a/../b",
    "../a",
    "/a",
    "a/",
    "A",
    "é",
    "a\n",
    "a b",
    "a\0b",
    "٣",
    "ａ",
    "a~/~b",
    "/~a",
    "a/~~b",
    3,
    None,
    True,
]


@pytest.mark.spec("T1")
@pytest.mark.parametrize("value", ["a", "example.com/app", "example.com/~user/app_v1", "a-b.c_d~e/f", "0", "a" * 255])
def test_identifiers(value):
    assert check_ac_identifier(value, "name") == value


@pytest.mark.spec("T1")
@pytest.mark.parametrize("value", [*REFUSED, "a..b", "a/.b", "a/./b", "a" * 256])
def test_what_is_no_identifier(value):
    with pytest.raises(SpecError) as refused:
        check_ac_identifier(value, "labels[3].name")
    assert refused.value.rule == "T1"
    assert str(refused.value).startswith("labels[3].name: ")


@pytest.mark.spec("T2")
@pytest.mark.parametrize("value", ["web", "a-b-c", "0", "a" * 63])
def test_names(value):
    assert check_ac_name(value, "name") == value


@pytest.mark.spec("T2")
@pytest.mark.parametrize("value", [*REFUSED, "a.b", "a/b", "a_b", "a" * 64])
def test_what_is_no_name(value):
    with pytest.raises(SpecError) as refused:
        check_ac_name(value, "name")
    assert refused.value.rule == "T2"


@PATIENT
@given(st.text(alphabet="ab0-._~/A \n", max_size=8))
def test_an_identifier_never_climbs_and_never_hides_a_line(value):
    try:
        check_ac_identifier(value, "")
    except SpecError:
        return
    assert value and all(part not in ("", ".", "..") for part in value.split("/"))
    assert not set(value) & set("A \n")


@pytest.mark.spec("T8")
def test_a_pod_uuid_is_canonical_version_four():
    assert check_uuid(UUID, "uuid") == UUID
    bad = [UUID.upper(), UUID.replace("-", ""), "0" * 8 + "-0000-0000-0000-" + "0" * 12, UUID + "\n", "{" + UUID + "}", None]
    bad += [UUID.replace("-4694", "-1694"), UUID.replace("-aabf", "-cabf"), UUID.replace("-a507", "a-507"), UUID[:-1] + "g"]
    for value in bad:
        with pytest.raises(SpecError) as refused:
            check_uuid(value, "uuid")
        assert refused.value.rule == "T8"


@pytest.mark.spec("T5")
def test_an_image_id_has_all_digits_of_the_one_digest():
    assert check_image_id("sha512-" + DIGITS, "id") == "sha512-" + DIGITS
    bad = [
        "sha512-zz",
        "sha512-abc",
        "sha512-" + DIGITS[:-1],
        "sha512-" + DIGITS + "0",
        "sha512-" + DIGITS.upper(),
        "sha512-" + DIGITS + "\n",
    ]
    bad += ["sha256-" + DIGITS, "sha512:" + DIGITS, DIGITS, "sha512-" + DIGITS[:-2] + "/.", None, 5]
    for value in bad:
        with pytest.raises(SpecError) as refused:
            check_image_id(value, "apps[0].image.id")
        assert refused.value.rule == "T5"


@pytest.mark.spec("V3")
@pytest.mark.parametrize(
    ("prefix", "name", "covers"),
    [
        ("example.com/app", "example.com/app", True),
        ("example.com/app", "example.com/app/web", True),
        ("example.com/app", "example.com/app2", False),
        ("example.com/app", "example.com/app-web", False),
        ("example.com/app", "example.com", False),
        ("example.com/", "example.com/app", False),
        ("", "example.com/app", False),
        ("", "", False),
    ],
)
def test_a_prefix_covers_by_path_parts(prefix, name, covers):
    assert prefix_covers(prefix, name) is covers


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("isolator", "isolators"),
        ("enviroment", "environment"),
        ("Volumes", "volumes"),
        ("host_port", "host-port"),
        ("mounst", "mounts"),
        ("xyzzy", None),
        ("", None),
        ("v" * 65, None),
    ],
)
def test_the_nearest_word(word, expected):
    assert nearest(word, ["environment", "isolators", "volumes", "mounts", "host-port"]) == expected


def test_the_first_of_equally_near_words_is_taken():
    assert nearest("part", ["port", "pert"]) == "port"


def test_two_swapped_letters_are_one_change():
    assert nearest("prot", ["port"]) == "port"
