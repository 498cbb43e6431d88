# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Whole fetches from servers that misbehave: each ends in its class and in time, leaves the store as it was, and heals with the server.

The cases of a group run side by side in threads: most of their time is somebody's silence.
"""

from __future__ import annotations

import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import misbehaviour
import pytest
from fetch_site import Authority, Site, archive, discovery_page, random_bytes, signed
from proxy_server import Proxy
from ranged_content import Ranged

from _rocket.errors import RocketError

SIDE_BY_SIDE = 8


def together(run, cases) -> dict:
    """Run each case, several at a time; return what is wrong, by name."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        outcomes = dict(zip(cases, pool.map(run, cases)))
    return {name: wrong for name, wrong in outcomes.items() if wrong}


def assert_nothing(wrong: dict) -> None:
    """Show each case in a line of its own."""
    assert not wrong, "\n" + "\n".join(f"{name}: {'; '.join(what)}" for name, what in wrong.items())


class Image:
    """An image of a name of its own on a site, page and signature included."""

    def __init__(self, site, name) -> None:
        slug = "".join(character for character in name.lower() if character.isalnum())
        self.name = f"example.com/{slug}"
        self.data = archive(name=self.name)
        self.site = site
        self.paths = {"page": f"/{slug}?ac-discovery=1", "signature": f"/{slug}.aci.asc", "image": f"/{slug}.aci"}
        self.good = {
            "page": discovery_page(f"{self.name} https://example.com/{slug}.{{ext}}"),
            "signature": signed(self.data),
            "image": self.data,
        }
        self.serve()

    def serve(self, place="", behaviour=None) -> None:
        """Serve it as it should be, but for one part."""
        self.site.pages.update({self.paths[part]: behaviour if part == place else self.good[part] for part in self.paths})


def outcome(fetch) -> tuple[str, str, float]:
    """Return class, message and duration of a fetch that fails."""
    began = time.monotonic()
    try:
        fetch()
    except RocketError as error:
        return error.code, str(error), time.monotonic() - began
    return "no error", "", time.monotonic() - began


@pytest.mark.parametrize("group", misbehaviour.GROUPS)
def test_a_fetch_from_a_server_that_misbehaves(site, make_host, group):
    faults = misbehaviour.GROUPS[group]

    def run(name) -> list[str]:
        fault = faults[name]
        image, host = Image(site, group + name), make_host()
        image.serve(fault.place, fault.behaviour)
        changes = {**fault.changes, **({"insecure": ("image",)} if fault.insecure else {})}
        before = host.seen()
        code, text, seconds = outcome(lambda: host.fetcher(**changes).fetch(image.name))
        wrong = [f"{code} instead of {fault.code}: {text}"] if code != fault.code else []
        wrong += [f"{text!r} does not say {fault.says}"] if fault.says not in text or "\n" in text else []
        wrong += [f"took {seconds:.1f} s"] if seconds > fault.changes.get("deadline", 20) + 2 else []
        wrong += ["the store is not as it was"] if host.seen() != before else []
        tries = site.asked().count(image.paths[fault.place])
        wrong += [f"{tries} requests instead of {fault.tries}"] if tries != fault.tries else []
        image.serve()
        record = host.fetcher().fetch(image.name)
        return wrong + ([] if record.verdict.kind == "signed" else ["it does not heal"])

    assert_nothing(together(run, faults))


def no_image(host, name, options) -> tuple[str, str, float, bool]:
    """Return class, message and duration of a fetch that fails, and whether the store is as it was."""
    before, told = host.seen(), host.told()
    code, text, seconds = outcome(lambda: host.fetcher(**options).fetch(name))
    event = ("fetch", "refused" if code.startswith(("signature", "signer", "key")) else "failed", code)
    assert host.told() == [*told, event], (host.told(), event)
    return code, text, seconds, host.seen() == before


@pytest.fixture
def closing():
    """Close what is given to it, in the end."""
    things = []
    yield lambda thing: things.append(thing) or thing
    for thing in things:
        thing.close()


def test_a_port_that_does_not_speak_tls(make_host, closing):
    def run(name) -> list[str]:
        behaviour, expected, changes = misbehaviour.HANDSHAKES[name]
        server = closing(Proxy(answer=lambda connection, _head: behaviour(connection), bare=True))
        where = {"connect_to": (("example.com", "127.0.0.1", server.port),)}
        code, text, seconds, same = no_image(make_host(), "example.com/app", {**where, **changes})
        wrong = [] if code == expected and "\n" not in text else [f"{code} instead of {expected}: {text}"]
        wrong += [f"took {seconds:.1f} s"] if seconds > changes.get("deadline", 20) + 2 else []
        return wrong if same else [*wrong, "the store is not as it was"]

    assert_nothing(together(run, misbehaviour.HANDSHAKES))


