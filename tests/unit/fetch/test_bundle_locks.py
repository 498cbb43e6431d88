# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Images out of a bundle under a lock file: each is held to its own entry."""

from __future__ import annotations

import pytest
from bundle_parts import APP, BASE, NAMES, made, part

from _rocket.errors import NotFound, TrustError
from _rocket.fetch import bundled
from _rocket.spec.lock import Lock, Locked


@pytest.fixture
def write(bundle_host):
    return bundle_host.write


@pytest.fixture
def fetch(bundle_host):
    return bundle_host.fetch


@pytest.fixture
def plan(bundle_host):
    return bundle_host.plan


def locked(*entries):
    """Return a lock; an entry is a part and the keys that signed it."""
    return Lock(
        tuple(
            Locked(f"{each.said['name']}", each.said["id"], each.said["name"], signed_by=keys, platform=platform)
            for each, keys, platform in entries
        )
    )


SIGNED = ("a" * 40,)


def test_under_a_lock_nothing_else_is_taken(write, fetch, plan, nothing_published, store):
    reference = write(BASE, APP)
    for run in (fetch, plan):
        for lock in (locked((APP, SIGNED, "")), locked((BASE, SIGNED, "")), locked((BASE, SIGNED, ""), (APP, SIGNED, "linux/mips"))):
            with pytest.raises(NotFound) as caught:
                run(reference, lock=lock)
            assert caught.value.code == "not-locked"
    nothing_published()
    lock = locked((BASE, SIGNED, ""), (APP, SIGNED, ""))
    fetch(reference, lock=lock)
    assert {record.verdict.kind for record in store.images()} == {"signed"} and not plan(reference, lock=lock).changed


def test_a_lock_takes_the_place_of_a_signature_only_where_there_was_none(write, fetch, store, nothing_published):
    base, app = part("b", signature=b""), part("a", "b", named=True, signature=b"")
    reference = write(base, app)
    for lock in (locked((base, SIGNED, ""), (app, (), "")), locked((base, (), ""), (app, SIGNED, ""))):
        with pytest.raises(TrustError, match="not signed"):
            fetch(reference, lock=lock)
    twice = Lock((*locked((base, (), ""), (app, (), "")).images, Locked("example.com/a:1.0", app.said["id"], NAMES["a"], signed_by=SIGNED)))
    with pytest.raises(TrustError, match="not signed"):
        fetch(reference, lock=twice)
    nothing_published()
    fetch(reference, lock=locked((base, (), ""), (app, (), "")))
    assert {record.verdict.kind for record in store.images()} == {"pinned"}


def test_a_locked_image_that_was_signed_is_verified_though_its_id_fits(write, fetch, nothing_published):
    app = part("a", named=True, signature=b"signature of a stranger")
    with pytest.raises(TrustError) as caught:
        fetch(write(app), lock=locked((app, SIGNED, "")))
    assert caught.value.code == "signature-bad"
    nothing_published()


def test_a_dependency_that_a_manifest_names_by_image_id_is_locked_under_it(write, fetch, plan, store):
    base = BASE.said["id"]
    app = part("a", {"imageName": NAMES["b"], "imageID": base}, named=True)
    own = Locked("example.com/a", app.said["id"], NAMES["a"], signed_by=SIGNED, dependencies=(base,))
    lock = Lock((own, Locked(base, base, NAMES["b"], signed_by=SIGNED)))
    reference = write(BASE, app)
    fetch(reference, lock=lock)
    assert len(store.ids()) == 2 and not plan(reference, lock=lock).changed


def test_under_a_lock_a_dependency_means_what_it_is_locked_to(write, fetch, monkeypatch):
    """The bundle has a newer one of the name too; the reference of the manifest is locked to the other one."""
    newer = part("b", data=made("b", labels=(("version", "2.0"),)), labels={"version": "2.0"})
    app = part("a", "b", named=True)
    entries = locked((BASE, SIGNED, ""), (app, SIGNED, "")).images
    lock = Lock((*entries, Locked("example.com/b:2.0", newer.said["id"], NAMES["b"], signed_by=SIGNED)))
    asked = []
    real = bundled.check_closure

    def watched(store_, verifier, options, images):
        from _rocket.fetch import bundle_closure

        closure = bundle_closure._Closure(store_, verifier, options, images)
        asked.extend(closure.choose(dependency, "x").id for image in images for dependency in image.manifest.dependencies)
        real(store_, verifier, options, images)

    monkeypatch.setattr(bundled, "check_closure", watched)
    fetch(write(BASE, newer, app), lock=lock)
    fetch(write(BASE, newer, app))
    assert asked == [BASE.said["id"], newer.said["id"]], "without a lock the last of the bundle, which is the newest"
