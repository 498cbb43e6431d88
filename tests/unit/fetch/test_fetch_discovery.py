# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""References and meta discovery, without a network."""

from __future__ import annotations

import time

import pytest
from fetch_site import discovery_page

from _rocket.errors import FetchError, RocketError
from _rocket.fetch.addresses import Peers, check_url, kind_of
from _rocket.fetch.discovery import discover, encode, expand, meta_tags, pages, read_page
from _rocket.fetch.reference import FileReference, ImageId, UrlReference, parse_reference
from _rocket.spec.image_name import ImageName

LABELS = {"version": "1.0", "os": "linux", "arch": "amd64"}


def endpoints(*templates, name="example.com/app", labels=None, schemes=("https",)):
    found = read_page(discovery_page(*templates), "https://example.com/", name, LABELS if labels is None else labels, schemes)
    return [endpoint.image for endpoint in found.endpoints]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.com/app:1.0,os=linux", ImageName("example.com/app", (("os", "linux"), ("version", "1.0")))),
        ("sha512-ab", ImageId("sha512-ab")),
        ("/srv/app.aci", FileReference("/srv/app.aci")),
        ("./app.aci", FileReference("./app.aci")),
        ("file:///srv/a%20b.aci", FileReference("/srv/a b.aci")),
        ("https://example.com/app.aci", UrlReference("https://example.com/app.aci")),
        ("http://example.com/app.aci", UrlReference("http://example.com/app.aci")),
    ],
)
def test_a_reference_is_told_by_its_form(text, expected):
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha512-",
        "sha512-XY",
        "sha512-" + "a" * 129,
        "docker://busybox",
        "file://host/x",
        "file://[/x",
        "file:///srv/a?b",
        "file:///srv/a#b",
        "file:///srv/a\tb",
        "https://",
        "https://user:secret@example.com/x",
        "https://exa mple.com/x",
        "https://example.com\\@evil.test/x",
        "example.com/a/../b",
        "/srv/a\0b",
    ],
)
def test_what_refers_to_nothing_is_refused_in_one_line(text):
    with pytest.raises(RocketError) as caught:
        parse_reference(text)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.spec("V3")
def test_a_prefix_is_compared_by_path_parts():
    assert endpoints("example.com/ap https://example.com/{name}.{ext}") == []
    assert endpoints("example.com/app https://example.com/{name}.{ext}", name="example.com/app2") == []
    assert endpoints("example.com/app https://example.com/{name}.{ext}", name="example.com/app/web") == [
        "https://example.com/example.com/app/web.aci"
    ]


@pytest.mark.spec("V3")
def test_templates_are_filled_once_and_values_encoded():
    assert endpoints("example.com https://example.com/{name}-{version}-{os}-{arch}.{ext}") == [
        "https://example.com/example.com/app-1.0-linux-amd64.aci"
    ]
    assert encode("1.0-a._~+") == "1.0-a._~+"
    assert encode("a/b c%\u00e9{x}") == "a%2Fb%20c%25%C3%A9%7Bx%7D"
    assert expand("{a}{b}", {"a": "{b}", "b": "x"}) == "{b}x"
    assert expand("{a}}", {"a": "x"}) is None and expand("{a", {"a": "x"}) is None and expand("a", {}) == "a"


@pytest.mark.spec("V3")
@pytest.mark.parametrize(
    "template", ["https://example.com/{channel}.{ext}", "https://example.com/app.aci", "https://example.com/{+name}.{ext}"]
)
def test_a_template_with_an_unknown_variable_or_without_extension_is_skipped(template):
    assert endpoints(f"example.com {template}", "example.com https://b.example/{name}.{ext}") == ["https://b.example/example.com/app.aci"]


@pytest.mark.parametrize(
    "template",
    [
        "http://example.com/{name}.{ext}",
        "file:///etc/{name}.{ext}",
        "ftp://example.com/{name}.{ext}",
        "https://user@example.com/{name}.{ext}",
        "https://example.com/../{name}.{ext}",
        "https://example.com//{name}.{ext}",
        "https://example.com/{name}.{ext}#x",
        "https://example.com/{version}/{name}.{ext}",
    ],
)
def test_a_template_does_not_lead_astray(template):
    assert endpoints(f"example.com {template}", labels={**LABELS, "version": ".."}) == []


@pytest.mark.spec("V4")
def test_all_endpoints_count_in_their_order():
    assert endpoints(
        "example.com https://b.example/{name}.{ext}",
        "example.com https://a.example/{name}.{ext}",
        "example.com https://b.example/{name}.{ext}",
    ) == ["https://b.example/example.com/app.aci", "https://a.example/example.com/app.aci"]


@pytest.mark.spec("V1")
@pytest.mark.parametrize(
    ("page", "count"),
    [
        (b'<html><head><META NAME=ac-discovery CONTENT="a b"></head>', 1),
        (b"<meta name='ac-discovery' content='a&amp; b'/>", 1),
        (b'<head><!-- <meta name="ac-discovery" content="a b"> --></head>', 0),
        (b'<head><script>"<meta name=ac-discovery content=x>"</script></head>', 0),
        (b'<head></head><body><meta name="ac-discovery" content="a b"></body>', 0),
        (b'<head><title>x</title><body><meta name="ac-discovery" content="a b">', 0),
        (b'<head><meta name="other" name="ac-discovery" content="a b">', 0),
        (b'<head><meta name="ac-discovery" content="a b"><![broken', 1),
        (b"\xff\xfe\x00<meta", 0),
        (b"", 0),
    ],
)
def test_html_is_parsed_and_only_the_head_counts(page, count):
    assert len(meta_tags(page)) == count


