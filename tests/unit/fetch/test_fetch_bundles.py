# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Images out of a bundle: each is verified as if the network had brought it, none enters without the others, nobody is asked."""

from __future__ import annotations

import errno
import os
import re

import pytest
from bundle_parts import APP, BASE, NAMES, made, part
from bundles import Part, image_id, index, text
from fetch_site import archive, signed

from _rocket.errors import ArchiveError, FetchError, NotFound, RocketError, StoreError, TrustError, UsageError
from _rocket.fetch import bundled
from _rocket.fetch import fetcher as fetching
from _rocket.fetch.options import FetchOptions


@pytest.fixture
def write(bundle_host):
    return bundle_host.write


@pytest.fixture
def fetch(bundle_host):
    return bundle_host.fetch


@pytest.fixture
def plan(bundle_host):
    return bundle_host.plan


def names(store):
    return sorted(record.name[-1] for record in store.images())


def test_all_images_come_each_by_its_own_signature(write, fetch, plan, store, verifier, paths):
    reference = write(BASE, APP)
    before = plan(reference)
    assert [step.subject for step in before.steps] == [f"{NAMES[each]}:1.0 {found.said['id']}" for each, found in (("b", BASE), ("a", APP))]
    assert store.ids() == [] and not os.path.exists(paths.data), "a plan writes nothing"
    verifier.calls.clear()
    got = fetch(reference)
    assert [name for call, name in verifier.calls if call == "verify"] == [NAMES["b"], NAMES["a"]]
    assert (got.record.name, got.place, got.transferred, got.record.source) == (NAMES["a"], "file", 0, reference)
    assert [each.record.name for each in got.dependencies] == [NAMES["b"]] and [each.record for each in got.named] == [got.record]
    assert got.to_json()["images"][0]["image_id"] == got.record.id
    assert {(record.verdict.kind, record.verdict.insecure_options) for record in store.images()} == {("signed", ())}
    for each in (BASE, APP):
        directory = f"{paths.images}/{each.said['id']}"
        assert open(f"{directory}/aci", "rb").read() == each.data and open(f"{directory}/aci.asc", "rb").read() == each.signature
    assert store.tree(got.record.id) and os.listdir(paths.staging) == []


def test_the_same_bundle_again_changes_nothing(write, fetch, plan, store, paths):
    reference = write(BASE, APP)
    fetch(reference)
    seen = [(record.id, record.imported_at, os.stat(f"{paths.images}/{record.id}/record.json").st_ino) for record in store.images()]
    again = fetch(reference)
    assert (again.place, again.dependencies, again.to_json()["from"], again.seconds) == ("store", (), "store", 0.0)
    for state in ("present", "latest"):
        planned = plan(reference, state)
        assert not planned.changed and planned.before == planned.after
    assert seen == [(record.id, record.imported_at, os.stat(f"{paths.images}/{record.id}/record.json").st_ino) for record in store.images()]


def test_what_is_missing_comes_and_the_rest_stays(write, fetch, plan, store):
    reference = write(BASE, APP)
    fetch(reference)
    store.remove(BASE.said["id"])
    assert [(step.subject, step.reason) for step in plan(reference).steps] == [(f"{NAMES['b']}:1.0 {BASE.said['id']}", "not in the store")]
    got = fetch(reference)
    assert got.place == "store" and [each.record.name for each in got.dependencies] == [NAMES["b"]]


def test_a_damaged_image_heals(write, fetch, store, paths):
    reference = write(BASE, APP)
    fetch(reference)
    os.unlink(f"{paths.images}/{BASE.said['id']}/aci")
    fetch(reference)
    store.verify(BASE.said["id"])


