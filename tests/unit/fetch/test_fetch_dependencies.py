# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What an image depends on comes with it: side by side, each verified by its own name, all of it or nothing."""

from __future__ import annotations

import errno
import os
import re
import threading

import pytest
from fetch_site import archive, signed

from _rocket.errors import Busy, FetchError, NotFound, StoreError, TrustError
from _rocket.fetch import closure, gather
from _rocket.fetch import fetcher as fetching
from _rocket.store import dependencies
from _rocket.store.collect import collect, plan_gc


def names(store):
    return sorted(record.name[-1] for record in store.images())


@pytest.mark.spec("D1")
def test_all_that_an_image_depends_on_comes_with_it(site, serve, fetcher, store, verifier):
    serve("d")
    serve("b", "d")
    serve("c", "d")
    serve("a", "b", "c")
    got = fetcher().get("example.com/a")
    assert got.record.name == "example.com/a" and names(store) == ["a", "b", "c", "d"]
    assert sorted(each.record.name[-1] for each in got.dependencies) == ["b", "c", "d"]
    assert {record.verdict.kind for record in store.images()} == {"signed"}
    assert site.asked().count("/images/d.aci") == 1, "two need it, one fetch"
    assert store.tree(got.record.id) and got.to_json()["dependencies"][0]["from"] == "network"
    asked = len(site.requests)
    again = fetcher().get("example.com/a")
    assert again.place == "store" and again.dependencies == () and len(site.requests) == asked


def test_what_is_here_already_is_not_fetched_again_and_what_is_missing_is(site, serve, fetcher, store):
    serve("b")
    serve("a", "b")
    fetcher().get("example.com/b")
    got = fetcher().get("example.com/a")
    assert got.dependencies == () and site.asked().count("/images/b.aci") == 1
    store.remove(store.resolve("example.com/b").id)
    plan = fetcher().plan("example.com/a")
    assert plan.changed and "example.com/b is not in the store" in plan.steps[0].reason
    again = fetcher().get("example.com/a")
    assert [each.record.name for each in again.dependencies] == ["example.com/b"] and again.place == "store"
    assert site.asked().count("/images/a.aci") == 1 and not fetcher().plan("example.com/a").changed


def test_what_is_collected_in_the_middle_of_a_fetch_is_fetched_again(site, serve, fetcher, store):
    """Else the fetch ends well, and the image cannot be started."""
    serve("b")
    _image_id, data = serve("c")
    serve("a", "b", "c")
    fetcher().get("example.com/b")

    def collected(request):
        collect(plan_gc(store, (), 0))
        request.reply(data)

    site.pages["/images/c.aci"] = collected
    got = fetcher().get("example.com/a")
    assert names(store) == ["a", "b", "c"] and store.tree(got.record.id)
    assert [site.asked().count(f"/images/{letter}.aci") for letter in "abc"] == [1, 2, 1]


BROKEN = {
    "absent": ({}, FetchError),
    "unsigned": ({"signature": b"no"}, TrustError),
    "of another name": ({"name": "example.com/x"}, FetchError),
    "in another's name": ({}, TrustError),
}


@pytest.mark.parametrize("case", BROKEN)
def test_all_of_it_or_nothing(serve, site, fetcher, store, nothing_published, case):
    changes, kind = BROKEN[case]
    serve("b")
    if case == "in another's name":
        serve("a", "b", {"imageName": "example.net/c"})
    else:
        serve("a", "b", "c")
        if case != "absent":
            serve("c", **changes)
    with pytest.raises(kind) as caught:
        fetcher().get("example.com/a")
    assert caught.value.where.startswith("example.com/a: dependencies[1]: "), "who needs it is named"
    nothing_published()


@pytest.mark.spec("D1")
def test_the_image_id_of_a_dependency_has_to_match(serve, fetcher, store, site, nothing_published):
    other, _data = serve("b", version="2.0")
    wanted, _data = serve("b")
    serve("a", {"imageName": "example.com/b", "imageID": other})
    with pytest.raises(FetchError, match="D1") as caught:
        fetcher().get("example.com/a")
    assert caught.value.code == "digest-mismatch" and wanted in str(caught.value)
    nothing_published()
    serve("a", {"imageName": "example.com/b", "imageID": wanted})
    assert len(fetcher().get("example.com/a").dependencies) == 1


def test_a_stored_image_that_is_not_the_one_needed_is_no_reason_to_stop(serve, fetcher, store, site):
    """The store has another image of that name; the one that is needed by its ID is fetched, and the other stays."""
    serve("b", version="2.0")
    fetcher().get("example.com/b")
    wanted, _data = serve("b")
    serve("a", {"imageName": "example.com/b", "imageID": wanted})
    got = fetcher().get("example.com/a")
    assert [each.record.id for each in got.dependencies] == [wanted] and names(store) == ["a", "b", "b"]
    site.pages.clear()
    assert fetcher().get("example.com/a").place == "store"


@pytest.mark.spec("M16")
def test_the_size_of_a_dependency_is_a_hard_stop(serve, fetcher, site, nothing_published):
    _id, data = serve("b")
    sent = []

    def endless(answers):
        answers.send_response(200)
        answers.end_headers()
        try:
            for _turn in range(10_000):
                answers.wfile.write(bytes(65536))
                sent.append(65536)
        except OSError:
            return

    serve("a", {"imageName": "example.com/b", "size": len(data)})
    assert fetcher().get("example.com/a").dependencies[0].record.file_size == len(data)
    serve("c", {"imageName": "example.com/b", "size": len(data) + 1})
    with pytest.raises(StoreError, match="M16"):
        fetcher().get("example.com/c")
    site.pages["/images/e.aci"] = endless
    site.pages["/images/e.aci.asc"] = b"x"
    site.pages["/e?ac-discovery=1"] = site.pages["/b?ac-discovery=1"].replace(b"/b", b"/e")
    serve("f", {"imageName": "example.com/e", "size": 100})
    with pytest.raises(FetchError) as caught:
        fetcher().get("example.com/f")
    assert caught.value.code == "body-too-large" and sum(sent) < 64 << 20


