# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Registries: a proper one, one that wants tokens, and what one would never do unless it is broken or hostile."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import re
import sys

import pytest
from fetch_site import FakeVerifier
from oci_images import DOCKER_INDEX, DOCKER_MANIFEST, END, INDEX, MANIFEST, Image, index_of, sha256
from oci_registry import LOWER, REFERENCE, REPOSITORY, UPPER, document, guard, push

from _rocket.errors import NotFound, RocketError, SpecError, TrustError
from _rocket.fetch.fetcher import Fetcher
from _rocket.record import replace
from _rocket.store.blobs import Blobs

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "image"))

from image_archives import canary, file, snapshot, symlink


def paths_asked(site):
    return [path.partition(REPOSITORY)[2] for path in site.asked() if path.startswith(REPOSITORY)]


@pytest.mark.parametrize("docker", [False, True])
@pytest.mark.parametrize("tag", [":1.4", ""])
def test_a_pinned_image(fetch, site, store, docker, tag):
    image = push(site, Image(LOWER, UPPER, docker=docker, config={"Cmd": ["/b"]}))
    record = fetch(f"docker://example.com/shop/web{tag}@{image.digest}")
    assert (record.name, record.verdict.kind, record.verdict.digest) == ("example.com/shop/web", "pinned", image.digest)
    assert record.labels[0] == ("version", "1.4" if tag else image.digest.replace(":", "-"))
    assert record.source == f"docker://example.com/shop/web{tag}@{image.digest}"
    assert record.layers == tuple(layer["digest"] for layer in image.manifest["layers"])
    assert sorted(os.listdir(store.tree(record.id))) == ["a", "b"]
    # The tag is not asked for: the digest says which image.
    assert paths_asked(site)[0] == f"/manifests/{image.digest}"
    assert "1.4" not in "".join(paths_asked(site))


def test_what_is_here_and_pinned_needs_no_network(fetch, site, store, options):
    image = push(site, Image(LOWER))
    reference = f"{REFERENCE}@{image.digest}"
    record = fetch(reference)
    site.requests.clear()
    assert fetch(reference).id == record.id
    assert not Fetcher(store, FakeVerifier(), options).plan(reference).changed
    assert store.resolve(reference).id == store.resolve(REFERENCE).id == record.id
    assert site.requests == []
    with pytest.raises(NotFound):
        store.resolve("docker://example.com/shop/web@sha256:" + "a" * 64)


def test_what_is_not_pinned_is_refused_before_a_layer_comes(refusal, fetch, site):
    image = push(site, index_of(Image(LOWER), platforms=[("amd64", "")] if os.uname().machine == "x86_64" else [("arm64", "")]))
    error = refusal(insecure=())
    assert isinstance(error, TrustError) and error.code == "signature-missing"
    assert f"pin it: {REFERENCE}@{image.digest};" in error.hint
    assert all("/blobs/" not in path or path.endswith(Image(LOWER).manifest["config"]["digest"]) for path in paths_asked(site))
    assert fetch(f"{REFERENCE}@{image.digest}").verdict.digest == image.digest


def test_a_second_image_gets_only_the_layer_that_is_new(fetch, site, store):
    push(site, Image(LOWER, UPPER), "1")
    second = push(site, Image(LOWER, UPPER, file(b"new") + END), "2")
    fetch("docker://example.com/shop/web:1", insecure=("image",))
    site.requests.clear()
    record = fetch("docker://example.com/shop/web:2", insecure=("image",))
    layers = [layer["digest"] for layer in second.manifest["layers"]]
    assert [path for path in paths_asked(site) if path[7:] in layers] == [f"/blobs/{layers[2]}"]
    assert sorted(os.listdir(store.tree(record.id))) == ["a", "b", "new"]


