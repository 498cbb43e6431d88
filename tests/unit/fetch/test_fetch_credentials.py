# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Credentials of auth.d: read strictly, from files that are the operator's alone, sent to exactly whom they are for, never shown."""

from __future__ import annotations

import base64
import json
import os
import traceback

import pytest
from fetch_site import archive, signed

from _rocket.errors import FetchError, HostError, RocketError, SpecError
from _rocket.fetch.credentials import Credentials
from _rocket.fetch.transports.base import MemorySink
from _rocket.fetch.transports.https import HttpsTransport
from _rocket.record import replace

NAME = "example.com/app"
SECRET = "s3cr3t-of-the-test"
BASIC = "Basic " + base64.b64encode(f"ada:{SECRET}".encode()).decode()


def auth(*domains, **changes):
    value = {
        "rktKind": "auth",
        "rktVersion": "v1",
        "domains": list(domains or ("example.com",)),
        "type": "basic",
        "credentials": {"user": "ada", "password": SECRET},
    }
    return {name: member for name, member in {**value, **changes}.items() if member is not None}


@pytest.fixture
def write(tmp_path):
    """Write a file of credentials into a layer; returns its path."""

    def make(value, name="a.json", layer="etc", mode=0o600):
        directory = tmp_path / layer / "auth.d"
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        path = directory / name
        path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
        path.chmod(mode)
        return str(path)

    return make


@pytest.fixture
def layers(paths):
    return paths.layers


@pytest.fixture
def private(site):
    """A page that is only for who has the header; it tells what it was sent in between."""

    def make(path="/x", header=BASIC, content=b"content"):
        def page(request):
            if request.headers.get("Authorization") == header:
                request.reply(content)
            else:
                request.reply(b"who are you", 401, WWW_Authenticate='Basic realm="x"')

        site.pages[path] = page

    return make


def get(options, url="https://example.com/x"):
    sink = MemorySink()
    transport = HttpsTransport(options)
    try:
        transport.get(url, sink, 1 << 20, "image", own=True)
    finally:
        transport.close()
    return sink.content


def sent(site):
    """Return (host, path, Authorization) of all requests."""
    return [(host, path, headers.get("Authorization")) for _method, host, path, headers in site.requests]


def check_not_shown(error: BaseException) -> None:
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    shown += repr(error) + str(getattr(error, "facts", "")) + json.dumps(error.to_json() if isinstance(error, RocketError) else "")
    for text in (SECRET, BASIC, BASIC[6:]):
        assert text not in shown


@pytest.mark.spec("V9")
def test_an_image_behind_a_password_is_fetched(site, fetcher, write, layers, private):
    write(auth())
    data = archive()
    site.publish(data)
    for path, content in (("/app?ac-discovery=1", site.pages["/app?ac-discovery=1"]), ("/images/app.aci", data)):
        private(path, content=content)
    private("/images/app.aci.asc", content=signed(data))
    assert fetcher(layers=layers).fetch(NAME).verdict.kind == "signed"
    assert fetcher(layers=layers, pull_policy="update").fetch(NAME) and site.requests[-1][0] == "HEAD"
    assert {header for _host, _path, header in sent(site)} == {BASIC}


@pytest.mark.spec("V9")
def test_without_credentials_the_error_says_which_file_is_needed(site, fetcher, write, layers, private, options):
    private()
    with pytest.raises(FetchError) as caught:
        get(replace(options, layers=layers))
    assert caught.value.facts["status"] == 401 and f"{layers[-1]}/auth.d/example.com.json" in str(caught.value)
    with pytest.raises(FetchError) as caught:
        get(options)
    assert "wants credentials" in str(caught.value)
    path = write(auth(credentials={"user": "ada", "password": "old"}))
    with pytest.raises(FetchError, match="does not take those of") as caught:
        get(replace(options, layers=layers))
    assert path in str(caught.value) and len(site.requests) == 3, "a refusal does not pass by trying again"
    site.pages.clear()
    private("/app?ac-discovery=1")
    private("/?ac-discovery=1")
    with pytest.raises(FetchError, match="does not take those of") as caught:
        fetcher(layers=layers, insecure=("image",)).fetch(NAME)
    assert caught.value.code == "discovery-failed"


