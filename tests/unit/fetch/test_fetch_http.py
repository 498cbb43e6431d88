# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""One request: what is sent, what is taken, what is tried again. What servers do that misbehave is in tests/faults."""

from __future__ import annotations

import time

import pytest
from fetch_site import Site, archive, free_port, signed

from _rocket.errors import FetchError
from _rocket.fetch.options import FetchOptions
from _rocket.fetch.transports.base import MemorySink
from _rocket.fetch.transports.https import HttpsTransport
from _rocket.record import replace

NAME = "example.com/app"
URL = "https://example.com/x"


def get(options, url=URL, limit=1 << 20, own=True, what="image"):
    sink = MemorySink()
    response = HttpsTransport(options).get(url, sink, limit, what, own=own)
    return sink.content, response


def answer(head: bytes, body: bytes = b""):
    """Return an answer of exactly these bytes."""
    return lambda request: request.raw(b"HTTP/1.1 " + head + b"\r\n\r\n" + body)


def code(options, **named) -> str:
    with pytest.raises(FetchError) as caught:
        get(options, **named)
    assert "\n" not in str(caught.value)
    return caught.value.code


def test_a_good_answer_is_taken(site, options):
    site.pages["/x"] = b"content"
    content, response = get(options)
    assert content == b"content" and response.whole and response.etag
    headers = site.requests[-1][3]
    assert headers["Accept-Encoding"] == "identity" and "Authorization" not in headers and "Cookie" not in headers


def test_only_failures_that_pass_are_tried_again_and_not_for_ever(site, options):
    for status, tries in ((503, 4), (429, 4), (500, 4), (404, 1), (401, 1), (400, 1), (301, 1)):
        site.requests.clear()
        site.pages["/x"] = answer(b"%d X\r\nContent-Length: 0" % status)
        assert code(options) == "http-status"
        assert len(site.requests) == tries, status
    site.requests.clear()
    site.pages["/x"] = answer(b"200 OK\r\nContent-Length: 9", b"x")
    assert code(options) == "body-truncated" and len(site.requests) == 4


def test_pauses_double_and_are_never_quite_the_same(site, options):
    waits = []
    site.pages["/x"] = answer(b"503 X\r\nContent-Length: 0")
    for _fetch in range(3):
        with pytest.raises(FetchError):
            HttpsTransport(replace(options, attempts=6, backoff=0.2), waits.append).get(URL, MemorySink(), 10, "image", own=True)
    assert len(waits) == 15 == len(set(waits))
    assert all(0.5 <= wait / (0.2 * 2 ** (number % 5)) <= 1.5 for number, wait in enumerate(waits))
    assert len({round(wait / (0.2 * 2 ** (number % 5)), 3) for number, wait in enumerate(waits)}) > 5, (
        "hosts that failed together do not come together"
    )
    site.pages["/x"] = lambda request: request.reply(b"", 503)
    with pytest.raises(FetchError):
        HttpsTransport(replace(options, attempts=2), waits.append).ask(URL, '"tag"', own=True)
    assert len(waits) == 16, "a question is tried again like a download"


def test_a_retry_starts_over(site, options):
    answers = [answer(b"200 OK\r\nContent-Length: 9", b"wrong"), b"right"]

    def next_answer(request):
        found = answers.pop(0)
        return request.reply(found) if isinstance(found, bytes) else found(request)

    site.pages["/x"] = next_answer
    assert get(options)[0] == b"right"


def test_the_server_says_how_long_to_wait_but_not_beyond_the_deadline(site, options):
    waits = []
    site.pages["/x"] = answer(b"503 X\r\nRetry-After: 7\r\nContent-Length: 0")
    with pytest.raises(FetchError):
        HttpsTransport(replace(options, attempts=2), waits.append).get(URL, MemorySink(), 10, "image", own=True)
    assert len(waits) == 1 and waits[0] >= 7
    began = time.monotonic()
    site.pages["/x"] = answer(b"503 X\r\nRetry-After: 86400\r\nContent-Length: 0")
    assert code(options) == "http-status"
    assert time.monotonic() - began < 20