def test_a_circle_is_shown(serve, fetcher, nothing_published):
    serve("b", "a")
    serve("a", "b")
    with pytest.raises(StoreError, match=r"example\.com/a -> example\.com/b -> example\.com/a"):
        fetcher().get("example.com/a")
    nothing_published()


def test_depth_and_number_are_bounded(serve, fetcher, site, nothing_published, monkeypatch):
    for module in (closure, dependencies):
        monkeypatch.setattr(module, "MAX_DEPTH", 2)
        monkeypatch.setattr(module, "MAX_VISITS", 6)
    serve("d")
    serve("c", "d")
    serve("b", "c")
    serve("a", "b")
    with pytest.raises((FetchError, StoreError)) as caught:
        fetcher().get("example.com/a")
    assert caught.value.code == "dependencies"
    for letter in "mnopqr":
        serve(letter)
    serve("e", *"mnopqr")
    asked = len(site.requests)
    with pytest.raises(FetchError, match="more than 6 images"):
        fetcher().get("example.com/e")
    assert len(site.requests) - asked == 3, "too many are refused before the first is asked for"
    nothing_published()


def test_an_endless_chain_ends(site, fetcher, nothing_published):
    """A site that makes up a further dependency whenever it is asked."""
    made = {}

    class Endless(dict):
        def get(self, key, default=None):
            path = key if isinstance(key, str) else key[1]
            number = int(re.match(r"/n(\d+)", path).group(1))
            if "?ac-discovery" in path:
                return f'<meta name="ac-discovery" content="example.com/n{number} https://example.com/n{number}.{{ext}}">'.encode()
            if number not in made:
                made[number] = archive(f"example.com/n{number}", dependencies=[{"imageName": f"example.com/n{number + 1}"}])
            data = made[number]
            return signed(data) if path.endswith(".asc") else data

    site.pages = Endless()
    with pytest.raises((FetchError, StoreError)) as caught:
        fetcher().get("example.com/n0")
    assert caught.value.code == "dependencies"
    assert len(site.requests) < 200
    nothing_published()


def test_a_full_disk_in_the_middle_leaves_the_store_as_it_was(serve, fetcher, store, monkeypatch, nothing_published):
    from _rocket.store import publish

    serve("b")
    serve("c")
    serve("a", "b", "c")
    real, count = publish._publish, []

    def full(*values):
        count.append(1)
        if len(count) == 3:
            publish.raise_disk_error(OSError(errno.ENOSPC, "no space"), "/store")
        real(*values)

    monkeypatch.setattr(publish, "_publish", full)
    with pytest.raises(StoreError) as caught:
        fetcher().get("example.com/a")
    assert caught.value.code == "disk-full" and len(count) == 3
    nothing_published()


def test_without_network_what_is_missing_is_said(serve, fetcher, store):
    serve("b")
    serve("a", "b")
    fetcher().get("example.com/a")
    store.remove(store.resolve("example.com/b").id)
    with pytest.raises(NotFound, match="pull policy never") as caught:
        fetcher(pull_policy="never").get("example.com/a")
    assert "dependencies[0]" in caught.value.where


def test_dependencies_are_asked_for_side_by_side(serve, site, fetcher):
    """Each answer waits until all are asked for: one after the other would never end."""
    together = threading.Barrier(3, timeout=30)
    for letter in "bcd":
        _id, data = serve(letter)

        def answer(answers, data=data):
            together.wait()
            answers.reply(data)

        site.pages[f"/images/{letter}.aci"] = answer
    serve("a", *"bcd")
    assert len(fetcher(attempts=1).get("example.com/a").dependencies) == 3


def test_progress_is_that_of_all_together(serve, site, store, verifier, options):
    _b, first = serve("b")
    _a, second = serve("a", "b")
    told = []
    fetching.Fetcher(store, verifier, options, lambda done, total: told.append((done, total))).get("example.com/a")
    assert told[-1] == (len(first) + len(second),) * 2
    assert all(done <= total for done, total in told)


def test_an_image_that_another_process_fetches_is_waited_for_with_nothing_held(serve, site, fetcher, store, paths):
    """The other one gives up what it holds only when it sees that nobody holds what it needs itself."""
    serve("b")
    serve("a", "b")
    other = store.lock("fetch example.com/b")
    seen = []

    def watch():
        while True:
            try:
                store.lock("fetch example.com/a", wait=False).close()
            except Busy:
                seen.append("held")
                continue
            if seen:
                seen.append("free")
                other.close()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    assert len(fetcher().get("example.com/a").dependencies) == 1
    watcher.join(30)
    assert seen[-1] == "free"
    assert os.listdir(paths.staging) == []


def test_a_fetch_does_not_begin_again_for_ever(serve, fetcher, store, monkeypatch, nothing_published):
    serve("b")
    serve("a", "b")
    monkeypatch.setattr(gather, "_TURNS", 3)
    real = gather.Gather._dependency

    def elsewhere(self, need, held, progress):
        raise gather.Elsewhere("fetch example.com/b")

    monkeypatch.setattr(gather.Gather, "_dependency", elsewhere)
    with pytest.raises(Busy):
        fetcher().get("example.com/a")
    nothing_published()
    monkeypatch.setattr(gather.Gather, "_dependency", real)
    assert fetcher().get("example.com/a")
