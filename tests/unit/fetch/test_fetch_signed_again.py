# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""An image of the store whose signers are trusted no longer: its new signature is fetched, not the image."""

from __future__ import annotations

import hashlib
import os
import pathlib

import pytest
from fetch_site import archive, signed

from _rocket.errors import NotFound, TrustError

NAME, IMAGE, SIGNATURE = "example.com/app", "/images/app.aci", "/images/app.aci.asc"
OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def rotated(site, fetcher, verifier, paths):
    """An image that was fetched by the old key, which is trusted no longer; the site has it signed by the new one."""
    site.publish(archive())
    record = fetcher().fetch(NAME)
    assert [one.fingerprint for one in record.verdict.signers] == [OLD]
    verifier.signer, verifier.distrusted = NEW, {OLD}
    # What the fake verifier takes is the digest; white space makes another file of it.
    site.pages[SIGNATURE] = signed(site.pages[IMAGE])
    site.requests.clear()
    # The fake takes what fits for the work of whoever signs now; this is what the old key made.
    (pathlib.Path(paths.images) / record.id / "aci.asc").write_bytes(b"the old one")
    return record


def signers(record):
    return [one.fingerprint for one in record.verdict.signers]


@pytest.mark.parametrize("policy", ["new", "update"])
def test_only_the_signature_is_fetched(site, fetcher, store, paths, rotated, policy):
    assert fetcher().plan(NAME).steps[0].reason.startswith("no signer is trusted for it today")
    before = os.lstat(f"{paths.images}/{rotated.id}/aci")
    (pathlib.Path(paths.images) / rotated.id / "aci.asc").write_bytes(b"the old one")
    fetched = fetcher(pull_policy=policy).get(NAME)
    assert (fetched.place, fetched.record.id, signers(fetched.record)) == ("store", rotated.id, [NEW])
    asked = [path for path in site.asked() if path != "/app?ac-discovery=1"]
    assert asked == [SIGNATURE]
    assert site.asked("HEAD") == {"new": [], "update": [IMAGE]}[policy], "with update, whether the image is the same"
    assert 0 < fetched.transferred < 1000
    after = os.lstat(f"{paths.images}/{rotated.id}/aci")
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (pathlib.Path(paths.images) / rotated.id / "aci.asc").read_bytes() == site.pages[SIGNATURE]
    assert signers(store.find_id(rotated.id)) == [NEW] and store.find_id(rotated.id).etag == rotated.etag
    site.requests.clear()
    assert not fetcher().plan(NAME).changed and fetcher().get(NAME).record == fetched.record and site.requests == []


def test_where_nobody_signed_anew_it_stays_as_it_was(site, fetcher, store, verifier, rotated):
    verifier.signer = OLD
    for policy in ("new", "update"):
        with pytest.raises(TrustError) as caught:
            fetcher(pull_policy=policy).get(NAME)
        assert caught.value.code == "signer-unknown"
    assert site.asked().count(IMAGE) == 0, "whatever the image is, this signature is no good"
    assert store.find_id(rotated.id) == rotated


def test_another_image_under_the_name_is_fetched(site, fetcher, rotated):
    site.publish(archive(files={"rootfs/hello": b"new\n"}), signature=None)
    fetched = fetcher().get(NAME)
    assert fetched.place == "network" and fetched.record.id != rotated.id and signers(fetched.record) == [NEW]


def test_a_damaged_image_is_fetched(site, fetcher, paths, rotated):
    blob = pathlib.Path(paths.images) / rotated.id / "aci"
    content = bytearray(blob.read_bytes())
    content[-9] ^= 1
    blob.write_bytes(bytes(content))
    # As if the signature were one of what lies there: who can sign that is trusted, but it is not what was recorded.
    site.pages[SIGNATURE] = signed(bytes(content))
    with pytest.raises(TrustError):
        fetcher().get(NAME)
    assert site.asked().count(IMAGE) == 1
    site.pages[SIGNATURE] = signed(site.pages[IMAGE])
    fetched = fetcher().get(NAME)
    assert fetched.place == "network" and hashlib.sha512(blob.read_bytes()).digest() == hashlib.sha512(site.pages[IMAGE]).digest()


