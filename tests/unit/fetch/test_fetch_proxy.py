# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The operator's proxy: CONNECT for every origin, its own credentials for it alone, and what is still checked behind it."""

from __future__ import annotations

import base64
import json
import ssl
import time

import pytest
from fetch_site import Site, archive
from proxy_server import Proxy

from _rocket.errors import FetchError, HostError, RocketError, SpecError, UsageError
from _rocket.fetch.options import FetchOptions
from _rocket.fetch.transports.base import MemorySink
from _rocket.fetch.transports.https import HttpsTransport
from _rocket.fetch.transports.tunnel import address_in
from _rocket.record import replace

NAME = "example.com/app"
SECRET = "s3cr3t-of-the-proxy"
BASIC = "Basic " + base64.b64encode(f"ada:{SECRET}".encode()).decode()


@pytest.fixture
def make(site):
    """Start a proxy; named values are those of Proxy."""
    running = []

    def start(**named) -> Proxy:
        running.append(Proxy(site.port, **named))
        return running[-1]

    yield start
    for one in running:
        one.close()


@pytest.fixture
def through(options):
    """Options that lead everything through a proxy."""
    return lambda proxy, **changes: replace(options, connect_to=(), proxy=proxy.url, **{"read_timeout": 5.0, **changes})


def get(options, url="https://example.com/x", own=True):
    sink = MemorySink()
    transport = HttpsTransport(options)
    try:
        transport.get(url, sink, 1 << 20, "image", own=own)
    finally:
        transport.close()
    return sink.content


def credentials(tmp_path, place):
    directory = tmp_path / "etc" / "auth.d"
    directory.mkdir(parents=True)
    value = {"rktKind": "proxyAuth", "rktVersion": "v1", "proxies": [place], "type": "basic"}
    (directory / "proxy.json").write_text(json.dumps({**value, "credentials": {"user": "ada", "password": SECRET}}))
    (directory / "proxy.json").chmod(0o600)
    return (str(tmp_path / "etc"),)


def test_a_whole_fetch_goes_through_the_proxy_in_one_tunnel(site, make, through, store, verifier):
    from _rocket.fetch.fetcher import Fetcher

    proxy = make()
    site.publish(archive())
    assert Fetcher(store, verifier, through(proxy)).fetch(NAME).verdict.kind == "signed"
    assert proxy.connections == site.connections == 1
    assert proxy.heads == ["CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nUser-Agent: rocket\r\n\r\n"]


def test_a_proxy_that_is_spoken_to_by_tls_sees_no_more(site, make, through, certificate):
    proxy = make(certificate=certificate)
    site.pages["/x"] = b"content" * 20_000
    assert get(through(proxy)) == b"content" * 20_000
    assert proxy.heads[0].startswith("CONNECT example.com:443 ") and site.connections == 1


def test_the_origin_is_verified_behind_either_kind_of_proxy(authority, certificate, options):
    bad = Site(authority.certificate(("other.example",), 3))
    bad.pages["/x"] = b"content"
    try:
        for more in ({}, {"certificate": certificate}):
            proxy = Proxy(bad.port, **more)
            with pytest.raises(FetchError, match="another host") as caught:
                get(replace(options, connect_to=(), proxy=proxy.url))
            assert caught.value.code == "tls-failed" and bad.requests == []
            proxy.close()
    finally:
        bad.close()


def test_the_credentials_of_the_proxy_are_for_the_proxy(site, make, through, tmp_path):
    proxy = make(authorization=BASIC)
    site.pages["/x"] = b"content"
    layers = credentials(tmp_path, f"127.0.0.1:{proxy.port}")
    assert get(through(proxy, layers=layers)) == b"content"
    assert f"Proxy-Authorization: {BASIC}\r\n" in proxy.heads[0]
    (headers,) = (headers for _method, _host, _path, headers in site.requests)
    assert not any("authorization" in name.lower() for name in headers) and SECRET not in str(headers)


def test_the_credentials_of_the_origin_are_not_for_the_proxy(site, make, through, tmp_path):
    proxy = make()
    site.pages["/x"] = b"content"
    layers = credentials(tmp_path, "other.test:3128")
    value = {"rktKind": "auth", "rktVersion": "v1", "domains": ["example.com", f"127.0.0.1:{proxy.port}"], "type": "oauth"}
    (tmp_path / "etc" / "auth.d" / "x.json").write_text(json.dumps({**value, "credentials": {"token": SECRET}}))
    (tmp_path / "etc" / "auth.d" / "x.json").chmod(0o600)
    assert get(through(proxy, layers=layers)) == b"content"
    assert site.requests[0][3]["Authorization"] == f"Bearer {SECRET}"
    assert "uthorization" not in proxy.heads[0] and SECRET not in proxy.heads[0]


