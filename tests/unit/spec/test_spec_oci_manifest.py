# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Manifests and indexes of OCI and Docker: what is taken, what is refused, which image of an index fits a host."""

from __future__ import annotations

import json
import re

import pytest
from oci_images import CONFIG, DOCKER_INDEX, DOCKER_MANIFEST, INDEX, LAYER, MANIFEST, Image, index_of

from _rocket.errors import SpecError
from _rocket.spec.oci_manifest import DOCUMENT_LIMIT, Index, Manifest, arch_label, choose, parse_document

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


def descriptor(media_type=LAYER, digest=DIGEST, size=5, **more):
    return {"mediaType": media_type, "digest": digest, "size": size, **more}


def manifest(**changes):
    value = {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG), "layers": [descriptor()]}
    return {name: item for name, item in {**value, **changes}.items() if item is not None}


def parse(value, media_type=MANIFEST):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return parse_document(data, media_type, "the manifest")


@pytest.mark.parametrize("docker", [False, True])
def test_manifests_and_indexes(docker):
    image = Image(b"one", b"two", docker=docker)
    found = parse(image.manifest, image.manifest["mediaType"])
    assert isinstance(found, Manifest)
    assert [each.digest for each in found.layers] == [each["digest"] for each in image.manifest["layers"]]
    assert found.config.digest == image.manifest["config"]["digest"]
    index = index_of(image, docker=docker)
    found = parse(index.manifest, index.manifest["mediaType"])
    assert isinstance(found, Index)
    assert [each.digest for each in found.manifests] == [image.digest]


def test_oci_may_leave_its_media_type_out_and_say_more_than_we_know():
    assert isinstance(parse(manifest(mediaType=None, subject=descriptor(), annotations={"a": "b"}, new=[1])), Manifest)


