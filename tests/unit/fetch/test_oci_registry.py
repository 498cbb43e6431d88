# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Registries: a proper one, one that wants tokens, and what one would never do unless it is broken or hostile."""

from __future__ import annotations

import base64
import gzip
import json
import os
import pathlib
import re
import sys
from urllib.parse import parse_qs, urlsplit

import pytest
from oci_images import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    END,
    INDEX,
    MANIFEST,
    Image,
    index_of,
    sha256,
)

from _rocket.errors import FetchError, NotFound, RocketError, SpecError, TrustError
from _rocket.fetch.fetcher import Fetcher
from _rocket.fetch.layered import Layered
from _rocket.fetch.sources.token import challenges, check_realm
from _rocket.record import replace
from _rocket.store.blobs import Blobs
from _rocket.store.store import Store

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "image"))

from image_archives import canary, directory, file, snapshot, symlink

REPOSITORY = "/v2/shop/web"
REFERENCE = "docker://example.com/shop/web:1.4"
LOWER = directory(b"a/") + file(b"a/x", b"1") + file(b"a/y", b"2") + END
UPPER = file(b"a/.wh.x", b"") + file(b"b", b"3") + END


def document(data, media_type, digest=""):
    """A manifest or index as a registry sends it."""
    return lambda request: request.reply(data, Content_Type=media_type, Docker_Content_Digest=digest or sha256(data))


def push(site, image, tag="1.4", repository=REPOSITORY):
    """Have the site serve an image as a registry does."""
    media_type = image.manifest.get("mediaType", MANIFEST)
    for digest, data in image.blobs.items():
        parsed = json.loads(data) if data[:1] == b"{" else {}
        if "schemaVersion" in parsed:
            site.pages[f"{repository}/manifests/{digest}"] = document(data, parsed.get("mediaType", MANIFEST))
        else:
            site.pages[f"{repository}/blobs/{digest}"] = data
    site.pages[f"{repository}/manifests/{tag}"] = document(image.blobs[image.digest], media_type)
    return image


@pytest.fixture
def fetch(site, store, options):
    """Fetch a reference; named values are options."""

    def run(reference=REFERENCE, credential=None, **changes):
        layered = Layered(store, replace(options, **changes), None, credential)
        from _rocket.spec.oci_reference import parse_oci_reference

        return layered.fetch(parse_oci_reference(reference))

    return run


@pytest.fixture
def refusal(fetch, nothing_published, paths):
    """Fetch what is refused; return the error. Nothing is left, not even a layer that is not what its name says."""

    def run(reference=REFERENCE, **options):
        options.setdefault("insecure", ("image",))
        with pytest.raises(RocketError) as caught:
            fetch(reference, **options)
        nothing_published()
        blobs = Blobs(Store(paths))
        for digest in blobs.names():
            with open(blobs.path(digest), "rb") as stream:
                assert sha256(stream.read()) == digest
        assert str(caught.value).isprintable()
        return caught.value

    return run


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
    assert not Fetcher(store, None, options).plan(reference).changed
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
    assert not Fetcher(store, None, update).plan(REFERENCE, "latest").changed
    site.requests.clear()
    assert fetch(insecure=("image",), pull_policy="update").id == record.id
    assert all("/blobs/" not in path or path.endswith(first.manifest["config"]["digest"]) for path in paths_asked(site))
    push(site, Image(UPPER))
    assert fetch(insecure=("image",)).id == record.id
    assert [step.reason for step in Fetcher(store, None, update).plan(REFERENCE, "latest").steps] == ["the registry has another image"]
    assert fetch(insecure=("image",), pull_policy="update").id != record.id


def test_an_index_and_a_manifest_of_it_name_the_same_image(fetch, site, store, options):
    mine = Image(LOWER)
    index = push(site, index_of(mine, platforms=[("amd64", "") if os.uname().machine == "x86_64" else ("arm64", "")]))
    push(site, mine, "manifest")
    record = fetch(f"{REFERENCE}@{mine.digest}")
    again = fetch(f"{REFERENCE}@{index.digest}")
    assert again.id == record.id and set(again.digests) == {mine.digest, index.digest}
    assert not Fetcher(store, None, options).plan(f"{REFERENCE}@{index.digest}").changed


