# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""OCI images of this host become images of the store: from a layout, an archive of one, and an archive of docker save."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import re
import sys
import tarfile

import pytest
from fetch_site import FakeVerifier
from oci_images import END, Image, archive, docker_files, index_of, layout, layout_files, packed, sha256

from _rocket.errors import ArchiveError, FetchError, NotFound, RocketError, SpecError, TrustError, UsageError
from _rocket.fetch.fetcher import Fetcher
from _rocket.fetch.options import FetchOptions
from _rocket.image.check import inspect
from _rocket.store.store import Store

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "image"))

from image_archives import block, canary, directory, file, hardlink, snapshot, symlink

SOURCES = ("oci", "oci-archive", "docker-archive")
LOWER = directory(b"a/") + file(b"a/x", b"1") + file(b"a/y", b"2") + END
UPPER = file(b"a/.wh.x", b"") + file(b"b", b"3") + END


@pytest.fixture
def store(paths):
    return Store(paths)


@pytest.fixture
def fetch(store):
    """Fetch a reference; named values are options."""

    def run(reference, **options):
        fetcher = Fetcher(store, FakeVerifier(), FetchOptions(**options))
        run.plan = lambda state="present": fetcher.plan(reference, state)
        fetched = fetcher.get(reference)
        run.notes = list(fetched.notes)
        return fetched.record

    return run


def written(kind, place, images, **options):
    """Write images as one kind of source does; return the reference, without a name."""
    if kind == "oci":
        return "oci:" + layout(place / "layout", images)
    files = layout_files(images) if kind == "oci-archive" else docker_files(images)
    return f"{kind}:" + archive(place / "archive.tar", files, **options)


def pin_of(kind, image):
    return image.manifest["config"]["digest"] if kind == "docker-archive" else image.digest


@pytest.fixture
def nothing(store, paths):
    def check():
        assert store.ids() == []
        assert not os.path.isdir(paths.staging) or os.listdir(paths.staging) == []

    return check


@pytest.mark.parametrize("kind", SOURCES)
def test_a_pinned_image_is_an_ordinary_image_of_the_store(fetch, store, tmp_path, kind):
    image = Image(LOWER, UPPER, config={"Entrypoint": ["/b"]})
    reference = written(kind, tmp_path, {"example.com/shop/web:1.4": image}) + f":example.com/shop/web:1.4@{pin_of(kind, image)}"
    record = fetch(reference)
    assert (record.name, record.labels[0]) == ("example.com/shop/web", ("version", "1.4"))
    assert (record.verdict.kind, record.verdict.digest, record.verdict.insecure_options) == ("pinned", pin_of(kind, image), ())
    assert record.source == reference
    assert record.digests[-1] == pin_of(kind, image)
    found = inspect(f"{store.paths.images}/{record.id}/aci")
    assert (found.image_id, found.file_digest) == (record.id, record.id)
    store.verify(record.id)
    tree = store.tree(record.id)
    assert {name: open(f"{tree}/{name}").read() for name in ("a/y", "b")} == {"a/y": "2", "b": "3"}
    assert not os.path.exists(f"{tree}/a/x")
    assert os.listdir(store.paths.staging) == []
    assert store.resolve("example.com/shop/web:1.4").id == record.id
    assert fetch(reference).id == record.id and not fetch.plan().changed


def test_the_same_image_by_any_way_and_in_any_store_is_the_same(tmp_path):
    image = Image(LOWER, UPPER, config={"User": "7", "Cmd": ["x"]})
    found = set()
    for number, kind in enumerate((*SOURCES, *SOURCES)):
        place = tmp_path / str(number)
        place.mkdir()
        from _rocket.paths import Paths

        store = Store(Paths(data=str(place / "data")))
        reference = written(kind, place, {"example.com/web:1": image}, **({"compression": "gz"} if number > 3 else {}))
        found.add(Fetcher(store, FakeVerifier(), FetchOptions(insecure=("image",))).fetch(reference).id)
    assert len(found) == 1


