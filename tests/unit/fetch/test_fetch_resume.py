# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A download that was cut is gone on with, in one process and across them, if the source has the very same object; never trusted."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest
from fetch_site import archive, random_bytes, signed
from ranged_content import Ranged

from _rocket.errors import FetchError, StoreError, TrustError
from _rocket.fetch.fetcher import Fetcher
from _rocket.store import partial
from _rocket.store.collect import collect, plan_gc

NAME = "example.com/app"
IMAGE = "/images/app.aci"
URL = f"https://example.com{IMAGE}"


@pytest.fixture(scope="module")
def data():
    return archive(files={"rootfs/x": random_bytes(150_000)})


@pytest.fixture
def serve(site, data):
    """Serve the image with signature and page; returns what serves it."""

    def make(cuts=(), kind=Ranged, **named):
        site.publish(data)
        site.pages[IMAGE] = kind(data, cuts, **named)
        return site.pages[IMAGE]

    return make


def stored_bytes(paths, record):
    with open(f"{paths.images}/{record.id}/aci", "rb") as file:
        return file.read()


def staged(paths):
    return sorted(os.listdir(paths.staging)) if os.path.isdir(paths.staging) else []


def left_behind(paths, store, content, etag='"tag"', total=None, url=URL, host="https://example.com:443"):
    """What a process leaves that was killed in the middle of a download."""
    one = store.partial(url)
    os.write(one.fd, content)
    one.remember(partial.Origin(url, host, etag, len(content) + 1 if total is None else total))
    one.close(keep=True)
    assert len(staged(paths)) == 1


def test_a_cut_download_goes_on_where_it_ended(serve, fetcher, paths, data):
    page = serve([60_000, 120_000])
    found = fetcher().get(NAME)
    assert stored_bytes(paths, found.record) == data and staged(paths) == []
    starts = [start for start, _count in page.served]
    assert starts[0] == 0 < starts[1] <= 60_000 < starts[2] <= 120_000
    assert page.asked[0] == (None, None)
    assert page.asked[1:] == [(f"bytes={start}-", page.tag) for start in starts[1:]]
    # Of each cut at most the block that was being read comes twice.
    assert len(data) <= found.transferred <= len(data) + 3 * (32 << 10) and found.resumed == starts[2]
    assert found.place == "network" and found.to_json()["resumed"] == starts[2]


def test_tries_that_bring_something_are_not_counted(site, fetcher, paths):
    data = archive(files={"rootfs/x": random_bytes(12 << 20)})
    site.publish(data)
    page = site.pages[IMAGE] = Ranged(data, range(2 << 20, 12 << 20, 2 << 20))
    record = fetcher(attempts=2).fetch(NAME)
    assert len(page.served) == 6 and stored_bytes(paths, record) == data
    page.cuts = [4 << 20, 0, 0]
    page.content = data = archive(files={"rootfs/y": random_bytes(12 << 20)})
    page.tag = '"other"'
    site.pages[f"{IMAGE}.asc"] = signed(data)
    with pytest.raises(FetchError) as caught:
        fetcher(attempts=2, pull_policy="update").fetch(NAME)
    assert caught.value.code == "body-truncated", "tries that bring nothing are"


class OtherStart(Ranged):
    """Sends another part than was asked for."""

    def answer(self, request, start):
        if start:
            rest = self.content[start + 1 :]
            head = b"HTTP/1.1 206 X\r\nContent-Range: bytes %d-%d/%d\r\n" % (start + 1, len(self.content) - 1, len(self.content))
            return self.send(request, head, rest, start)
        return super().answer(request, start)


class OtherTotal(OtherStart):
    """Names another total."""

    def answer(self, request, start):
        if start:
            head = b"HTTP/1.1 206 X\r\nContent-Range: bytes %d-%d/%d\r\n" % (start, len(self.content) - 1, len(self.content) + 1)
            return self.send(request, head, self.content[start:], start)
        return Ranged.answer(self, request, start)