def test_docker_indexes(fetch, site):
    mine = Image(LOWER, docker=True)
    index = push(site, index_of(mine, platforms=[("amd64", "") if os.uname().machine == "x86_64" else ("arm64", "")], docker=True))
    assert index.manifest["mediaType"] == DOCKER_INDEX
    assert fetch(f"{REFERENCE}@{index.digest}").digests == (index.digest, mine.digest)


def test_progress_counts_all_layers_and_ends_at_their_size(site, store, options):
    told = []
    image = push(site, Image(LOWER, UPPER))
    total = sum(layer["size"] for layer in image.manifest["layers"])
    fetcher = Fetcher(store, None, options, lambda done, all_of_it: told.append((done, all_of_it)))
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
    site.pages[f"{REPOSITORY}/manifests/1.4"] = lambda request: document(answers[0].blobs[answers.pop(0).digest], MANIFEST)(request)
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
    record = fetch(f"{REFERENCE}@{image.digest}", credential=lambda host, port: basic("user", "password"))
    assert record.verdict.kind == "pinned"
    elsewhere = [headers for _method, host, _path, headers in site.requests if host == "cdn.example.net"]
    assert len(elsewhere) == 3
    assert not any("Authorization" in headers for headers in elsewhere)


# Tokens.


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def guard(site, token, realm="https://example.com/token", challenge=None, pages=None):
    """Have every page of the registry want a token; serve tokens; return what the token server was asked."""
    asked = []

    def behind(answer):
        def page(request):
            if request.headers.get("Authorization") == f"Bearer {token}":
                answer(request) if callable(answer) else request.reply(answer)
            else:
                wanted = (
                    challenge or f'Bearer realm="{realm}",service="registry of example.com",scope="repository:shop/web:pull,push,delete"'
                )
                request.reply(b"{}", status=401, WWW_Authenticate=wanted)

        return page

    def serve(request):
        asked.append((urlsplit(request.path), request.headers.get("Authorization")))
        request.reply(json.dumps({"token": token, "expires_in": 300, "issued_at": "2026-01-01T00:00:00Z"}).encode())

    for path, answer in list(site.pages.items()):
        if "/v2/" in (path if isinstance(path, str) else "") and not isinstance(path, tuple):
            site.pages[path] = behind(answer)
    site.pages.update(dict.fromkeys(pages or tokens_of(realm), serve))
    return asked


def tokens_of(realm):
    scope = "scope=repository%3Ashop%2Fweb%3Apull"
    path = urlsplit(realm).path
    return [f"{path}?service=registry%20of%20example.com&{scope}", f"{path}?{scope}"]


def test_a_token_is_asked_for_once_with_the_smallest_scope(fetch, site):
    image = push(site, Image(LOWER, UPPER))
    asked = guard(site, "secret")
    assert fetch(f"{REFERENCE}@{image.digest}").verdict.kind == "pinned"
    assert len(asked) == 1
    url, authorization = asked[0]
    assert parse_qs(url.query) == {"service": ["registry of example.com"], "scope": ["repository:shop/web:pull"]}
    assert authorization is None


def test_credentials_go_to_the_token_server_and_to_nobody_else(fetch, site):
    image = push(site, Image(LOWER))
    asked = guard(site, "secret")
    fetch(
        f"{REFERENCE}@{image.digest}",
        credential=lambda host, port: basic("user", "password") if (host, port) == ("example.com", 443) else "",
    )
    assert [authorization for _url, authorization in asked] == [basic("user", "password")]
    assert {headers.get("Authorization") for _method, _host, path, headers in site.requests if path.startswith("/v2/")} == {
        None,
        "Bearer secret",
    }