@pytest.mark.spec("V9")
def test_a_token_is_sent_as_one(options, write, layers, private):
    write(auth(type="oauth", credentials={"token": SECRET}))
    private(header=f"Bearer {SECRET}")
    assert get(replace(options, layers=layers)) == b"content"


@pytest.mark.parametrize(
    ("domain", "url", "expected"),
    [
        ("example.com", "https://example.com/x", True),
        ("EXAMPLE.com", "https://Example.COM/x", True),
        ("example.com:443", "https://example.com/x", True),
        ("example.com", "https://example.com:443/x", True),
        ("example.com", "https://example.com:8443/x", False),
        ("example.com:8443", "https://example.com:8443/x", True),
        ("example.com:8443", "https://example.com/x", False),
        ("example.com", "https://www.example.com/x", False),
        ("example.com", "https://example.com.evil.test/x", False),
        ("example.com", "https://notexample.com/x", False),
        ("example.com", "http://example.com/x", False),
        ("example.com:80", "http://example.com/x", False),
        ("example.com/private", "https://example.com/private", True),
        ("example.com/private/", "https://example.com/private/x?y=z", True),
        ("example.com/private", "https://example.com/privatex", False),
        ("example.com/private", "https://example.com/public", False),
        ("example.com/private", "https://example.com/private/../public", False),
        ("example.com/private", "https://example.com/private/%2e%2e/public", False),
        ("example.com/private", "https://example.com/private//x", False),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443/x", True),
        ("192.0.2.1", "https://192.0.2.1/x", True),
    ],
)
def test_a_credential_is_for_one_host_and_port(write, layers, domain, url, expected):
    write(auth(domain))
    assert (Credentials(layers).for_url(url) is not None) == expected


def test_the_longest_path_counts(write, layers):
    write(auth("example.com"), "a.json")
    write(auth("example.com/shop", credentials={"user": "eve", "password": "x"}), "b.json")
    found = Credentials(layers)
    assert found.for_url("https://example.com/shop/x").user == "eve" and found.for_url("https://example.com/x").user == "ada"
    assert found.for_url("https://example.com/shop/../x").user == "ada"


def test_the_local_layer_stands_over_the_vendors_by_domain(write, layers):
    write(auth("example.com", "other.test"), layer="usr")
    path = write(auth("example.com", credentials={"user": "eve", "password": "x"}), "z.json")
    found = {str(one.place): one for one in Credentials(layers).all()}
    assert (found["example.com"].user, found["other.test"].user) == ("eve", "ada") and found["example.com"].file == path


def test_a_domain_has_one_credential_in_a_directory(write, layers):
    first = write(auth("example.com"), "a.json")
    second = write(auth("www.test", "example.com:443"), "b.json")
    with pytest.raises(SpecError) as caught:
        Credentials(layers).all()
    assert first in str(caught.value) and second in str(caught.value)
    check_not_shown(caught.value)


def test_other_kinds_are_for_others(write, layers):
    write({"rktKind": "dockerAuth", "rktVersion": "v1", "registries": ["r.test"], "credentials": {"user": "a", "password": "b"}}, "d.json")
    write({**auth(domains=None), "rktKind": "proxyAuth", "proxies": ["example.com:443"]}, "p.json")
    found = Credentials(layers)
    assert found.for_url("https://example.com/x") is None and found.for_url("https://r.test/x") is None
    assert found.find("proxyAuth", "example.com", 443).header == BASIC and found.find("dockerAuth", "r.test", 443).user == "a"


def test_files_that_are_none_are_left_alone(write, layers):
    for name in ("a.json~", ".a.json", "README"):
        write(b"anything", name)
    assert Credentials(layers).all() == [] and Credentials(("/nowhere",)).all() == [] and Credentials(()).all() == []


