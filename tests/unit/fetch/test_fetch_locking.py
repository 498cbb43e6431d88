# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A lock is made of what a fetch brings, keeps what it has, and is what hosts keep to: that image, or an error that says what drifted."""

from __future__ import annotations

import pytest
from fetch_site import archive, discovery_page, signed
from oci_images import Image
from oci_registry import LOWER, REFERENCE, UPPER, push

from _rocket.errors import FetchError, NotFound, TrustError, UsageError
from _rocket.fetch.locking import Locking
from _rocket.record import replace
from _rocket.spec.lock import Lock, changes
from _rocket.store.locked import LockedImages
from _rocket.store.store import Store

AMD64, ARM64 = "linux/amd64", "linux/aarch64"


@pytest.fixture
def lock(store, verifier, options):
    """Make a lock of references; named values change the options."""

    def make(*references, platforms=(AMD64,), kept=None, **changed):
        return Locking(store, verifier, replace(options, **changed)).resolve(references, platforms, kept)

    return make


@pytest.fixture
def elsewhere(paths, verifier, options, tmp_path):
    """Fetchers of a host of its own."""
    from _rocket.fetch.fetcher import Fetcher

    other = Store(replace(paths, data=str(tmp_path / "elsewhere")))

    def make(**changed):
        return Fetcher(other, verifier, replace(options, platform=AMD64, **changed))

    make.store = other
    return make


def entries(lock):
    return {(image.reference, image.platform): image for image in lock.images}


def test_everything_that_a_host_needs_stands_in_it(serve, lock):
    base, _data = serve("b")
    identity = {"imageName": "example.com/c", "imageID": serve("c")[0]}
    top, data = serve("a", "b", identity)
    made = lock("example.com/a:1.0", f"sha512-{'0' * 128}", "example.com/a,version=1.0")
    assert Lock.from_json(made.to_json()) == made
    found = entries(made)
    assert sorted(reference for reference, _platform in found) == sorted(["example.com/a:1.0", "example.com/b", identity["imageID"]])
    image = found["example.com/a:1.0", ""]
    assert (image.image_id, image.name, image.labels, image.size) == (top, "example.com/a", (("version", "1.0"),), len(data))
    assert image.signed_by and image.digest == "" and image.dependencies == ("example.com/b", identity["imageID"])
    assert found["example.com/b", ""].image_id == base


def test_a_dependency_that_is_named_by_its_image_id_is_locked_under_it(serve, lock, elsewhere):
    serve("a", {"imageName": "example.com/b", "imageID": serve("b")[0]})
    made = lock("example.com/a")
    assert len(elsewhere(lock=made).get("example.com/a").dependencies) == 1
    assert not elsewhere(lock=made).plan("example.com/a").changed


def test_what_is_locked_stays_and_nobody_is_asked(serve, site, lock):
    serve("b")
    serve("a", "b")
    serve("c")
    first = lock("example.com/a", "example.com/c")
    serve("b", version="2.0")
    serve("a", "b", version="2.0")
    asked = len(site.requests)
    assert lock("example.com/a", "example.com/c", kept=first) == first
    assert entries(lock("example.com/a", kept=first)).keys() == {("example.com/a", ""), ("example.com/b", "")}, "what nobody needs goes"
    assert len(site.requests) == asked
    second = lock("example.com/a", "example.com/c")
    assert [change.reference for change in changes(first, second)] == ["example.com/a", "example.com/b"]
    assert all(change.drifted for change in changes(first, second))


def test_what_is_new_stands_on_what_is_locked(serve, lock):
    serve("b")
    serve("a", "b")
    first = lock("example.com/a")
    serve("d")
    serve("b", "d", version="2.0")
    serve("c", "b")
    both = entries(lock("example.com/a", "example.com/c", kept=first))
    assert both["example.com/b", ""] == entries(first)["example.com/b", ""]
    assert sorted(reference for reference, _platform in both) == ["example.com/a", "example.com/b", "example.com/c"], "d is not needed"


