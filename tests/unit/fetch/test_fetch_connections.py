# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Connections: made once for an origin, judged anew for each URL, shared with nobody, and resolved in bounded time."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from fetch_site import Site, archive, discovery_page

from _rocket.errors import FetchError
from _rocket.fetch.keys import Keys
from _rocket.fetch.transports import dial
from _rocket.fetch.transports.base import MemorySink
from _rocket.fetch.transports.https import HttpsTransport
from _rocket.record import replace

NAME = "example.com/app"


@pytest.fixture
def transport(options):
    one = HttpsTransport(options)
    yield one
    one.close()


def get(transport, path, host="example.com", own=True):
    sink = MemorySink()
    transport.get(f"https://{host}{path}", sink, 1 << 20, "discovery page", own=own)
    return sink.content


def answer(head: bytes, body: bytes = b""):
    return lambda request: request.raw(b"HTTP/1.1 " + head + b"\r\n\r\n" + body)


def test_a_whole_fetch_needs_one_handshake(site, fetcher):
    site.publish(archive())
    record = fetcher().fetch(NAME)
    assert len(site.requests) == 3 and site.connections == 1
    assert fetcher(pull_policy="update").fetch(NAME).id == record.id
    assert len(site.requests) == 5 and site.connections == 2


def test_answers_that_are_no_content_do_not_cost_the_connection(site, transport):
    site.pages["/moved"] = lambda request: request.reply(b"x" * 3000, 302, Location="/here")
    site.pages["/here"] = b"here"
    for path in ("/gone", "/moved", "/gone", "/here"):
        try:
            get(transport, path)
        except FetchError as error:
            assert error.facts["status"] == 404
    assert transport.ask("https://example.com/here", '"other"', own=True).status == 200
    tag = transport.ask("https://example.com/here", "", own=True).etag
    assert transport.ask("https://example.com/here", tag, own=True).status == 304
    assert len(site.requests) == 8 and site.connections == 1


def test_keys_of_a_page_come_over_its_connection(site, options):
    keys = tuple(f"{NAME} https://example.com/{number}.asc" for number in range(3))
    site.pages["/app?ac-discovery=1"] = discovery_page(keys=keys)
    site.pages.update({f"/{number}.asc": b"key %d" % number for number in range(3)})
    one = Keys(options)
    assert [one.get(url) for url in one.discover(NAME).pubkeys] == [b"key 0", b"key 1", b"key 2"]
    assert site.connections == 1


def test_origins_share_no_connection(site, transport):
    site.pages["/x"] = b"content"
    for host in ("example.com", "cdn.example.net", "example.com", "cdn.example.net"):
        assert get(transport, "/x", host) == b"content"
    assert site.connections == 2
    assert {host for _method, host, _path, _headers in site.requests} == {"example.com", "cdn.example.net"}


def test_no_cookie_is_kept(site, transport):
    site.pages["/x"] = lambda request: request.reply(b"content", Set_Cookie="a=b; Path=/")
    for _try in range(2):
        get(transport, "/x")
    assert site.connections == 1 and not any("Cookie" in headers for _method, _host, _path, headers in site.requests)


def test_a_connection_is_judged_again_for_what_somebody_else_named(site, options, monkeypatch):
    """The operator's own URL may lead to a link-local address; a URL of a page must not, over no connection."""
    from _rocket.fetch import addresses

    monkeypatch.setattr(addresses, "kind_of", lambda _address: addresses.LINK_LOCAL)
    inside = f"127.0.0.1:{site.port}"
    site.pages["/x"], site.pages["/secret"] = b"content", b"secret"
    transport = HttpsTransport(options)
    assert get(transport, "/x", inside) == b"content"
    with pytest.raises(FetchError) as caught:
        get(transport, "/secret", inside, own=False)
    assert caught.value.code == "redirect-refused"
    assert site.connections == 1 and "/secret" not in site.asked()
    transport.close()


def test_a_connection_that_the_server_gave_up_is_replaced_without_a_try(site, options):
    served = []

    def once(request):
        if request not in served:
            served.append(request)
            request.reply(b"content")

    site.pages["/x"] = once
    transport = HttpsTransport(replace(options, attempts=1))
    for _try in range(3):
        assert get(transport, "/x") == b"content"
    assert site.connections == 3
    site.pages["/x"] = lambda request: None
    with pytest.raises(FetchError) as caught:
        get(transport, "/x")
    assert caught.value.code == "body-truncated" and site.connections == 4, "a new connection is replaced by no other"
    transport.close()


def test_what_comes_behind_an_answer_is_not_the_next_answer(site, options):
    def long(request):
        request.close_connection = False
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil" * 9000)

    site.pages["/long"], site.pages["/x"] = long, b"content"
    transport = HttpsTransport(replace(options, attempts=1))
    assert get(transport, "/long") == b"ok"
    assert get(transport, "/x") == b"content"
    transport.close()