REFUSED = {
    "schema 1 by its members": ({"schemaVersion": 1, "fsLayers": []}, "schema 1"),
    "schema 1 by its version": (manifest(schemaVersion=1), "schema 1"),
    "schema 3": (manifest(schemaVersion=3), "an integer from 2 to 2"),
    "no schema": (manifest(schemaVersion=None), "is required"),
    "another kind than announced": (manifest(mediaType=DOCKER_MANIFEST), "as it was announced"),
    "an index where a manifest is due": ({"schemaVersion": 2, "manifests": [descriptor(MANIFEST)]}, "no such member"),
    "a manifest and an index at once": (manifest(manifests=[]), "no such member"),
    "no config": (manifest(config=None), "is required"),
    "no layers": (manifest(layers=None), "is required"),
    "an artifact": (manifest(config=descriptor("application/vnd.cncf.helm.config.v1+json")), "artifact of another kind"),
    "a config as a layer": (manifest(layers=[descriptor(CONFIG)]), "a layer that is a tar"),
    "a layer as the config": (manifest(config=descriptor(LAYER)), "the configuration of an image"),
    "an encrypted layer": (manifest(layers=[descriptor(LAYER + "+encrypted")]), "a layer that is a tar"),
    "a foreign layer": (manifest(layers=[descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")]), "foreign"),
    "a layer that is not for distribution": (
        manifest(layers=[descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar")]),
        "foreign",
    ),
    "a layer behind a URL": (manifest(layers=[descriptor(urls=["https://evil.example/x"])]), "lies elsewhere"),
    "a configuration behind a URL": (manifest(config=descriptor(CONFIG, urls=["http://169.254.169.254/"])), "lies elsewhere"),
    "a short digest": (manifest(layers=[descriptor(digest=DIGEST[:-1])]), r"layers\[0\].digest"),
    "a digest in upper case": (manifest(layers=[descriptor(digest=DIGEST.upper())]), "lower-case"),
    "a digest with a path": (manifest(layers=[descriptor(digest="sha256:../../etc/passwd")]), "lower-case"),
    "another algorithm": (manifest(layers=[descriptor(digest="md5:" + "a" * 32)]), "lower-case"),
    "no size": (manifest(layers=[descriptor(size=None)]), "is required"),
    "a negative size": (manifest(layers=[descriptor(size=-1)]), "an integer"),
    "a size that is a fraction": (manifest(layers=[descriptor(size=1.5)]), "only integers"),
    "a huge configuration": (manifest(config=descriptor(CONFIG, size=DOCUMENT_LIMIT + 1)), "config.size"),
    "10 000 layers": (manifest(layers=[descriptor()] * 10_000), "at most 256 are allowed"),
    "layers that are no list": (manifest(layers={}), "a list was expected"),
    "a list": ([], "an object was expected"),
    "a member twice": (b'{"schemaVersion":2,"schemaVersion":2}', "given twice"),
    "deep": (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "deeper than"),
    "no JSON": (b"\x1f\x8b", "not UTF-8"),
    "a web page": (b"<html>", "not JSON"),
    "too long": (b" " * (DOCUMENT_LIMIT + 1), "at most"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    value, words = REFUSED[name]
    with pytest.raises(SpecError) as caught:
        parse(value)
    assert re.search(words, str(caught.value)), str(caught.value)
    assert str(caught.value).startswith("the manifest")


@pytest.mark.parametrize(
    ("media_type", "words"),
    [
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"),
        ("application/vnd.docker.distribution.manifest.v1+json", "schema 1"),
        ("application/json", "manifest or index of OCI"),
        ("", "manifest or index of OCI"),
        (CONFIG, "manifest or index of OCI"),
        (INDEX, "an index was announced"),
        (DOCKER_INDEX, "as it was announced"),
    ],
)
def test_announced_as_something_else(media_type, words):
    with pytest.raises(SpecError) as caught:
        parse(manifest(mediaType=None) if media_type == INDEX else manifest(), media_type)
    assert re.search(words, str(caught.value)), str(caught.value)


def index(*platforms):
    return Index(parse({"schemaVersion": 2, "manifests": list(platforms)}, INDEX).manifests)


def on(architecture, variant="", digest=DIGEST, **more):
    platform = {"os": "linux", "architecture": architecture, **({"variant": variant} if variant else {}), **more}
    return descriptor(MANIFEST, digest, platform=platform)


@pytest.mark.parametrize(
    ("arch", "platforms", "chosen"),
    [
        ("amd64", [on("arm64", digest=OTHER), on("amd64")], DIGEST),
        ("amd64", [on("amd64", "v3", OTHER), on("amd64")], DIGEST),
        ("amd64", [on("amd64", os="windows", digest=OTHER), on("amd64")], DIGEST),
        ("amd64", [on("unknown", os="unknown", digest=OTHER), on("amd64")], DIGEST),
        ("amd64", [on("amd64"), on("amd64")], DIGEST),
        ("amd64", [descriptor(MANIFEST)], DIGEST),
        ("amd64", [descriptor("application/xml", OTHER), descriptor(MANIFEST)], DIGEST),
        ("i386", [on("386"), on("amd64", digest=OTHER)], DIGEST),
        ("aarch64", [on("arm64", "", OTHER), on("arm64", "v8")], DIGEST),
        ("aarch64", [on("arm64"), on("arm", "v7", OTHER)], DIGEST),
        ("armv7l", [on("arm", "v6", OTHER), on("arm", "v7")], DIGEST),
        ("armv7l", [on("arm", "v5", OTHER), on("arm", "v6")], DIGEST),
        ("armv6l", [on("arm", "v7", OTHER), on("arm", "v6")], DIGEST),
        ("s390x", [on("s390x"), on("amd64", digest=OTHER)], DIGEST),
    ],
)
def test_the_image_that_fits(arch, platforms, chosen):
    assert choose(index(*platforms), arch, "web").digest == chosen


@pytest.mark.parametrize(
    ("arch", "platforms", "words"),
    [
        ("amd64", [on("arm64"), on("arm", "v7", OTHER)], "no image for linux/amd64; there are: linux/arm/v7, linux/arm64"),
        ("amd64", [on("amd64", "v3")], "no image for linux/amd64"),
        ("armv6l", [on("arm")], "no image for linux/arm"),
        ("amd64", [on("amd64"), on("amd64", digest=OTHER)], f"several images for linux/amd64: {DIGEST}, {OTHER}; pin"),
        ("amd64", [descriptor(MANIFEST), descriptor(MANIFEST, OTHER)], "no image for linux/amd64"),
        ("amd64", [], "no image for linux/amd64"),
        ("aarch64_be", [on("arm64")], "no image for linux/aarch64_be"),
    ],
)
def test_none_or_several_that_fit_are_named(arch, platforms, words):
    with pytest.raises(SpecError) as caught:
        choose(index(*platforms), arch, "web")
    assert words in str(caught.value)


def test_labels_of_architectures():
    pairs = [("amd64", ""), ("386", ""), ("arm64", "v8"), ("arm", "v7"), ("arm", ""), ("arm", "v6"), ("ppc64le", ""), ("riscv64", "")]
    assert [arch_label(*pair) for pair in pairs] == ["amd64", "i386", "aarch64", "armv7l", "armv7l", "armv6l", "ppc64le", "riscv64"]
    assert [arch_label(*pair) for pair in [("arm", "v5"), ("mips64le", ""), ("wasm", ""), ("", "")]] == [""] * 4