class OtherTag(Ranged):
    """Gives another entity tag with the part."""

    def answer(self, request, start):
        kept, self.tag = self.tag, '"another"' if start else self.tag
        super().answer(request, start)
        self.tag = kept


class NoTag(Ranged):
    """Gives no entity tag with the part."""

    def answer(self, request, start):
        kept, self.tag = self.tag, "" if start else self.tag
        super().answer(request, start)
        self.tag = kept


class Unnamed(Ranged):
    """Does not say which part it sends."""

    def answer(self, request, start):
        if start:
            return self.send(request, b"HTTP/1.1 206 X\r\n", self.content[start:], start)
        return super().answer(request, start)


class TooMuch(Ranged):
    """Sends a part that is longer than what is missing, in chunks, so that no length tells."""

    def answer(self, request, start):
        if not start:
            return super().answer(request, start)
        total = len(self.content)
        head = b"HTTP/1.1 206 X\r\nContent-Range: bytes %d-%d/%d\r\nETag: %s\r\n" % (start, total - 1, total, self.tag.encode())
        body = self.content[start:] + b"more"
        return request.raw(head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))


class OtherLength(Ranged):
    """Announces less than what is missing."""

    def answer(self, request, start):
        if start:
            total = len(self.content)
            head = b"HTTP/1.1 206 X\r\nContent-Range: bytes %d-%d/%d\r\n" % (start, total - 1, total)
            return self.send(request, head, self.content[start:-1], start)
        return super().answer(request, start)


class Nothing(Ranged):
    """Has no such range, all of a sudden."""

    def answer(self, request, start):
        return super().answer(request, len(self.content) if start else 0)


class Whole(Ranged):
    """Does not know ranges."""

    def answer(self, request, start):
        return super().answer(request, 0)


@pytest.mark.parametrize("kind", [OtherStart, OtherTotal, OtherLength, OtherTag, NoTag, Unnamed, TooMuch, Nothing, Whole])
def test_where_a_part_is_not_the_rest_of_the_same_object_it_starts_over(serve, fetcher, paths, data, kind):
    page = serve([60_000], kind)
    found = fetcher(attempts=2).get(NAME)
    assert stored_bytes(paths, found.record) == data and found.resumed == 0
    assert page.asked[1][0] is not None, "a part was asked for"
    assert page.served[-1] == (0, len(data)) and (kind is Whole or page.asked[-1] == (None, None))


@pytest.mark.parametrize("tag", ['W/"weak"', "", "bare", '"', '"two"quotes"'])
def test_without_a_strong_entity_tag_it_starts_over(serve, fetcher, paths, data, tag):
    page = serve([60_000], tag=tag)
    assert stored_bytes(paths, fetcher().fetch(NAME)) == data
    assert page.asked == [(None, None)] * 2


def test_a_server_that_says_it_has_no_ranges_is_not_asked_for_one(serve, fetcher, paths, data):
    class Refuses(Ranged):
        def send(self, request, head, body, start):
            super().send(request, head + b"Accept-Ranges: none\r\n", body, start)

    page = serve([60_000], Refuses)
    assert stored_bytes(paths, fetcher().fetch(NAME)) == data and page.asked == [(None, None)] * 2


def test_content_that_changes_during_the_download_starts_over(site, serve, fetcher, paths):
    other = archive(files={"rootfs/x": random_bytes(150_000), "rootfs/new": b"1"})

    class Changes(Ranged):
        def answer(self, request, start):
            super().answer(request, start)
            self.content, self.tag = other, '"new"'
            site.pages[f"{IMAGE}.asc"] = signed(other)

    page = serve([60_000], Changes)
    with pytest.raises(TrustError):
        fetcher().fetch(NAME)
    assert page.served[1:] == [(0, len(other))], "the signature was that of the old one; the file is whole all the same"
    assert stored_bytes(paths, fetcher().fetch(NAME)) == other


