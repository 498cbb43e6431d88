# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Whole fetches against a real HTTPS server: order, verdicts, policies, mirrors, and one download for many."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fetch_site import archive, discovery_page, signed

from _rocket.errors import ArchiveError, FetchError, NotFound, StoreError, TrustError, UsageError
from _rocket.fetch import verification
from _rocket.fetch.keys import Keys
from _rocket.image import check
from _rocket.platform import host, labels_of

NAME = "example.com/app"


@pytest.mark.spec("V11", "A8")
def test_a_name_is_discovered_verified_and_stored(site, fetcher, verifier, store, paths):
    data = archive()
    site.publish(data)
    record = fetcher().fetch(f"{NAME}:1.0")
    assert record.verdict.kind == "signed" and record.source == "https://example.com/images/app.aci" and record.etag
    assert site.asked() == ["/app?ac-discovery=1", "/images/app.aci.asc", "/images/app.aci"]
    assert verifier.calls[0] == ("require_key", NAME) and ("verify", NAME) in verifier.calls
    with open(f"{paths.images}/{record.id}/aci.asc", "rb") as file:
        assert file.read() == signed(data)
    assert os.listdir(paths.staging) == os.listdir(paths.locks) == []
    assert fetcher().fetch(f"{NAME}:1.0") == record and len(site.asked()) == 3


@pytest.mark.spec("V11")
def test_nothing_is_asked_for_a_name_without_a_key(site, fetcher, nothing_published):
    with pytest.raises(TrustError):
        fetcher().fetch("cdn.example.net/app")
    assert site.requests == []
    nothing_published()


@pytest.mark.spec("V8")
def test_nothing_is_parsed_before_it_is_verified(site, fetcher, monkeypatch, nothing_published):
    site.publish(b"\x1f\x8b hostile", signature=b"of somebody else")
    monkeypatch.setattr(check, "inspect", lambda *_values: pytest.fail("the archive was opened"))
    with pytest.raises(TrustError) as caught:
        fetcher().fetch(NAME)
    assert caught.value.code == "signature-bad"
    nothing_published()


@pytest.mark.spec("V8")
def test_without_signatures_none_is_fetched_and_the_verdict_says_so(site, fetcher, verifier):
    site.publish(archive())
    record = fetcher(insecure=("image",)).fetch(NAME)
    assert (record.verdict.kind, record.verdict.insecure_options) == ("insecure", ("image",))
    assert not any(path.endswith(".asc") for path in site.asked()) and verifier.calls == []


def test_an_insecure_image_in_the_store_does_not_satisfy_a_secure_fetch(site, fetcher):
    data = archive()
    site.publish(data)
    weak = fetcher(insecure=("image",)).fetch(NAME)
    assert fetcher().plan(NAME).steps[0].reason == "stored without a signature"
    site.pages["/images/app.aci.asc"] = b"bad"
    with pytest.raises(TrustError):
        fetcher().fetch(NAME)
    with pytest.raises(NotFound):
        fetcher(pull_policy="never").fetch(NAME)
    site.pages["/images/app.aci.asc"] = signed(data)
    strong = fetcher().fetch(NAME)
    assert strong.id == weak.id and strong.verdict.kind == "signed"


def test_a_pinned_image_needs_no_signature_and_no_other_image_passes(site, fetcher, verifier, monkeypatch, store):
    data = archive()
    site.publish(data)
    probe = fetcher(insecure=("image",)).fetch(NAME)
    store.remove(probe.id)
    record = fetcher(expected_id=probe.id).fetch(NAME)
    assert record.verdict.kind == "pinned" and verifier.calls == []
    store.remove(probe.id)
    site.pages["/images/app.aci"] = archive(files={"rootfs/hello": b"evil\n"})
    monkeypatch.setattr(check, "inspect", lambda *_values: pytest.fail("the archive was opened"))
    for insecure in ((), ("image",)):
        with pytest.raises(FetchError) as caught:
            fetcher(expected_id=probe.id, insecure=insecure).fetch(NAME)
        assert caught.value.code == "digest-mismatch" and probe.id in str(caught.value)
    assert store.ids() == []


