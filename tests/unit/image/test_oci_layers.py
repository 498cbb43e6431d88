# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Layers laid over each other: what stays, what goes, what is refused, and that nothing of it leaves the tree.

Each image that is made is unpacked beside a canary, by both ways of resolving paths.
"""

from __future__ import annotations

import os
import pathlib
import random
import re
import stat
import tempfile

import pytest
from image_archives import block, content, directory, file, hardlink, long, pax, symlink
from layered import converted, layer

from _rocket.errors import ArchiveError
from _rocket.image.limits import Limits

X = b"SCHILY.xattr."


@pytest.fixture
def tree(unpack, tmp_path):
    """Convert layers and unpack what was made; the value is the unpacking, `told` of it what the conversion said."""

    def make(*layers, **options):
        data, told = converted(tmp_path, *layers, **options)
        unpack(data)
        unpack.told = told
        return unpack

    return make


@pytest.fixture
def refusal(tmp_path):
    """Convert layers, which is refused; return the error."""

    def make(*layers, **options):
        with pytest.raises(ArchiveError) as caught:
            converted(tmp_path, *layers, **options)
        assert caught.value.hint
        assert str(caught.value).isprintable()
        return caught.value

    return make


def names(unpacked):
    found = set()
    for path, directories, files in os.walk(unpacked.rootfs):
        found.update(os.path.relpath(os.path.join(path, name), unpacked.rootfs).decode() for name in [*directories, *files])
    return found


BASE = layer(
    *[directory(b"a/", mode=0o750, uid=7), file(b"a/one", b"1"), file(b"a/two", b"2"), directory(b"a/b/"), file(b"a/b/three", b"3")],
    *[directory(b"etc/"), file(b"etc/passwd", b"lower")],
)


def test_a_plain_whiteout_takes_a_file(tree):
    assert names(tree(BASE, layer(file(b"a/.wh.one", b"")))) == {"a", "a/two", "a/b", "a/b/three", "etc", "etc/passwd"}


def test_a_plain_whiteout_takes_a_directory_with_all_in_it(tree):
    assert names(tree(BASE, layer(file(b".wh.a", b"")))) == {"etc", "etc/passwd"}


@pytest.mark.parametrize("mark", [b".wh.a", b"a/.wh..wh..opq"])
@pytest.mark.parametrize("first", [True, False])
def test_what_the_layer_itself_brings_is_spared_in_any_order(tree, mark, first):
    own = [directory(b"a/", mode=0o700), file(b"a/new", b"n"), directory(b"a/b/"), file(b"a/b/four", b"4")]
    members = [file(mark, b""), *own] if first else [*own, file(mark, b"")]
    found = tree(BASE, layer(*members))
    assert names(found) == {"a", "a/new", "a/b", "a/b/four", "etc", "etc/passwd"}
    assert stat.S_IMODE(found.at(b"a").st_mode) == 0o700


@pytest.mark.parametrize("first", [True, False])
def test_a_name_that_a_layer_hides_and_gives_is_the_new_one(tree, first):
    members = [file(b"a/.wh.one", b""), file(b"a/one", b"new")]
    assert tree(BASE, layer(*(members if first else members[::-1]))).read(b"a", b"one") == b"new"


@pytest.mark.parametrize("first", [True, False])
def test_a_directory_without_an_entry_forgets_what_it_was(tree, first):
    members = [file(b".wh.a", b""), file(b"a/new", b"n")]
    found = tree(BASE, layer(*(members if first else members[::-1])))
    assert names(found) == {"a", "a/new", "etc", "etc/passwd"}
    assert (stat.S_IMODE(found.at(b"a").st_mode), found.at(b"a").st_uid) == (0o755, 0)


def test_an_opaque_directory_without_an_entry_stays_what_it_was(tree):
    found = tree(BASE, layer(file(b"a/.wh..wh..opq", b"")))
    assert names(found) == {"a", "etc", "etc/passwd"}
    assert (stat.S_IMODE(found.at(b"a").st_mode), found.at(b"a").st_uid) == (0o750, 7)


def test_opaque_at_the_top_leaves_the_layer_alone(tree):
    assert names(tree(BASE, layer(file(b"x"), file(b".wh..wh..opq", b"")))) == {"x"}


def test_what_was_hidden_once_can_come_again(tree):
    assert tree(BASE, layer(file(b".wh.a", b"")), layer(file(b"a/one", b"again"))).read(b"a", b"one") == b"again"


def test_a_whiteout_of_nothing_that_is_there_does_nothing(tree):
    assert names(tree(BASE, layer(file(b".wh.nothing", b""), file(b"no/such/.wh.x", b""), file(b"none/.wh..wh..opq", b"")))) == {
        *("a", "a/one", "a/two", "a/b", "a/b/three", "etc", "etc/passwd")
    }


@pytest.mark.parametrize("first", [True, False])
def test_whiteouts_in_a_directory_that_the_layer_replaces_by_a_file(tree, first):
    """As umoci writes them."""
    members = [file(b"a/.wh.one", b""), file(b"a/.wh..wh..opq", b""), file(b"a", b"file")]
    found = tree(BASE, layer(*(members if first else members[::-1])))
    assert (names(found), found.read(b"a")) == ({"a", "etc", "etc/passwd"}, b"file")


def test_a_whiteout_may_be_a_hard_link_and_is_never_there_itself(tree):
    found = tree(BASE, layer(file(b"a/.wh.one", b""), hardlink(b"a/.wh.two", b"a/.wh.one")))
    assert names(found) == {"a", "a/b", "a/b/three", "etc", "etc/passwd"}


@pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh...", b"a/.wh.", b"a/.wh..", b"a/.wh..."])
def test_a_whiteout_of_nothing_or_of_dots_is_refused(refusal, name):
    assert "hides nothing that can be there" in str(refusal(BASE, layer(file(name, b""))))


@pytest.mark.parametrize("name", [b".wh..wh.plnk", b"a/.wh..wh.aufs", b".wh..wh."])
def test_marks_of_other_programs_are_refused(refusal, name):
    assert "mark of another program" in str(refusal(layer(file(name, b""))))


def test_a_whiteout_used_as_a_directory_is_refused(refusal):
    assert "used as a directory" in str(refusal(layer(file(b".wh.a/x"))))


@pytest.mark.parametrize("member", [directory(b".wh.a/"), symlink(b".wh.a", b"x"), block(b".wh.a", b"3"), block(b".wh.a", b"6")])
def test_a_whiteout_of_another_kind_is_refused(refusal, member):
    assert "has to be a file" in str(refusal(BASE, layer(member)))


def test_a_whiteout_through_a_lower_link_stays_inside(tree, unpack):
    lower = layer(symlink(b"l", unpack.outside), symlink(b"up", b"../../outside"), directory(b"d/"), file(b"d/x"))
    found = tree(lower, layer(file(b"l/.wh.file", b""), file(b"up/.wh.passwd", b""), file(b"l/.wh..wh..opq", b"")))
    assert names(found) == {"l", "up", "d", "d/x"}


def test_a_whiteout_through_a_lower_link_takes_what_it_leads_to_inside(tree):
    lower = layer(directory(b"usr/"), directory(b"usr/lib/"), file(b"usr/lib/x"), file(b"usr/lib/y"), symlink(b"lib", b"/usr/lib"))
    assert names(tree(lower, layer(file(b"lib/.wh.x", b"")))) == {"usr", "usr/lib", "usr/lib/y", "lib"}


@pytest.mark.parametrize("first", [True, False])
def test_a_directory_of_the_layer_counts_and_not_the_lower_link_of_its_name(tree, first):
    """What overlayfs makes of a link that a directory replaced; following the link would empty /etc."""
    lower = layer(directory(b"etc/"), file(b"etc/passwd", b"kept"), symlink(b"d", b"/etc"))
    marks, own = [file(b"d/.wh..wh..opq", b""), file(b"d/.wh.passwd", b"")], [directory(b"d/"), file(b"d/x")]
    found = tree(lower, layer(*(marks + own if first else own + marks)))
    assert names(found) == {"etc", "etc/passwd", "d", "d/x"}


def test_files_written_through_lower_links_stay_inside(tree, unpack):
    lower = layer(symlink(b"l", unpack.outside), symlink(b"up", b"../../outside"), directory(b"outside/"))
    found = tree(lower, layer(file(b"up/file", b"evil")))
    assert found.read(b"outside", b"file") == b"evil"


def test_a_link_that_leads_nowhere_is_not_written_through(refusal, unpack):
    assert "leads to what is not there" in str(refusal(layer(symlink(b"l", unpack.outside)), layer(file(b"l/file"))))


def test_links_without_an_end_are_refused(refusal):
    for members in ([symlink(b"a", b"b"), symlink(b"b", b"a")], [symlink(b"a", b"a")]):
        assert "without an end" in str(refusal(layer(*members), layer(file(b"a/x"))))


def test_a_hard_link_across_layers_leads_to_the_same_file(tree):
    found = tree(layer(file(b"a", b"data", mode=0o4755)), layer(hardlink(b"b", b"a")), layer(hardlink(b"d/c", b"b")))
    assert found.at(b"a").st_ino == found.at(b"b").st_ino == found.at(b"d", b"c").st_ino
    assert found.read(b"b") == b"data"


def test_one_name_of_a_pair_replaced_in_a_later_layer_leaves_the_other(tree):
    found = tree(layer(file(b"a", b"old"), hardlink(b"b", b"a")), layer(file(b"a", b"new")))
    assert (found.read(b"a"), found.read(b"b"), found.at(b"b").st_nlink) == (b"new", b"old", 1)


def test_a_hidden_name_of_a_pair_leaves_the_other(tree):
    found = tree(layer(file(b"a", b"data"), hardlink(b"b", b"a")), layer(file(b".wh.a", b"")))
    assert (names(found), found.read(b"b")) == ({"b"}, b"data")


def test_a_layer_may_link_to_what_it_hides(tree):
    assert names(tree(layer(file(b"a", b"data")), layer(hardlink(b"b", b"a"), file(b".wh.a", b"")))) == {"b"}


def test_a_hard_link_to_a_link_is_the_link(tree, unpack):
    found = tree(layer(symlink(b"l", unpack.outside + b"/file")), layer(hardlink(b"h", b"l")), layer(file(b"h", b"evil")))
    assert found.read(b"h") == b"evil" and stat.S_ISLNK(found.at(b"l").st_mode)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([hardlink(b"x", b"missing")], "what is not there"),
        ([hardlink(b"x", b"x")], "what is not there"),
        ([file(b"f"), symlink(b"s", b"."), hardlink(b"s/f", b"f")], "to itself"),
        ([directory(b"d/"), hardlink(b"x", b"d")], "neither a file nor"),
        ([block(b"p", b"6"), hardlink(b"x", b"p")], "neither a file nor"),
        ([hardlink(b"x", b"../outside/file")], "'..'"),
        ([hardlink(b"x", b"/")], "to the root"),
        ([file(b"f"), hardlink(b"x", b"f/y")], "what is not there"),
        ([file(b"f"), file(b"f/y")], "used as a directory"),
        ([symlink(b"s", b"s"), file(b"s/.wh.y", b"")], "without an end"),
        ([directory(b"d/"), file(b"d/x"), file(b"d")], "of this very layer"),
        ([file(b"d/x"), symlink(b"d", b"e")], "of this very layer"),
        ([file(b"f"), directory(b"d/"), hardlink(b"d", b"f")], "of this very layer"),
        ([file(b"./", b"")], "ends in '/'"),
        ([symlink(b".", b"x")], "the root is no directory"),
        ([file(b"../x")], "'..'"),
        ([file(b"a/../x")], "'..'"),
        ([pax((b"path", b"../x")), file(b"short")], "'..'"),
        ([long(b"../x"), file(b"short")], "'..'"),
        ([file(b"a\xff"), block(b"v", b"V")], "not supported"),
        ([block(b"s", b"S", size=4) + content(b"evil")], "not supported"),
        ([pax((b"GNU.sparse.major", b"1")), file(b"s")], "not supported"),
        ([file(b"f", uid=b"\xff" * 8)], "negative"),
        ([file(b"f", uid=b"\x80\0\0\0\xff\xff\xff\xff")], "does not fit"),
        ([block(b"l", b"2", link=b"f", size=4) + content(b"evil")], "has content"),
    ],
)
def test_what_contradicts_itself_is_refused(refusal, members, words):
    error = refusal(BASE, layer(*members))
    assert re.search(words, str(error)), str(error)
    assert error.where.startswith("layer 2 of 2")


@pytest.mark.parametrize("upper", [file(b"a", b"f"), symlink(b"a", b"etc"), block(b"a", b"6")])
def test_anything_in_place_of_a_lower_directory_takes_all_of_it(tree, upper):
    assert names(tree(BASE, layer(upper))) == {"a", "etc", "etc/passwd"}


def test_a_directory_in_place_of_a_lower_file_or_link(tree):
    found = tree(layer(file(b"f"), symlink(b"l", b"/etc")), layer(directory(b"f/"), file(b"f/x"), directory(b"l/"), file(b"l/y")))
    assert names(found) == {"f", "f/x", "l", "l/y"}


def test_a_directory_over_a_directory_keeps_what_is_in_it(tree):
    found = tree(BASE, layer(pax((X + b"user.new", b"1")), directory(b"a/", mode=0o711, uid=3, gid=4, mtime=5)))
    info = found.at(b"a")
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_mtime) == (0o711, 3, 4, 5)
    assert os.getxattr(os.path.join(found.rootfs, b"a"), "user.new") == b"1"
    assert found.read(b"a", b"one") == b"1"


def test_the_last_of_two_equal_names_counts(tree):
    assert tree(layer(file(b"x", b"1"), file(b"./x", b"2"), directory(b"y/"), file(b"z"), directory(b"z/"))).read(b"x") == b"2"


@pytest.mark.parametrize("name", [b"./d/x", b"/d/x", b"//d///x", b"././d/./x"])
def test_names_are_made_plain(tree, name):
    assert tree(layer(file(name, b"data"))).read(b"d", b"x") == b"data"


@pytest.mark.parametrize("target", [b"./d/x", b"/d/x", b"d//x"])
def test_targets_of_hard_links_are_made_plain(tree, target):
    found = tree(layer(file(b"d/x"), hardlink(b"y", target)))
    assert found.at(b"y").st_ino == found.at(b"d", b"x").st_ino


def test_devices_are_left_out_and_told(tree):
    found = tree(layer(block(b"dev/null", b"3", device=(1, 3)), block(b"dev/sda\x1b", b"4"), block(b"gone", b"3"), file(b"x")))
    assert names(found) == {"x"}
    assert found.told.skipped_count == 3
    assert found.told.skipped == ("char dev/null", "block dev/sda\\x1b", "char gone")


def test_attributes_travel_as_in_an_image_of_our_own(tree):
    found = tree(
        layer(
            pax(
                (X + b"user.x", b"1"),
                (X + b"user.overlay.opaque", b"y"),
                (X + b"trusted.overlay.opaque", b"y"),
                (X + b"security.ima", b"z"),
            ),
            file(b"f"),
            pax((X + b"user.x", b"1")),
            symlink(b"l", b"f"),
        )
    )
    assert os.listxattr(os.path.join(found.rootfs, b"f")) == ["user.x"]
    assert found.told.dropped_xattrs == 4


def test_setuid_owners_times_and_names_are_kept(tree):
    found = tree(layer(pax((b"mtime", b"1000000000.5")), file(b"\xff\x01 name", b"d", mode=0o4711, uid=70000, gid=80000)))
    info = found.at(b"\xff\x01 name")
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (0o4711, 70000, 80000)
    assert info.st_mtime_ns == 1_000_000_000_500_000_000


def test_the_root_has_the_attributes_of_its_entry(tree):
    assert stat.S_IMODE(os.lstat(tree(layer(directory(b"./", mode=0o711))).rootfs).st_mode) == 0o711


def test_layers_without_entries(tree):
    assert names(tree(layer(), layer(file(b"x")), layer())) == {"x"}


def test_limits_hold_over_all_layers_together(refusal):
    few = Limits(entries=5)
    assert (
        refusal(layer(*[file(b"a%d" % n) for n in range(3)]), layer(*[file(b"b%d" % n) for n in range(3)]), limits=few).code
        == "archive-limit"
    )
    small = Limits(bytes=20_000, ratio=10**6)
    assert "hold more than" in str(refusal(layer(file(b"a", bytes(9000))), layer(file(b"b", bytes(9000))), limits=small))
    tight = Limits(ratio_after=50_000, ratio=20)
    assert "expand more than" in str(refusal(*[layer(file(b"a", bytes(30_000)))] * 3, limits=tight))


def test_one_layer_below_the_limits_is_fine_where_all_together_are_not(tree):
    tight = Limits(ratio_after=50_000, ratio=20)
    assert tree(layer(file(b"a", bytes(30_000))), limits=tight).read(b"a") == bytes(30_000)


def test_a_path_made_deep_through_links_is_refused(refusal):
    deep = b"/".join([b"d"] * 200)
    lower = layer(pax((b"path", deep + b"/x")), file(b"short"), pax((b"linkpath", deep)), symlink(b"l", b"short"))
    assert refusal(lower, layer(pax((b"path", b"l/" + deep + b"/y")), file(b"short"))).code == "archive-limit"


def test_thousands_of_directories_through_links_end(refusal):
    members = [directory(b"d0/")]
    for number in range(3000):
        members += [symlink(b"l%d" % (number + 1), (b"l%d/d" % number if number else b"d0/d"))]
        members += [directory((b"l%d/d/" % number) if number else b"d0/d/")]
    assert refusal(layer(*members)).code in ("archive", "archive-limit")


def image_made_by(uid, umask, place, layers):
    """Return the image that somebody else makes, in a process of his own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setresuid(uid, uid, uid)
            os.umask(umask)
            with open(writer, "wb") as stream:
                stream.write(converted(place, *layers)[0])
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as stream:
        data = stream.read()
    os.waitpid(pid, 0)
    return data


def test_the_same_layers_make_the_same_image_in_any_place_and_by_anybody(root):
    layers = (BASE, layer(file(b"a/.wh.one", b""), hardlink(b"h", b"a/two"), symlink(b"s", b"a"), file(b"o", uid=99, mode=0o4755)))
    found = []
    for uid, umask in ((0, 0o077), (0, 0), (65534, 0o022)):
        with tempfile.TemporaryDirectory() as place:
            os.chmod(place, 0o777)
            found.append(image_made_by(uid, umask, pathlib.Path(place), layers))
    assert found[0] == found[1] == found[2] and len(found[0]) > 5000


def test_the_order_of_entries_within_a_layer_changes_nothing(tmp_path):
    members = [directory(b"d/"), file(b"d/a", b"1"), file(b"d/b", b"2"), file(b"e/c", b"3"), file(b"e/.wh.x", b""), symlink(b"l", b"d")]
    chance = random.Random(3)
    found = set()
    for _turn in range(10):
        chance.shuffle(members)
        data = converted(tmp_path, layer(file(b"e/x"), file(b"d/old")), layer(*members))[0]
        # The manifest names the configuration, which names the layers by their digests.
        found.add(data[data.index(b"rootfs/") :])
    assert len(found) == 1