def test_content_that_changes_under_the_same_tag_is_found_by_the_signature_and_comes_once_more(serve, fetcher, paths, data):
    class Lies(Ranged):
        def answer(self, request, start):
            kept = self.content
            if not start and len(self.asked) == 1:
                self.content = bytes(byte ^ 1 for byte in kept)
            super().answer(request, start)
            self.content = kept

    page = serve([60_000], Lies)
    found = fetcher().get(NAME)
    assert stored_bytes(paths, found.record) == data and found.resumed == 0
    assert [start == 0 for start, _count in page.served] == [True, False, True]


def test_nothing_is_gone_on_with_where_nothing_can_tell(serve, fetcher, paths, store, data):
    page = serve([60_000])
    record = fetcher(insecure=("image",)).fetch(NAME)
    assert stored_bytes(paths, record) == data and page.asked == [(None, None)] * 2
    store.remove(record.id)
    left_behind(paths, store, data[:50_000], page.tag, len(data))
    assert fetcher(insecure=("image",)).get(NAME).resumed == 0 and page.asked == [(None, None)] * 3
    page.cuts = [60_000]
    store.remove(record.id)
    assert fetcher(expected_id=record.id).get(NAME).resumed > 0


def test_only_who_gave_the_entity_tag_sees_it_again(site, serve, fetcher, paths, data):
    page = serve([60_000])
    site.pages[("cdn.example.net", "/real")] = page

    def moved(request):
        assert "Range" not in request.headers and "If-Range" not in request.headers
        request.reply(b"", 302, Location="https://cdn.example.net/real")

    site.pages[IMAGE] = moved
    assert stored_bytes(paths, fetcher(allow_private=True).fetch(NAME)) == data
    assert page.asked[1][1] == page.tag, "the place that it redirects to gave it"
    page.cuts, page.asked[:] = [60_000], []

    def moves_on(request):
        target = "cdn.example.net" if not page.asked else "example.com"
        request.reply(b"", 302, Location=f"https://{target}/real")

    site.pages[("example.com", "/real")] = page
    site.pages[IMAGE] = moves_on
    page.content = data = archive(files={"rootfs/x": random_bytes(150_000)})
    site.pages[f"{IMAGE}.asc"] = signed(data)
    page.tag = '"second"'
    assert stored_bytes(paths, fetcher(allow_private=True, pull_policy="update").fetch(NAME)) == data
    assert page.asked == [(None, None)] * 2, "another host got to see it"


def kill_in_the_middle(site, fetcher, count, content, tag):
    """Have a process fetch, and kill it when the server has sent `count` bytes and it has written them."""
    reached, release = threading.Event(), threading.Event()

    def stuck(request):
        head = b"HTTP/1.1 200 OK\r\nETag: %s\r\nContent-Length: %d\r\n\r\n" % (tag, len(content))
        request.raw(head + content[:count])
        reached.set()
        release.wait(30)

    site.pages[IMAGE] = stuck
    child = os.fork()
    if child == 0:
        try:
            fetcher().fetch(NAME)
        finally:
            os._exit(1)
    assert reached.wait(30)
    path = f"{fetcher.paths.staging}/{staged(fetcher.paths)[0]}/aci"
    ends = time.monotonic() + 30
    while os.stat(path).st_size < count - (16 << 10) and time.monotonic() < ends:
        os.sched_yield()
    os.kill(child, 9)
    os.waitpid(child, 0)
    release.set()


@pytest.fixture
def processes(fetcher, paths):
    fetcher.paths = paths
    return fetcher


def test_a_killed_process_leaves_its_bytes_to_the_next(site, serve, processes, paths, data):
    page = serve()
    kill_in_the_middle(site, processes, 100_000, data, page.tag.encode())
    assert len(staged(paths)) == 1 and staged(paths)[0].endswith(".partial")
    site.pages[IMAGE] = page
    found = processes().get(NAME)
    assert stored_bytes(paths, found.record) == data and staged(paths) == []
    assert page.served == [(found.resumed, len(data) - found.resumed)] and found.resumed > 80_000


