# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Images over each other, as text: the vectors of the specification's rules, and a model that is slow and obvious."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _rocket.errors import ArchiveError
from _rocket.image.layers import Layer, lines, overlay
from _rocket.image.limits import DEFAULT, Limits

FILE, LINK = b"f 0644 0 0 1 1 " + b"0" * 64, b"l 0777 0 0 1 target"


def listing(number, **paths):
    """Return the listing of image `number`: of files, or of what `paths` says (name with _ for /); parents as implied."""
    return made(number, {"/" + path.replace("_", "/"): kind for path, kind in paths.items()})


def made(number, kinds):
    """Return a listing; the size of a file and the mode of a directory are the number of the image."""
    found = {"/": "d"}
    for path in kinds:
        parts = path.split("/")
        for at in range(2, len(parts)):
            found.setdefault("/".join(parts[:at]), "i")
    found.update(kinds)
    rest = {"f": f"f 0644 0 0 1 {number} " + "0" * 64, "l": f"l 0777 0 0 {number} x", "p": f"p 0644 0 0 {number}"}
    rest.update({kind: f"{kind} 07{number:02d} 0 0 1" for kind in "di"})
    return b"".join(f"{path} {rest[kind]}\n".encode() for path, kind in sorted(found.items(), key=lambda item: item[0].split("/")))


def names(*layers, limits=DEFAULT):
    return [line.path.decode() for line in lines(overlay(layers, limits))][1:]


def kinds(*layers):
    return {line.path.decode(): (line.letter.decode(), node_layer) for line, node_layer in _walk(overlay(layers, DEFAULT))}


def _walk(node):
    yield node.line, node.layer
    for name in sorted(node.children or ()):
        yield from _walk(node.children[name])


@pytest.mark.spec("D3")
@pytest.mark.spec("D4")
def test_what_comes_later_stands_over_what_came_before():
    found = kinds(
        Layer(listing(1, a="f", dir_x="f", dir="d", file="f", link="l", gone_deep_x="f", kept_x="f", kept="d")),
        Layer(listing(2, a="f", dir_y="f", dir="d", file_z="f", link_z="f", link="d", gone="f", kept_z="f")),
    )
    assert found["/a"] == ("f", 1)
    assert (found["/dir"], found["/dir/x"], found["/dir/y"]) == (("d", 1), ("f", 0), ("f", 1)), "merged, the later one's mode"
    assert found["/file"] == ("i", 1) and found["/file/z"] == ("f", 1), "a directory over a file"
    assert found["/link"] == ("d", 1) and found["/link/z"] == ("f", 1), "a directory over a link, which is not followed"
    assert found["/gone"] == ("f", 1) and "/gone/deep" not in found, "a file over a directory"
    assert found["/kept"] == ("d", 0) and found["/kept/z"] == ("f", 1), "a directory without an entry takes no mode away"
    assert found["/"] == ("d", 1)


@pytest.mark.spec("D4")
def test_a_link_over_a_directory_takes_all_of_it_away():
    assert names(Layer(listing(1, lib_x="f", lib_y="f")), Layer(listing(2, lib="l"))) == ["/lib"]


NESTED = Layer(listing(1, d1="f", d2="f", d3="f"), (("/a", "/c1", "/d1", "/d2"), ("/c1", "/d1")))


@pytest.mark.spec("D5")
def test_every_list_on_the_way_up_has_to_list_a_path():
    upper = ("/a", "/c1", "/d1", "/d2")
    found = names(
        NESTED,
        Layer(listing(2, c1="f", c2="f", d2="f"), (upper, ("/c1", "/d1"))),
        Layer(listing(3, a="f", b="f"), (upper,)),
    )
    assert found == ["/a", "/c1", "/d1"]


@pytest.mark.spec("D5")
def test_the_list_of_a_sibling_is_not_taken_for_another():
    found = names(
        Layer(listing(1, b1="f", b2="f")),
        Layer(listing(2, d="f"), (("/c1",),)),
        Layer(listing(3, c1="f", c2="f"), (("/c1",),)),
        Layer(listing(4)),
    )
    assert found == ["/b1", "/b2", "/c1"]


