# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Layers of a registry that were cut are gone on with, by the same fetch and by the next one, and never taken for what they are not."""

from __future__ import annotations

import os

import pytest
from fetch_site import FakeVerifier, random_bytes
from oci_images import END, Image
from oci_registry import LOWER, REFERENCE, REPOSITORY, guard, push
from ranged_content import Ranged

from _rocket.errors import FetchError
from _rocket.fetch.fetcher import Fetcher
from _rocket.record import replace
from _rocket.store.blobs import Blobs
from _rocket.store.partial import Origin

from image_archives import file  # isort: skip


class Layer:
    """A large layer of an image, on a page that knows ranges."""

    def __init__(self, site, image, cuts=()):
        self.digest = image.manifest["layers"][-1]["digest"]
        self.content = image.blobs[self.digest]
        self.path = f"{REPOSITORY}/blobs/{self.digest}"
        self.url = f"https://example.com{self.path}"
        self.page = Ranged(self.content, cuts)
        site.pages[self.path] = self.page


@pytest.fixture
def image(site):
    return push(site, Image(LOWER, file(b"large", random_bytes(300_000)) + END))


def pinned(image):
    return f"{REFERENCE}@{image.digest}"


def left(store, layer):
    """Leave what a fetch that was killed would leave."""
    partial = store.partial(layer.url)
    os.write(partial.fd, layer.content[:200_000])
    partial.remember(Origin(layer.url, "https://example.com:443", layer.page.tag, len(layer.content)))
    partial.close(keep=True)


def test_a_cut_layer_comes_in_parts(site, image, registry, store, paths):
    layer = Layer(site, image, cuts=(100_000, 220_000))
    record = registry.fetch(pinned(image))
    assert [start for start, _count in layer.page.served] == [0, 100_000, 220_000]
    assert sorted(os.listdir(store.tree(record.id))) == ["a", "large"] and os.listdir(paths.staging) == []


def test_the_next_fetch_goes_on_with_what_one_that_failed_had(site, image, registry, store, paths):
    layer = Layer(site, image, cuts=(100_000,))
    with pytest.raises(FetchError) as caught:
        registry.fetch(pinned(image), attempts=1)
    assert caught.value.code == "body-truncated" and store.ids() == [] and len(os.listdir(paths.staging)) == 1
    registry.fetch(pinned(image))
    assert [start for start, _count in layer.page.served] == [0, 100_000] and os.listdir(paths.staging) == []


def test_what_a_killed_fetch_left_and_the_rest_of_another_content_start_over(site, image, registry, store, paths):
    layer = Layer(site, image)
    left(store, layer)
    registry.fetch(pinned(image))
    assert [start for start, _count in layer.page.served] == [200_000]
    store.remove(store.ids()[0])
    Blobs(store).discard(layer.digest)
    partial = store.partial(layer.url)
    os.write(partial.fd, b"\0" * 200_000)
    partial.remember(Origin(layer.url, "https://example.com:443", layer.page.tag, len(layer.content)))
    partial.close(keep=True)
    layer.page.served.clear()
    registry.fetch(pinned(image))
    assert [start for start, _count in layer.page.served] == [200_000, 0], "the digest said no"
    assert os.listdir(paths.staging) == []


def test_a_registry_that_lies_is_asked_twice_at_most_and_nothing_stays(site, image, registry, store, nothing_published):
    layer = Layer(site, image)
    left(store, layer)
    layer.page.content = layer.content[:200_000] + b"\0" * (len(layer.content) - 200_000)
    with pytest.raises(FetchError) as caught:
        registry.fetch(pinned(image))
    assert caught.value.code == "digest-mismatch"
    assert [start for start, _count in layer.page.served] == [200_000, 0]
    nothing_published()


def test_a_token_that_is_asked_for_in_between_loses_nothing(site, image, registry, store):
    layer = Layer(site, image)
    left(store, layer)
    pages = dict(site.pages)
    guard(site, "secret")
    # Only the layer wants a token.
    site.pages.update({path: answer for path, answer in pages.items() if path != layer.path})
    registry.fetch(pinned(image))
    assert [start for start, _count in layer.page.served] == [200_000]


def test_progress_counts_what_was_there(site, image, store, options):
    layer = Layer(site, image, cuts=(250_000,))
    left(store, layer)
    told = []
    Fetcher(store, FakeVerifier(), replace(options), lambda done, total: told.append((done, total))).fetch(pinned(image))
    assert told[-1][0] == told[-1][1] and all(done <= total for done, total in told)
    assert [start for start, _count in layer.page.served] == [200_000, 250_000]


def test_what_nobody_has_any_more_is_not_kept(site, image, registry, store, nothing_published):
    layer = Layer(site, image)
    left(store, layer)
    del site.pages[layer.path]
    with pytest.raises(FetchError) as caught:
        registry.fetch(pinned(image))
    assert caught.value.facts["status"] == 404
    nothing_published()