def test_what_a_killed_process_left_is_proved_and_not_trusted(site, serve, fetcher, paths, store, data):
    page = serve()
    left_behind(paths, store, bytes(100_000), page.tag, len(data))
    found = fetcher().get(NAME)
    assert stored_bytes(paths, found.record) == data and found.resumed == 0
    assert [start for start, _count in page.served] == [100_000, 0], "it was tried, and the signature found it out"
    assert staged(paths) == []


def test_a_whole_file_of_a_killed_process_is_confirmed_by_one_byte(serve, fetcher, paths, store, data):
    page = serve()
    left_behind(paths, store, data, page.tag, len(data))
    assert stored_bytes(paths, fetcher().fetch(NAME)) == data
    assert page.served == [(len(data) - 1, 1)]


@pytest.mark.parametrize(
    "origin",
    [
        b"",
        b"{",
        b"[]",
        b'{"url":"x"}',
        b'{"etag":1,"host":"h","total":5,"url":"%s"}' % URL.encode(),
        b'{"etag":"\\"t\\"","host":"https://example.com:443","total":0,"url":"%s"}' % URL.encode(),
        b'{"etag":"\\"t\\"","host":"https://example.com:443","total":9,"url":"https://example.com/other"}',
        b"x" * 20_000,
    ],
)
def test_an_origin_that_says_nothing_is_none(serve, fetcher, paths, store, data, origin):
    page = serve()
    left_behind(paths, store, data[:1000], page.tag, len(data))
    with open(f"{paths.staging}/{staged(paths)[0]}/origin", "wb") as file:
        file.write(origin)
    assert stored_bytes(paths, fetcher().fetch(NAME)) == data and page.asked == [(None, None)]


def test_a_fetch_that_fails_for_a_while_leaves_its_bytes_and_one_that_fails_for_good_does_not(site, serve, fetcher, paths, data):
    page = serve([60_000, 0, 0])
    with pytest.raises(FetchError) as caught:
        fetcher(attempts=2).fetch(NAME)
    assert caught.value.code == "body-truncated" and len(staged(paths)) == 1
    page.cuts = []
    site.pages[f"{IMAGE}.asc"] = b"bad"
    with pytest.raises(TrustError):
        fetcher().fetch(NAME)
    assert staged(paths) == []
    site.pages[f"{IMAGE}.asc"] = signed(data)

    class Goes(Ranged):
        def answer(self, request, start):
            return request.reply(b"gone", 404) if start else super().answer(request, start)

    site.pages[IMAGE] = Goes(data, [60_000])
    with pytest.raises(FetchError) as caught:
        fetcher().fetch(NAME)
    assert caught.value.code == "http-status" and staged(paths) == []


def test_bytes_that_nothing_can_tell_of_are_not_left(serve, fetcher, paths, store, data):
    page = serve([60_000])
    left_behind(paths, store, data[:50_000], page.tag, len(data))
    with pytest.raises(FetchError) as caught:
        fetcher(insecure=("image",), attempts=1).fetch(NAME)
    assert caught.value.code == "body-truncated" and staged(paths) == []


def test_of_several_places_only_the_last_leaves_something(site, serve, fetcher, paths, data):
    from fetch_site import discovery_page

    serve()
    pages = [Ranged(data, [60_000] * 9, tag=f'"{number}"') for number in range(3)]
    site.pages.update({f"/{number}.aci": page for number, page in enumerate(pages)})
    site.pages.update({f"/{number}.aci.asc": signed(data) for number in range(3)})
    templates = (f"{NAME} https://example.com/{number}.{{ext}}" for number in range(3))
    site.pages["/app?ac-discovery=1"] = discovery_page(*templates)
    with pytest.raises(FetchError, match="none of 3 places"):
        fetcher(attempts=1).fetch(NAME)
    assert len(staged(paths)) == 1
    with open(f"{paths.staging}/{staged(paths)[0]}/origin", "rb") as file:
        assert json.loads(file.read())["url"] == "https://example.com/2.aci"


