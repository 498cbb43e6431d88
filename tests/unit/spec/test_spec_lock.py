# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Lock files: what is written is read again, by any reader of YAML; what is not locked is nothing."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from _rocket.errors import NotFound, SpecError
from _rocket.record import replace
from _rocket.spec.lock import HEAD, Change, Lock, Locked, changes, normal_reference

WEB, BASE, OTHER = (f"sha512-{digit * 128}" for digit in "abc")
LOCK = Lock(
    (
        Locked("example.com/base:2.0", BASE, "example.com/base", (("version", "2.0"),)),
        Locked(
            "example.com/shop/web:1.4.0",
            WEB,
            "example.com/shop/web",
            (("version", "1.4.0"), ("os", "linux"), ("arch", "amd64")),
            "linux/amd64",
            1234,
            ("0123456789abcdef0123456789abcdef01234567",),
            "",
            ("example.com/base:2.0",),
        ),
        Locked("example.com/shop/web:1.4.0", OTHER, "example.com/shop/web", (), "linux/aarch64"),
    )
)
TEXT = f"""{HEAD}version: 1
images:
  - reference: "example.com/base:2.0"
    id: {BASE}
    name: example.com/base
    labels: {{version: "2.0"}}
  - reference: "example.com/shop/web:1.4.0"
    id: {OTHER}
    name: example.com/shop/web
    platform: linux/aarch64
  - reference: "example.com/shop/web:1.4.0"
    id: {WEB}
    name: example.com/shop/web
    labels: {{version: "1.4.0", os: linux, arch: amd64}}
    platform: linux/amd64
    size: 1234
    signed_by: ["0123456789abcdef0123456789abcdef01234567"]
    dependencies: ["example.com/base:2.0"]
"""


def test_the_file_is_yaml_that_changes_by_the_line():
    lock = Lock.from_json(LOCK.to_json())
    assert lock.to_yaml() == TEXT
    assert Lock.from_json(yaml.safe_load(TEXT)) == lock
    assert Lock.from_json(yaml.safe_load(Lock().to_yaml())) == Lock()


WORDS = st.one_of(
    st.sampled_from(
        ["yes", "No", "null", "1.0", "0x1F", "1e3", "~", "", "12:30:45", "2026-01-31", "a: b", "- a", "#", "é\n\t", '"', "{x}", "*a", "!x"]
    ),
    st.text(alphabet=st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20),
)


@given(st.dictionaries(WORDS, WORDS, max_size=4), st.lists(WORDS.filter(bool), max_size=3))
def test_any_label_is_the_same_text_to_every_reader(labels, keys):
    image = Locked("example.com/x", WEB, "example.com/x", tuple(labels.items()), signed_by=tuple(keys))
    assert Lock.from_json(yaml.safe_load(Lock((image,)).to_yaml())) == Lock((image,))


def test_a_reference_means_what_the_lock_says_on_this_platform():
    assert LOCK.find("example.com/shop/web:1.4.0", "linux/amd64").image_id == WEB
    assert LOCK.find("example.com/shop/web,version=1.4.0", "linux/aarch64").image_id == OTHER
    assert LOCK.find("example.com/base:2.0", "linux/riscv64").image_id == BASE
    with pytest.raises(NotFound, match="for linux/amd64, linux/aarch64, not for linux/riscv64") as caught:
        LOCK.find("example.com/shop/web:1.4.0", "linux/riscv64")
    assert caught.value.code == "not-locked"


@pytest.mark.parametrize(
    "reference", ["example.com/shop/web", "example.com/shop/web:1.4.1", "example.com/shop/web:1.4.0,os=linux", "./web.aci"]
)
def test_what_is_not_locked_is_nothing(reference):
    with pytest.raises(NotFound, match="nothing else is taken") as caught:
        LOCK.find(reference, "linux/amd64")
    assert caught.value.code == "not-locked" and "rocket lock" in caught.value.hint


def test_the_nearest_is_named():
    with pytest.raises(NotFound, match=r"did you mean example\.com/shop/web:1\.4\.0"):
        LOCK.find("example.com/shop/web:1.4.1", "linux/amd64")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("example.com/a,version=1,os=linux", "example.com/a:1,os=linux"),
        ("example.com/a:1,os=linux,arch=amd64", "example.com/a:1,arch=amd64,os=linux"),
        ("https://example.com/a.aci", "https://example.com/a.aci"),
        ("docker://EXAMPLE.com/a:1@sha256:" + "0" * 64, "docker://example.com/a:1@sha256:" + "0" * 64),
        ("docker://example.com/a", "docker://example.com/a:latest"),
        ("./a.aci", "./a.aci"),
        ("oci:/srv/a:web", "oci:/srv/a:web"),
    ],
)
def test_normal_references(text, normal):
    assert normal_reference(text) == normal


def entry(**changes):
    value = {"version": 1, "images": [{"reference": "example.com/a:1", "id": WEB, "name": "example.com/a"}]}
    value["images"][0].update(changes)
    return value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([], ""),
        ({"images": []}, "version"),
        ({"version": 2, "images": []}, "version"),
        ({"version": 1}, "images"),
        ({"version": 1, "images": [], "image": []}, "image"),
        (entry(id="sha512-00"), "images[0].id"),
        (entry(name="A"), "images[0].name"),
        (entry(reference=OTHER), "images[0].reference"),
        (entry(reference="sha512-00"), "images[0].reference"),
        (entry(reference="docker://x"), "images[0].reference"),
        (entry(reference="example.com/a,version=1"), "images[0].reference"),
        (entry(platform="linux"), "images[0].platform"),
        (entry(platform="linux/x86"), "images[0].platform"),
        (entry(size=0), "images[0].size"),
        (entry(sizes=1), "images[0].sizes"),
        (entry(labels={"version": 1}), "images[0].labels.version"),
        (entry(dependencies=["example.com/b"]), "images[0].dependencies[0]"),
        (entry(signed_by=[1]), "images[0].signed_by[0]"),
    ],
)
def test_refused(value, path):
    with pytest.raises(SpecError) as caught:
        Lock.from_json(value)
    assert caught.value.path == path


@pytest.mark.parametrize(("first", "second"), [("", ""), ("linux/amd64", "linux/amd64"), ("", "linux/amd64"), ("linux/amd64", "")])
def test_a_reference_means_one_image(first, second):
    one = Locked("example.com/a", WEB, "example.com/a", platform=first)
    with pytest.raises(SpecError, match="stands there twice") as caught:
        Lock.from_json(Lock((one, replace(one, platform=second, image_id=OTHER))).to_json())
    assert caught.value.path == "images[1].reference"


def test_an_entry_for_all_is_compared_with_those_for_one_platform():
    def lock(*entries):
        return Lock(tuple(Locked("example.com/a", image_id, "example.com/a", (), platform) for platform, image_id in entries))

    amd64, arm64 = "linux/amd64", "linux/aarch64"
    assert changes(lock(("", WEB)), lock((amd64, WEB), (arm64, WEB))) == ()
    assert changes(lock(("", WEB)), lock((amd64, WEB), (arm64, BASE))) == (Change("example.com/a", arm64, WEB, BASE),)
    assert changes(lock((amd64, WEB)), lock(("", BASE))) == (Change("example.com/a", amd64, WEB, BASE),)
    new, gone = changes(lock((amd64, WEB)), lock((arm64, WEB)))
    assert (new, gone) == (Change("example.com/a", arm64, "", WEB), Change("example.com/a", amd64, WEB, "")) and not new.drifted