@pytest.mark.parametrize("kind", SOURCES)
def test_what_is_not_pinned_is_refused_and_what_to_pin_is_told(fetch, nothing, tmp_path, kind):
    image = Image(LOWER)
    reference = written(kind, tmp_path, {"web:1": image})
    with pytest.raises(TrustError) as caught:
        fetch(reference)
    assert caught.value.code == "signature-missing"
    pinned = re.search(r"pin it: (\S+);", caught.value.hint)[1]
    assert pinned == f"{reference}@{pin_of(kind, image)}"
    nothing()
    assert fetch(pinned).verdict.kind == "pinned"


@pytest.mark.parametrize("kind", SOURCES)
def test_an_option_lets_it_in_and_says_so(fetch, tmp_path, kind):
    record = fetch(written(kind, tmp_path, {"web:1": Image(LOWER)}), insecure=("image",))
    assert (record.verdict.kind, record.verdict.insecure_options, record.name) == ("insecure", ("image",), "localhost/web")


@pytest.mark.parametrize("kind", SOURCES)
def test_pinning_what_is_there_makes_its_verdict_better(fetch, tmp_path, kind):
    image = Image(LOWER)
    reference = written(kind, tmp_path, {"web:1": image})
    insecure = fetch(reference, insecure=("image",))
    with pytest.raises(TrustError):
        fetch(reference)
    record = fetch(f"{reference}@{pin_of(kind, image)}")
    assert (record.id, record.verdict.kind, record.verdict.digest) == (insecure.id, "pinned", pin_of(kind, image))
    assert fetch(reference).verdict.kind == "pinned"


@pytest.mark.parametrize("kind", SOURCES)
def test_an_image_id_pins_it_too(fetch, store, tmp_path, kind):
    reference = written(kind, tmp_path, {"web:1": Image(LOWER)})
    made = fetch(reference, insecure=("image",))
    store.remove(made.id)
    record = fetch(reference, expected_id=made.id)
    assert (record.id, record.verdict.kind, record.verdict.digest) == (made.id, "pinned", "")
    store.remove(made.id)
    with pytest.raises(FetchError) as caught:
        fetch(reference, expected_id="sha512-" + "a" * 128)
    assert caught.value.code == "digest-mismatch" and store.ids() == []


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("options", [{}, {"insecure": ("image",)}])
def test_another_digest_than_the_pinned_one_is_refused_with_any_option(fetch, nothing, tmp_path, kind, options):
    with pytest.raises(FetchError) as caught:
        fetch(written(kind, tmp_path, {"web:1": Image(LOWER)}) + "@sha256:" + "a" * 64, **options)
    assert caught.value.code == "digest-mismatch"
    nothing()


@pytest.mark.parametrize("kind", SOURCES)
def test_one_of_several_has_to_be_named(fetch, tmp_path, kind):
    one, two = Image(LOWER), Image(UPPER)
    reference = written(kind, tmp_path, {"web:1": one, "web:2": two})
    with pytest.raises(FetchError) as caught:
        fetch(reference, insecure=("image",))
    assert caught.value.code == "ambiguous" and "web:1" in caught.value.hint and "web:2" in caught.value.hint
    assert fetch(f"{reference}:web:2", insecure=("image",)).labels[0] == ("version", "2")
    assert fetch(f"{reference}@{pin_of(kind, one)}").labels[0] == ("version", "1")
    with pytest.raises(FetchError) as caught:
        fetch(f"{reference}:web:3", insecure=("image",))
    assert caught.value.code == "file-unreadable" and "web:1" in caught.value.hint
    with pytest.raises(FetchError) as caught:
        fetch(f"{reference}:web:2@{pin_of(kind, one)}")
    assert caught.value.code == "digest-mismatch"


def test_a_changed_layout_is_fetched_again(fetch, tmp_path):
    first = fetch(written("oci", tmp_path, {"web": Image(LOWER)}), insecure=("image",))
    reference = written("oci", tmp_path, {"web": Image(UPPER)})
    second = fetch(reference, insecure=("image",))
    assert first.id != second.id
    assert not fetch.plan().changed


