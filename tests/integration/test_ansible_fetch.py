# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The module image against a real HTTPS server, under the distribution's Python, requests and urllib3."""

from __future__ import annotations

import json
import os

import pytest
from fetch_site import archive, discovery_page, random_bytes
from ranged_content import Ranged
from test_ansible_modules import TARGET_PYTHON, Fleet

NAME = "example.com/shop/app"
SECRET = "s3cr3t-of-the-play"


@pytest.fixture(scope="module")
def host(tmp_path_factory, collections):
    if not os.path.exists(TARGET_PYTHON):
        pytest.skip(f"missing ability: the program {TARGET_PYTHON}")
    return Fleet(tmp_path_factory.mktemp("fetching"), collections)


def configure(host):
    """Give the host credentials for the site."""
    credentials = {"user": "ada", "password": SECRET}
    value = {"rktKind": "auth", "rktVersion": "v1", "domains": ["example.com"], "type": "basic", "credentials": credentials}
    place = host.host / "etc" / "auth.d" / "a.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(value))
    place.chmod(0o600)


def image(site, authority, **members):
    where = {"ca_file": authority.file, "connect_to": [f"example.com=127.0.0.1:{site.port}"]}
    return {"name": f"{NAME}:1", "insecure_options": ["image"], **where, **members}


def test_a_module_fetches_with_what_is_configured_and_says_what_came(root, host, site, authority):
    data = archive(name=NAME, labels=(("version", "1"),), files={"rootfs/x": random_bytes(300_000)})
    site.pages["/shop/app?ac-discovery=1"] = discovery_page(f"{NAME} https://example.com/app.{{ext}}")
    site.pages["/app.aci"] = lambda request: request.reply(data, Cache_Control="max-age=600")
    configure(host)
    ((checked, applied, again),) = host.truth([("appc.rocket.image", image(site, authority))])
    assert checked["changed"] and "fetched" not in checked and applied["changed"]
    fetched = applied["fetched"]
    assert (fetched["from"], fetched["source"], fetched["resumed"]) == ("network", "https://example.com/app.aci", 0)
    assert fetched["transferred"] >= len(data) and fetched["seconds"] > 0 and fetched["signed_by"] == []
    assert fetched["image_id"] == applied["image"]["id"] and again["fetched"]["from"] == "store" and again["fetched"]["transferred"] == 0
    assert site.connections == 1 and {headers["Authorization"][:6] for _m, _h, _p, headers in site.requests} == {"Basic "}
    assert SECRET not in json.dumps([checked, applied, again])
    asked = len(site.requests)
    ((latest, *_rest),) = host.truth([("appc.rocket.image", image(site, authority, state="latest"))])
    assert not latest["changed"] and latest["fetched"]["from"] == "store" and len(site.requests) == asked, "it is still fresh"
    ((_checked, rendered, _again),) = host.truth([("appc.rocket.image", image(site, authority, render=True))])
    assert [step["action"] for step in rendered["plan"]["steps"]] == ["render"] and len(site.requests) == asked


def test_a_module_that_was_killed_is_gone_on_with(root, host, site, authority):
    from _rocket.paths import Paths
    from _rocket.store.partial import Origin
    from _rocket.store.store import Store

    data = archive(name=NAME, labels=(("version", "2"),), files={"rootfs/x": random_bytes(300_000)})
    url = "https://example.com/two.aci"
    site.pages["/two.aci"] = page = Ranged(data)
    partial = Store(Paths(data=f"{host.host}/data")).partial(url)
    os.write(partial.fd, data[:200_000])
    partial.remember(Origin(url, "https://example.com:443", page.tag, len(data)))
    partial.close(keep=True)
    (other,) = host.play([("appc.rocket.image", image(site, authority, name=url, image_id="sha512-" + "0" * 128), {})])
    assert other["failed"] and other["error"]["code"] == "digest-mismatch"
    assert [start for start, _count in page.served] == [200_000, 0], "it went on, and started over when the digest did not fit"
    assert os.listdir(f"{host.host}/data/staging") == []


def test_a_module_names_what_is_missing_and_shows_no_secret(root, host, site, authority):
    configure(host)
    for path in ("/shop/app?ac-discovery=1", "/shop?ac-discovery=1", "/?ac-discovery=1"):
        site.pages[path] = lambda request: request.reply(b"", 401)
    three = image(site, authority, name=f"{NAME}:3")
    refused, proxied, readable = host.play(
        [
            ("appc.rocket.image", three, {"diff": True}),
            ("appc.rocket.image", {**three, "proxy": "http://ada:secret@proxy.test:1"}, {}),
            ("ansible.builtin.file", {"path": f"{host.host}/etc/auth.d/a.json", "mode": "0644"}, {}),
        ]
    )
    assert refused["failed"] and "a.json" in refused["msg"] and SECRET not in json.dumps(refused)
    assert proxied["failed"] and "proxyAuth" in proxied["msg"] and readable["changed"]
    (open_to_all,) = host.play([("appc.rocket.image", three, {})])
    assert open_to_all["failed"] and "0600" in open_to_all["msg"] and SECRET not in json.dumps(open_to_all)


def test_the_latest_image_is_asked_for_and_comes_only_when_it_is_another_one(root, host, site, authority):
    site.pages["/shop/app?ac-discovery=1"] = discovery_page(f"{NAME} https://example.com/app.{{ext}}")
    configure(host)
    wanted = image(site, authority, name=NAME, state="latest")
    for content in (b"one", b"two"):
        site.pages["/app.aci"] = archive(name=NAME, labels=(("version", "7"),), files={"rootfs/x": content})
        site.requests.clear()
        (checked,) = host.play([("appc.rocket.image", wanted, {"check_mode": True})])
        assert checked["changed"]
        assert site.asked().count("/app.aci") == 0, "check mode asks, and downloads nothing"
        site.requests.clear()
        ((_checked, applied, again),) = host.truth([("appc.rocket.image", wanted)])
        assert applied["fetched"]["from"] == "network" and again["image"]["id"] == applied["image"]["id"]
        assert site.asked().count("/app.aci") == 1, "one download; the second run was told that nothing changed"
