# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""fetch.json: read strictly, the local one over the vendor's; authorities of a domain; mirrors of a prefix, verified as always."""

from __future__ import annotations

import json
import os

import pytest
from fetch_site import Authority, archive, discovery_page, free_port, signed

from _rocket.errors import FetchError, HostError, SpecError, TrustError
from _rocket.fetch.configuration import Mirror, load
from _rocket.fetch.transports.base import MemorySink
from _rocket.fetch.transports.https import HttpsTransport
from _rocket.record import replace

NAME = "example.com/app"


def document(**members):
    return {"rktKind": "fetch", "rktVersion": "v1", **members}


def mirrors(*templates, prefix="example.com", **members):
    return document(mirrors=[{"prefix": prefix, "templates": list(templates), **members}])


@pytest.fixture
def write(tmp_path):
    """Write fetch.json of a layer; returns its path."""

    def make(value, layer="etc", mode=0o644):
        (tmp_path / layer).mkdir(exist_ok=True)
        path = tmp_path / layer / "fetch.json"
        path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
        path.chmod(mode)
        return str(path)

    return make


@pytest.fixture
def layers(paths):
    return paths.layers


def test_nothing_is_configured_where_there_is_no_file(layers):
    assert load(layers) == load(()) and load(layers).mirrors == ()


def test_the_local_file_stands_over_the_vendors_part_by_part(write, layers):
    write(
        document(
            proxy={"url": "http://vendor.test:1", "direct": ["a.test"]},
            domains=[{"domain": "a.test", "caFile": "/a"}, {"domain": "b.test:8443", "caFile": "/b"}],
            mirrors=[{"prefix": "example.com", "templates": ["https://v.test/{name}.{ext}"]}, {"prefix": "other.com", "templates": []}],
        ),
        "usr",
    )
    found = load(layers)
    assert found.proxy == "http://vendor.test:1" and found.ca_file("b.test", 8443) == "/b" and found.ca_file("b.test", 443) == ""
    write(
        document(
            domains=[{"domain": "A.test:443", "caFile": "/local"}],
            mirrors=[{"prefix": "example.com", "templates": ["https://l.test/{ext}"]}],
        )
    )
    found = load(layers)
    assert found.proxy == "http://vendor.test:1" and found.direct == ("a.test",)
    assert found.ca_file("a.test", 443) == "/local" and found.ca_file("b.test", 8443) == "/b"
    assert found.mirror_of("example.com/x") == Mirror("example.com", ("https://l.test/{ext}",)) and found.mirror_of("other.com")
    write(document(proxy={"url": "none"}))
    assert load(layers).proxy == "none" and load(layers).direct == ()
    assert json.loads(json.dumps(load(layers).to_json()))["mirrors"][0]["prefix"] == "example.com"


def test_what_is_written_out_can_be_read_again(write, layers):
    write(
        document(
            proxy={"url": "none"},
            domains=[{"domain": "[::1]:1", "caFile": "/a"}],
            mirrors=[{"prefix": "a/b", "templates": [], "discovery": True}],
        )
    )
    found = load(layers)
    write(found.to_json())
    assert load(layers) == found


def test_the_longest_prefix_counts_by_path_parts(write, layers):
    write(
        document(mirrors=[{"prefix": prefix, "templates": [f"https://{prefix}/{{ext}}"]} for prefix in ("example.com", "example.com/shop")])
    )
    found = load(layers)
    assert found.mirror_of("example.com/shop/web").prefix == "example.com/shop"
    assert found.mirror_of("example.com/shopping").prefix == "example.com"
    assert found.mirror_of("example.com.evil") is None


REFUSED = {
    "no JSON": (b"{", "is not JSON"),
    "another kind": (document(rktKind="auth"), "rktKind"),
    "another version": (document(rktVersion="v2"), "rktVersion"),
    "an unknown member": (document(mirors=[]), "did you mean mirrors"),
    "an unknown member of the proxy": (document(proxy={"url": "none", "exept": []}), "proxy.exept"),
    "an unknown member of a domain": (document(domains=[{"domain": "a.test", "caFile": "/a", "ca": 1}]), "domains[0].ca"),
    "an unknown member of a mirror": (mirrors("https://a/{ext}", discover=False), "did you mean discovery"),
    "a proxy without a URL": (document(proxy={}), "proxy.url"),
    "a domain without a file": (document(domains=[{"domain": "a.test"}]), "domains[0].caFile"),
    "a relative file": (document(domains=[{"domain": "a.test", "caFile": "a.pem"}]), "absolute"),
    "a domain with a path": (document(domains=[{"domain": "a.test/x", "caFile": "/a"}]), "domains[0].domain"),
    "a domain twice": (
        document(domains=[{"domain": "a.test", "caFile": "/a"}, {"domain": "a.test:443", "caFile": "/b"}]),
        "domains[1].domain",
    ),
    "a prefix twice": (document(mirrors=[{"prefix": "a", "templates": []}] * 2), "mirrors[1].prefix"),
    "a prefix that is none": (mirrors("https://a/{ext}", prefix="a/../b"), "mirrors[0].prefix"),
    "a template without ext": (mirrors("https://a/{name}.aci"), "{ext}"),
    "a template without a scheme": (mirrors("a/{name}.{ext}"), "mirrors[0].templates[0]"),
    "a template of another scheme": (mirrors("ftp://a/{ext}"), "mirrors[0].templates[0]"),
    "a template with a space": (mirrors("https://a/{ext} x"), "mirrors[0].templates[0]"),
    "discovery is no boolean": (mirrors("https://a/{ext}", discovery="no"), "mirrors[0].discovery"),
    "nowhere": (mirrors(discovery=False), "leads nowhere"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_not_as_it_should_be_is_refused_by_its_path(write, layers, case):
    value, said = REFUSED[case]
    path = write(value)
    with pytest.raises(SpecError) as caught:
        load(layers)
    assert path in str(caught.value) and said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o666, 0o664])