@pytest.mark.parametrize(
    ("found", "name", "labels"),
    [
        ("web", "", ("localhost/web", "latest")),
        ("", "", ("localhost/layout", "latest")),
        ("1.4", "example.com/web", ("example.com/web", "1.4")),
        ("example.com/other:2", "example.com/web", ("example.com/web", "2")),
        ("", "example.com/web", ("example.com/web", "latest")),
    ],
)
def test_names(fetch, tmp_path, found, name, labels):
    record = fetch(written("oci", tmp_path, {found: Image(LOWER)}), insecure=("image",), name=name)
    assert (record.name, dict(record.labels)["version"]) == labels


def test_a_name_that_cannot_be_one_here(fetch, tmp_path):
    with pytest.raises(UsageError) as caught:
        fetch(written("oci", tmp_path, {"Web:1": Image(LOWER)}), insecure=("image",))
    assert "--name" in str(caught.value)


def test_a_docker_archive_without_names(fetch, tmp_path):
    record = fetch(written("docker-archive", tmp_path, {"": Image(LOWER)}), insecure=("image",))
    assert record.name == "localhost/archive"


def test_a_tag_may_be_left_out_of_the_name_in_a_docker_archive(fetch, tmp_path):
    reference = written("docker-archive", tmp_path, {"web:latest": Image(LOWER), "other:latest": Image(UPPER)})
    assert fetch(f"{reference}:web", insecure=("image",)).name == "localhost/web"


def test_the_image_of_this_host_is_chosen_from_an_index(fetch, tmp_path):
    mine, other = Image(LOWER), Image(UPPER, architecture="arm64")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    platforms = [("amd64", ""), ("arm64", "")] if machine == "amd64" else [("arm64", ""), ("amd64", "")]
    index = index_of(mine, other, platforms=platforms)
    reference = written("oci", tmp_path, {"web": index})
    record = fetch(f"{reference}@{index.digest}")
    assert record.digests == (index.digest, mine.digest)
    assert fetch(f"{reference}@{mine.digest}").id == record.id
    nested = written("oci", tmp_path, {"web": index_of(index_of(index))})
    assert fetch(nested, insecure=("image",)).id == record.id


def test_indexes_in_indexes_end(fetch, nothing, tmp_path):
    image = Image(LOWER)
    for _turn in range(5):
        image = index_of(image)
    with pytest.raises(SpecError) as caught:
        fetch(written("oci", tmp_path, {"web": image}), insecure=("image",))
    assert "an index in an index" in str(caught.value)
    nothing()


def test_one_name_for_several_platforms_in_a_layout(fetch, tmp_path):
    place = layout(tmp_path / "layout", {"web": Image(LOWER), "other": Image(UPPER)})
    index = json.loads((tmp_path / "layout" / "index.json").read_text())
    for item, architecture in zip(index["manifests"], ("amd64", "s390x")):
        item["annotations"]["org.opencontainers.image.ref.name"] = "web"
        item["platform"] = {"os": "linux", "architecture": architecture}
    (tmp_path / "layout" / "index.json").write_text(json.dumps(index))
    if os.uname().machine == "x86_64":
        assert fetch(f"oci:{place}:web", insecure=("image",)).digests == (Image(LOWER).digest,)


def test_a_layout_may_have_other_things_in_it(fetch, tmp_path):
    image = Image(LOWER)
    place = layout(tmp_path / "layout", {"web": image})
    index = json.loads((tmp_path / "layout" / "index.json").read_text())
    index["manifests"].insert(0, {"mediaType": "application/xml", "digest": "sha256:" + "a" * 64, "size": 3})
    (tmp_path / "layout" / "index.json").write_text(json.dumps(index))
    (tmp_path / "layout" / "manifest.json").write_text("[]")
    assert fetch(f"oci:{place}", insecure=("image",)).digests == (image.digest,)


def test_layers_that_docker_saved_as_links(fetch, store, tmp_path):
    image = Image(LOWER, UPPER, LOWER)
    files = docker_files({"web:1": image})
    manifest = json.loads(files["manifest.json"])
    manifest[0]["Layers"][2] = "copy/layer.tar"
    files["manifest.json"] = json.dumps(manifest).encode()
    target = f"../{sha256(LOWER)[7:]}/layer.tar"
    path = archive(tmp_path / "archive.tar", files, links={"copy/layer.tar": target})
    record = fetch(f"docker-archive:{path}", insecure=("image",))
    assert sorted(os.listdir(store.tree(record.id) + "/a")) == ["x", "y"]


