# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Images made of images: which ones, in which order, what becomes of the tree, and who keeps them."""

from __future__ import annotations

import json
import os

import pytest
from store_archives import archive

from _rocket.errors import Busy, NotFound, StoreError
from _rocket.store import dependencies
from _rocket.store import record as records
from _rocket.store.collect import collect, plan_gc
from _rocket.store.dependencies import recorded, tree_id, visits, with_dependencies
from _rocket.store.render import repair
from _rocket.store.trees import read_tree
from _rocket.store.verify import tree_names, verify_tree

DIRECTORY = None


@pytest.fixture
def image(imports):
    """Add an image called by one letter, with what it depends on; each holds a file of its name and one that all have."""

    def add(letter, *needs, files=None, **members):
        wanted = [need if isinstance(need, dict) else {"imageName": f"example.com/{need}"} for need in needs]
        content = {f"rootfs/{letter}": letter.encode(), "rootfs/all": letter.encode(), **(files or {})}
        return imports(name=f"example.com/{letter}", dependencies=wanted, files=content, **members)

    return add


def order(store, record):
    return [visit.image.name[-1] for visit in visits(store, record)]


def found(store, record):
    """Return the paths below the rendered root."""
    top = store.tree(record.id)
    return sorted(os.path.relpath(os.path.join(path, name), top) for path, dirs, names in os.walk(top) for name in (*dirs, *names))


def read(store, record, path):
    with open(f"{store.tree(record.id)}/{path}", encoding="utf-8") as file:
        return file.read()


@pytest.mark.spec("D1")
@pytest.mark.spec("D3")
@pytest.mark.parametrize(
    ("graph", "wanted"),
    [
        ({"d": "", "b": "", "c": "d", "a": "bc"}, "bdca"),
        ({"d": "", "b": "d", "c": "d", "a": "bc"}, "dbdca"),
        ({"a": ""}, "a"),
        ({"c": "", "b": "c", "a": "cb"}, "ccba"),
    ],
)
def test_dependencies_come_first_as_listed_and_depth_first(store, image, graph, wanted):
    for letter, needs in graph.items():
        record = image(letter, *needs)
    assert "".join(order(store, record)) == wanted
    assert found(store, record) == sorted({*graph, "all"})
    assert read(store, record, "all") == "a"