def test_pinning_what_is_stored_unsigned_verifies_it_and_asks_nobody(site, fetcher, store, paths):
    site.publish(archive())
    record = fetcher(insecure=("image",)).fetch(NAME)
    asked = len(site.requests)
    assert fetcher(expected_id=record.id).fetch(NAME).verdict.kind == "pinned"
    assert len(site.requests) == asked
    with pytest.raises(FetchError) as caught:
        fetcher(expected_id=record.id).fetch("example.com/other")
    assert caught.value.code == "name-mismatch"


@pytest.mark.spec("V7")
@pytest.mark.parametrize("insecure", [(), ("image",)])
@pytest.mark.parametrize(
    ("reference", "image", "code"),
    [
        (NAME, archive(name="example.com/other"), "name-mismatch"),
        (f"{NAME}:2.0", archive(), "label-mismatch"),
        (f"{NAME},channel=beta", archive(), "label-mismatch"),
        (NAME, archive(labels=(("os", "freebsd"), ("arch", "amd64"))), "label-mismatch"),
    ],
)
def test_name_and_labels_have_to_be_those_asked_for(site, fetcher, nothing_published, insecure, reference, image, code):
    site.publish(image)
    with pytest.raises(FetchError) as caught:
        fetcher(insecure=insecure).fetch(reference)
    assert caught.value.code == code
    nothing_published()


@pytest.mark.spec("V7")
def test_labels_that_we_filled_in_only_feed_the_template(site, fetcher):
    site.publish(archive(labels=(("version", "7"), *labels_of(host()))), base="/i/latest.aci")
    assert dict(fetcher().fetch(NAME).labels)["version"] == "7"
    site.publish(archive(labels=(("os", "freebsd"), ("arch", "amd64"))))
    assert dict(fetcher().fetch(f"{NAME},os=freebsd,arch=amd64").labels)["os"] == "freebsd"
    assert dict(fetcher(pull_policy="never").fetch(NAME).labels)["version"] == "7", "an image of another system is not for this host"


@pytest.mark.spec("V1", "V5", "V10")
def test_a_site_is_asked_from_the_name_up_to_its_host_and_gets_what_was_left_to_us(site, fetcher):
    data = archive(name="example.com/a/b", labels=())
    wanted = dict(labels_of(host()))
    place = f"/latest-{wanted['os']}-{wanted['arch']}"
    site.pages["/a?ac-discovery=1"] = discovery_page("example.com/a/bc https://example.com/wrong.{ext}")
    site.pages["/?ac-discovery=1"] = discovery_page("example.com https://example.com/{version}-{os}-{arch}.{ext}")
    site.pages[f"{place}.aci"], site.pages[f"{place}.aci.asc"] = data, signed(data)
    assert fetcher().fetch("example.com/a/b").source == f"https://example.com{place}.aci"
    assert site.asked() == ["/a/b?ac-discovery=1", "/a?ac-discovery=1", "/?ac-discovery=1", f"{place}.aci.asc", f"{place}.aci"]
    assert site.connections == 1
    site.pages["/x/y?ac-discovery=1"] = lambda request: request.reply(b"", 500)
    site.requests.clear()
    with pytest.raises(FetchError) as caught:
        fetcher(attempts=1).fetch("example.com/x/y")
    assert caught.value.code == "http-status" and len(site.requests) == 1, "trouble of a page says nothing about the name"


@pytest.mark.spec("V4")
def test_mirrors_are_tried_in_order(site, fetcher):
    data = archive()
    site.publish(data)
    templates = ("https://cdn.example.net/gone.{ext}", "https://cdn.example.net/bad.{ext}", "https://example.com/images/app.{ext}")
    site.pages["/app?ac-discovery=1"] = discovery_page(*(f"{NAME} {template}" for template in templates))
    site.pages["/bad.aci"], site.pages["/bad.aci.asc"] = archive(files={"rootfs/x": b"evil"}), signed(data)
    assert fetcher().fetch(NAME).source == "https://example.com/images/app.aci"
    del site.pages["/images/app.aci"]
    with pytest.raises(TrustError, match="none of 3 places"):
        fetcher(pull_policy="update").fetch(NAME)