REFUSED = {
    "no JSON": b"s3cr3t-of-the-test",
    "a text": b'"s3cr3t-of-the-test"',
    "twice": b'{"rktKind": "auth", "password": "s3cr3t-of-the-test", "password": "s3cr3t-of-the-test"}',
    "another kind": auth(rktKind=SECRET),
    "another version": auth(rktVersion="v2"),
    "no version": auth(rktVersion=None),
    "no domains": auth(domains=None),
    "domains are no list": auth(domains=SECRET),
    "nobody": auth(domains=[]),
    "a star": auth("*.example.com"),
    "everybody": auth("*"),
    "a scheme": auth("https://example.com"),
    "a user": auth("ada@example.com"),
    "a query": auth("example.com/x?y"),
    "dots": auth("example.com/../x"),
    "an empty host": auth(""),
    "a wrong port": auth("example.com:99999"),
    "aws": auth(type="aws"),
    "another type": auth(type=SECRET),
    "no type": auth(type=None),
    "no credentials": auth(credentials=None),
    "credentials are a text": auth(credentials=SECRET),
    "no password": auth(credentials={"user": "ada"}),
    "a password that is a number": auth(credentials={"user": "ada", "password": 4711471147114711}),
    "a huge number": b'{"rktKind": "auth", "credentials": {"password": 47114711471147114711471147114711}}',
    "a fraction": b'{"rktKind": "auth", "credentials": {"password": 4711.4711}}',
    "a user with a colon": auth(credentials={"user": f"ada:{SECRET}", "password": "x"}),
    "a line end": auth(credentials={"user": "ada", "password": f"{SECRET}\r\nX: y"}),
    "a token with a space": auth(type="oauth", credentials={"token": f"{SECRET} x"}),
    "a token with a line end": auth(type="oauth", credentials={"token": f"{SECRET}\n"}),
    "a token beyond ASCII": auth(type="oauth", credentials={"token": f"{SECRET}\u20ac"}),
    "an empty token": auth(type="oauth", credentials={"token": ""}),
    "an unknown member": auth(pasword=SECRET),
    "an unknown credential": auth(credentials={"user": "ada", "password": SECRET, "token": SECRET}),
    "too long": b"[" + b" " * (1 << 20) + b"]",
    "proxy without a port": {**auth(domains=None), "rktKind": "proxyAuth", "proxies": ["proxy.test"]},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_not_as_it_should_be_is_refused_and_shows_nothing(write, layers, case):
    path = write(REFUSED[case])
    with pytest.raises(SpecError) as caught:
        Credentials(layers).all()
    assert path in str(caught.value) and "\n" not in str(caught.value) and "4711" not in str(caught.value)
    check_not_shown(caught.value)


def test_a_misspelt_member_is_told_with_the_nearest(write, layers):
    write(auth(domians=["x"]))
    with pytest.raises(SpecError, match="did you mean domains"):
        Credentials(layers).all()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o660, 0o610])
def test_a_file_that_others_may_read_or_write_is_refused_before_anything_is_asked(site, options, write, layers, private, mode):
    path = write(auth("other.test"), mode=mode)
    private()
    with pytest.raises(HostError) as caught:
        get(replace(options, layers=layers))
    assert path in str(caught.value) and "0600" in str(caught.value) and site.requests == []
    check_not_shown(caught.value)


def test_a_file_or_directory_of_somebody_else_is_refused(root, write, layers):
    path = write(auth())
    os.chown(path, 1234, 0)
    with pytest.raises(HostError, match="belongs to the user 1234"):
        Credentials(layers).all()
    os.chown(path, 0, 0)
    directory = os.path.dirname(path)
    os.chown(directory, 1234, 0)
    with pytest.raises(HostError, match="belongs to the user 1234"):
        Credentials(layers).all()
    os.chown(directory, 0, 0)
    assert Credentials(layers).all()


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_directory_that_others_may_write_to_is_refused(write, layers, mode):
    directory = os.path.dirname(write(auth()))
    os.chmod(directory, mode)
    with pytest.raises(HostError) as caught:
        Credentials(layers).all()
    assert directory in str(caught.value)


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_what_is_no_file_is_refused_at_once(write, layers, tmp_path, kind):
    path = write(auth())
    os.rename(path, tmp_path / "real")
    {"link": lambda: os.symlink(tmp_path / "real", path), "fifo": lambda: os.mkfifo(path, 0o600), "directory": lambda: os.mkdir(path)}[
        kind
    ]()
    with pytest.raises(HostError) as caught:
        Credentials(layers).all()
    assert path in str(caught.value)