@pytest.mark.spec("V6")
def test_ten_redirects_are_followed_and_nothing_of_ours_goes_along(site, options):
    for number in range(10):
        site.pages[f"/{number}"] = answer(b"302 Found\r\nLocation: /%d\r\nContent-Length: 0" % (number + 1))
    site.pages["/10"] = b"arrived"
    assert get(options, url="https://example.com/0")[0] == b"arrived"
    site.pages["/10"] = answer(b"302 Found\r\nLocation: /11\r\nContent-Length: 0")
    site.pages["/11"] = b"too far"
    assert code(options, url="https://example.com/0") == "redirect-refused"
    site.pages["/x"] = answer(b"307 X\r\nLocation: https://cdn.example.net/y\r\nSet-Cookie: a=b\r\nContent-Length: 0")
    site.pages["/y"] = b"there"
    HttpsTransport(options).get(URL, MemorySink(), 10, "image", etag='"tag"', own=True)
    first, second = (request[3] for request in site.requests[-2:])
    assert first["If-None-Match"] == '"tag"'
    assert "If-None-Match" not in second and "Cookie" not in second


def test_a_redirect_into_the_hosts_own_network_is_refused(site, options):
    inside = f"https://127.0.0.1:{site.port}/secret"
    site.pages["/x"] = answer(b"302 Found\r\nLocation: %s\r\nContent-Length: 0" % inside.encode())
    site.pages["/secret"] = b"secret"
    assert code(options) == "redirect-refused"
    assert "/secret" not in site.asked()
    assert code(options, url=inside, own=False) == "redirect-refused"
    assert get(replace(options, allow_private=True))[0] == b"secret"
    assert get(options, url=inside)[0] == b"secret", "the operator may name it"


def test_the_environment_has_no_say(site, options, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("default login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/dev/null")
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    site.pages["/x"] = b"content"
    assert get(options)[0] == b"content"
    assert "Authorization" not in site.requests[-1][3]


def test_an_authority_of_the_environment_is_not_trusted(site, options, monkeypatch, authority):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority.file)
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    assert code(replace(options, ca_file="")) == "tls-failed"
    assert site.requests == []


def test_an_address_in_the_url_has_to_be_in_the_certificate(authority, options):
    bad = Site(authority.certificate(("example.com",), 2))
    bad.pages["/x"] = b"content"
    try:
        with pytest.raises(FetchError, match="another host") as caught:
            get(options, url=f"https://127.0.0.1:{bad.port}/x")
        assert caught.value.code == "tls-failed" and bad.requests == []
    finally:
        bad.close()


def test_allowed_http_does_not_allow_to_fall_back_to_it(site, options):
    site.pages["/x"] = answer(b"302 Found\r\nLocation: http://example.com/y\r\nContent-Length: 0")
    assert code(replace(options, insecure=("http",))) == "redirect-refused"


def test_a_server_without_tls_or_without_a_listener_is_no_reason_to_go_on_in_clear(options):
    plain = Site(None)
    plain.pages["/x"] = b"content"
    try:
        assert code(replace(options, connect_to=plain.connect_to())) == "tls-failed"
        assert plain.requests == []
        insecure = replace(options, connect_to=plain.connect_to(), insecure=("http",))
        assert get(insecure, url="http://example.com/x")[0] == b"content"
    finally:
        plain.close()
    assert code(replace(options, connect_to=(("example.com", "127.0.0.1", free_port()),))) == "network-unreachable"


def test_without_a_length_only_a_signature_can_tell(site, fetcher, nothing_published):
    data = archive()
    site.publish(data)
    site.pages["/images/app.aci"] = answer(b"200 OK", data)
    with pytest.raises(FetchError) as caught:
        fetcher(insecure=("image",)).fetch(NAME)
    assert caught.value.code == "body-truncated"
    nothing_published()
    assert fetcher().fetch(NAME).verdict.kind == "signed"


def test_a_signature_is_small(site, fetcher, nothing_published):
    data = archive()
    site.publish(data, signature=signed(data) + b"x" * (64 << 10))
    with pytest.raises(FetchError) as caught:
        fetcher().fetch(NAME)
    assert caught.value.code == "body-too-large" and "/images/app.aci" not in site.asked()
    nothing_published()


def test_the_libraries_are_not_needed_until_they_are(monkeypatch, options):
    import sys

    from _rocket.errors import MissingPackage

    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(MissingPackage):
        get(options)
    FetchOptions().check()