def test_what_is_locked_without_something_that_it_needs_is_locked_anew_as_a_whole(serve, lock):
    serve("b")
    serve("a", "b")
    first = lock("example.com/a")
    serve("b", version="2.0")
    serve("a", "b", version="2.0")
    # For all platforms, but what it depends on for one alone.
    holed = Lock(tuple(replace(image, platform=AMD64) if image.reference == "example.com/b" else image for image in first.images))
    assert lock("example.com/a", platforms=(AMD64,), kept=holed).images == first.images
    other = entries(lock("example.com/a", platforms=(ARM64,), kept=holed))
    assert {image.labels for image in other.values()} == {(("version", "2.0"),)}


@pytest.fixture
def partly(serve, lock, elsewhere):
    """A host under a lock by which an image needs a signature and what it depends on does not; what is locked is there."""
    serve("b")
    serve("a", "b")
    made = lock("example.com/a")
    without = Lock(tuple(replace(image, signed_by=()) if image.reference == "example.com/b" else image for image in made.images))
    host = elsewhere(lock=without)
    host.get("example.com/a")
    host.lock = without
    return host


def test_each_image_is_held_to_its_own_entry(partly, elsewhere):
    assert {record.name: record.verdict.kind for record in elsewhere.store.images()} == {
        "example.com/a": "signed",
        "example.com/b": "pinned",
    }
    assert not partly.plan("example.com/a").changed and partly.get("example.com/a").dependencies == ()


def test_what_is_damaged_or_let_in_without_reason_is_seen_under_a_lock(partly, elsewhere, paths):
    (base,) = (image for image in partly.lock.images if image.reference == "example.com/b")
    with open(f"{elsewhere.store.paths.images}/{base.image_id}/aci", "ab") as file:
        file.write(b"x")
    assert "damaged" in partly.plan("example.com/a").steps[0].reason
    elsewhere.store.remove(base.image_id)
    elsewhere(insecure=("image",)).get("example.com/b")
    assert "without a signature" in partly.plan("example.com/a").steps[0].reason
    assert len(partly.get("example.com/a").dependencies) in (0, 1) and not partly.plan("example.com/a").changed


def test_a_lock_that_lacks_a_dependency_is_an_error_before_anything_is_done(partly, elsewhere):
    (top,) = (image for image in partly.lock.images if image.reference == "example.com/a")
    with pytest.raises(NotFound) as caught:
        elsewhere(lock=Lock((top,))).plan("example.com/a")
    assert caught.value.code == "not-locked"


def test_an_image_id_beside_the_lock_has_to_be_the_same(serve, lock, elsewhere, site):
    top, _data = serve("a")
    made = lock("example.com/a")
    asked = len(site.requests)
    with pytest.raises(UsageError, match="the lock says"):
        elsewhere(lock=made, expected_id=f"sha512-{'0' * 128}").get("example.com/a")
    assert len(site.requests) == asked and elsewhere(lock=made, expected_id=top).get("example.com/a").record.id == top


def test_a_host_takes_the_locked_images_and_no_others(serve, lock, elsewhere, site):
    serve("b")
    serve("a", "b")
    made = lock("example.com/a")
    got = elsewhere(lock=made).get("example.com/a")
    assert {each.record.id for each in (got, *got.dependencies)} == {image.image_id for image in made.images}
    assert {record.verdict.kind for record in elsewhere.store.images()} == {"signed"}
    assert LockedImages(elsewhere.store, made, AMD64).made_of(got.record) == (made.images[1].image_id, made.images[0].image_id)
    asked = len(site.requests)
    assert not elsewhere(lock=made).plan("example.com/a", "latest").changed and len(site.requests) == asked
    with pytest.raises(NotFound, match="not in the lock") as caught:
        elsewhere(lock=made).get("example.com/c")
    assert caught.value.code == "not-locked" and len(site.requests) == asked