def test_a_proxy_that_wants_credentials_says_which_file_is_needed(make, through, tmp_path):
    proxy = make(authorization=BASIC)
    with pytest.raises(FetchError) as caught:
        get(through(proxy, layers=(str(tmp_path / "etc"),)))
    assert caught.value.code == "proxy-failed" and caught.value.facts["proxy_status"] == 407 and proxy.connections == 1
    text = str(caught.value)
    assert f"{tmp_path}/etc/auth.d/127.0.0.1.json" in text and "proxyAuth" in text and f"127.0.0.1:{proxy.port}" in text
    other = make(authorization="Basic other")
    layers = credentials(tmp_path, f"127.0.0.1:{other.port}")
    with pytest.raises(FetchError, match="does not take those of") as caught:
        get(through(other, layers=layers))
    assert SECRET not in repr(caught.value) + str(caught.value.facts) and BASIC[6:] not in str(caught.value)


def test_the_environment_names_no_proxy(site, make, options, monkeypatch):
    proxy = make()
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    site.pages["/x"] = b"content"
    assert get(options) == b"content" and proxy.connections == 0


def configured(tmp_path, **proxy):
    directory = tmp_path / "etc"
    directory.mkdir(exist_ok=True)
    (directory / "fetch.json").write_text(json.dumps({"rktKind": "fetch", "rktVersion": "v1", "proxy": proxy}))
    return (str(directory),)


def test_a_proxy_can_be_configured_and_switched_off(site, make, options, tmp_path):
    proxy, other = make(), make()
    site.pages["/x"] = b"content"
    layers = configured(tmp_path, url=proxy.url)
    plain = replace(options, connect_to=(), layers=layers)
    assert get(plain) == b"content" and proxy.connections == 1
    assert get(replace(plain, proxy=other.url)) == b"content" and (proxy.connections, other.connections) == (1, 1)
    assert get(replace(options, layers=layers)) == b"content" and proxy.connections == 1, "connect_to says where a host is"
    with pytest.raises(FetchError):
        get(replace(plain, proxy="none", deadline=5), "https://localhost:1/x")
    assert proxy.connections == 1


@pytest.mark.parametrize(("direct", "expected"), [(["localhost"], 0), ([".localhost"], 1), (["LOCALHOST"], 0), (["other"], 1), ([], 1)])
def test_some_hosts_are_reached_without_it(site, make, options, tmp_path, direct, expected):
    proxy = make()
    site.pages["/x"] = b"content"
    layers = configured(tmp_path, url=proxy.url, direct=direct)
    assert get(replace(options, connect_to=(), layers=layers), f"https://localhost:{site.port}/x") == b"content"
    assert proxy.connections == expected


def test_a_dot_stands_for_all_below_a_domain():
    from _rocket.fetch.configuration import Configuration

    one = Configuration("http://p:1", (".example.com", "other.test"))
    assert [one.is_direct(host) for host in ("a.example.com", "a.b.Example.com", "example.com", "notexample.com")] == [
        True,
        True,
        False,
        False,
    ]
    assert one.is_direct("Other.test") and not one.is_direct("x.other.test")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("169.254.169.254.", "169.254.169.254"),
        ("LOCALHOST", "127.0.0.1"),
        ("a.localhost.", "127.0.0.1"),
        ("example.com", ""),
        ("127.0.0.1.example.com", ""),
    ],
)
def test_an_address_in_a_name_is_seen_in_every_spelling(host, address):
    assert address_in(host) == address


@pytest.mark.parametrize("target", ["127.0.0.1", "2130706433", "0x7f.1", "localhost", "[::1]", "[fe80::1]", "169.254.169.254", "10.0.0.1"])
def test_a_redirect_to_an_address_of_a_private_network_does_not_reach_the_proxy(site, make, through, target):
    proxy = make()
    site.pages["/x"] = lambda request: request.reply(b"", 302, Location=f"https://{target}/secret")
    with pytest.raises(FetchError) as caught:
        get(through(proxy))
    assert caught.value.code == "redirect-refused" and proxy.connections == 1
    assert len(site.requests) == 1


def test_the_operator_may_name_an_address_and_redirects_to_names_are_the_proxys_to_judge(site, make, through):
    proxy = make()
    site.pages["/x"] = b"content"
    assert get(through(proxy), "https://127.0.0.1/x") == b"content"
    site.pages["/y"] = lambda request: request.reply(b"", 302, Location="https://cdn.example.net/x")
    assert get(through(proxy), "https://example.com/y") == b"content"
    assert [head.split()[1] for head in proxy.heads] == ["127.0.0.1:443", "example.com:443", "cdn.example.net:443"]


def test_http_goes_through_a_tunnel_too(make, options):
    plain = Site(None)
    plain.pages["/x"] = b"content"
    proxy = Proxy(plain.port)
    try:
        assert get(replace(options, connect_to=(), proxy=proxy.url, insecure=("http",)), "http://example.com/x") == b"content"
        assert proxy.heads[0].startswith("CONNECT example.com:80 ")
    finally:
        proxy.close()
        plain.close()


def test_a_proxy_that_has_a_bad_moment_is_tried_again(site, make, through):
    site.pages["/x"] = b"content"
    seen = []

    def moody(connection, head):
        seen.append(head)
        if len(seen) == 1:
            connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        elif len(seen) > 2:
            proxy.connect(connection, head)

    proxy = make(answer=moody)
    assert get(through(proxy)) == b"content" and len(seen) == 3


