# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Keys that the site of a prefix offers: only the one that was reviewed is taken, and only by https."""

from __future__ import annotations

import os
import sys

import pytest
from fetch_site import Site, discovery_page

pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")
pytest.importorskip("requests", reason="missing ability: the Python package requests")
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "trust"))

import trust_forge as forge

from _rocket.errors import FetchError, NotFound, RocketError, TrustError, UsageError
from _rocket.fetch.options import FetchOptions
from _rocket.host import offered_keys
from _rocket.record import replace
from _rocket.trust.keyring import Keyring

OWNER, OTHER = forge.Key(1), forge.Key(3)
PRINT, PREFIX, DAY = OWNER.fingerprint, "example.com/shop", 86400
ARMORED = forge.key_file(forge.certificate(OWNER))


@pytest.fixture
def options(site, authority):
    return FetchOptions(ca_file=authority.file, connect_to=site.connect_to(), backoff=0.01, deadline=30, attempts=1)


@pytest.fixture
def offer(site):
    """Let the site of the prefix offer keys: each an armored key, or None for one that is not there."""

    def publish(*keys, url="https://example.com"):
        for number, content in enumerate(keys):
            if content is not None:
                site.pages[f"/{number}.asc"] = content
        named = tuple(f"{PREFIX} {url}/{number}.asc" for number in range(len(keys)))
        site.pages["/shop?ac-discovery=1"] = discovery_page(keys=named)

    return publish


@pytest.fixture
def planned(paths, options):
    def plan(fingerprint=PRINT, prefix=PREFIX, **changes):
        return offered_keys.plan_discovered(Keyring(paths), fingerprint, prefix, replace(options, **changes))

    return plan


def test_the_pinned_key_of_several_is_taken_and_planning_writes_nothing(offer, planned, paths, site):
    offer(forge.key_file(forge.certificate(OTHER)), b"a login page", None, ARMORED, forge.key_file(forge.certificate(forge.Key(4))))
    plan = planned()
    assert plan.changed and plan.after["fingerprint"] == PRINT and plan.after["prefix"] == PREFIX
    assert not os.path.exists(paths.local) and "/4.asc" not in site.asked(), "the rest is not asked for"
    Keyring(paths).apply(plan)
    asked = len(site.requests)
    again = planned(PRINT.upper())
    assert not again.changed and again.before == again.after == plan.after
    assert len(site.requests) == asked, "what is trusted needs no site"


def test_none_that_fits_is_told_with_what_was_offered(offer, planned, paths):
    offer(forge.key_file(forge.certificate(OTHER)), b"a login page", None)
    with pytest.raises(TrustError) as caught:
        planned()
    text = str(caught.value)
    assert caught.value.code == "key-mismatch" and PRINT in text and OTHER.fingerprint in text
    assert "https://example.com/1.asc (key-malformed)" in text and "1 more could not be had" in text and "/2.asc" in text
    assert not os.path.exists(paths.local)


def test_a_key_beside_the_pinned_one_in_its_file_is_refused(offer, planned):
    both = forge.certificate(OWNER) + forge.certificate(OTHER)
    offer(forge.key_file(both))
    with pytest.raises(TrustError):
        planned()


def test_a_key_below_another_prefix_is_not_the_prefixs(site, planned):
    site.pages["/0.asc"] = ARMORED
    site.pages["/shop?ac-discovery=1"] = discovery_page(keys=("example.com/sho https://example.com/0.asc",))
    site.pages["/?ac-discovery=1"] = discovery_page(keys=("example.com/shop2 https://example.com/0.asc",))
    with pytest.raises(FetchError):
        planned()
    assert "/0.asc" not in site.asked()


def test_keys_do_not_come_by_http(offer, planned, paths, authority):
    """Both ways in: a page over http, and a page over https that names a key over http."""
    plain = Site(None)
    try:
        plain.pages["/0.asc"] = ARMORED
        plain.pages["/shop?ac-discovery=1"] = discovery_page(keys=(f"{PREFIX} http://example.com/0.asc",))
        with pytest.raises(FetchError):
            planned(connect_to=plain.connect_to())
        offer(ARMORED, url="http://example.com")
        with pytest.raises(RocketError):
            planned()
        assert plain.requests == [] and not os.path.exists(paths.local)
    finally:
        plain.close()


def test_an_expired_copy_is_asked_for_anew_and_a_masked_one_too(offer, planned, paths):
    ended = forge.key_file(forge.certificate(OWNER, hashed=(forge.flags(3), forge.key_expires(DAY))))
    place = f"{paths.local}/trustedkeys/prefix.d/{PREFIX}"
    os.makedirs(place)
    offer(forge.key_file(forge.certificate(OWNER, created=forge.SIGNED + 1)))
    for stored, reason in ((ended, "the stored copy differs"), (b"", f"masked for {PREFIX}"), (b"junk", "the stored copy is refused")):
        with open(f"{place}/{PRINT}", "wb") as file:
            file.write(stored)
        (step,) = planned().steps
        assert step.reason.startswith(reason)


def test_without_a_prefix_there_is_no_site_and_a_part_of_a_fingerprint_picks_nothing(offer, planned, site):
    offer(ARMORED)
    for words in ({"prefix": None}, {"fingerprint": PRINT[-16:]}, {"prefix": f"{PREFIX}/*"}):
        with pytest.raises(UsageError):
            planned(**words)
    assert site.requests == []


def test_a_site_without_keys_and_one_with_too_many(offer, planned, site):
    site.publish(b"x", PREFIX)
    with pytest.raises(NotFound, match="names no keys"):
        planned()
    offer(*[ARMORED] * (offered_keys.MOST + 1))
    asked = len(site.requests)
    with pytest.raises(FetchError, match="more than 32"):
        planned()
    assert len(site.requests) == asked + 1
