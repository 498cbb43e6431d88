# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""`rocket fetch` and `rocket config` as people and scripts see them: what is on which stream, and that no secret is on any."""

from __future__ import annotations

import json
import os
import re

import pytest
from fetch_site import archive, random_bytes

from _rocket.cli import fetch as command
from _rocket.cli import progress
from _rocket.cli.main import main
from _rocket.fetch.fetched import Fetched
from _rocket.record import replace
from _rocket.store.store import Store
from _rocket.store.verdict import Signer, Verdict

NAME = "example.com/app"
SECRET = "s3cr3t-of-the-command"


@pytest.fixture
def rocket(paths, capsys):
    """Run the command; returns status, standard output and standard error."""

    def run(*words, globals=()):
        places = [f"--dir={paths.data}", f"--local-config={paths.local}", f"--system-config={paths.system}"]
        status = main([*places, "--insecure-options=image", *globals, *words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def get(rocket, site, authority):
    """Run `rocket fetch` against the site."""
    options = (f"--ca-file={authority.file}", f"--connect-to=example.com=127.0.0.1:{site.port}")
    return lambda *words, globals=(): rocket("fetch", *options, *words, globals=globals)


def write(paths, path, value, mode=0o600):
    place = os.path.join(paths.local, path)
    os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
    with open(place, "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.chmod(place, mode)
    return place


def basic(*domains, **changes):
    value = {"rktKind": "auth", "rktVersion": "v1", "domains": list(domains), "type": "basic"}
    return {**value, "credentials": {"user": "ada", "password": SECRET}, **changes}


def test_the_result_is_the_image_id_and_one_line_says_what_came(get, site):
    data = archive(files={"rootfs/x": random_bytes(3 << 20)})
    site.publish(data)
    status, out, err = get(f"{NAME}:1.0")
    assert status == 0 and out.startswith("sha512-") and len(out) == 136
    assert err.startswith(f"rocket: fetched {NAME}:1.0 {out[:19]} 3.0 MiB in ") and err.endswith(" s, NOT VERIFIED\n")
    assert err.count("\n") == 1
    assert get(f"{NAME}:1.0") == (0, out, f"rocket: {NAME}:1.0 {out[:19]} is in the store, NOT VERIFIED\n")
    assert get("--quiet", f"{NAME}:1.0") == (0, out, "")


def test_who_signed_it_is_in_the_line(get, site, paths):
    site.publish(archive())
    get(NAME)
    (record,) = Store(paths).images()
    signers = (Signer("a" * 40, "", "Ada <ada@example.com>"), Signer("b" * 40, ""))
    signed = replace(record, verdict=Verdict("signed", signers))
    text = command.told(Fetched(signed, "network", 5 << 20, 3.14, 2 << 20))
    assert text == (
        f"fetched {NAME}:1.0 {record.id[:19]} 5.0 MiB in 3.1 s, the rest of 2.0 MiB that were there, "
        f"signed by Ada <ada@example.com>, {'b' * 40}"
    )
    pinned = replace(record, verdict=Verdict("pinned"), labels=())
    assert command.told(Fetched(pinned)) == f"{NAME} {record.id[:19]} is in the store, pinned by its image ID"


def test_the_line_of_a_file_has_its_size(rocket, tmp_path):
    data = archive(files={"rootfs/x": random_bytes(2 << 20)})
    (tmp_path / "x.aci").write_bytes(data)
    status, out, err = rocket("fetch", str(tmp_path / "x.aci"))
    assert status == 0 and f" {out[:19]} 2.0 MiB in " in err


def test_configuration_counts_on_the_command_line(get, site, paths):
    site.pages["/mirror.aci"] = archive()
    mirror = {"prefix": "example.com", "templates": ["https://example.com/mirror.{ext}"], "discovery": False}
    write(paths, "fetch.json", {"rktKind": "fetch", "rktVersion": "v1", "mirrors": [mirror]}, 0o644)
    write(paths, "auth.d/a.json", basic("example.com"))
    assert get(NAME)[0] == 0
    assert site.asked() == ["/mirror.aci"] and site.requests[0][3]["Authorization"].startswith("Basic ")


def test_keys_are_fetched_by_the_same_configuration(site, authority, paths):
    from _rocket.cli import options, trust
    from _rocket.cli.context import Context

    site.pages["/key.asc"] = b"a key"
    domain = {"domain": f"localhost:{site.port}", "caFile": authority.file}
    write(paths, "fetch.json", {"rktKind": "fetch", "rktVersion": "v1", "domains": [domain]}, 0o644)
    write(paths, "auth.d/a.json", basic(f"localhost:{site.port}"))
    where = trust._site_options(Context(paths), options.Values())
    assert trust._read(f"https://localhost:{site.port}/key.asc", Context(paths), where) == b"a key"
    assert site.requests[0][3]["Authorization"].startswith("Basic ")


def test_the_proxy_of_the_command_line(rocket, site, authority):
    from proxy_server import Proxy

    proxy = Proxy(site.port)
    site.publish(archive())
    try:
        assert rocket("fetch", f"--ca-file={authority.file}", f"--proxy={proxy.url}", NAME)[0] == 0
        assert proxy.connections == 1
        status, out, err = rocket("fetch", "--proxy=http://ada:secret@proxy.test:1", NAME)
        assert (status, out) == (254, "") and "secret" not in err and "proxyAuth" in err
    finally:
        proxy.close()


@pytest.mark.parametrize("case", ["refused", "cut", "broken file", "readable file", "in a redirect"])
def test_no_stream_shows_a_secret_not_even_with_debug(get, site, paths, case):
    site.publish(archive())
    path = write(paths, "auth.d/a.json", basic("example.com"))
    if case == "refused":
        site.pages["/app?ac-discovery=1"] = site.pages["/?ac-discovery=1"] = lambda request: request.reply(b"", 401)
    elif case == "cut":
        site.pages["/images/app.aci"] = lambda request: request.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
    elif case == "broken file":
        write(paths, "auth.d/a.json", {**basic("example.com"), "pasword": SECRET})
    elif case == "readable file":
        os.chmod(path, 0o644)
    else:
        site.pages["/images/app.aci"] = lambda request: request.reply(b"", 302, Location="http://example.com/x")
    status, out, err = get(NAME, globals=["--debug"])
    assert (status, out) == (254, "") and "Traceback" in err
    for text in (SECRET, "YWRhOnMzY3IzdC1vZi10aGUtY29tbWFuZA"):
        assert text not in err
    assert path in err or case in ("cut", "in a redirect")


def test_what_is_configured_is_shown_without_secrets(rocket, paths):
    assert rocket("config")[1].splitlines()[1].split() == ["proxy", "all", "hosts", "none"]
    mirrors = [{"prefix": "example.com/shop", "templates": ["https://m.test/{name}.{ext}"], "discovery": False}]
    value = {"rktKind": "fetch", "rktVersion": "v1", "proxy": {"url": "http://p.test:1", "direct": [".m.test"]}, "mirrors": mirrors}
    write(paths, "fetch.json", {**value, "domains": [{"domain": "a.test", "caFile": "/a.pem"}]}, 0o644)
    file = write(paths, "auth.d/a.json", basic("example.com/private", "b.test:8443"))
    write(paths, "auth.d/b.json", basic("c.test", type="oauth", credentials={"token": SECRET}))
    status, out, err = rocket("config")
    assert (status, err) == (0, "") and SECRET not in out
    assert [re.split("  +", line) for line in out.splitlines()[1:]] == [
        ["proxy", "all hosts", "http://p.test:1"],
        ["proxy", ".m.test", "none"],
        ["authority", "a.test", "/a.pem"],
        ["mirror", "example.com/shop", "https://m.test/{name}.{ext}"],
        ["mirror", "example.com/shop", "(no discovery)"],
        ["auth", "b.test:8443", f"ada (in {file})"],
        ["auth", "c.test", f"token (in {os.path.dirname(file)}/b.json)"],
        ["auth", "example.com/private", f"ada (in {file})"],
    ]
    status, out, err = rocket("config", "--format=json")
    found = json.loads(out)
    assert SECRET not in out and found["mirrors"] == mirrors and found["proxy"]["direct"] == [".m.test"]
    assert found["credentials"][1] == {
        "kind": "auth",
        "for": "c.test",
        "type": "oauth",
        "user": "",
        "file": f"{os.path.dirname(file)}/b.json",
    }
    assert found["layers"] == [paths.system, paths.local]
    os.chmod(file, 0o640)
    assert rocket("config")[0] == 254


def test_a_meter_shows_size_rate_and_time_left(capsys):
    now = [100.0]
    meter = progress.Meter(lambda: now[0])
    meter(0, 100 << 20)
    now[0] += 1
    meter(10 << 20, 100 << 20)
    shown = capsys.readouterr().err.split("\r")[-1].rstrip()
    assert shown == "10.0 MiB of 100.0 MiB (10 %), 10.0 MiB/s, 9 s left"
    now[0] += 0.05
    meter(20 << 20, 100 << 20)
    assert capsys.readouterr().err == "", "not more often than anybody reads"
    for second in range(1, 11):
        now[0] = 101.0 + second
        meter((20 + second) << 20, 100 << 20)
    shown = capsys.readouterr().err.split("\r")[-1].rstrip()
    assert shown == "30.0 MiB of 100.0 MiB (30 %), 1.0 MiB/s, 1 min 10 s left", "the rate is that of the last seconds"
    now[0] += 0.01
    meter(100 << 20, 100 << 20)
    assert "(100 %)" in capsys.readouterr().err, "the end is always shown"
    for done in (1 << 20, 3 << 20):
        now[0] += 1
        meter(done, 0)
    assert capsys.readouterr().err.split("\r")[-1].rstrip() == "3.0 MiB, 2.0 MiB/s", "another image begins anew"


def test_a_meter_without_a_total_tells_no_time():
    now = [0.0]
    meter = progress.Meter(lambda: now[0])
    meter(0, 0)
    now[0] = 2.0
    meter(4 << 20, 0)
    assert meter.line(4 << 20, 0) == "4.0 MiB, 2.0 MiB/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (7500, "2 h 05 min"), (1e6, "277 h 46 min")],
)
def test_times_are_short(seconds, text):
    assert progress.duration(seconds) == text


def test_no_meter_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr(os, "isatty", lambda _fd: False)
    assert progress.meter() is None
    monkeypatch.setattr(os, "isatty", lambda _fd: True)
    assert isinstance(progress.meter(), progress.Meter)
