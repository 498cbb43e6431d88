# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""docs/oci.md says of OCI images what the code does."""

from __future__ import annotations

import pathlib
import re

import pytest

from _rocket.image.oci_config import ANNOTATION, CAPABILITIES
from _rocket.spec.isolators import DEFAULT_CAPABILITIES
from _rocket.spec.oci_manifest import DOCUMENT_LIMIT, MOST_LAYERS, arch_label
from _rocket.spec.oci_reference import LOCAL, REGISTRY, RegistryReference, named, parse_oci_reference

TEXT = (pathlib.Path(__file__).resolve().parents[3] / "docs" / "oci.md").read_text(encoding="utf-8")


def rows(heading):
    """Return the cells of the rows of the first table below a heading, without the backquotes around a whole cell."""
    body = re.split(r"\n#", TEXT.split(f"{heading}\n", 1)[1])[0]
    lines = [line for line in body.splitlines() if line.startswith("|")][2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(("text", "name"), rows("### Names"))
def test_names(text, name):
    reference = parse_oci_reference(text)
    found = reference.image_name() if isinstance(reference, RegistryReference) else named(reference.name)
    assert str(found) == name


def test_the_kinds_of_references_are_all_there():
    assert [text.partition(":")[0] for text, _where in rows("## References")] == [REGISTRY, *LOCAL]


def test_the_capabilities():
    told = re.search(r"the manifest retains (.*?): the (\d+) that", TEXT, re.DOTALL)
    assert re.findall(r"CAP_\w+", told[1]) == sorted(CAPABILITIES) and int(told[2]) == len(CAPABILITIES)
    without = re.search(r"without (`CAP_.*?) of the specification's (\d+)", TEXT)
    assert set(re.findall(r"CAP_\w+", without[1])) == set(DEFAULT_CAPABILITIES) - set(CAPABILITIES)
    assert int(without[2]) == len(DEFAULT_CAPABILITIES)


def test_numbers():
    assert f"more than {MOST_LAYERS} layers" in TEXT
    assert f"documents over {DOCUMENT_LIMIT >> 20} MiB" in TEXT


def test_architectures():
    cell = next(right for left, right in rows("## What becomes of the configuration") if left.startswith("os`"))
    told = {"386": "i386", "arm64": "aarch64"}
    assert all(f"{name}" in cell and f"`{label}`" in cell and arch_label(name, "") == label for name, label in told.items())
    assert (arch_label("arm", "v7"), arch_label("arm", ""), arch_label("arm", "v6")) == ("armv7l", "armv7l", "armv6l")


def test_annotations():
    source = pathlib.Path(__file__).resolve().parents[3] / "plugins/module_utils/_rocket/image/oci_config.py"
    ours = set(re.findall(r"\{ANNOTATION\}/([\w-]+)", source.read_text(encoding="utf-8")))
    assert set(re.findall(rf"`{ANNOTATION}/([\w-]+)`", TEXT)) == ours