@pytest.mark.spec("D3")
@pytest.mark.spec("D5")
def test_one_image_on_two_ways_is_filtered_on_each():
    d = listing(1, only_b="f", only_c="f")
    found = names(Layer(d, (("/only/b",),)), Layer(listing(2)), Layer(d, (("/only/c",),)), Layer(listing(3)))
    assert found == ["/only", "/only/b", "/only/c"]


@pytest.mark.spec("D5")
@pytest.mark.parametrize(
    ("listed", "kept"),
    [
        ((), ["/bin", "/lib", "/usr", "/usr/lib", "/usr/lib/a", "/usr/lib/b", "/usr/lib/deep", "/usr/lib/deep/x"]),
        (("/usr/lib/a",), ["/usr", "/usr/lib", "/usr/lib/a"]),
        (("/usr/lib/deep",), ["/usr", "/usr/lib", "/usr/lib/deep"]),
        (("/lib",), ["/lib"]),
        (("/lib/a",), []),
        (("/usr/lib/a/b", "/bin"), ["/bin", "/usr", "/usr/lib"]),
        (("/no/such",), []),
        (("/usr/li",), ["/usr"]),
        (("/",), []),
    ],
)
def test_a_whitelist(listed, kept):
    one = listing(1, bin="f", lib="l", usr_lib_a="f", usr_lib_b="f", usr_lib_deep_x="f", usr_lib_deep="d")
    assert names(Layer(one, (listed,))) == kept


@pytest.mark.spec("D5")
def test_names_of_a_whitelist_are_compared_as_bytes():
    one = b"/ d 0755 0 0 1\n/caf%C3%A9%20x " + FILE + b"\n/cafe " + LINK + b"\n"
    assert names(Layer(one, (("/caf\xe9 x",),))) == ["/caf%C3%A9%20x"]


def test_the_same_bounds_hold_for_all_images_together():
    one = listing(1, a="f", b="f")
    with pytest.raises(ArchiveError) as caught:
        names(Layer(one), Layer(one), limits=Limits(entries=3))
    assert caught.value.code == "archive-limit"


def test_there_is_no_tree_of_nothing():
    with pytest.raises(ValueError):
        overlay((), DEFAULT)


PATHS = st.sampled_from(["/a", "/b", "/a/a", "/a/b", "/b/a", "/a/a/a", "/a/a/b"])
LISTS = st.one_of(st.just(()), st.lists(PATHS, min_size=1, max_size=4).map(tuple))


@st.composite
def images(draw):
    found = {}
    for path in sorted(draw(st.lists(PATHS, unique=True, max_size=6))):
        if all(found.get(path[:at], "d") == "d" for at in range(1, len(path)) if path[at] == "/"):
            found[path] = draw(st.sampled_from("dflp"))
    return found


def model(visits):
    """Lay images over each other path by path, with nothing but sets."""
    tree = {}
    for number, (found, whitelists) in enumerate(visits):
        whole = dict(found)
        for path in found:
            for at in range(1, len(path)):
                if path[at] == "/":
                    whole.setdefault(path[:at], "i")
        for path in sorted(whole, key=lambda path: path.split("/")):
            kind = whole[path]
            lists = [set(listed) for listed in whitelists if listed]
            if not all(path in listed or (kind in "di" and any(other.startswith(path + "/") for other in listed)) for listed in lists):
                continue
            old = tree.get(path, ("", 0))[0]
            if kind in "di" and old in ("d", "i"):
                if kind == "d":
                    tree[path] = (kind, number)
                continue
            for other in [other for other in tree if other.startswith(path + "/")]:
                del tree[other]
            tree[path] = (kind, number)
    return tree


@given(st.lists(st.tuples(images(), st.lists(LISTS, max_size=3)), min_size=1, max_size=4))
def test_the_model_agrees(visits):
    found = kinds(*(Layer(made(number, content), tuple(lists)) for number, (content, lists) in enumerate(visits)))
    del found["/"]
    assert found == model(visits)
