# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What a hostile or broken server can do, each with its error class, and nothing published."""

from __future__ import annotations

import gzip
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


BROKEN = {
    "shorter than its length": (answer(b"200 OK\r\nContent-Length: 100", b"x" * 99), "body-truncated"),
    "cut in a chunk": (answer(b"200 OK\r\nTransfer-Encoding: chunked", b"64\r\nabc"), "body-truncated"),
    "cut between chunks": (answer(b"200 OK\r\nTransfer-Encoding: chunked", b"3\r\nabc\r\n"), "body-truncated"),
    "nothing": (lambda request: None, "body-truncated"),
    "encoded": (answer(b"200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20", gzip.compress(b"")), "encoding-refused"),
    "login page": (answer(b"200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 1", b"<"), "not-an-image"),
    "announced too large": (answer(b"200 OK\r\nContent-Length: 99999999"), "body-too-large"),
    "endless": (answer(b"200 OK", b"x" * (2 << 20)), "body-too-large"),
    "endless chunks": (
        answer(b"200 OK\r\nTransfer-Encoding: chunked", (b"100000\r\n" + b"x" * (1 << 20) + b"\r\n") * 2),
        "body-too-large",
    ),
    "two lengths": (answer(b"200 OK\r\nContent-Length: 5\r\nContent-Length: 3", b"abcde"), "http-malformed"),
    "negative length": (answer(b"200 OK\r\nContent-Length: -5", b"abcde"), "http-malformed"),
    "long header": (answer(b"200 OK\r\nX: " + b"x" * 70000), "http-malformed"),
    "many headers": (answer(b"200 OK" + b"\r\nX: x" * 200), "http-malformed"),
    "not HTTP": (lambda request: request.raw(b"SSH-2.0-x\r\n"), "http-malformed"),
    "partial": (answer(b"206 Partial Content\r\nContent-Range: bytes 0-0/5\r\nContent-Length: 1", b"x"), "range-mismatch"),
    "redirect without place": (answer(b"302 Found\r\nContent-Length: 0"), "http-status"),
    "not found": (answer(b"404 Not Found\r\nContent-Length: 0"), "http-status"),
    "unasked 304": (answer(b"304 Not Modified"), "http-status"),
    "to http": (answer(b"302 Found\r\nLocation: http://example.com/y\r\nContent-Length: 0"), "redirect-refused"),
    "to a file": (answer(b"302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0"), "redirect-refused"),
    "to a user": (answer(b"302 Found\r\nLocation: https://a:b@example.com/y\r\nContent-Length: 0"), "redirect-refused"),
    "in a circle": (answer(b"302 Found\r\nLocation: /x\r\nContent-Length: 0"), "redirect-refused"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_answer_has_its_class(site, options, case):
    site.pages["/x"], expected = BROKEN[case]
    assert code(options) == expected


@pytest.mark.parametrize("case", ["shorter than its length", "encoded", "login page", "to http", "not found", "nothing"])
def test_nothing_is_published_and_the_next_try_is_right(site, fetcher, nothing_published, case):
    data = archive()
    site.publish(data)
    site.pages["/images/app.aci"], expected = BROKEN[case]
    with pytest.raises(FetchError) as caught:
        fetcher(insecure=("image",), attempts=2).fetch(NAME)
    assert caught.value.code == expected
    nothing_published()
    site.pages["/images/app.aci"] = data
    assert fetcher().fetch(NAME).verdict.kind == "signed"


def test_only_failures_that_pass_are_tried_again_and_not_for_ever(site, options):
    for status, tries in ((503, 4), (429, 4), (500, 4), (404, 1), (401, 1), (400, 1), (301, 1)):
        site.requests.clear()
        site.pages["/x"] = answer(b"%d X\r\nContent-Length: 0" % status)
        assert code(options) == "http-status"
        assert len(site.requests) == tries, status
    site.requests.clear()
    site.pages["/x"] = answer(b"200 OK\r\nContent-Length: 9", b"x")
    assert code(options) == "body-truncated" and len(site.requests) == 4


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


@pytest.mark.parametrize(("names", "days", "why"), [(("example.com",), -1, "expired"), (("other.example",), 1, "another host")])
def test_a_bad_certificate_is_refused_with_its_cause(authority, options, names, days, why):
    bad = Site(authority.certificate(names, days))
    bad.pages["/x"] = b"content"
    try:
        with pytest.raises(FetchError, match=why) as caught:
            get(replace(options, connect_to=bad.connect_to()))
        assert caught.value.code == "tls-failed" and bad.requests == []
    finally:
        bad.close()


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
    site.pages["/x"] = BROKEN["to http"][0]
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


def _drip(first: bytes, piece: bytes, pause: float):
    def slow(request):
        try:
            request.raw(first)
            while True:
                request.raw(piece)
                time.sleep(pause)
        except OSError:
            return

    return slow


@pytest.mark.parametrize(
    "first", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]
)
@pytest.mark.parametrize(
    ("changes", "expected"), [({"deadline": 1.0}, "deadline"), ({"rate_window": 1.0, "minimum_rate": 1000}, "too-slow")]
)
def test_no_server_is_slow_enough_to_hold_us(site, options, first, changes, expected):
    site.pages["/x"] = _drip(first, b"x", 0.05)
    began = time.monotonic()
    assert code(replace(options, **changes)) == expected
    assert time.monotonic() - began < 15


def test_a_silent_server_ends_by_the_read_timeout(site, options):
    site.pages["/x"] = _drip(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"", 30)
    assert code(replace(options, read_timeout=0.3)) == "too-slow"


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
