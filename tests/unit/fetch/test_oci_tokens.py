# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Registries that want tokens or passwords: who gets the credentials of the operator, and who does not."""

from __future__ import annotations

import pathlib
import sys
from urllib.parse import parse_qs

import pytest
from fetch_site import FakeVerifier
from oci_images import Image, sha256
from oci_registry import LOWER, REFERENCE, REPOSITORY, UPPER, basic, configured, guard, push, tokens_of

from _rocket.errors import FetchError
from _rocket.fetch.fetcher import Fetcher
from _rocket.fetch.sources.token import challenges, check_realm
from _rocket.record import replace

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "image"))


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
        login=("user", "password"),
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

    def expiring(request):
        answers.pop(0)(request)

    site.pages[f"{REPOSITORY}/blobs/{image.manifest['layers'][1]['digest']}"] = expiring
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
    error = refusal(login=("user", "own-secret"))
    assert error.code == "realm-refused" and hint in error.hint, str(error)
    assert "own-secret" not in repr(error.to_json()) and basic("user", "own-secret") not in repr(error.to_json())
    assert not any(headers.get("Authorization") for _method, _host, _path, headers in site.requests)


def test_a_token_server_that_the_operator_named_is_asked(fetch, site):
    image = push(site, Image(LOWER))
    asked = guard(site, "secret", "https://cdn.example.net/token")
    fetch(f"{REFERENCE}@{image.digest}", token_servers=(("example.com", "cdn.example.net"),), login=("u", "p"))
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
    assert "does not take the credentials" in str(refusal(login=("u", "p")))
    assert "wants credentials" in str(refusal())


def test_a_registry_that_asks_for_ever_is_asked_twice(refusal, site):
    site.pages[f"{REPOSITORY}/manifests/1.4"] = lambda request: request.reply(
        b"", status=401, WWW_Authenticate='Bearer realm="https://example.com/token"'
    )
    site.pages["/token?scope=repository%3Ashop%2Fweb%3Apull"] = b'{"token": "secret"}'
    error = refusal()
    assert error.facts["status"] == 401 and "credentials may read" in error.hint
    assert len([path for path in site.asked() if path.startswith(REPOSITORY)]) == 2


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
    assert refusal(login=("user", "wrong")).facts["status"] == 401
    assert fetch(f"{REFERENCE}@{image.digest}", login=("user", "password")).verdict.kind == "pinned"


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


def test_http_only_where_it_is_allowed_by_name(store, options, tmp_path):
    from fetch_site import Site

    plain = Site(None)
    try:
        image = push(plain, Image(LOWER))
        reference = f"{REFERENCE}@{image.digest}"
        here = replace(options, connect_to=plain.connect_to())
        with pytest.raises(FetchError) as caught:
            Fetcher(store, FakeVerifier(), here).fetch(reference)
        assert caught.value.code in ("tls-failed", "network-unreachable", "body-truncated")
        assert plain.requests == []
        record = Fetcher(store, FakeVerifier(), replace(here, insecure=("http",))).fetch(reference)
        assert (record.verdict.kind, record.verdict.insecure_options) == ("pinned", ("http",))
        guard(plain, "secret")
        told = replace(here, insecure=("http", "image"), layers=(configured(tmp_path, "user", "password"),))
        with pytest.raises(FetchError) as caught:
            Fetcher(store, FakeVerifier(), told).fetch("docker://example.com/shop/web:1.4@" + sha256(b"other"))
        assert not any(headers.get("Authorization") for _method, _host, _path, headers in plain.requests)
    finally:
        plain.close()