def test_without_the_network_it_says_what_is_wrong(site, fetcher, store, rotated):
    with pytest.raises(NotFound, match=r"does not do as it is here \(no signer is trusted for it today"):
        fetcher(pull_policy="never").get(NAME)
    assert site.requests == []
    # An image ID alone has no place where another signature could be.
    assert fetcher().plan(rotated.id).changed
    with pytest.raises(NotFound, match="in the store and does not do: no signer is trusted") as caught:
        fetcher().get(rotated.id)
    assert caught.value.hint == f"fetch it by its name, {rotated.name}, where its signature can be had"
    assert store.find_id(rotated.id) == rotated


def test_what_it_depends_on_is_signed_again_too(site, fetcher, serve, store, verifier):
    base, _data = serve("b")
    serve("a", {"imageName": "example.com/b", "imageID": base})
    fetcher().fetch("example.com/a")
    verifier.signer, verifier.distrusted = NEW, {OLD}
    site.requests.clear()
    assert fetcher().plan("example.com/a").changed
    fetcher().get("example.com/a")
    assert len(store.images()) == 2 and all(signers(record) == [NEW] for record in store.images())
    assert [path for path in site.asked() if path.endswith(".aci")] == []


def test_of_two_images_of_a_name_the_one_that_is_depended_on_is_signed_again(site, fetcher, serve, store, verifier):
    base, data = serve("b")
    serve("a", {"imageName": "example.com/b", "imageID": base})
    fetcher().fetch("example.com/a")
    other, _data = serve("b", version="2.0")
    fetcher(pull_policy="update").fetch("example.com/b")
    site.publish(data, "example.com/b", "/images/b.aci")
    verifier.signer, verifier.distrusted = NEW, {OLD}
    site.requests.clear()
    fetcher().get("example.com/a")
    assert signers(store.find_id(base)) == [NEW] and signers(store.find_id(other)) == [OLD]
    assert [path for path in site.asked() if path.endswith(".aci")] == []


def test_an_image_that_is_pinned_beside_its_signature(site, fetcher, rotated):
    fetched = fetcher(expected_id=rotated.id, signed=True).get(NAME)
    assert signers(fetched.record) == [NEW] and IMAGE not in site.asked()


def test_an_image_that_is_pinned_instead_of_signed_needs_nobody(site, fetcher, rotated):
    fetched = fetcher(expected_id=rotated.id).get(NAME)
    assert fetched.record.verdict.kind == "pinned" and site.requests == []


def test_a_file_is_signed_again_by_what_lies_beside_it(fetcher, verifier, store, tmp_path):
    data = archive()
    (tmp_path / "app.aci").write_bytes(data)
    (tmp_path / "app.aci.asc").write_bytes(signed(data))
    record = fetcher().fetch(f"{tmp_path}/app.aci")
    verifier.signer, verifier.distrusted = NEW, {OLD}
    assert fetcher().plan(f"{tmp_path}/app.aci").changed
    assert signers(fetcher().get(f"{tmp_path}/app.aci").record) == [NEW]
    assert store.find_id(record.id).imported_at == record.imported_at


def test_a_key_that_ended_since_then_and_a_source_that_has_the_same_file(site, fetcher, verifier, rotated, monkeypatch):
    """The signer still stands for what runs, and the stored signature does not do for a fetch: the new one does."""
    verifier.distrusted = set()
    real = verifier.verify
    answers = iter([TrustError("the key expired", code="key-expired"), None])

    def ended(fd, signature, name):
        error = next(answers)
        if error is not None:
            raise error
        return real(fd, signature, name)

    monkeypatch.setattr(verifier, "verify", ended)
    assert signers(fetcher(pull_policy="update").get(NAME).record) == [NEW]
    assert site.asked().count(SIGNATURE) == 1


def test_a_kill_between_signature_and_verdict_is_healed_by_the_next_fetch(site, fetcher, store, rotated, monkeypatch):
    from _rocket.store import store as module

    real = module.write_atomic

    def killed(path, content, *mode):
        if path.endswith("record.json"):
            raise KeyboardInterrupt
        real(path, content, *mode)

    monkeypatch.setattr(module, "write_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        fetcher().get(NAME)
    monkeypatch.undo()
    assert store.find_id(rotated.id) == rotated
    assert signers(fetcher().get(NAME).record) == [NEW]