def test_what_this_user_may_not_read_is_named_when_it_is_missing(write, layers, monkeypatch, options, private):
    path = write(auth())
    open_file = os.open

    def refuse(name, *values, **named):
        if name == path:
            raise PermissionError(13, "Permission denied", name)
        return open_file(name, *values, **named)

    monkeypatch.setattr(os, "open", refuse)
    private()
    with pytest.raises(FetchError, match="cannot be read by this user") as caught:
        get(replace(options, layers=layers))
    assert path in str(caught.value)


@pytest.mark.spec("V9")
def test_on_a_redirect_each_host_gets_what_is_for_it_and_nothing_else(site, options, write, layers):
    """There and back: the second host gets nothing, the first its own again, since the operator named it."""
    write(auth("example.com/a"))
    site.pages["/a/x"] = lambda request: request.reply(b"", 302, Location="https://cdn.example.net/y")
    site.pages["/y"] = lambda request: request.reply(b"", 302, Location="https://example.com/b")
    site.pages["/b"] = lambda request: request.reply(b"", 302, Location="https://example.com/a/z")
    site.pages["/a/z"] = b"content"
    assert get(replace(options, layers=layers, allow_private=True), "https://example.com/a/x") == b"content"
    assert sent(site) == [
        ("example.com", "/a/x", BASIC),
        ("cdn.example.net", "/y", None),
        ("example.com", "/b", None),
        ("example.com", "/a/z", BASIC),
    ]


@pytest.mark.spec("V9")
def test_another_port_of_the_host_gets_nothing(site, options, write, layers, certificate):
    from fetch_site import Site

    other = Site(certificate)
    other.pages["/y"] = b"content"
    write(auth("localhost"), "a.json")
    site.pages["/x"] = lambda request: request.reply(b"", 302, Location=f"https://localhost:{other.port}/y")
    try:
        mapped = (("localhost", "127.0.0.1", site.port),)
        with pytest.raises(FetchError):
            get(replace(options, layers=layers, connect_to=mapped), f"https://localhost:{other.port}/y")
        assert [header for _host, _path, header in sent(site)] == [None], "the port of the URL counts, not that of the connection"
        assert get(replace(options, layers=layers, connect_to=()), f"https://localhost:{other.port}/y") == b"content"
        assert sent(other) == [("localhost", "/y", None)]
    finally:
        other.close()


def test_nothing_is_sent_in_clear(options, write, layers, private):
    from fetch_site import Site

    write(auth("example.com", "example.com:80"))
    plain = Site(None)
    plain.pages["/x"] = lambda request: request.reply(b"who", 401)
    try:
        with pytest.raises(FetchError, match="https alone"):
            get(replace(options, layers=layers, insecure=("http",), connect_to=plain.connect_to()), "http://example.com/x")
        assert sent(plain) == [("example.com", "/x", None)]
    finally:
        plain.close()


def test_netrc_does_not_replace_them(site, options, write, layers, private, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("default login user password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    write(auth())
    private()
    assert get(replace(options, layers=layers)) == b"content"


def test_nothing_that_can_be_printed_shows_a_secret(site, options, write, layers, private):
    write(auth())
    (one,) = Credentials(layers).all()
    held = Credentials(layers)
    held.all()
    for shown in (repr(one), str(one), f"{one}", repr(held), repr(replace(options, layers=layers)), repr(HttpsTransport(options))):
        assert SECRET not in shown and BASIC[6:] not in shown
    site.pages["/x"] = lambda request: request.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
    with pytest.raises(FetchError) as caught:
        get(replace(options, layers=layers))
    check_not_shown(caught.value)
    private(header="another")
    with pytest.raises(FetchError) as caught:
        get(replace(options, layers=layers))
    check_not_shown(caught.value)


def test_files_are_read_when_the_network_is_needed_and_not_before(site, fetcher, write, layers):
    site.publish(archive())
    record = fetcher().fetch(NAME)
    write(b"broken")
    assert fetcher(layers=layers).fetch(NAME) == record and not fetcher(layers=layers).plan(NAME).changed
    with pytest.raises(SpecError):
        fetcher(layers=layers, pull_policy="update").fetch(NAME)