@pytest.mark.parametrize("target", ["../../../etc/passwd", "/etc/passwd", "copy/layer.tar", "../nothing"])
def test_links_of_an_archive_lead_nowhere_else(fetch, nothing, tmp_path, target):
    files = docker_files({"web:1": Image(LOWER)})
    manifest = json.loads(files["manifest.json"])
    manifest[0]["Layers"] = ["copy/layer.tar"]
    files["manifest.json"] = json.dumps(manifest).encode()
    path = archive(tmp_path / "archive.tar", files, links={"copy/layer.tar": target})
    with pytest.raises(FetchError) as caught:
        fetch(f"docker-archive:{path}", insecure=("image",))
    assert caught.value.code == "file-unreadable"
    nothing()


def changed(image, **config):
    """Change what the configuration says and make the manifest fit again."""
    image.config.update(config)
    image.manifest["config"] = image.blob(json.dumps(image.config).encode(), image.manifest["config"]["mediaType"])
    image.seal()
    return image


def swapped():
    image = Image(LOWER)
    config, layers = image.manifest["config"], image.manifest["layers"]
    for member in ("digest", "size"):
        config[member], layers[0][member] = layers[0][member], config[member]
    image.seal()
    return image


def with_layer(data, **changes):
    """An image whose layer is these very bytes, whatever the configuration says."""
    image = Image(LOWER)
    image.manifest["layers"] = [{**image.blob(data, image.manifest["layers"][0]["mediaType"]), **changes}]
    image.seal()
    return image


def other_blob(member, data):
    """A blob in the layout that is not what its digest says, of the same length."""
    image = Image(LOWER)
    descriptor = image.manifest[member] if member == "config" else image.manifest["layers"][0]
    image.blobs[descriptor["digest"]] = data(image.blobs[descriptor["digest"]])
    return image


def flipped(data):
    return data[:-1] + bytes([data[-1] ^ 1])