def test_update_asks_with_the_entity_tag_and_verifies_what_is_stored(site, fetcher, verifier, store, paths):
    site.publish(archive())
    record = fetcher().fetch(NAME)
    assert not fetcher().plan(NAME, "latest").changed
    verifier.calls.clear()
    assert fetcher(pull_policy="update").fetch(NAME).id == record.id
    assert site.asked().count("/images/app.aci") == 1 and ("verify", NAME) in verifier.calls
    with open(f"{paths.images}/{record.id}/aci", "r+b") as file:
        file.write(b"\0")
    assert fetcher(pull_policy="update").fetch(NAME).id == record.id
    assert site.asked().count("/images/app.aci") == 2, "a damaged image was kept because the source said: unchanged"
    store.verify(record.id)
    site.publish(archive(files={"rootfs/hello": b"new\n"}))
    assert fetcher().plan(NAME).steps == () and fetcher().plan(NAME, "latest").changed
    assert fetcher(pull_policy="update").fetch(NAME).id != record.id


def test_a_plan_asks_nobody_for_presence_and_publishes_nothing(site, fetcher, store, paths):
    plan = fetcher().plan(NAME)
    assert [(step.action, step.reason) for step in plan.steps] == [("fetch", "not in the store")]
    assert site.requests == [] and not os.path.exists(paths.data)
    with pytest.raises(NotFound):
        fetcher().plan("sha512-ab")
    with pytest.raises(UsageError):
        fetcher().plan(NAME, "absent")


def test_a_damaged_record_heals_by_fetching_again(site, fetcher, store, paths):
    site.publish(archive())
    record = fetcher().fetch(NAME)
    with open(f"{paths.images}/{record.id}/record.json", "wb") as file:
        file.write(b"{}")
    assert fetcher().plan(NAME).changed
    assert fetcher().fetch(NAME).id == record.id and store.damaged() == []


