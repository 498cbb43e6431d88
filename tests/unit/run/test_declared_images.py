# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The images that declarations name, templates elsewhere in them or not."""

from __future__ import annotations

import pytest

from _rocket.errors import SpecError
from _rocket.run.declared_images import declared_images

ID = f"sha512-{'a' * 128}"


def pod(*images, **members):
    return {"name": "shop", "apps": [{"name": f"a{index}", "image": image} for index, image in enumerate(images)], **members}


def manifest(**image):
    return {"name": "shop", "manifest": {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [{"name": "a", "image": image}]}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], ()),
        ([pod("example.com/b,version=1", "example.com/a"), pod("example.com/b:1")], ("example.com/b:1", "example.com/a")),
        ([pod("docker://EXAMPLE.com/shop/web")], ("docker://example.com/shop/web:latest",)),
        ([pod(ID), pod("example.com/a", state="prepared")], (ID, "example.com/a")),
        ([{"name": "x", "state": "absent"}, pod("example.com/a", state="absent")], ()),
        ([{"name": "x", "state": "stopped"}, pod("example.com/a", state="stopped")], ("example.com/a",)),
        ([manifest(id=ID, name="example.com/a"), manifest(name="example.com/a")], (ID, "example.com/a")),
        ([manifest(name="example.com/a", labels=[{"name": "version", "value": "1"}, {"name": "arch", "value": "amd64"}])], None),
        ([pod("example.com/a", network="{{ net }}", volumes="{{ volumes }}")], ("example.com/a",)),
    ],
)
def test_references(value, expected):
    assert declared_images(value) == (("example.com/a:1,arch=amd64",) if expected is None else expected)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({}, ""),
        ("{{ pods }}", ""),
        (["{{ pod }}"], "[0]"),
        ([{"name": "x"}], "[0].apps"),
        ([{"name": "x", "state": "running"}], "[0].apps"),
        ([{"name": "x", "apps": "{{ apps }}"}], "[0].apps"),
        ([pod("{{ image }}")], "[0].apps[0].image"),
        ([pod("example.com/a:{% if x %}1{% endif %}")], "[0].apps[0].image"),
        ([pod("example.com/a", state="{{ state }}")], "[0].state"),
        ([pod("https://example.com/a.aci")], "[0].apps[0].image"),
        ([pod("Example.com/a")], "[0].apps[0].image"),
        ([{"name": "x", "apps": [{"name": "a"}]}], "[0].apps[0].image"),
        ([manifest()], "[0].manifest.apps[0].image"),
        ([manifest(name="{{ name }}")], "[0].manifest.apps[0].image.name"),
        ([manifest(name="example.com/a", labels=[{"name": "version", "value": "{{ v }}"}])], "[0].manifest.apps[0].image.labels[0].value"),
        ([manifest(id="sha512-aa")], "[0].manifest.apps[0].image.id"),
    ],
)
def test_refused(value, path):
    with pytest.raises(SpecError) as caught:
        declared_images(value)
    assert caught.value.where.startswith(path)
    assert ("playbook" in str(caught.value)) == any(mark in str(caught.value.value) for mark in ("{{", "{%"))
