# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Under a lock file every reference and every dependency means the image that the lock names."""

from __future__ import annotations

import pytest

from _rocket.errors import NotFound, StoreError
from _rocket.spec.lock import Lock, Locked
from _rocket.store.locked import LockedImages

NOWHERE = "sha512-" + "0" * 128


@pytest.fixture
def fleet(store, imports):
    """Two versions of a dependency and of what needs it; the older of each is locked."""
    base = imports(name="example.com/base", version="1.0")
    web = imports(name="example.com/web", version="1.0", dependencies=[{"imageName": "example.com/base"}])
    newer = imports(name="example.com/base", version="2.0")
    imports(name="example.com/web", version="2.0", dependencies=[{"imageName": "example.com/base"}])
    lock = Lock((Locked("example.com/base", base.id, "example.com/base"), Locked("example.com/web", web.id, "example.com/web")))
    return base, web, newer, lock


def test_references_and_dependencies_are_those_of_the_lock(store, fleet):
    base, web, newer, lock = fleet
    assert store.resolve("example.com/web").id != web.id and store.made_of(web) == (newer.id, web.id)
    images = LockedImages(store, lock, "linux/amd64")
    assert images.resolve("example.com/web") == web
    assert images.made_of(web) == (base.id, web.id) and images.made_of(base) == (base.id,)
    assert images.resolve(newer.id[:30]) == newer, "an image ID means itself"


def test_what_is_not_locked_is_refused_and_named(store, fleet):
    _base, web, _newer, lock = fleet
    with pytest.raises(NotFound, match="nothing else is taken") as caught:
        LockedImages(store, lock, "linux/amd64").resolve("example.com/web:2.0")
    assert (caught.value.code, caught.value.where) == ("not-locked", "example.com/web:2.0")
    alone = LockedImages(store, Lock((lock.images[1],)), "linux/amd64")
    with pytest.raises(NotFound) as caught:
        alone.made_of(web)
    assert caught.value.code == "not-locked" and caught.value.where == "example.com/web: dependencies[0]: example.com/base"


def test_a_locked_image_that_is_not_here_is_named_by_its_reference(store, fleet):
    lock = Lock((Locked("example.com/web", NOWHERE, "example.com/web"),))
    with pytest.raises(NotFound, match=f"is locked to {NOWHERE}, which is not in the store") as caught:
        LockedImages(store, lock, "linux/amd64").resolve("example.com/web")
    assert caught.value.where == "example.com/web" and caught.value.code == "not-found"


def test_a_lock_cannot_make_a_dependency_another_image(store, fleet):
    """The manifest says what it is; the lock only says which one of those."""
    _base, web, _newer, _lock = fleet
    lock = Lock((Locked("example.com/base", web.id, "example.com/web"),))
    with pytest.raises(StoreError, match="D1"):
        LockedImages(store, lock, "linux/amd64").made_of(web)