def test_an_interrupted_fetch_leaves_its_bytes(serve, store, verifier, options, paths, data):
    page = serve()

    def interrupt(done, _total):
        if done > 60_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Fetcher(store, verifier, options, interrupt).fetch(NAME)
    assert len(staged(paths)) == 1
    assert Fetcher(store, verifier, options).get(NAME).resumed > 60_000 and page.served[-1][0] > 60_000


def test_space_is_needed_for_what_is_missing_only(serve, fetcher, paths, store, data, monkeypatch):
    class Space:
        f_bavail, f_frsize = 60_000, 1

    page = serve()
    left_behind(paths, store, data[:100_000], page.tag, len(data))
    monkeypatch.setattr(os, "fstatvfs", lambda _fd: Space)
    assert stored_bytes(paths, fetcher().fetch(NAME)) == data
    store.remove(store.ids()[0])
    with pytest.raises(StoreError) as caught:
        fetcher().fetch(NAME)
    assert caught.value.code == "disk-full" and staged(paths) == []


def test_progress_counts_what_was_there(serve, store, verifier, options, paths, data):
    page = serve()
    left_behind(paths, store, data[:100_000], page.tag, len(data))
    seen = []
    Fetcher(store, verifier, options, lambda done, total: seen.append((done, total))).fetch(NAME)
    assert seen[0][0] > 100_000 and {total for _done, total in seen} == {len(data)} and seen[-1][0] == len(data)


def test_two_at_one_url_do_not_share_a_file(store, paths):
    first, second = store.partial(URL), store.partial(URL)
    assert first.path != second.path and len(staged(paths)) == 2
    second.close(keep=True)
    first.close(keep=True)
    assert staged(paths) == [], "without an origin nothing is kept"


def test_collection_keeps_a_partial_download_for_the_time_of_grace(store, paths, data):
    left_behind(paths, store, data[:1000])
    path = f"{paths.staging}/{staged(paths)[0]}"
    written = int(os.stat(f"{path}/aci").st_mtime)
    assert plan_gc(store, grace=100, now=written + 99).steps == ()
    late = plan_gc(store, grace=100, now=written + 101)
    assert [(step.subject, step.reason) for step in late.steps] == [(path, "a download that nobody went on with")]
    assert plan_gc(store, grace=100, now=written - 86400).steps, "a file of the future is kept by no clock"
    assert plan_gc(store, grace=0, now=written).steps
    held = store.partial(URL)
    assert plan_gc(store, grace=0).steps == (), "somebody is at it"
    assert collect(late) == []
    held.close(keep=True)
    os.utime(f"{path}/aci", (written + 50, written + 50))
    assert collect(late) == [] and staged(paths), "somebody went on with it since the plan was made"
    os.utime(f"{path}/aci", (written, written))
    assert collect(late) == list(late.steps) and staged(paths) == []


def test_collection_does_not_wait_for_what_nobody_can_go_on_with(store, paths):
    one = store.partial(URL)
    os.close(one.fd)
    os.close(one._directory_fd)
    assert len(staged(paths)) == 1
    assert len(collect(plan_gc(store))) == 1 and staged(paths) == []


def test_a_child_of_another_thread_does_not_hold_a_download_that_was_left(store, paths):
    one = store.partial(URL)
    inherited = os.dup(one._directory_fd)
    try:
        os.write(one.fd, b"beginning")
        one.remember(partial.Origin(URL, "https://example.com:443", '"tag"', 100))
        one.close(keep=True)
        again = store.partial(URL)
        assert os.fstat(again.fd).st_size == len(b"beginning") and again.origin is not None
        again.close()
    finally:
        os.close(inherited)


def test_nothing_of_another_kind_is_taken_for_a_download(store, paths, tmp_path):
    store.open_for_writing()
    one = store.partial(URL)
    directory = os.path.dirname(one.path)
    one.close()
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    os.symlink(tmp_path, directory)
    with pytest.raises(StoreError):
        store.partial(URL)
    os.unlink(directory)
    os.mkdir(directory, 0o700)
    os.symlink(secret, f"{directory}/aci")
    with pytest.raises(StoreError):
        store.partial(URL)
    assert secret.read_bytes() == b"secret"