def test_an_answer_that_redirects_is_not_read(site, options):
    """requests reads the body of such an answer whole, and inflates it; here it has no end."""

    def endless(request):
        try:
            request.raw(b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 99999999999\r\n\r\n")
            while True:
                request.raw(bytes(1 << 16))
        except OSError:
            return

    site.pages["/x"], site.pages["/y"] = endless, b"there"
    began = time.monotonic()
    assert get(HttpsTransport(replace(options, deadline=10)), "/x") == b"there"
    assert time.monotonic() - began < 5


def test_a_resolver_that_hangs_does_not_hang_the_fetch(options, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_values, **_named: released.wait(60))
    began = time.monotonic()
    try:
        for changes, code in (({"connect_timeout": 0.2}, "network-unreachable"), ({"deadline": 0.2}, "deadline")):
            with pytest.raises(FetchError) as caught:
                get(HttpsTransport(replace(options, connect_to=(), **changes)), "/x")
            assert caught.value.code == code and "\n" not in str(caught.value)
        assert time.monotonic() - began < 10
    finally:
        released.set()


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_name_that_does_not_exist_is_an_error_with_its_cause(options, monkeypatch, failure):
    def fail(*_values, **_named):
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(FetchError, match="cannot resolve") as caught:
        get(HttpsTransport(replace(options, connect_to=())), "/x")
    assert caught.value.code == "network-unreachable"


def test_every_address_of_a_name_is_tried(site, options, monkeypatch):
    """The first one refuses: it is of the documentation's network, or nobody listens there."""
    site.pages["/x"] = b"content"
    found = socket.getaddrinfo("127.0.0.1", site.port, type=socket.SOCK_STREAM)
    closed = socket.getaddrinfo("127.0.0.1", 1, type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_values, **_named: closed + found)
    assert get(HttpsTransport(replace(options, connect_to=())), "/x") == b"content"


def test_no_connection_is_tried_beyond_the_deadline(options, monkeypatch):
    tried = []

    class Stuck(socket.socket):
        def connect(self, address):
            tried.append((address, self.gettimeout()))
            raise socket.timeout("timed out")

    monkeypatch.setattr(dial.socket, "socket", Stuck)
    ends = time.monotonic() + 0.5
    monkeypatch.setattr(dial.time, "monotonic", lambda: ends - 0.1 if len(tried) < 2 else ends + 1)
    some = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))] * 9
    monkeypatch.setattr(dial.Dialer, "_resolve", lambda *_values: some)
    dialer = dial.Dialer(replace(options, connect_to=()), None, None, None, ends)
    with pytest.raises(FetchError):
        dialer._connect("example.com", 443)
    assert len(tried) == 2 and all(seconds <= 0.2 for _address, seconds in tried)


def test_the_connections_of_a_fetch_end_with_it(site, fetcher):
    from _rocket.fetch.transports import https

    made = []
    begin = https.HttpsTransport.__init__

    def noted(self, *values, **named):
        begin(self, *values, **named)
        made.append(self)

    site.publish(archive())
    patch = pytest.MonkeyPatch()
    patch.setattr(https.HttpsTransport, "__init__", noted)
    try:
        fetcher().fetch(NAME)
    finally:
        patch.undo()
    assert len(made) == 1 and made[0]._sessions == {}


def test_a_server_of_plain_http_serves_a_whole_fetch_over_one_connection(fetcher):
    plain = Site(None)
    data = archive()
    plain.publish(data)
    plain.pages["/app?ac-discovery=1"] = discovery_page(f"{NAME} http://example.com/images/app.{{ext}}")
    try:
        url = "http://example.com/images/app.aci"
        assert fetcher(insecure=("http",), connect_to=plain.connect_to()).fetch(url).verdict.kind == "signed"
        assert len(plain.requests) == 2 and plain.connections == 1
    finally:
        plain.close()


def test_time_is_kept_on_a_connection_that_is_used_again(site, options):
    def drip(request):
        try:
            request.raw(b"HTTP/1.1 200 OK\r\nX: ")
            while True:
                request.raw(b"x")
                time.sleep(0.02)
        except OSError:
            return

    site.pages["/x"], site.pages["/slow"] = b"content", drip
    transport = HttpsTransport(replace(options, rate_window=0.5, minimum_rate=1000))
    assert get(transport, "/x") == b"content"
    began = time.monotonic()
    with pytest.raises(FetchError) as caught:
        get(transport, "/slow")
    assert caught.value.code == "too-slow" and time.monotonic() - began < 10 and site.connections == 1