@pytest.mark.parametrize(
    "url",
    [
        "proxy.example.com:3128",
        "http://proxy.example.com",
        "socks5://proxy.example.com:1080",
        "http://ada:s3cr3t-of-the-proxy@proxy.example.com:3128",
        "http://proxy.example.com:3128/path",
        "http://proxy.example.com:3128?x",
        "http://:3128",
        "http://proxy.example.com:99999",
        "",
    ],
)
def test_what_is_no_proxy_is_refused_before_anything_else(url, tmp_path):
    from _rocket.fetch.configuration import load

    if url:
        with pytest.raises(UsageError) as caught:
            FetchOptions(proxy=url).check()
        assert "\n" not in str(caught.value) and SECRET not in str(caught.value)
    with pytest.raises(SpecError) as caught:
        load(configured(tmp_path, url=url))
    assert "fetch.json: proxy.url" in str(caught.value) and SECRET not in str(caught.value)


def test_the_authority_of_a_proxy_can_be_configured(site, make, options, authority, certificate, tmp_path):
    proxy = make(certificate=certificate)
    site.pages["/x"] = b"content"
    value = {"rktKind": "fetch", "rktVersion": "v1", "proxy": {"url": proxy.url}}
    value["domains"] = [
        {"domain": f"127.0.0.1:{proxy.port}", "caFile": authority.file},
        {"domain": "example.com", "caFile": authority.file},
    ]
    (tmp_path / "etc").mkdir()
    for domains, expected in ((value["domains"], True), (value["domains"][1:], False)):
        (tmp_path / "etc" / "fetch.json").write_text(json.dumps({**value, "domains": domains}))
        one = replace(options, connect_to=(), ca_file="", layers=(str(tmp_path / "etc"),))
        try:
            assert get(one) == b"content"
        except FetchError as error:
            assert not expected and error.code == "tls-failed" and "proxy" in str(error)
        else:
            assert expected


def test_a_proxy_says_nothing_about_a_name(make, through, store, verifier):
    """A refusal of the proxy is no 403 of a page, after which the parent of the name would be asked."""
    from _rocket.fetch.fetcher import Fetcher

    proxy = make(answer=lambda connection, _head: connection.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"))
    with pytest.raises(FetchError) as caught:
        Fetcher(store, verifier, through(proxy)).fetch(NAME)
    assert caught.value.code == "proxy-failed" and proxy.connections == 1


@pytest.mark.parametrize(("changes", "code"), [({"read_timeout": 0.3}, "too-slow"), ({"deadline": 0.5}, "deadline")])
def test_a_proxy_that_never_answers_ends_in_time(make, through, changes, code):
    proxy = make(answer=lambda _connection, _head: proxy.wait())
    began = time.monotonic()
    with pytest.raises(FetchError) as caught:
        get(through(proxy, **changes))
    assert caught.value.code == code and time.monotonic() - began < 5


def test_a_proxy_that_answers_byte_by_byte_ends_in_time(make, through):
    def drip(connection, _head):
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            connection.sendall(b"x")
            time.sleep(0.02)

    proxy = make(answer=drip)
    began = time.monotonic()
    with pytest.raises(FetchError) as caught:
        get(through(proxy, deadline=1.0))
    assert caught.value.code == "deadline" and time.monotonic() - began < 5


def test_a_proxy_with_a_certificate_for_another_name_gets_nothing(authority, make, through, options):
    proxy = make(certificate=authority.certificate(("proxy.example",), 4))
    with pytest.raises(FetchError, match="another host") as caught:
        get(through(proxy))
    assert caught.value.code == "tls-failed" and "proxy 127.0.0.1" in str(caught.value) and proxy.heads == []
    plain = make()
    with pytest.raises(FetchError) as caught:
        get(replace(through(plain, read_timeout=0.5), proxy=plain.url.replace("http:", "https:")))
    assert caught.value.code == "too-slow" and "by TLS" in str(caught.value) and plain.heads == []


def test_a_proxy_that_opens_the_tls_of_the_origin_is_found_out(site, make, through, tmp_path_factory):
    from fetch_site import Authority

    own = Authority(tmp_path_factory.mktemp("own"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate())
    seen = []

    def intercept(connection, _head):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        seen.append(context.wrap_socket(connection, server_side=True).recv(100))

    with pytest.raises(FetchError, match="unknown issuer") as caught:
        get(through(make(answer=intercept)))
    assert caught.value.code == "tls-failed" and seen == []


def test_a_proxy_that_is_not_there_is_named(options, make):
    from fetch_site import free_port

    with pytest.raises(FetchError, match="proxy cannot be reached") as caught:
        get(replace(options, connect_to=(), proxy=f"http://127.0.0.1:{free_port()}"))
    assert caught.value.code == "network-unreachable"


def test_errors_of_the_configuration_are_of_the_one_tree(tmp_path, options):
    layers = configured(tmp_path, url="http://127.0.0.1:1")
    (tmp_path / "etc" / "fetch.json").chmod(0o666)
    with pytest.raises(HostError) as caught:
        get(replace(options, layers=layers))
    assert isinstance(caught.value, RocketError) and "0644" in str(caught.value)