@pytest.mark.parametrize("letter", ["a", "b"])
def test_what_drifted_is_refused_by_name(serve, lock, elsewhere, letter):
    serve("b")
    serve("a", "b")
    made = lock("example.com/a")
    needs = ("b",) if letter == "a" else ()
    serve(letter, *needs, version="2.0")
    with pytest.raises(FetchError) as caught:
        elsewhere(lock=made).get("example.com/a")
    error = caught.value
    assert error.code == "digest-mismatch" and "drifted from the lock" in error.what and "rocket lock" in error.hint
    assert f"example.com/{letter}" in error.where
    assert elsewhere.store.ids() == []


def test_a_newer_image_of_the_store_is_not_the_locked_one(serve, lock, elsewhere):
    _old, old = serve("b")
    serve("a", "b")
    made = lock("example.com/a")
    newer, data = serve("b", version="2.0")
    elsewhere().get("example.com/a")
    assert elsewhere.store.resolve("example.com/b").id == newer
    plan = elsewhere(lock=made).plan("example.com/a")
    assert plan.changed, "what it is locked to stand on is not here"
    with pytest.raises(FetchError, match="drifted"):
        elsewhere(lock=made).get("example.com/a")
    serve("b")
    assert elsewhere(lock=made).get("example.com/a").dependencies[0].record.id == entries(made)["example.com/b", ""].image_id
    assert not elsewhere(lock=made).plan("example.com/a").changed and data != old


def test_a_signature_is_still_needed_for_what_was_signed(serve, lock, elsewhere, site):
    _top, data = serve("a")
    made = lock("example.com/a")
    site.publish(data, "example.com/a", "/images/a.aci", signature=b"no")
    with pytest.raises(TrustError):
        elsewhere(lock=made).get("example.com/a")
    # The same image, pinned on this host: a lock of a signed image is not content with it.
    elsewhere(expected_id=made.images[0].image_id).get("example.com/a")
    assert elsewhere(lock=made).plan("example.com/a").changed
    with pytest.raises(TrustError):
        elsewhere(lock=made).get("example.com/a")
    site.publish(data, "example.com/a", "/images/a.aci", signature=signed(data))
    assert elsewhere(lock=made).get("example.com/a").record.verdict.kind == "signed"


def test_an_image_without_a_signature_is_pinned_by_the_lock_where_it_was_let_in_by_name(serve, lock, elsewhere, site):
    serve("b", signature=b"no")
    serve("a", "b")
    with pytest.raises(TrustError) as caught:
        lock("example.com/a")
    assert "example.com/a: dependencies[0]" in caught.value.where
    made = lock("example.com/a", insecure=("image",))
    found = elsewhere(lock=made)
    got = found.get("example.com/a")
    assert [record.verdict.kind for record in elsewhere.store.images()] == ["pinned", "pinned"], (
        "nobody looked at signatures when it was locked"
    )
    assert not found.plan("example.com/a").changed and found.get("example.com/a").record == got.record


def test_what_was_pinned_where_the_lock_is_made_counts_for_less_than_a_signature(serve, lock, fetcher, site):
    top, data = serve("a", signature=b"no")
    fetcher(expected_id=top).get("example.com/a")
    with pytest.raises(TrustError):
        lock("example.com/a")
    site.publish(data, "example.com/a", "/images/a.aci")
    assert lock("example.com/a").images[0].signed_by


def platforms(site, *arches, name="example.com/app"):
    """Publish an image for each arch; return the archives."""
    made = {arch: archive(name, {"rootfs/arch": arch.encode()}, (("version", "1.0"), ("os", "linux"), ("arch", arch))) for arch in arches}
    site.pages["/app?ac-discovery=1"] = discovery_page(f"{name} https://example.com/{{os}}-{{arch}}.{{ext}}")
    for arch, data in made.items():
        site.pages[f"/linux-{arch}.aci"], site.pages[f"/linux-{arch}.aci.asc"] = data, signed(data)
    return made