def test_files_are_verified_by_the_signature_beside_them(tmp_path, fetcher, verifier, store, nothing_published):
    data = archive()
    path = tmp_path / "a b?.aci"
    path.write_bytes(data)
    with pytest.raises(TrustError) as caught:
        fetcher().fetch(str(path))
    assert caught.value.code == "signature-missing" and ".asc" in str(caught.value)
    nothing_published()
    (tmp_path / "a b?.aci.asc").write_bytes(signed(data))
    record = fetcher().fetch(str(path))
    assert record.verdict.kind == "signed"
    assert fetcher().fetch(str(path)) == record
    path.write_bytes(archive(files={"rootfs/x": b"changed"}))
    with pytest.raises(TrustError):
        fetcher().fetch(str(path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(signed(path.read_bytes()))
    assert fetcher(signature=str(elsewhere)).fetch(str(path)).id != record.id


def test_a_file_with_a_given_name_is_verified_before_it_is_opened(tmp_path, fetcher, monkeypatch):
    path = tmp_path / "x.aci"
    path.write_bytes(archive())
    (tmp_path / "x.aci.asc").write_bytes(b"bad")
    monkeypatch.setattr(check, "inspect", lambda *_values: pytest.fail("the archive was opened"))
    with pytest.raises(TrustError):
        fetcher(name=NAME).fetch(str(path))


@pytest.mark.parametrize("kind", ["missing", "fifo", "directory", "text", "no image"])
def test_what_is_no_image_file_is_refused(tmp_path, fetcher, nothing_published, kind):
    path = tmp_path / "x.aci"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(b"<html>login</html>" if kind == "text" else b"\x1f\x8b broken")
    with pytest.raises((FetchError, ArchiveError)) as caught:
        fetcher(insecure=("image",)).fetch(str(path))
    assert str(path) in str(caught.value) or kind == "no image"
    nothing_published()


def test_urls_are_fetched_with_their_signature(site, fetcher, nothing_published):
    site.publish(archive())
    record = fetcher().fetch("https://example.com/images/app.aci")
    assert record.verdict.kind == "signed" and fetcher().fetch("https://example.com/images/app.aci") == record
    assert len(site.asked()) == 2


def test_plain_http_needs_its_name(site, fetcher, nothing_published):
    with pytest.raises(FetchError, match="insecure-options=http"):
        fetcher().fetch("http://example.com/images/app.aci")
    assert site.requests == []
    nothing_published()


def test_keys_are_discovered_and_got_but_not_trusted(site, options):
    site.pages["/app?ac-discovery=1"] = discovery_page(keys=(f"{NAME} https://cdn.example.net/key.asc",))
    site.pages["/key.asc"] = b"a key"
    one = Keys(options)
    assert one.discover(NAME).pubkeys == ("https://cdn.example.net/key.asc",)
    assert one.get("https://cdn.example.net/key.asc") == b"a key"


@pytest.mark.parametrize("changes", [{"pull_policy": "newest"}, {"insecure": ("tls",)}, {"attempts": 0}])
def test_options_that_mean_nothing_are_refused(fetcher, changes):
    with pytest.raises(UsageError):
        fetcher(**changes)


def test_fifty_fetchers_make_one_download(site, fetcher, store):
    site.publish(archive())
    start = threading.Barrier(50)

    def fetch(_number):
        start.wait(30)
        return fetcher().fetch(NAME).id

    with ThreadPoolExecutor(50) as pool:
        found = set(pool.map(fetch, range(50)))
    assert len(found) == 1 and store.ids() == sorted(found)
    assert site.asked().count("/images/app.aci") == 1


def test_a_killed_fetcher_does_not_keep_the_next(site, fetcher, paths, store):
    data = archive()
    site.publish(data)
    reached = threading.Event()
    release = threading.Event()

    def stuck(request):
        request.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"\x1f\x8b")
        reached.set()
        release.wait(30)

    site.pages["/images/app.aci"] = stuck
    child = os.fork()
    if child == 0:
        try:
            fetcher().fetch(NAME)
        finally:
            os._exit(1)
    assert reached.wait(30)
    os.kill(child, 9)
    os.waitpid(child, 0)
    release.set()
    site.pages["/images/app.aci"] = data
    assert fetcher().fetch(NAME).verdict.kind == "signed"
    assert os.listdir(paths.staging) == []


def test_a_disk_too_small_is_found_before_the_download(site, fetcher, store, nothing_published):
    huge = 1 << 50

    def answer(request):
        request.raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n\x1f\x8b" % huge)

    site.publish(archive())
    site.pages["/images/app.aci"] = answer
    with pytest.raises(StoreError) as caught:
        fetcher(image_limit=huge * 2).fetch(NAME)
    assert caught.value.code == "disk-full" and caught.value.facts["need"] == huge and store.paths.staging in str(caught.value)
    nothing_published()


def test_progress_is_told(site, store, verifier, options):
    from _rocket.fetch.fetcher import Fetcher

    data = archive(files={"rootfs/x": os.urandom(100_000)})
    site.publish(data)
    seen = []
    Fetcher(store, verifier, options, lambda done, total: seen.append((done, total))).fetch(NAME)
    assert seen[-1] == (len(data), len(data)) and len(seen) > 2


def test_a_verdict_is_never_made_without_a_reason(store, verifier, options, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(archive())
    fd = os.open(path, os.O_RDONLY)
    with pytest.raises(TrustError) as caught:
        verification.check_file(fd, None, "x", verification.Wanted(None), options, verifier)
    assert caught.value.code == "verdict-insecure"
    os.close(fd)


def test_an_image_in_zstd_comes_as_any_other(site, fetcher):
    from _rocket.image import zstd

    if not zstd.available():
        pytest.skip("missing ability: the library zstd")
    plain = archive(compression="")
    compressor = zstd.Compressor(3)
    site.publish(compressor.compress(plain) + compressor.flush())
    record = fetcher().fetch("example.com/app")
    assert record.verdict.kind == "signed" and record.file_size < len(plain)