def test_a_layer_that_was_damaged_in_the_store_is_found_and_got_again(fetch, site, store):
    image = push(site, Image(LOWER, UPPER))
    record = fetch(f"{REFERENCE}@{image.digest}")
    digest = image.manifest["layers"][0]["digest"]
    path = Blobs(store).path(digest)
    data = pathlib.Path(path).read_bytes()
    pathlib.Path(path).write_bytes(gzip.compress(LOWER, 1, mtime=7))
    assert len(gzip.compress(LOWER, 1, mtime=7)) == len(data)
    push(site, image, "2")
    with pytest.raises(RocketError) as caught:
        fetch("docker://example.com/shop/web:2", insecure=("image",))
    assert caught.value.code == "digest-mismatch"
    assert Blobs(store).names() == sorted(layer["digest"] for layer in image.manifest["layers"][1:])
    assert fetch("docker://example.com/shop/web:2", insecure=("image",)).id != record.id
    assert pathlib.Path(path).read_bytes() == data


def test_the_newest_is_asked_for_and_got_only_if_it_is_another(fetch, site, store, options):
    first = push(site, Image(LOWER))
    record = fetch(insecure=("image",))
    update = replace(options, insecure=("image",), pull_policy="update")
    assert not Fetcher(store, FakeVerifier(), update).plan(REFERENCE, "latest").changed
    site.requests.clear()
    assert fetch(insecure=("image",), pull_policy="update").id == record.id
    assert all("/blobs/" not in path or path.endswith(first.manifest["config"]["digest"]) for path in paths_asked(site))
    push(site, Image(UPPER))
    assert fetch(insecure=("image",)).id == record.id
    assert [step.reason for step in Fetcher(store, FakeVerifier(), update).plan(REFERENCE, "latest").steps] == [
        "the registry has another image"
    ]
    assert fetch(insecure=("image",), pull_policy="update").id != record.id


def test_an_index_and_a_manifest_of_it_name_the_same_image(fetch, site, store, options):
    mine = Image(LOWER)
    index = push(site, index_of(mine, platforms=[("amd64", "") if os.uname().machine == "x86_64" else ("arm64", "")]))
    push(site, mine, "manifest")
    record = fetch(f"{REFERENCE}@{mine.digest}")
    again = fetch(f"{REFERENCE}@{index.digest}")
    assert again.id == record.id and set(again.digests) == {mine.digest, index.digest}
    assert not Fetcher(store, FakeVerifier(), options).plan(f"{REFERENCE}@{index.digest}").changed


def test_docker_indexes(fetch, site):
    mine = Image(LOWER, docker=True)
    index = push(site, index_of(mine, platforms=[("amd64", "") if os.uname().machine == "x86_64" else ("arm64", "")], docker=True))
    assert index.manifest["mediaType"] == DOCKER_INDEX
    assert fetch(f"{REFERENCE}@{index.digest}").digests == (index.digest, mine.digest)


def test_progress_counts_all_layers_and_ends_at_their_size(site, store, options):
    told = []
    image = push(site, Image(LOWER, UPPER))
    total = sum(layer["size"] for layer in image.manifest["layers"])
    fetcher = Fetcher(store, FakeVerifier(), options, lambda done, all_of_it: told.append((done, all_of_it)))
    fetcher.fetch(f"{REFERENCE}@{image.digest}")
    assert told[-1] == (total, total)
    assert [done for done, _all in told] == sorted(done for done, _all in told)


def test_requests_say_what_is_understood_and_nothing_about_this_host(fetch, site):
    image = push(site, Image(LOWER))
    fetch(f"{REFERENCE}@{image.digest}")
    headers = site.requests[0][3]
    assert set(headers["Accept"].split(", ")) == {MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX}
    assert set(headers) == {"Host", "User-Agent", "Accept-Encoding", "Accept"}


# A registry that misbehaves: name -> (what it serves, the code of the error, words of it).


def serving(**pages):
    def make(site):
        image = push(site, Image(LOWER))
        for name, change in pages.items():
            change(site, image, name)
        return image

    return make


def manifest_page(answer):
    return lambda site, image, name: site.pages.update({f"{REPOSITORY}/manifests/1.4": answer(site, image)})