OTHER = part("c")
STRANGE = made("a", name="example.org/a")
HOSTILE = {
    "swapped images": ([part("b", data=OTHER.data, id=BASE.said["id"]), APP], FetchError, "name-mismatch"),
    "swapped content": ([part("b", data=made("b", "c"), id=BASE.said["id"]), APP], FetchError, "digest-mismatch"),
    "swapped signatures": (
        [part("b", signature=APP.signature), part("a", "b", named=True, signature=BASE.signature)],
        TrustError,
        "signature-bad",
    ),
    "a signature of another key": ([part("b", signature=b"signature of a stranger"), APP], TrustError, "signature-bad"),
    "a name that nobody signs for": (
        [BASE, Part(STRANGE, "example.org/a", signed(STRANGE))],
        TrustError,
        "signer-unknown",
    ),
    "an image under a trusted name": ([BASE, Part(STRANGE, NAMES["a"], signed(STRANGE))], FetchError, "name-mismatch"),
    "other labels": ([BASE, part("a", "b", named=True, labels={"version": "2.0"})], FetchError, "label-mismatch"),
    "a label less": ([BASE, part("a", "b", named=True, labels={})], FetchError, "label-mismatch"),
    "a label more": ([BASE, part("a", "b", named=True, labels={"version": "1.0", "os": "linux"})], FetchError, "label-mismatch"),
    "an image without a signature": ([BASE, part("a", "b", named=True, signature=b"")], TrustError, "signature-missing"),
    "a dependency without a signature": ([part("b", signature=b""), APP], TrustError, "signature-missing"),
    "a missing dependency": ([APP], NotFound, "not-found"),
    "a dependency of a dependency": ([part("b", "d"), APP], NotFound, "not-found"),
    "another dependency": (
        [part("b"), part("a", {"imageName": NAMES["b"], "imageID": "sha512-" + "0" * 128}, named=True)],
        NotFound,
        "not-found",
    ),
    "a dependency of another size": ([BASE, part("a", {"imageName": NAMES["b"], "size": 1}, named=True)], StoreError, "dependencies"),
    "a circle": ([part("b", "a"), APP], StoreError, "dependencies"),
    "itself": ([part("a", "a", named=True)], StoreError, "dependencies"),
    "what depends stands before": ([APP, BASE], ArchiveError, "archive"),
    "no archive": ([Part(b"<html>" * 100, NAMES["a"], signed(b"<html>" * 100))], FetchError, "not-an-image"),
    "an archive that is no image": (
        [Part(STRANGE[:-40], NAMES["a"], signed(STRANGE[:-40]), id=image_id(STRANGE))],
        ArchiveError,
        "archive",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_of_a_hostile_bundle_is_published(write, fetch, nothing_published, case):
    parts, kind, code = HOSTILE[case]
    with pytest.raises(kind) as caught:
        # What is good comes first: it must not stay.
        fetch(write(OTHER, *parts))
    assert caught.value.code == code and str(caught.value).isprintable()
    nothing_published()


def test_who_needs_what_is_missing_is_named(write, fetch):
    with pytest.raises(NotFound) as caught:
        fetch(write(APP))
    assert str(caught.value) == (
        "example.com/a: dependencies[0]: the dependency example.com/b is neither in the bundle nor in the store; "
        "write a bundle with it, or fetch it first"
    )
    with pytest.raises(StoreError, match=r"example\.com/b -> example\.com/a -> example\.com/b"):
        fetch(write(part("b", "a"), APP))


def test_what_cannot_be_accepted_is_refused_before_anything_is_copied(write, fetch, plan, store, verifier, monkeypatch):
    monkeypatch.setattr(bundled.BundleFile, "copy", lambda *_values: pytest.fail("copied"))
    unsigned = write(BASE, part("a", "b", named=True, signature=b""))
    foreign = Part(STRANGE, "example.org/a", signed(STRANGE))
    for run in (fetch, plan):
        with pytest.raises(TrustError, match="not signed") as caught:
            run(unsigned)
        assert caught.value.code == "signature-missing" and f"{unsigned[7:]}: {NAMES['a']}:1.0" in str(caught.value)
    for run in (fetch, plan):
        with pytest.raises(TrustError, match="no key"):
            run(write(BASE, foreign))
    with pytest.raises(FetchError, match="more than 10 bytes"):
        fetch(write(BASE, APP), image_limit=10)


def test_what_an_image_in_the_store_is_called_is_what_the_store_says(write, fetch, store):
    fetch(write(BASE, APP))
    with pytest.raises(FetchError) as caught:
        fetch(write(BASE, part("a", "b", named=True, labels={"version": "9"})))
    assert caught.value.code == "label-mismatch"


def test_an_option_lets_unsigned_images_in_and_says_so(write, fetch, store):
    fetch(write(part("b", signature=b""), part("a", "b", named=True, signature=b"")), insecure=("image",))
    assert {(record.verdict.kind, record.verdict.insecure_options) for record in store.images()} == {("insecure", ("image",))}


def test_images_stored_without_a_signature_are_replaced_by_signed_ones(write, fetch, plan, store):
    reference = write(BASE, APP)
    fetch(reference, insecure=("image",))
    assert {step.reason for step in plan(reference).steps} == {"stored without a signature"}
    fetch(reference)
    assert {record.verdict.kind for record in store.images()} == {"signed"} and not plan(reference).changed


def test_a_pinned_image_needs_no_signature_but_what_it_depends_on_does(write, fetch, store, nothing_published):
    app = part("a", "b", named=True, signature=b"")
    with pytest.raises(FetchError) as caught:
        fetch(write(BASE, app), expected_id="sha512-" + "0" * 128)
    assert caught.value.code == "digest-mismatch"
    with pytest.raises(TrustError, match="not signed"):
        fetch(write(part("b", signature=b""), app), expected_id=app.said["id"])
    nothing_published()
    got = fetch(write(BASE, app), expected_id=app.said["id"])
    assert got.record.verdict.kind == "pinned" and store.find_id(BASE.said["id"]).verdict.kind == "signed"
    with pytest.raises(FetchError, match="has the ID"):
        # Also where what the bundle names is in the store.
        fetch(write(BASE, app), expected_id="sha512-" + "0" * 128)


def test_an_image_id_in_the_bundle_pins_nothing(write, fetch, nothing_published):
    """The bundle says an ID that is right, and brings no signature: that is nobody's word but its own."""
    with pytest.raises(TrustError):
        fetch(write(part("a", named=True, signature=b"")))
    nothing_published()


def test_another_image_under_a_pinned_id_is_refused(write, fetch, nothing_published):
    app = part("a", named=True, data=made("c"), signature=b"", id=image_id(made("a")))
    with pytest.raises(FetchError) as caught:
        fetch(write(app), expected_id=app.said["id"])
    assert caught.value.code == "digest-mismatch"
    nothing_published()


def test_pinning_what_is_there_makes_its_verdict_better(write, fetch, store):
    app = part("a", named=True, signature=b"")
    reference = write(app)
    fetch(reference, insecure=("image",))
    with pytest.raises(TrustError):
        fetch(write(part("b", signature=b""), app), expected_id=app.said["id"])
    assert store.find_id(app.said["id"]).verdict.kind == "insecure", "all or nothing"
    fetch(write(app), expected_id=app.said["id"])
    assert store.find_id(app.said["id"]).verdict.kind == "pinned"


def test_options_about_one_image_need_a_bundle_that_names_one(write, fetch):
    two = write(part("b", named=True), APP)
    for options in ({"expected_id": APP.said["id"]}, {"name": NAMES["a"]}):
        with pytest.raises(UsageError, match="the bundle names 2"):
            fetch(two, **options)
    with pytest.raises(UsageError, match="signatures of its images"):
        fetch(two, signature="/x.asc")
    with pytest.raises(FetchError) as caught:
        fetch(write(BASE, APP), name=NAMES["b"])
    assert caught.value.code == "name-mismatch"
    assert fetch(write(BASE, APP), name=NAMES["a"]).record.name == NAMES["a"]


def test_all_images_that_a_bundle_names_are_told(write, fetch):
    got = fetch(write(part("b", named=True), APP))
    assert [each.record.name for each in got.named] == [NAMES["b"], NAMES["a"]] and got.dependencies == ()


def test_an_image_for_other_hosts_is_taken_and_told(write, fetch, store):
    data = made("a", labels=(("version", "1.0"), ("os", "linux"), ("arch", "aarch64")))
    app = part("a", named=True, data=data, labels={"version": "1.0", "os": "linux", "arch": "aarch64"})
    got = fetch(write(app), platform="linux/amd64")
    assert got.notes == (f"{NAMES['a']} {app.said['id']} is not for linux/amd64",) and names(store) == ["a"]
    assert fetch(write(app), platform="linux/aarch64").notes == ()


def test_a_dependency_may_be_in_the_store_if_somebody_vouches_for_it(write, fetch, store, paths):
    fetch(write(part("b", named=True)))
    assert fetch(write(APP)).dependencies == ()
    store.remove(APP.said["id"])
    store.remove(BASE.said["id"])
    fetch(write(part("b", named=True, signature=b"")), insecure=("image",))
    with pytest.raises(NotFound, match="without a signature"):
        fetch(write(APP))
    assert names(store) == ["b"]
    assert fetch(write(APP), insecure=("image",), expected_id=APP.said["id"]).record.verdict.kind == "pinned"
    store.remove(APP.said["id"])
    fetch(write(part("b", named=True)))
    os.unlink(f"{paths.images}/{BASE.said['id']}/aci")
    with pytest.raises(NotFound, match="in the store damaged"):
        fetch(write(APP))


def test_of_several_the_dependency_for_this_host_is_meant(write, fetch):
    found = {}
    for arch, more in (("amd64", b""), ("aarch64", os.urandom(2000))):
        labels = {"version": "1.0", "os": "linux", "arch": arch}
        data = archive(NAMES["b"], files={"rootfs/b": more}, labels=tuple(labels.items()))
        found[arch] = part("b", data=data, labels=labels)
    app = part("a", {"imageName": NAMES["b"], "size": len(found["amd64"].data)}, named=True)
    reference = write(found["amd64"], found["aarch64"], app)
    with pytest.raises(StoreError, match="M16"):
        fetch(reference, platform="linux/aarch64")
    fetch(reference, platform="linux/amd64")


def test_a_plan_with_nothing_to_do_still_says_what_is_missing(write, fetch, plan, store):
    fetch(write(BASE, APP))
    store.remove(BASE.said["id"])
    for run in (plan, fetch):
        with pytest.raises(NotFound, match="neither in the bundle"):
            run(write(APP))


def test_without_fetching_everything_has_to_be_there(write, fetch):
    reference = write(BASE, APP)
    with pytest.raises(NotFound, match="pull policy never"):
        fetch(reference, pull_policy="never")
    fetch(reference)
    assert fetch(reference, pull_policy="never").place == "store"


def test_a_bundle_that_is_cut_while_it_is_read_is_refused(write, fetch, tmp_path, monkeypatch, nothing_published):
    reference = write(BASE, APP)
    real = bundled.BundleFile.copy

    def cut(self, image, *values):
        os.truncate(tmp_path / "x.bundle", 2048)
        real(self, image, *values)

    monkeypatch.setattr(bundled.BundleFile, "copy", cut)
    with pytest.raises(ArchiveError, match="shorter than it was said to be"):
        fetch(reference)
    nothing_published()


def test_a_bundle_that_changes_while_it_is_read_is_refused(write, fetch, tmp_path, monkeypatch, nothing_published):
    """Another image of the same size appears in the place of the first one; and one after the copy changes nothing."""
    reference = write(BASE, APP)
    real, turns = bundled.BundleFile.copy, []

    def changed(self, image, *values):
        turns.append(image)
        place = self._contents.places["001.aci"]
        if len(turns) == 1:
            with open(tmp_path / "x.bundle", "r+b") as file:
                file.seek(place.offset + 20)
                file.write(b"!")
        real(self, image, *values)

    monkeypatch.setattr(bundled.BundleFile, "copy", changed)
    with pytest.raises(TrustError):
        fetch(reference)
    nothing_published()
    monkeypatch.setattr(bundled, "check_file", late(bundled.check_file, tmp_path / "x.bundle"))
    turns.append("not the first any more")
    assert fetch(write(BASE, APP)).place == "file"


def late(real, path):
    """Return check_file for images whose bundle is emptied as soon as they are copied and their signature is read."""
    seen = []

    def run(*values):
        seen.append(values)
        if len(seen) == 2:
            os.truncate(path, 0)
        return real(*values)

    return run


def test_a_full_disk_in_the_middle_leaves_the_store_as_it_was(write, fetch, store, monkeypatch, nothing_published):
    from _rocket.store import publish

    real, count = publish._publish, []

    def full(*values):
        count.append(1)
        if len(count) == 2:
            publish.raise_disk_error(OSError(errno.ENOSPC, "no space"), "/store")
        real(*values)

    monkeypatch.setattr(publish, "_publish", full)
    with pytest.raises(StoreError) as caught:
        fetch(write(BASE, APP))
    assert caught.value.code == "disk-full" and len(count) == 2
    nothing_published()


def test_what_cannot_fit_is_refused_before_it_is_written(write, fetch, monkeypatch, nothing_published):
    from types import SimpleNamespace

    from _rocket.fetch.transports import base

    monkeypatch.setattr(base.os, "fstatvfs", lambda _fd: SimpleNamespace(f_bavail=0, f_frsize=4096))
    monkeypatch.setattr(base, "write_all", lambda *_values: pytest.fail("written"))
    with pytest.raises(StoreError) as caught:
        fetch(write(BASE, APP))
    assert caught.value.code == "disk-full"
    nothing_published()


@pytest.mark.parametrize("kind", ["nothing", "directory", "fifo"])
def test_a_bundle_is_a_file(fetch, plan, tmp_path, kind, paths):
    path = tmp_path / "x"
    {"nothing": lambda _path: None, "directory": os.mkdir, "fifo": os.mkfifo}[kind](path)
    for run in (plan, fetch):
        with pytest.raises(RocketError) as caught:
            run(f"bundle:{path}")
        assert str(path) in str(caught.value) and caught.value.code == ("file-unreadable" if kind == "nothing" else "archive")
    assert not os.path.exists(paths.images)


def test_a_broken_bundle_is_named(fetch, write, tmp_path):
    value = index((BASE, APP))
    value["images"][1]["name"] = "No/Name"
    with pytest.raises(RocketError) as caught:
        fetch(write(BASE, APP, said=text(value)))
    assert str(caught.value).startswith(f"{tmp_path}/x.bundle: images[1].name: ")


def test_progress_is_that_of_all_images_together(write, store, verifier):
    told = []
    fetching.Fetcher(store, verifier, FetchOptions(), lambda done, total: told.append((done, total))).get(write(BASE, APP))
    whole = len(BASE.data) + len(APP.data)
    assert told[-1] == (whole, whole) and {total for _done, total in told} == {whole}


def test_an_older_unfinished_copy_is_not_gone_on_with(write, fetch, store, paths):
    """What another process left in staging, under the key of this very image, is emptied."""
    reference = write(BASE, APP)
    left = store.partial(f"{reference}#{BASE.said['id']}")
    os.write(left.fd, b"x" * 100_000)
    from _rocket.store.partial import Origin

    left.remember(Origin(f"{reference}#{BASE.said['id']}", "h", '"e"', 1))
    left.close(keep=True)
    fetch(reference)
    assert re.fullmatch("sha512-[0-9a-f]{128}", store.find_id(BASE.said["id"]).file_digest) and os.listdir(paths.staging) == []


def test_the_reference_of_a_bundle_is_no_name_of_an_image(write, fetch, tmp_path, monkeypatch):
    write(BASE, APP)
    monkeypatch.chdir(tmp_path)
    assert fetch("bundle:x.bundle").record.source == f"bundle:{tmp_path}/x.bundle"