@pytest.mark.spec("D4")
def test_a_link_of_a_dependency_is_replaced_and_never_followed(store, image, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    image("b", files={"rootfs/lib": str(outside), "rootfs/etc": "/etc"})
    a = image("a", "b", files={"rootfs/lib": DIRECTORY, "rootfs/lib/x": b"x", "rootfs/etc/rocket-test": b"x"})
    top = store.tree(a.id)
    for name in ("lib", "etc"):
        assert os.path.isdir(f"{top}/{name}") and not os.path.islink(f"{top}/{name}")
    assert os.listdir(outside) == [] and not os.path.lexists("/etc/rocket-test")
    assert read(store, a, "lib/x") == "x"


@pytest.mark.spec("D5")
@pytest.mark.spec("M17")
def test_whitelists_on_the_way_up_have_to_agree(store, image):
    image("d", files={f"rootfs/{name}": b"" for name in ("d1", "d2", "d3")})
    image("c", "d", files={f"rootfs/{name}": b"" for name in ("c1", "c2")}, pathWhitelist=["/c1", "/d1"])
    image("b", files={"rootfs/b1": b""})
    a = image("a", "b", "c", files={"rootfs/a1": b""}, pathWhitelist=["/a1", "/b1", "/c1", "/d1", "/d2"])
    assert found(store, a) == ["a1", "b1", "c1", "d1"]
    c = store.resolve("example.com/c")
    assert found(store, c) == ["c1", "d1"], "the same image by itself has a tree of its own"


@pytest.mark.spec("D5")
def test_a_whitelist_alone_makes_a_tree_of_its_own(store, image, paths):
    a = image("a", files={"rootfs/kept": b"", "rootfs/gone": b""}, pathWhitelist=["/kept/"])
    assert found(store, a) == ["kept"]
    assert len(os.listdir(paths.trees)) == 2
    assert sorted(tree_names(store, a)) == sorted(os.listdir(paths.trees))


@pytest.mark.spec("D2")
def test_the_app_of_a_dependency_is_of_no_concern(store, image):
    image("b", app={"exec": ["/b"], "user": "0", "group": "0"})
    a = image("a", "b")
    assert a.manifest.app is None and store.tree(a.id)


def cycle(store, image):
    image("b", "a")
    return image("a", "b")


@pytest.mark.spec("D3")
def test_a_cycle_is_shown(store, image, paths):
    image("a")
    b = image("b", "a")
    # The second image of that name closes the circle.
    a = image("a", "b", version="2.0")
    with pytest.raises(StoreError, match=r"example\.com/a -> example\.com/b -> example\.com/a") as caught:
        store.tree(a.id)
    assert caught.value.code == "dependencies"
    with pytest.raises(StoreError, match=r"example\.com/b -> example\.com/a -> example\.com/b"):
        store.tree(b.id)
    assert os.listdir(paths.trees) == []


def test_depth_and_number_are_bounded(store, image, monkeypatch):
    monkeypatch.setattr(dependencies, "MAX_DEPTH", 2)
    monkeypatch.setattr(dependencies, "MAX_VISITS", 6)
    image("d")
    image("c", "d")
    b = image("b", "c")
    assert order(store, b) == ["d", "c", "b"]
    with pytest.raises(StoreError, match="more than 2 deep"):
        store.tree(image("a", "b").id)
    with pytest.raises(StoreError, match="more than 6 images"):
        store.tree(image("e", *["d"] * 6).id)


def test_a_hundred_images_cannot_be_made_into_an_endless_walk(store, image):
    """Each level names the one below twice: 2**20 ways."""
    image("a0")
    for level in range(20):
        record = image(f"a{level + 1}", f"a{level}", f"a{level}")
    with pytest.raises(StoreError, match="more than 256 images"):
        visits(store, record)


@pytest.mark.spec("D1")
def test_the_image_id_of_a_dependency_has_to_match(store, image):
    first = image("b", version="1.0")
    image("b", version="2.0", files={"rootfs/new": b""})
    a = image("a", {"imageName": "example.com/b", "imageID": first.id})
    assert found(store, a) == ["a", "all", "b"], "not the newest, the one that was named"
    other = image("c", {"imageName": "example.com/a", "imageID": first.id})
    with pytest.raises(StoreError, match="D1") as caught:
        store.tree(other.id)
    assert "example.com/c: dependencies[0]" in str(caught.value)
    with pytest.raises(StoreError, match="D1"):
        store.tree(image("e", {"imageName": "example.com/b", "imageID": first.id, "labels": [{"name": "version", "value": "9"}]}).id)


@pytest.mark.spec("D1")
def test_a_missing_dependency_is_named_with_who_needs_it(store, image):
    a = image("a", {"imageName": "example.com/b", "labels": [{"name": "version", "value": "9"}]})
    with pytest.raises(NotFound, match=r"rocket fetch example\.com/b:9") as caught:
        store.tree(a.id)
    assert caught.value.where == "example.com/a: dependencies[0]"
    image("b", version="1.0")
    with pytest.raises(NotFound):
        store.tree(a.id)


@pytest.mark.spec("M16")
def test_the_size_of_a_dependency_has_to_match(store, image):
    b = image("b")
    assert store.tree(image("a", {"imageName": "example.com/b", "size": b.file_size}).id)
    with pytest.raises(StoreError, match="M16"):
        store.tree(image("c", {"imageName": "example.com/b", "size": b.file_size + 1}).id)


@pytest.mark.spec("D7")
def test_images_that_share_a_dependency_cost_the_difference(store, image, paths):
    image("b", files={"rootfs/big": b"x" * 100_000})
    one, two = image("a", "b"), image("c", "b")
    inodes = {os.stat(f"{store.tree(record.id)}/big").st_ino for record in (one, two)}
    assert len(inodes) == 1
    assert os.stat(f"{store.tree(one.id)}/big").st_nlink == 3


@pytest.mark.spec("D6")
def test_a_tree_says_what_it_is_made_of(store, image, paths):
    b = image("b")
    a = image("a", "b")
    place = os.path.dirname(store.tree(a.id))
    record = read_tree(place)
    assert (record.image_id, record.images) == (a.id, (b.id, a.id))
    with open(f"{place}/listing", "rb") as file:
        listing = file.read()
    assert b"/all f 0644 0 0 0 1 " in listing and b"/a f " in listing and b"/b f " in listing
    assert os.stat(place).st_mode & 0o777 == 0o700


def test_a_newer_dependency_makes_another_tree_and_the_old_one_goes_when_nobody_has_it(store, image, paths, monkeypatch):
    monkeypatch.setattr(records.time, "time", lambda: 1000)
    image("b", version="1.0")
    a = image("a", "b")
    old = store.tree(a.id).split("/")[-2]
    monkeypatch.setattr(records.time, "time", lambda: 2000)
    new_b = image("b", version="2.0", files={"rootfs/new": b""})
    new = store.tree(a.id).split("/")[-2]
    assert old != new and "new" in found(store, a)
    assert read_tree(f"{paths.trees}/{old}").rendered_at == 1000

    def removed(in_use, now=10**6):
        return {step.subject for step in plan_gc(store, in_use, 0, now).steps}

    assert old in removed({a.id}) and new not in removed({a.id})
    assert old not in removed({a.id, old}), "a pod that was prepared with it is to be started from it"
    assert new_b.id not in removed({a.id}) and new_b.id in removed(())
    assert old not in removed({a.id}, now=900)
    collect(plan_gc(store, {a.id}, 0, 10**6), {a.id})
    assert sorted(os.listdir(paths.trees)) == sorted({new, a.id, new_b.id})


def test_what_an_image_in_use_depends_on_is_in_use(store, image):
    b = image("b")
    a = image("a", "b")
    with pytest.raises(Busy):
        store.remove(b.id, {a.id})
    assert not plan_gc(store, {a.id}, 0, 10**10).changed
    store.remove(b.id, {"sha512-" + "0" * 128})
    assert not [step for step in plan_gc(store, {a.id}, 0, 10**10).steps if step.subject == a.id]


def test_a_tree_of_images_that_are_gone_goes(store, image, paths):
    b = image("b")
    a = image("a", "b")
    tree = store.tree(a.id).split("/")[-2]
    store.remove(b.id)
    reasons = {step.subject: step.reason for step in plan_gc(store, (), 10**10).steps}
    assert reasons == {tree: "an image of it is gone"}


def test_all_images_of_an_image_are_told(store, image):
    d = image("d")
    b, c = image("b", "d"), image("c", "d")
    a = image("a", "b", "c")
    assert store.made_of(a) == (d.id, b.id, d.id, c.id, a.id) and store.made_of(d) == (d.id,)


def test_what_was_decided_is_rendered_whatever_is_newest_today(store, image):
    image("d")
    b = image("b", "d", version="1.0")
    a = image("a", "b", {"imageName": "example.com/d"})
    ids = store.made_of(a)
    before = store.tree(a.id)
    image("b", version="2.0", files={"rootfs/new": b""})
    assert store.tree(a.id) != before and store.tree(a.id, ids) == before
    visited = recorded(store, ids)
    assert [visit.image.id for visit in visited] == list(ids)
    assert [[record.name[-1] for record in visit.chain] for visit in visited] == [["a", "b", "d"], ["a", "b"], ["a", "d"], ["a"]]
    for wrong in (ids[1:], (*ids, a.id), (b.id, *ids), (ids[0], ids[2], ids[1], ids[3]), (a.id,), ids[:-1]):
        with pytest.raises(StoreError) as caught:
            store.tree(a.id, wrong)
        assert caught.value.code == "dependencies", wrong


def test_the_images_of_a_tree_are_those_it_was_made_of(store, image, paths):
    """A pod that was prepared has a tree of images that its image may not depend on any more."""
    b = image("b", version="1.0")
    a = image("a", "b")
    tree = store.tree(a.id).split("/")[-2]
    newer = image("b", version="2.0", files={"rootfs/new": b""})
    assert store.made_of(a) == (newer.id, a.id) and store.stands_on(tree) == (b, a) and store.stands_on(b.id) == (b,)
    assert with_dependencies(store, {tree}) == {tree, a.id, b.id, newer.id}
    store.remove(b.id, {newer.id})
    with pytest.raises(NotFound):
        store.stands_on(tree)
    with pytest.raises(NotFound, match="prepare the pod again"):
        store.stands_on("sha512-" + "0" * 128)


def test_the_name_of_a_tree_is_that_of_what_is_in_it(store, image):
    """Another filter, another tree; the same images in the same order, the same."""
    image("b")
    names = {
        tree_id(visits(store, image("a", "b", version=version, pathWhitelist=listed))) for version, listed in (("1", []), ("2", ["/b"]))
    }
    assert len(names) == 2
    assert tree_id(visits(store, store.resolve("example.com/b"))) == store.resolve("example.com/b").id


def damage(top):
    with open(f"{top}/all", "r+b") as file:
        file.write(b"!")


def test_a_changed_tree_is_found_and_rendered_again(store, image, paths, leftovers):
    b = image("b")
    a = image("a", "b")
    top = store.tree(a.id)
    name = top.split("/")[-2]
    for each in tree_names(store, a):
        verify_tree(store, each)
    damage(top)
    with pytest.raises(StoreError, match="/all has another time, content") as caught:
        verify_tree(store, name)
    assert caught.value.code == "damaged" and caught.value.facts["differences"] == ["/all has another time, content"]
    with pytest.raises(StoreError):
        verify_tree(store, a.id)
    with pytest.raises(Busy):
        repair(store, a, {name})
    assert sorted(repair(store, a)) == sorted([a.id, name]), "the file is the same in both"
    for each in tree_names(store, a):
        verify_tree(store, each)
    assert read(store, a, "all") == "a" and repair(store, a) == ()
    verify_tree(store, b.id)
    assert [path for path in leftovers() if "/locks/" not in path] == []


@pytest.mark.parametrize("change", ["listing", "digest", "record", "rootfs"])
def test_a_changed_listing_or_record_is_no_proof(store, image, paths, change):
    a = image("a")
    place = os.path.dirname(store.tree(a.id))
    if change == "listing":
        damage(f"{place}/rootfs")
        with open(f"{place}/listing", "rb") as file:
            text = file.read()
        with open(f"{place}/listing", "wb") as file:
            file.write(text.replace(b"/all f 0644", b"/all f 0645"))
    elif change == "record":
        with open(f"{place}/record.json", "wb") as file:
            file.write(b"{}")
    elif change == "digest":
        with open(f"{place}/record.json", "rb") as file:
            value = json.load(file)
        with open(f"{place}/record.json", "w", encoding="utf-8") as file:
            json.dump({**value, "digest": "sha512-" + "0" * 128}, file)
    else:
        os.rename(f"{place}/rootfs", f"{place}/other")
    if change == "rootfs":
        assert tree_names(store, a) == ()
    else:
        with pytest.raises(StoreError) as caught:
            verify_tree(store, a.id)
        assert caught.value.code == "damaged"
    repair(store, a)
    verify_tree(store, a.id)


def test_a_tree_of_an_earlier_rocket_serves(store, image, paths):
    """It has no listing: it can be started and laid under others, and there is nothing to compare it with."""
    b = image("b")
    place = os.path.dirname(store.tree(b.id))
    os.unlink(f"{place}/listing")
    with open(f"{place}/record.json", "w", encoding="utf-8") as file:
        json.dump({"format": 1, "image_id": b.id, "files": 2, "rendered_at": 5, "skipped": []}, file)
    inode = os.stat(f"{place}/rootfs").st_ino
    verify_tree(store, b.id)
    assert found(store, image("a", "b")) == ["a", "all", "b"]
    assert os.stat(f"{store.tree(b.id)}").st_ino == inode


def test_the_archive_of_an_image_is_checked_as_it_is_read(store, image, paths):
    b = image("b")
    a = image("a", "b")
    with open(f"{paths.images}/{b.id}/aci", "r+b") as file:
        file.seek(40)
        file.write(b"\0\0\0")
    with pytest.raises(StoreError) as caught:
        store.tree(a.id)
    assert caught.value.code == "damaged" and b.id in str(caught.value)


def test_an_archive_with_whiteout_names_is_taken_at_its_word(store, imports):
    """They mean something in layers of OCI images only."""
    imports(data=archive(name="example.com/b", files={"rootfs/.wh.x": b"", "rootfs/x": b""}))
    a = imports(name="example.com/a", dependencies=[{"imageName": "example.com/b"}], files={"rootfs/.wh.y": b""})
    assert found(store, a) == [".wh.x", ".wh.y", "x"]
