# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""For how long a source need not be asked: what it says, bounded; kept with the image; renewed by an answer that nothing changed."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from fetch_site import archive
from requests.structures import CaseInsensitiveDict

from _rocket.fetch import stored
from _rocket.fetch.transports.answers import max_age

NAME = "example.com/app"
IMAGE = "/images/app.aci"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Cache-Control": "max-age=60"}, 60),
        ({"Cache-Control": "public, MAX-AGE=60, must-revalidate"}, 60),
        ({"Cache-Control": "max-age=60", "Age": "50"}, 10),
        ({"Cache-Control": "max-age=60", "Age": "70"}, 0),
        ({"Cache-Control": "max-age=60", "Age": "x"}, 0),
        ({"Cache-Control": "max-age=99999999999999999999999999"}, 86400),
        ({"Cache-Control": "max-age=60, no-cache"}, 0),
        ({"Cache-Control": 'no-cache="Set-Cookie", max-age=60'}, 0),
        ({"Cache-Control": "no-store,max-age=60"}, 0),
        ({"Cache-Control": "max-age=60, max-age=90"}, 0),
        ({"Cache-Control": "max-age=-1"}, 0),
        ({"Cache-Control": 'max-age="60"'}, 0),
        ({"Cache-Control": "max-age"}, 0),
        ({"Cache-Control": "s-maxage=60"}, 0),
        ({"Cache-Control": "max-age=\u00b2"}, 0),
    ],
)
def test_what_a_source_says_of_its_age_is_read_strictly(headers, expected):
    assert max_age(SimpleNamespace(headers=CaseInsensitiveDict(headers))) == expected


@pytest.fixture
def clock(monkeypatch):
    """The clock of what decides about age; its hands are moved by tests."""
    # Ahead of the clock by which images are stored, whatever second it is.
    hands = SimpleNamespace(now=int(time.time()) + 10)
    monkeypatch.setattr(stored, "time", SimpleNamespace(time=lambda: hands.now))
    return hands


@pytest.fixture
def publish(site):
    """Serve an image with these directives; the same one unless another is given."""
    same = archive()

    def make(directives, data=None):
        content = same if data is None else data
        site.publish(content)
        headers = {"Cache_Control": directives} if directives else {}
        site.pages[IMAGE] = lambda request: request.reply(content, **headers)
        return content

    return make


def test_while_an_image_is_fresh_nobody_is_asked(site, fetcher, publish, clock):
    publish("max-age=600")
    record = fetcher().fetch(NAME)
    assert (record.max_age, record.reference) == (600, NAME) and record.etag and clock.now - record.checked_at < 60
    asked = len(site.requests)
    clock.now = record.checked_at + 599
    assert fetcher(pull_policy="update").fetch(NAME) == record and not fetcher().plan(NAME, "latest").changed
    assert len(site.requests) == asked
    clock.now = record.checked_at + 600
    assert not fetcher().plan(NAME, "latest").changed
    assert [method for method, *_rest in site.requests[asked:]] == ["GET", "HEAD"], "the page, and one conditional request"


def test_an_answer_that_nothing_changed_renews_the_age(site, fetcher, publish, clock):
    publish("max-age=600")
    record = fetcher().fetch(NAME)
    clock.now += 1000
    again = fetcher(pull_policy="update").get(NAME)
    assert (again.place, again.record.checked_at, again.record.max_age) == ("store", clock.now, 600)
    asked = len(site.requests)
    assert fetcher(pull_policy="update").fetch(NAME).checked_at == clock.now and len(site.requests) == asked
    for directives, expected in (("", 600), ("no-cache", 0), ("", 0)):
        clock.now += 1000
        publish(directives)
        assert fetcher(pull_policy="update").fetch(NAME).max_age == expected, "who says nothing leaves it as it was"
    assert site.asked().count(IMAGE) == 1 and record.id == again.record.id


def test_what_a_plan_was_told_is_kept_when_it_is_applied_and_not_in_check_mode(site, fetcher, publish, clock):
    publish("max-age=600")
    record = fetcher().fetch(NAME)
    clock.now += 1000
    for write, expected in ((False, record.checked_at), (True, clock.now)):
        one = fetcher(pull_policy="update")
        assert not one.plan(NAME, "latest").changed
        asked = len(site.requests)
        assert one.keep(NAME, write).record.id == record.id and len(site.requests) == asked
        assert one.keep(NAME, False).record.checked_at == expected


def test_a_fresh_image_is_that_of_one_reference(site, fetcher, publish, clock):
    """What was fetched as version 1.0 says nothing about which version is the latest."""
    publish("max-age=600")
    fetcher().fetch(f"{NAME}:1.0")
    asked = len(site.requests)
    assert fetcher(pull_policy="update").fetch(f"{NAME}:1.0") and len(site.requests) == asked
    fetcher(pull_policy="update").fetch(NAME)
    assert len(site.requests) > asked


@pytest.mark.parametrize("shift", [-86400, 86400 * 400])
def test_a_clock_that_jumps_makes_nothing_fresh_for_ever(site, fetcher, publish, clock, shift):
    publish("max-age=600")
    fetcher().fetch(NAME)
    asked = len(site.requests)
    clock.now += shift
    fetcher(pull_policy="update").fetch(NAME)
    assert len(site.requests) > asked


def test_an_image_without_a_signature_is_fresh_for_nobody_who_wants_one(site, fetcher, publish, clock):
    publish("max-age=600")
    fetcher(insecure=("image",)).fetch(NAME)
    asked = len(site.requests)
    assert fetcher(insecure=("image",), pull_policy="update").fetch(NAME) and len(site.requests) == asked
    assert fetcher(pull_policy="update").fetch(NAME).verdict.kind == "signed" and len(site.requests) > asked


def test_urls_are_fresh_too_and_a_changed_image_is_found_when_the_time_is_over(site, fetcher, publish, clock):
    url = f"https://example.com{IMAGE}"
    publish("max-age=600")
    old = fetcher().fetch(url)
    publish("max-age=600", archive(files={"rootfs/new": b"1"}))
    assert fetcher(pull_policy="update").fetch(url) == old
    clock.now += 601
    assert fetcher().plan(url, "latest").changed
    assert fetcher(pull_policy="update").fetch(url).id != old.id


def test_records_of_before_have_no_age(store, paths, fetcher, publish):
    import json

    from _rocket.store.record import encode_record

    publish("max-age=600")
    record = fetcher().fetch(NAME)
    path = f"{paths.images}/{record.id}"
    with open(f"{path}/manifest", "rb") as file:
        manifest = file.read()
    fields = record.to_json()
    for name in ("max_age", "checked_at", "reference"):
        del fields[name]

    class Old:
        def to_json(self):
            return fields

    with open(f"{path}/record.json", "wb") as file:
        file.write(encode_record(Old(), manifest))
    found = store.find_id(record.id)
    assert (found.max_age, found.checked_at, found.reference) == (0, 0, "") and json.loads(json.dumps(found.to_json()))