def test_a_file_that_others_may_write_is_refused(write, layers, mode):
    path = write(document(), mode=mode)
    with pytest.raises(HostError) as caught:
        load(layers)
    assert path in str(caught.value)


def test_a_file_that_this_user_may_not_read_is_no_reason_to_go_on_without_it(write, layers, monkeypatch):
    path = write(document(proxy={"url": "http://proxy.test:1"}))
    open_file = os.open

    def refuse(name, *values, **named):
        if name == path:
            raise PermissionError(13, "Permission denied", name)
        return open_file(name, *values, **named)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(HostError) as caught:
        load(layers)
    assert path in str(caught.value)


def get(options, host="example.com"):
    sink = MemorySink()
    transport = HttpsTransport(options)
    try:
        transport.get(f"https://{host}/x", sink, 1 << 20, "image", own=True)
    finally:
        transport.close()
    return sink.content


def test_an_authority_is_for_its_domain_alone(site, options, write, layers, authority, tmp_path_factory):
    site.pages["/x"] = b"content"
    site.pages["/y"] = lambda request: request.reply(b"", 302, Location="https://cdn.example.net/x")
    bare = replace(options, ca_file="", layers=layers)
    with pytest.raises(FetchError):
        get(bare)
    write(document(domains=[{"domain": "example.com", "caFile": authority.file}]))
    assert get(bare) == b"content"
    with pytest.raises(FetchError) as caught:
        get(bare, "cdn.example.net")
    assert caught.value.code == "tls-failed"
    other = Authority(tmp_path_factory.mktemp("other"))
    write(document(domains=[{"domain": "example.com", "caFile": other.file}]))
    with pytest.raises(FetchError) as caught:
        get(bare)
    assert caught.value.code == "tls-failed", "no other authority may vouch for it"
    assert get(replace(bare, ca_file=authority.file)) == b"content", "what is said now counts before what is configured"
    write(document(domains=[{"domain": "example.com", "caFile": "/nowhere.pem"}]))
    with pytest.raises(FetchError, match=r"/nowhere\.pem"):
        get(bare)


def test_an_authority_of_one_origin_does_not_vouch_for_the_next_of_a_redirect(site, options, write, layers, authority):
    site.pages["/x"] = lambda request: request.reply(b"", 302, Location="https://cdn.example.net/y")
    site.pages["/y"] = b"content"
    write(document(domains=[{"domain": "example.com", "caFile": authority.file}]))
    with pytest.raises(FetchError) as caught:
        get(replace(options, ca_file="", layers=layers, allow_private=True))
    assert caught.value.code == "tls-failed" and site.asked() == ["/x"]


@pytest.fixture
def mirrored(site, fetcher, layers):
    """An image at a mirror, and a site that can be discovered but has another one, as one can tell."""
    data, other = archive(), archive(files={"rootfs/other": b"1"})
    site.publish(other)
    site.pages[("cdn.example.net", "/app-1.0.aci")], site.pages[("cdn.example.net", "/app-1.0.aci.asc")] = data, signed(data)
    return data


def hosts(site):
    return [(host, path) for _method, host, path, _headers in site.requests]


def test_a_mirror_is_asked_before_the_site(site, fetcher, write, layers, mirrored):
    write(mirrors("https://cdn.example.net/app-{version}.{ext}"))
    record = fetcher(layers=layers).fetch(f"{NAME}:1.0")
    assert record.source == "https://cdn.example.net/app-1.0.aci" and record.verdict.kind == "signed"
    assert hosts(site) == [("cdn.example.net", "/app-1.0.aci.asc"), ("cdn.example.net", "/app-1.0.aci")]
    site.requests.clear()
    assert not fetcher(layers=layers).plan(f"{NAME}:1.0", "latest").changed
    assert fetcher(layers=layers, pull_policy="update").get(f"{NAME}:1.0").place == "store"
    assert set(hosts(site)) == {("cdn.example.net", "/app-1.0.aci")}