@pytest.mark.parametrize("piece", [b"<", b"<a ", b"<!", b"<!--", b"<![", b"&", b'<meta name="', b"<meta a=b ", b"</", b"<?"])
def test_a_hostile_page_does_not_take_long(piece):
    page = piece * ((1 << 20) // len(piece))
    began = time.process_time()
    meta_tags(page)
    assert time.process_time() - began < 10


@pytest.mark.spec("V2")
def test_keys_are_told_of_but_only_by_fitting_tags():
    page = discovery_page(
        "example.com https://example.com/{name}.{ext}", keys=("example.com https://example.com/key", "other.com https://x/k")
    )
    assert read_page(page, "u", "example.com/app", LABELS, ("https",)).pubkeys == ("https://example.com/key",)


def _site(answers):
    asked = []

    def get(url):
        asked.append(url)
        answer = answers.get(url, 404)
        if isinstance(answer, bytes):
            return answer
        if isinstance(answer, int):
            raise FetchError("status", where=url, code="http-status", status=answer)
        raise FetchError("broken", where=url, code=answer)

    return get, asked


GOOD = discovery_page("example.com https://example.com/{name}.{ext}")


@pytest.mark.spec("V5")
@pytest.mark.parametrize("first", [404, 401, 410, b"<html></html>", discovery_page("other.com https://x.example/{name}.{ext}")])
def test_discovery_goes_up_where_nothing_fits(first):
    get, asked = _site({"https://example.com/a/b?ac-discovery=1": first, "https://example.com/?ac-discovery=1": GOOD})
    found = discover("example.com/a/b", LABELS, get)
    assert found.endpoints[0].signature == "https://example.com/example.com/a/b.aci.asc"
    assert asked == pages("example.com/a/b") and len(asked) == 3


@pytest.mark.spec("V5")
@pytest.mark.parametrize("failure", [500, 503, 429, 408, "tls-failed", "network-unreachable", "deadline", "redirect-refused"])
def test_discovery_stops_at_failures_that_say_nothing_about_the_name(failure):
    get, asked = _site({"https://example.com/a?ac-discovery=1": failure, "https://example.com/?ac-discovery=1": GOOD})
    with pytest.raises(FetchError):
        discover("example.com/a", LABELS, get)
    assert len(asked) == 1


def test_a_failed_discovery_tells_every_cause():
    get, _asked = _site({"https://example.com/a?ac-discovery=1": b"<html></html>"})
    with pytest.raises(FetchError) as caught:
        discover("example.com/a", LABELS, get)
    assert caught.value.code == "discovery-failed" and "no tag" in str(caught.value) and "404" in str(caught.value)


def test_http_is_asked_only_where_it_is_allowed_and_https_cannot_be_reached():
    for failure, expected in (("network-unreachable", True), ("tls-failed", False), (404, False)):
        answers = dict.fromkeys(pages("example.com/a"), failure)
        answers["http://example.com/a?ac-discovery=1"] = GOOD
        get, asked = _site(answers)
        try:
            discover("example.com/a", LABELS, get, ("https", "http"))
        except FetchError:
            assert not expected
        assert any(url.startswith("http:") for url in asked) == expected
    get, asked = _site({"https://example.com/a?ac-discovery=1": "network-unreachable"})
    with pytest.raises(FetchError):
        discover("example.com/a", LABELS, get)
    assert not any(url.startswith("http:") for url in asked)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("93.184.215.14", "public"),
        ("2606:4700::1111", "public"),
        ("10.1.2.3", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "private"),
        ("fd00::1", "private"),
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("169.254.169.254", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("0.0.0.0", "reserved"),
        ("224.0.0.1", "reserved"),
        ("240.0.0.1", "reserved"),
        ("not an address", "reserved"),
    ],
)
def test_addresses_are_told_apart_whatever_their_spelling(address, kind):
    assert kind_of(address) == kind


def test_a_strangers_url_reaches_only_where_the_operators_own_did():
    def refused(peers, address):
        try:
            peers.check(address, "https://x/", own=False, mapped=False)
        except FetchError as error:
            assert error.code == "redirect-refused"
            return True
        return False

    peers = Peers()
    assert not refused(peers, "93.184.215.14")
    assert all(refused(peers, address) for address in ("10.0.0.1", "127.0.0.1", "169.254.169.254", "0.0.0.0"))
    peers.check("10.0.0.1", "https://x/", own=True, mapped=False)
    assert not refused(peers, "192.168.1.1")
    assert refused(peers, "127.0.0.1") and refused(peers, "169.254.169.254")
    peers.check("169.254.169.254", "https://x/", own=True, mapped=False)
    assert refused(peers, "169.254.169.254"), "credentials of a cloud are never for strangers"
    peers.check("127.0.0.1", "https://x/", own=True, mapped=True)
    assert refused(peers, "127.0.0.1"), "a mapping of one host says nothing about others"
    assert not refused(Peers(allow_private=True), "127.0.0.1")
    assert refused(Peers(allow_private=True), "169.254.169.254")


@pytest.mark.parametrize(
    "url", ["https://a@b/", "https://a:b@c/", "https:///x", "https://x\n/", "https://x/\u00e9", "https://[::1", "https://x:99999/"]
)
def test_urls_with_tricks_are_refused(url):
    with pytest.raises(FetchError):
        check_url(url, ("https",))