def certificates(authority, directory):
    """Return what servers show that nobody should believe: arguments of Site, and what the message says of it."""
    old, newer = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1), (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1)
    return {
        "for another name": ((authority.certificate(("other.example",), 7),), "another host"),
        "for the parent of the name": ((authority.certificate(("com",), 7),), "another host"),
        "expired": ((authority.certificate(("example.com",), -1),), "expired"),
        "not valid yet": ((authority.certificate(("example.com",), 9, since=1),), "not valid yet"),
        "self-signed": ((authority.self_signed(),), "unknown issuer"),
        "of an unknown authority": ((Authority(directory / "other").certificate(),), "unknown issuer"),
        "TLS 1.0 only": ((authority.certificate(), old), "TLS failed"),
        "TLS 1.1 only": ((authority.certificate(), newer), "TLS failed"),
    }


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_a_server_that_cannot_prove_who_it_is(make_host, authority, closing, tmp_path):
    cases = certificates(authority, tmp_path)

    def run(name) -> list[str]:
        arguments, says = cases[name]
        server = closing(Site(*arguments))
        server.publish(archive())
        code, text, seconds, same = no_image(make_host(), "example.com/app", {"connect_to": server.connect_to()})
        wrong = [] if code == "tls-failed" and says in text else [f"{code}: {text}"]
        wrong += [f"{server.connections} connections"] if server.connections != 1 else []
        wrong += [f"asked for {server.asked()}"] if server.asked() else []
        wrong += [f"took {seconds:.1f} s"] if seconds > 20 else []
        return wrong if same else [*wrong, "the store is not as it was"]

    assert_nothing(together(run, cases))


def test_a_proxy_that_lies(site, make_host, closing):
    image = Image(site, "proxied")

    def run(name) -> list[str]:
        answer, expected = misbehaviour.LIES[name]
        proxy = closing(Proxy(site.port, answer=answer))
        options = {"connect_to": (), "proxy": proxy.url, "read_timeout": 1.0}
        code, text, seconds, same = no_image(make_host(), image.name, options)
        wrong = [] if code == expected and "\n" not in text else [f"{code} instead of {expected}: {text}"]
        wrong += [] if code != "proxy-failed" or f"proxy 127.0.0.1:{proxy.port}" in text else [f"does not name the proxy: {text}"]
        wrong += [f"took {seconds:.1f} s"] if seconds > 10 else []
        return wrong if same else [*wrong, "the store is not as it was"]

    assert_nothing(together(run, misbehaviour.LIES))
    assert site.requests == []


def cuts(size: int) -> list[int]:
    """Return where R5 cuts: the first bytes, around a block of a disk, every percent, the last byte."""
    return sorted({0, 1, 511, 512, 513, size - 1, *(size * percent // 100 for percent in range(1, 100))})


@pytest.mark.parametrize("tag", [None, ""])
def test_a_connection_cut_at_any_byte(site, make_host, tag):
    """What was cut is never accepted; the next fetch goes on with it, or without an entity tag starts over, to the same bytes."""
    data = archive(name="example.com/cut", files={"rootfs/x": random_bytes(150_000)})

    def run(count) -> list[str]:
        image, host = Image(site, f"cut{count}"), make_host(attempts=1)
        image.good.update(signature=signed(data), image=data)
        page = Ranged(data, [count], tag)
        image.serve("image", page)
        url = f"https://example.com{image.paths['image']}"
        changes = {"name": "example.com/cut"}
        ids = host.store.ids()
        code, text, _seconds = outcome(lambda: host.fetcher(**changes).fetch(url))
        wrong = [] if code == "body-truncated" else [f"{code}: {text}"]
        wrong += ["something was accepted"] if host.store.ids() != ids else []
        found = host.fetcher(**changes).get(url)
        with open(f"{host.paths.images}/{found.record.id}/aci", "rb") as file:
            wrong += [] if file.read() == data else ["another file"]
        starts = [start for start, _count in page.served]
        # The block that was being read when the connection ended is lost.
        least = count - (32 << 10) if tag is None else 0
        wrong += [] if starts[0] == 0 and max(least, 0) <= starts[1] <= count else [f"served from {starts}"]
        wrong += [] if tag is None or starts[1] == 0 else [f"gone on without a tag: {starts}"]
        return wrong

    wanted = cuts(len(data)) if tag is None else cuts(len(data))[::10]
    assert len(wanted) >= (100 if tag is None else 10)
    assert_nothing(together(run, wanted))


def test_an_image_that_is_a_bomb(site, make_host):
    """It is signed, and still ends by the limits of archives, in bounded time and memory."""
    image = Image(site, "bomb")
    data = misbehaviour.bomb(768 << 20)
    image.good.update(image=data, signature=signed(data))
    image.serve()
    code, text, seconds, same = no_image(make_host(image_limit=1 << 30), image.name, {})
    assert code == "archive-limit" and "\n" not in text and same and seconds < 30


def test_a_redirect_to_another_host_takes_no_credential_along(site, make_host, tmp_path):
    import json

    secret = "s3cr3t-of-the-fault"
    host = make_host(layers=(str(tmp_path / "etc"),), allow_private=True)
    directory = tmp_path / "etc" / "auth.d"
    directory.mkdir(parents=True)
    value = {"rktKind": "auth", "rktVersion": "v1", "domains": ["example.com"], "type": "oauth", "credentials": {"token": secret}}
    (directory / "a.json").write_text(json.dumps(value))
    (directory / "a.json").chmod(0o600)
    image = Image(site, "moved")
    for place in ("page", "signature", "image"):
        image.serve(place, misbehaviour.redirect("https://cdn.example.net/taken"))
        code, text, _seconds = outcome(lambda: host.fetcher().fetch(image.name))
        assert code in ("http-status", "discovery-failed", "signature-missing") and secret not in text
    sent = [(headers.get("Authorization"), host) for _method, host, _path, headers in site.requests]
    assert {host for header, host in sent if header} == {"example.com"} and ("cdn.example.net") in {host for _header, host in sent}
    assert {header for header, host in sent if host == "example.com"} == {f"Bearer {secret}"}