def test_mirrors_are_tried_in_their_order_and_then_the_site(site, fetcher, write, layers, mirrored):
    write(
        mirrors(
            f"https://localhost:{free_port()}/{{name}}.{{ext}}",
            "https://cdn.example.net/gone.{ext}",
            "https://cdn.example.net/{unknown}.{ext}",
        )
    )
    assert fetcher(layers=layers).fetch(NAME).source == "https://example.com/images/app.aci"
    assert hosts(site) == [
        ("cdn.example.net", "/gone.aci.asc"),
        ("example.com", "/app?ac-discovery=1"),
        ("example.com", "/images/app.aci.asc"),
        ("example.com", "/images/app.aci"),
    ]


def test_without_discovery_the_site_is_never_asked(site, fetcher, write, layers, mirrored, nothing_published):
    write(mirrors("https://cdn.example.net/gone.{ext}", discovery=False))
    with pytest.raises(TrustError) as caught:
        fetcher(layers=layers).fetch(NAME)
    assert caught.value.code == "signature-missing" and {host for host, _path in hosts(site)} == {"cdn.example.net"}
    write(mirrors("https://cdn.example.net/{unknown}.{ext}", discovery=False))
    with pytest.raises(FetchError) as caught:
        fetcher(layers=layers).fetch(NAME)
    assert caught.value.code == "discovery-failed" and "example.com" in str(caught.value)
    nothing_published()


def test_what_a_mirror_has_is_verified_by_the_name(site, fetcher, write, layers, mirrored, nothing_published):
    write(mirrors("https://cdn.example.net/app-{version}.{ext}", discovery=False))
    site.pages[("cdn.example.net", "/app-1.0.aci.asc")] = b"of somebody else"
    with pytest.raises(TrustError) as caught:
        fetcher(layers=layers).fetch(f"{NAME}:1.0")
    assert caught.value.code == "signature-bad"
    other = archive(name="example.com/other")
    site.pages[("cdn.example.net", "/app-1.0.aci")], site.pages[("cdn.example.net", "/app-1.0.aci.asc")] = other, signed(other)
    with pytest.raises(FetchError) as caught:
        fetcher(layers=layers).fetch(f"{NAME}:1.0")
    assert caught.value.code == "name-mismatch"
    site.requests.clear()
    write(mirrors("https://cdn.example.net/app-{version}.{ext}", prefix="evil.example"))
    with pytest.raises(TrustError):
        fetcher(layers=layers).fetch("evil.example/app:1.0")
    assert site.requests == [], "a mirror is asked for nothing that no key is trusted for"
    nothing_published()


def test_a_mirror_is_the_operators_own_url(site, fetcher, store, write, layers, mirrored, certificate):
    """It may be in a private network; what a page of somebody else names may not."""
    from fetch_site import Site

    inside = Site(certificate)
    inside.pages["/app.aci"], inside.pages["/app.aci.asc"] = mirrored, signed(mirrored)
    template = f"https://127.0.0.1:{inside.port}/app.{{ext}}"
    try:
        site.pages["/app?ac-discovery=1"] = discovery_page(f"{NAME} {template}")
        with pytest.raises(FetchError) as caught:
            fetcher(layers=layers).fetch(NAME)
        assert caught.value.code == "redirect-refused" and inside.requests == []
        write(mirrors(template))
        record = fetcher(layers=layers).fetch(NAME)
        assert record.source == f"https://127.0.0.1:{inside.port}/app.aci"
        store.remove(record.id)
        assert fetcher(layers=layers, expected_id=record.id).fetch(NAME).verdict.kind == "pinned"
    finally:
        inside.close()


def test_a_mirror_in_clear_needs_its_name(site, fetcher, write, layers, mirrored):
    write(mirrors("http://cdn.example.net/app-{version}.{ext}", discovery=False))
    with pytest.raises(FetchError) as caught:
        fetcher(layers=layers).fetch(f"{NAME}:1.0")
    assert caught.value.code == "discovery-failed" and site.requests == []


def test_a_mirror_that_is_away_does_not_hide_what_others_say(site, fetcher, write, layers, mirrored):
    write(mirrors("https://cdn.example.net/app-{version}.{ext}"))
    fetcher(layers=layers).fetch(f"{NAME}:1.0")
    site.pages[("cdn.example.net", "/app-1.0.aci")] = lambda request: request.reply(b"", 403)
    assert fetcher(layers=layers).plan(f"{NAME}:1.0", "latest").changed, "another place has it"
    write(mirrors("https://cdn.example.net/app-{version}.{ext}", discovery=False))
    with pytest.raises(FetchError) as caught:
        fetcher(layers=layers).plan(f"{NAME}:1.0", "latest")
    assert caught.value.facts["status"] == 403


def test_mirrors_say_nothing_about_files_and_urls(site, fetcher, write, layers, mirrored):
    write(mirrors("https://cdn.example.net/app-{version}.{ext}", discovery=False))
    assert fetcher(layers=layers).fetch("https://example.com/images/app.aci").source == "https://example.com/images/app.aci"