def layer_page(answer):
    def change(site, image, name):
        digest = image.manifest["layers"][0]["digest"]
        site.pages[f"{REPOSITORY}/blobs/{digest}"] = answer(image.blobs[digest])

    return change


def config_page(answer):
    def change(site, image, name):
        digest = image.manifest["config"]["digest"]
        site.pages[f"{REPOSITORY}/blobs/{digest}"] = answer(image.blobs[digest])

    return change


def endless(request):
    request.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    try:
        while True:
            request.wfile.write(bytes(1 << 16))
    except OSError:
        pass


def of_another_image(site, image):
    return document(json.dumps({**image.manifest, "layers": []}).encode(), MANIFEST)


BROKEN = {
    "a layer of another digest": (serving(x=layer_page(lambda data: data[:-1] + b"x")), "digest-mismatch", "layer"),
    "a layer that is shorter": (serving(x=layer_page(lambda data: data[:-1])), "digest-mismatch", "layer"),
    "a layer that is longer": (serving(x=layer_page(lambda data: data + b"x")), "body-too-large", "layer"),
    "an endless layer": (serving(x=layer_page(lambda data: endless)), "body-too-large", "layer"),
    "an endless manifest": (serving(x=manifest_page(lambda site, image: endless)), "body-too-large", "manifest"),
    "an endless configuration": (serving(x=config_page(lambda data: endless)), "body-too-large", "configuration"),
    "a configuration of another digest": (serving(x=config_page(lambda data: data[:-1] + b" ")), "digest-mismatch", "configuration"),
    "a layer that is gone": (serving(x=layer_page(lambda data: None)), "http-status", "404"),
    "a login page for a layer": (
        serving(x=layer_page(lambda data: lambda request: request.reply(b"<html>", Content_Type="text/html"))),
        *("not-an-image", "web page"),
    ),
    "a manifest without a media type": (
        serving(x=manifest_page(lambda site, image: image.blobs[image.digest])),
        *("spec", "manifest or index of OCI"),
    ),
    "a manifest as JSON": (
        serving(x=manifest_page(lambda site, image: document(image.blobs[image.digest], "application/json"))),
        *("spec", "manifest or index of OCI"),
    ),
    "a manifest announced as an index": (
        serving(x=manifest_page(lambda site, image: document(image.blobs[image.digest], INDEX))),
        *("spec", "as it was announced|no such member"),
    ),
    "an OCI manifest announced as Docker's": (
        serving(x=manifest_page(lambda site, image: document(image.blobs[image.digest], DOCKER_MANIFEST))),
        *("spec", "as it was announced"),
    ),
    "schema 1": (
        serving(
            x=manifest_page(
                lambda site, image: document(
                    b'{"schemaVersion":1,"fsLayers":[]}', "application/vnd.docker.distribution.manifest.v1+prettyjws"
                )
            )
        ),
        *("spec", "schema 1"),
    ),
    "schema 1 in disguise": (
        serving(x=manifest_page(lambda site, image: document(b'{"schemaVersion":1,"fsLayers":[]}', DOCKER_MANIFEST))),
        *("spec", "schema 1"),
    ),
    "no such repository": (lambda site: None, "http-status", "404"),
    "too many requests": (
        serving(x=manifest_page(lambda site, image: lambda request: request.reply(b"", status=429))),
        *("http-status", "429"),
    ),
    "a redirect of a layer to http": (
        serving(
            x=layer_page(
                lambda data: lambda request: request.raw(b"HTTP/1.1 307 x\r\nLocation: http://example.com/x\r\nContent-Length: 0\r\n\r\n")
            )
        ),
        *("redirect-refused", "http"),
    ),
    "a redirect of a layer in a circle": (
        serving(
            x=layer_page(
                lambda data: (
                    lambda request: request.raw(f"HTTP/1.1 307 x\r\nLocation: {request.path}\r\nContent-Length: 0\r\n\r\n".encode())
                )
            )
        ),
        *("redirect-refused", "redirects"),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_or_hostile_registry(refusal, site, name):
    serve, code, words = BROKEN[name]
    serve(site)
    error = refusal(attempts=2)
    assert error.code == code, str(error)
    assert re.search(words, str(error)), str(error)


def test_a_pinned_digest_is_compared_whatever_the_registry_claims(refusal, site):
    image = push(site, Image(LOWER))
    other = json.dumps(Image(UPPER).manifest).encode()
    site.pages[f"{REPOSITORY}/manifests/{image.digest}"] = document(other, MANIFEST, image.digest)
    for insecure in ((), ("image",)):
        error = refusal(f"{REFERENCE}@{image.digest}", insecure=insecure)
        assert (error.code, error.facts["found"], error.facts["expected"]) == ("digest-mismatch", sha256(other), image.digest)
    assert not any("/blobs/" in path for path in paths_asked(site))


def test_a_manifest_of_an_index_is_compared_with_the_index(refusal, site):
    mine = Image(LOWER)
    index = push(site, index_of(mine, platforms=[("amd64", "") if os.uname().machine == "x86_64" else ("arm64", "")]))
    data = mine.blobs[mine.digest]
    site.pages[f"{REPOSITORY}/manifests/{mine.digest}"] = document(data[:-1] + b" ", MANIFEST)
    assert refusal(f"{REFERENCE}@{index.digest}").code == "digest-mismatch"
    site.pages[f"{REPOSITORY}/manifests/{mine.digest}"] = document(data, DOCKER_MANIFEST)
    assert isinstance(refusal(f"{REFERENCE}@{index.digest}"), SpecError)


def test_a_tag_that_moves_in_between_makes_no_mixture(fetch, site, store):
    """The tag leads elsewhere as soon as it was asked for once."""
    first, second = push(site, Image(LOWER), "other"), push(site, Image(UPPER), "another")
    answers = [first, second]

    def moving(request):
        document(answers[0].blobs[answers.pop(0).digest], MANIFEST)(request)

    site.pages[f"{REPOSITORY}/manifests/1.4"] = moving
    record = fetch(insecure=("image",))
    assert record.digests == (first.digest,)
    assert sorted(os.listdir(store.tree(record.id) + "/a")) == ["x", "y"]


def test_layers_that_reach_outside_change_nothing_there(root, fetch, site, store, tmp_path):
    outside = canary(tmp_path)
    before = snapshot(outside)
    image = push(site, Image(symlink(b"l", outside) + END, file(b"l/.wh.passwd", b"") + file(b"l/.wh..wh..opq", b"") + END))
    store.tree(fetch(f"{REFERENCE}@{image.digest}").id)
    assert snapshot(outside) == before


# Redirects of layers, and what goes with them.


def redirect_layers(site, place="https://cdn.example.net"):
    for path, answer in list(site.pages.items()):
        if "/blobs/" in path:
            site.pages[("cdn.example.net", f"/cdn{path}")] = answer
            head = f"HTTP/1.1 307 x\r\nLocation: {place}/cdn{path}\r\nContent-Length: 0\r\n\r\n".encode()
            site.pages[path] = lambda request, head=head: request.raw(head)


def test_layers_may_come_from_elsewhere_and_nothing_secret_goes_there(fetch, site):
    image = push(site, Image(LOWER, UPPER))
    redirect_layers(site)
    guard(site, "secret")
    record = fetch(f"{REFERENCE}@{image.digest}", login=("user", "password"))
    assert record.verdict.kind == "pinned"
    elsewhere = [headers for _method, host, _path, headers in site.requests if host == "cdn.example.net"]
    assert len(elsewhere) == 3
    assert not any("Authorization" in headers for headers in elsewhere)


def test_a_registry_is_asked_for_documents_and_layers_by_their_digests(fetch, site):
    image = push(site, Image(LOWER))
    fetch(f"{REFERENCE}@{image.digest}")
    assert all(re.fullmatch(rf"{REPOSITORY}/(manifests|blobs)/sha256:[0-9a-f]{{64}}", path) for path in site.asked())