def test_a_reference_means_another_image_on_another_platform(site, lock):
    platforms(site, "amd64", "aarch64")
    made = lock("example.com/app", platforms=(AMD64, ARM64))
    assert [(image.platform, dict(image.labels)["arch"]) for image in made.images] == [(ARM64, "aarch64"), (AMD64, "amd64")]
    assert made.images[0].image_id != made.images[1].image_id
    one = lock("example.com/app", platforms=(ARM64,), kept=made)
    assert one.images == made.images[:1]
    asked = len(site.requests)
    assert lock("example.com/app", platforms=(AMD64, ARM64), kept=made) == made and len(site.requests) == asked
    assert lock("example.com/app", platforms=(AMD64, ARM64), kept=one) == made


def test_what_one_platform_alone_depends_on_is_locked_for_it_alone(site, serve, lock):
    serve("b")
    data = platforms(site, "amd64", "aarch64")["aarch64"]
    site.pages["/linux-aarch64.aci"] = data = archive(
        "example.com/app", {}, (("version", "1.0"), ("os", "linux"), ("arch", "aarch64")), dependencies=[{"imageName": "example.com/b"}]
    )
    site.pages["/linux-aarch64.aci.asc"] = signed(data)
    made = lock("example.com/app", platforms=(AMD64, ARM64))
    assert entries(made).keys() == {("example.com/app", AMD64), ("example.com/app", ARM64), ("example.com/b", ARM64)}
    for_all = Lock(tuple(replace(image, platform="") if image.reference == "example.com/b" else image for image in made.images))
    assert lock("example.com/app", platforms=(AMD64, ARM64), kept=for_all) == made


def test_what_is_there_for_one_platform_alone_is_an_error_that_names_the_other(site, lock):
    platforms(site, "amd64")
    with pytest.raises(TrustError, match="not signed") as caught:
        lock("example.com/app", platforms=(AMD64, ARM64))
    assert caught.value.where.startswith("example.com/app for linux/aarch64")


def test_an_image_for_every_platform_has_one_entry(serve, lock):
    serve("a")
    assert [image.platform for image in lock("example.com/a", platforms=(AMD64, ARM64)).images] == [""]


def test_an_image_of_a_registry_is_locked_by_its_digest_and_stays_when_its_tag_moves(site, lock, elsewhere):
    image = push(site, Image(LOWER, UPPER))
    made = lock(REFERENCE)
    (entry,) = made.images
    assert (entry.reference, entry.digest, entry.signed_by) == (REFERENCE, image.digest, ())
    push(site, Image(LOWER))
    got = elsewhere(lock=made).get(REFERENCE)
    assert got.record.id == entry.image_id and got.record.verdict.kind == "pinned"
    assert elsewhere.store.resolve(REFERENCE).id == entry.image_id
    asked = len(site.requests)
    assert not elsewhere(lock=made).plan(REFERENCE, "latest").changed and elsewhere(lock=made).get(REFERENCE).place == "store"
    assert len(site.requests) == asked, "what is locked and there is not asked for"
    with pytest.raises(TrustError):
        elsewhere(pull_policy="update").get(REFERENCE)
    assert lock(REFERENCE, kept=made) == made
    assert changes(made, lock(REFERENCE))[0].drifted


def test_what_nobody_vouches_for_is_not_run_where_the_lock_was_made(site, lock, store):
    push(site, Image(LOWER, UPPER))
    lock(REFERENCE)
    assert store.resolve(REFERENCE).verdict.kind == "insecure"


@pytest.mark.parametrize("letter", ["a", "b"])
def test_what_is_in_the_store_is_held_against_the_trust_of_today(serve, store, verifier, options, fetcher, letter):
    serve("b")
    serve("a", "b")
    fetcher().get("example.com/a")

    def standing(verdict, name):
        if name == f"example.com/{letter}":
            raise TrustError(f"{verdict.signers[0].fingerprint} is not trusted any more", where=name)

    with pytest.raises(TrustError, match="any more") as caught:
        Locking(store, verifier, options, standing=standing).resolve(["example.com/a"], [AMD64])
    assert "example.com/a" in caught.value.where