HOSTILE = {
    "diff ID of another layer": (lambda: changed(Image(LOWER), rootfs={"type": "layers", "diff_ids": [sha256(UPPER)]}), "digest-mismatch"),
    "fewer diff IDs": (lambda: changed(Image(LOWER, UPPER), rootfs={"type": "layers", "diff_ids": [sha256(LOWER)]}), "archive"),
    "config and layer swapped": (swapped, "spec"),
    "a layer that is no tar": (lambda: with_layer(packed(b"no tar at all")), "archive"),
    "a layer that is not what it was announced as": (lambda: with_layer(LOWER), "archive"),
    "a layer that is no gzip inside": (lambda: with_layer(b"\x1f\x8b" + bytes(600)), "archive"),
    "a layer cut short": (lambda: with_layer(packed(LOWER)[:-9]), "archive"),
    "a layer with something behind": (lambda: with_layer(packed(LOWER) + b"more"), "archive"),
    "a layer bomb": (lambda: with_layer(gzip.compress(bytes(64 << 20))), "archive-limit"),
    "a layer of another length": (lambda: with_layer(packed(LOWER), size=7), "digest-mismatch"),
    "a changed configuration": (lambda: other_blob("config", flipped), "digest-mismatch"),
    "a longer configuration": (lambda: other_blob("config", lambda data: data + b" "), "body-too-large"),
    "a changed layer": (lambda: other_blob("layers", lambda data: data[:100] + flipped(data[100:101]) + data[101:]), "archive"),
    "a layer of the same content, compressed anew": (
        lambda: other_blob("layers", lambda data: gzip.compress(LOWER, 9, mtime=1)[: len(data)]),
        None,
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_what_it_says_is_refused(fetch, nothing, tmp_path, name):
    make, code = HOSTILE[name]
    with pytest.raises(RocketError) as caught:
        fetch(written("oci", tmp_path, {"web": make()}), insecure=("image",))
    assert code in (None, caught.value.code), str(caught.value)
    assert str(caught.value).isprintable() and caught.value.where
    nothing()


def test_a_changed_layer_is_found_by_its_digest_alone(fetch, nothing, tmp_path):
    """The uncompressed layer is the right one; the digest of what was downloaded is not."""
    image = Image(LOWER)
    descriptor = image.manifest["layers"][0]
    other = gzip.compress(LOWER, 1, mtime=5)
    assert len(other) == descriptor["size"] and other != image.blobs[descriptor["digest"]]
    image.blobs[descriptor["digest"]] = other
    with pytest.raises(ArchiveError) as caught:
        fetch(written("oci", tmp_path, {"web": image}) + f"@{image.digest}")
    assert caught.value.code == "digest-mismatch" and "layer 1 of 1" in str(caught.value)
    nothing()


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("pinned", [True, False])
def test_layers_that_reach_outside_change_nothing_there(root, fetch, store, tmp_path, kind, pinned):
    outside = canary(tmp_path)
    before = snapshot(outside)
    lower = symlink(b"l", outside) + symlink(b"up", b"../../../../../outside") + directory(b"outside/") + END
    upper = b"".join(
        [
            *(file(b"l/file", b"evil"), file(b"up/file", b"evil"), directory(b"l/sub/", mode=0o777), file(b"l/.wh.passwd", b"")),
            *(file(b"up/.wh..wh..opq", b""), hardlink(b"h", b"l/file"), file(b"h", b"evil"), block(b"l/null", b"3")),
        ]
    )
    image = Image(lower, upper + END)
    reference = written(kind, tmp_path, {"web:1": image})
    try:
        record = fetch(reference + (f"@{pin_of(kind, image)}" if pinned else ""), **({} if pinned else {"insecure": ("image",)}))
        store.tree(record.id)
    except RocketError as error:
        assert "leads to what is not there" in str(error)
    assert snapshot(outside) == before


BROKEN_LAYOUTS = {
    "no mark": lambda top: os.unlink(top / "oci-layout"),
    "another version": lambda top: (top / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}'),
    "no index": lambda top: os.unlink(top / "index.json"),
    "an index that is no JSON": lambda top: (top / "index.json").write_text("{"),
    "an index of schema 1": lambda top: (top / "index.json").write_text('{"schemaVersion": 1, "manifests": []}'),
    "nothing in the index": lambda top: (top / "index.json").write_text('{"schemaVersion": 2, "manifests": []}'),
    "a huge index": lambda top: (top / "index.json").write_bytes(b" " * (5 << 20)),
    "an index that is a FIFO": lambda top: (os.unlink(top / "index.json"), os.mkfifo(top / "index.json")),
    "no blobs": lambda top: os.rename(top / "blobs", top / "gone"),
    "a manifest that is gone": lambda top: [
        os.unlink(path) for path in (top / "blobs" / "sha256").iterdir() if b"schemaVersion" in path.read_bytes()
    ],
}


@pytest.mark.parametrize("name", BROKEN_LAYOUTS)
def test_broken_layouts(fetch, nothing, tmp_path, name):
    layout(tmp_path / "layout", {"web": Image(LOWER)})
    BROKEN_LAYOUTS[name](tmp_path / "layout")
    with pytest.raises(RocketError) as caught:
        fetch(f"oci:{tmp_path}/layout:web", insecure=("image",))
    assert str(tmp_path) in caught.value.where
    nothing()


def docker(change):
    def make(place):
        files = docker_files({"web:1": Image(LOWER)})
        manifest = json.loads(files["manifest.json"])
        change(files, manifest)
        files.setdefault("manifest.json", b"")
        files["manifest.json"] = json.dumps(manifest).encode()
        return archive(place / "archive.tar", files)

    return make


BROKEN_ARCHIVES = {
    "nothing": lambda place: archive(place / "archive.tar", {}),
    "no archive": lambda place: str((place / "archive.tar").write_bytes(b"<html>" * 200) and place / "archive.tar"),
    "absent": lambda place: str(place / "absent.tar"),
    "a directory": str,
    "a list of nothing": docker(lambda files, manifest: manifest.clear()),
    "a configuration that is gone": docker(lambda files, manifest: manifest[0].update(Config="x.json")),
    "a configuration of another digest": docker(lambda files, manifest: files.update({manifest[0]["Config"]: b"{}"})),
    "a configuration with a path": docker(lambda files, manifest: manifest[0].update(Config="../../etc/passwd")),
    "a layer that is gone": docker(lambda files, manifest: manifest[0].update(Layers=["x/layer.tar"])),
    "more layers than the configuration has": docker(lambda files, manifest: manifest[0].update(Layers=manifest[0]["Layers"] * 2)),
    "10 000 layers": docker(lambda files, manifest: manifest[0].update(Layers=manifest[0]["Layers"] * 10_000)),
    "layers that are no list": docker(lambda files, manifest: manifest[0].update(Layers="x")),
}


@pytest.mark.parametrize("name", BROKEN_ARCHIVES)
def test_broken_archives(fetch, nothing, tmp_path, name):
    path = BROKEN_ARCHIVES[name](tmp_path)
    with pytest.raises(RocketError) as caught:
        fetch(f"docker-archive:{path}", insecure=("image",))
    assert str(caught.value).isprintable()
    nothing()


def test_a_cut_archive_is_refused(fetch, nothing, tmp_path):
    path = archive(tmp_path / "archive.tar", docker_files({"web:1": Image(LOWER)}))
    data = pathlib.Path(path).read_bytes()
    pathlib.Path(path).write_bytes(data[:-9000])
    with pytest.raises(ArchiveError):
        fetch(f"docker-archive:{path}", insecure=("image",))
    nothing()


def test_devices_and_what_cannot_be_said_are_told(fetch, tmp_path):
    image = Image(block(b"null", b"3", device=(1, 3)) + END, config={"Env": ["A B=1"]})
    fetch(written("oci", tmp_path, {"web": image}), insecure=("image",))
    assert fetch.notes == [
        "localhost/web: 1 devices are not in the image (char null)",
        "localhost/web: config.Env[0] is no variable of an app (M11)",
    ]


def test_the_policy_never_fetches_nothing(fetch, tmp_path):
    image = Image(LOWER)
    reference = written("oci", tmp_path, {"web": image}) + f"@{image.digest}"
    with pytest.raises(NotFound):
        fetch(reference, pull_policy="never")
    record = fetch(reference)
    assert fetch(reference, pull_policy="never").id == record.id


def test_a_signature_beside_it_means_nothing(fetch, tmp_path):
    with pytest.raises(UsageError):
        fetch(written("oci", tmp_path, {"web": Image(LOWER)}), signature="x.asc", insecure=("image",))


def test_an_image_over_the_limit_of_the_operator(fetch, nothing, tmp_path):
    with pytest.raises(FetchError) as caught:
        fetch(written("oci", tmp_path, {"web": Image(LOWER)}), insecure=("image",), image_limit=50)
    assert caught.value.code == "body-too-large"
    nothing()


def test_the_plan_says_what_would_be_done(fetch, store, tmp_path):
    image = Image(LOWER)
    reference = written("oci", tmp_path, {"web": image})
    strict = Fetcher(store, FakeVerifier(), FetchOptions())
    plan = strict.plan(reference)
    assert [(step.action, step.reason) for step in plan.steps] == [("fetch", "not in the store")]
    fetch(reference, insecure=("image",))
    assert [step.reason for step in fetch.plan().steps] == []
    assert [step.reason for step in strict.plan(reference).steps] == ["stored without being pinned"]


def test_the_last_of_two_files_of_one_name_in_an_archive_counts(fetch, tmp_path):
    image = Image(UPPER)
    path = archive(tmp_path / "archive.tar", layout_files({"web": Image(LOWER)}))
    with tarfile.open(path, "a") as tar:
        for name, data in layout_files({"web": image}).items():
            (tmp_path / "file").write_bytes(data)
            tar.add(tmp_path / "file", f"./{name}")
    assert fetch(f"oci-archive:{path}@{image.digest}").digests == (image.digest,)