def test_a_token_that_runs_out_is_renewed(fetch, site):
    image = push(site, Image(LOWER, UPPER))
    asked = guard(site, "secret")
    first = site.pages[f"{REPOSITORY}/blobs/{image.manifest['layers'][1]['digest']}"]
    answers = [lambda request: request.reply(b"", status=401, WWW_Authenticate='Bearer realm="https://example.com/token"'), first]
    site.pages[f"{REPOSITORY}/blobs/{image.manifest['layers'][1]['digest']}"] = lambda request: answers.pop(0)(request)
    assert fetch(f"{REFERENCE}@{image.digest}").verdict.kind == "pinned"
    assert len(asked) == 2


REALMS = {
    "of another host": ("https://evil.example/token", "--token-server=example.com=evil.example"),
    "of another port": ("https://example.com:8443/token", "--token-server=example.com=example.com:8443"),
    "of a host that only looks like it": ("https://example.com.evil.example/token", "--token-server"),
    "by http": ("http://example.com/token", "misconfigured or hostile"),
    "in a file": ("file:///etc/passwd", "misconfigured or hostile"),
    "with a user": ("https://user:password@example.com/token", "misconfigured or hostile"),
    "with a fragment": ("https://example.com/token#x", "misconfigured or hostile"),
    "of the cloud": ("https://169.254.169.254/latest/meta-data", "--token-server"),
    "empty": ("", "misconfigured or hostile"),
}


@pytest.mark.parametrize("name", REALMS)
def test_a_token_server_that_nobody_named_gets_nothing(refusal, site, name):
    realm, hint = REALMS[name]
    push(site, Image(LOWER))
    guard(site, "secret", realm, pages=["/token"])
    error = refusal(credential=lambda host, port: basic("user", "own-secret"))
    assert error.code == "realm-refused" and hint in error.hint, str(error)
    assert "own-secret" not in repr(error.to_json()) and basic("user", "own-secret") not in repr(error.to_json())
    assert not any(headers.get("Authorization") for _method, _host, _path, headers in site.requests)


def test_a_token_server_that_the_operator_named_is_asked(fetch, site):
    image = push(site, Image(LOWER))
    asked = guard(site, "secret", "https://cdn.example.net/token")
    fetch(f"{REFERENCE}@{image.digest}", token_servers=(("example.com", "cdn.example.net"),), credential=lambda host, port: basic("u", "p"))
    assert [authorization for _url, authorization in asked] == [basic("u", "p")]


def test_a_token_server_is_named_for_one_registry():
    allowed = (("example.com:5000", "auth.example.com"), ("other.example", "evil.example"))
    check_realm("https://auth.example.com/token", "example.com:5000", allowed)
    check_realm("https://example.com:5000/token", "example.com:5000", ())
    for registry in ("example.com", "other.example"):
        with pytest.raises(FetchError):
            check_realm("https://auth.example.com/token", registry, allowed)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b'{"token": "wrong"}', "http-status"),
        (b'{"access_token": "wrong"}', "http-status"),
        (b"{}", "http-malformed"),
        (b'{"token": ""}', "http-malformed"),
        (b'{"token": "a\\r\\nX: y"}', "http-malformed"),
        (b'{"token": "a b"}', "http-malformed"),
        (b'{"token": 1}', "http-malformed"),
        (b"<html>", "http-malformed"),
        (b'{"token": "' + b"x" * 20_000 + b'"}', "http-malformed"),
        (b" " * (2 << 20), "body-too-large"),
    ],
)
def test_tokens_that_are_none_or_do_not_help_end_the_fetch(refusal, site, answer, code):
    push(site, Image(LOWER))
    guard(site, "secret")
    site.pages.update(dict.fromkeys(tokens_of("https://example.com/token"), answer))
    assert refusal().code == code
    assert len([path for path in site.asked() if path.startswith("/token")]) == 1


def test_a_token_server_that_refuses_the_credentials(refusal, site):
    push(site, Image(LOWER))
    guard(site, "secret")
    site.pages.update({path: lambda request: request.reply(b"", status=401) for path in tokens_of("https://example.com/token")})
    assert "does not take the credentials" in str(refusal(credential=lambda host, port: basic("u", "p")))
    assert "wants credentials" in str(refusal())


def test_a_registry_that_asks_for_ever_is_asked_twice(refusal, site):
    site.pages[f"{REPOSITORY}/manifests/1.4"] = lambda request: request.reply(
        b"", status=401, WWW_Authenticate='Bearer realm="https://example.com/token"'
    )
    site.pages["/token?scope=repository%3Ashop%2Fweb%3Apull"] = b'{"token": "secret"}'
    error = refusal()
    assert error.facts["status"] == 401 and "credentials may read" in error.hint
    assert len(paths_asked(site)) == 2


def test_a_registry_with_passwords_gets_them_by_https(fetch, refusal, site):
    image = push(site, Image(LOWER))
    for path, answer in list(site.pages.items()):

        def behind(request, answer=answer):
            if request.headers.get("Authorization") == basic("user", "password"):
                answer(request) if callable(answer) else request.reply(answer)
            else:
                request.reply(b"", status=401, WWW_Authenticate='Basic realm="registry"')

        site.pages[path] = behind
    assert "wants credentials" in str(refusal())
    assert refusal(credential=lambda host, port: basic("user", "wrong")).facts["status"] == 401
    assert fetch(f"{REFERENCE}@{image.digest}", credential=lambda host, port: basic("user", "password")).verdict.kind == "pinned"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('Bearer realm="https://a/b",service="c d"', [("bearer", {"realm": "https://a/b", "service": "c d"})]),
        ('BEARER Realm="x", SERVICE=y', [("bearer", {"realm": "x", "service": "y"})]),
        ('Basic realm="a", Bearer realm="b",scope="c,d"', [("basic", {"realm": "a"}), ("bearer", {"realm": "b", "scope": "c,d"})]),
        ('Bearer realm="a\\"b"', [("bearer", {"realm": 'a"b'})]),
        ("Negotiate", [("negotiate", {})]),
        ('Bearer realm="a",realm="b"', [("bearer", {"realm": "a"})]),
        ('Bearer realm="unfinished', [("bearer", {"realm": "unfinished"})]),
        ("", []),
        ('="x"', []),
        ("\x00Bearer", []),
    ],
)
def test_challenges(text, found):
    assert challenges(text) == found


def test_endless_challenges_end():
    assert len(challenges("a=," * 1_000_000)) <= 1
    assert len(challenges("Bearer " + 'x="y",' * 1_000_000)) == 1


# Plain http.


def test_http_only_where_it_is_allowed_by_name(store, options, tmp_path):
    from fetch_site import Site

    plain = Site(None)
    try:
        image = push(plain, Image(LOWER))
        reference = f"{REFERENCE}@{image.digest}"
        here = replace(options, connect_to=plain.connect_to())
        with pytest.raises(FetchError) as caught:
            Fetcher(store, None, here).fetch(reference)
        assert caught.value.code in ("tls-failed", "network-unreachable", "body-truncated")
        assert plain.requests == []
        record = Fetcher(store, None, replace(here, insecure=("http",))).fetch(reference)
        assert (record.verdict.kind, record.verdict.insecure_options) == ("pinned", ("http",))
        guard(plain, "secret")
        layered = Layered(store, replace(here, insecure=("http", "image")), None, lambda host, port: basic("user", "password"))
        from _rocket.spec.oci_reference import parse_oci_reference

        with pytest.raises(FetchError) as caught:
            layered.fetch(parse_oci_reference("docker://example.com/shop/web:1.4@" + sha256(b"other")))
        assert not any(headers.get("Authorization") for _method, _host, _path, headers in plain.requests)
    finally:
        plain.close()


def test_a_registry_is_asked_for_documents_and_layers_by_their_digests(fetch, site):
    image = push(site, Image(LOWER))
    fetch(f"{REFERENCE}@{image.digest}")
    assert all(re.fullmatch(rf"{REPOSITORY}/(manifests|blobs)/sha256:[0-9a-f]{{64}}", path) for path in site.asked())
