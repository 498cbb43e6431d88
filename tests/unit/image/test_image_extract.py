# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Unpacking: what the tree is like afterwards. Which archives are refused is in test_image_corpus.py."""

from __future__ import annotations

import hashlib
import os
import stat

import pytest
from corpus_links import FOREIGN
from image_archives import block, directory, file, hardlink, image, pax, symlink
from image_corpus import R, corpus

from _rocket.errors import ArchiveError, StoreError
from _rocket.image.extract import extract

CASES = corpus()


def test_zeros_behind_the_end_are_part_of_the_image(unpack):
    data = image() + bytes(9216)
    assert unpack(data).image_id == "sha512-" + hashlib.sha512(data).hexdigest()


def test_link_to_the_merged_usr_lands_inside(unpack):
    unpack(CASES["merged usr"].make(b""))
    assert unpack.read(b"usr/lib/x") == b"1"
    assert unpack.read(b"usr/lib/y") == b"2"
    assert os.readlink(os.path.join(unpack.rootfs, b"lib64")) == b"/usr/lib"


def test_absolute_link_is_resolved_in_the_root(unpack):
    """A host directory of that name exists; the write has to go to the image's own."""
    unpack(CASES["absolute link to the image's own"].make(b""))
    assert unpack.read(b"etc/rocket-test") == b"1"
    assert not os.path.lexists("/etc/rocket-test")


def test_dotdot_in_a_link_stays_in_the_root(unpack):
    unpack(CASES["dotdot in a link target"].make(b""))
    assert unpack.read(b"d/x") == b"1"


def test_file_replaces_a_link(unpack):
    unpack(CASES["file replaces a link"].make(unpack.outside))
    assert unpack.read(b"l") == b"new"


def test_a_directory_replaces_a_link_and_what_was_reached_through_it(unpack):
    """The open parent was found through the link: after the link is gone, the same name is another directory."""
    unpack(CASES["directory replaces a link"].make(b""))
    assert sorted(os.listdir(os.path.join(unpack.rootfs, b"d"))) == [b"a", b"self"]
    assert os.listdir(os.path.join(unpack.rootfs, b"d/self")) == [b"b"]


def test_overwritten_hard_link_keeps_the_other_content(unpack):
    unpack(CASES["one name of a pair overwritten"].make(b""))
    assert (unpack.read(b"a"), unpack.read(b"b")) == (b"new", b"old")


def test_hard_links_share_an_inode_and_may_lead_to_a_symlink(unpack):
    unpack(CASES["hard links"].make(b""))
    assert unpack.at(b"a").st_ino == unpack.at(b"b").st_ino
    assert unpack.at(b"l").st_ino == unpack.at(b"m").st_ino


def test_devices_are_skipped_and_named(unpack):
    result = unpack(CASES["devices"].make(b""))
    assert os.listdir(unpack.rootfs) == []
    assert result.skipped_count == 3
    assert result.skipped == ("char rootfs/null", "block rootfs/sda\\x1b", "char rootfs/w")


def test_a_hundred_skipped_devices_are_named_and_all_counted(unpack):
    result = unpack(CASES["150 devices"].make(b""))
    assert (len(result.skipped), result.skipped_count) == (100, 150)


def test_names_keep_their_bytes(unpack):
    unpack(CASES["control bytes"].make(b""))
    assert sorted(os.listdir(unpack.rootfs)) == [b"a\n\x1b[31m\x7f", b"l"]
    assert os.readlink(os.path.join(unpack.rootfs, b"l")) == b"\x01\xff"


def test_whiteouts_are_ordinary_files_of_an_image(unpack):
    """They mean something in layers of other formats; here nothing is taken away, in any order."""
    unpack(CASES["opaque directory"].make(b""))
    assert sorted(os.listdir(os.path.join(unpack.rootfs, b"d"))) == [b".wh..wh..opq", b"a", b"b"]


def test_whiteouts_take_nothing_away(unpack):
    unpack(CASES["whiteout"].make(b""))
    assert (unpack.read(b"x"), unpack.read(b".wh.x")) == (b"1", b"")


@pytest.mark.spec("A4")
def test_metadata_is_restored(unpack):
    result = unpack(
        image(
            directory(R + b"d/", mode=0o1777, uid=7, gid=8, mtime=5),
            pax((b"mtime", b"1.25"), (b"uid", b"4294967294"), (b"SCHILY.xattr.user.x", b"a\0\nb")),
            file(R + b"d/f", mode=0o104755, uid=1, gid=2, uname=b"root"),
            symlink(R + b"d/l", b"f", uid=3, gid=4, mtime=6),
            block(R + b"d/p", b"6", mode=0o640, uid=5, gid=6, mtime=7),
            hardlink(R + b"d/h", R + b"d/f", mode=0, uid=9),
        )
    )
    f, d, link, pipe = unpack.at(b"d/f"), unpack.at(b"d"), unpack.at(b"d/l"), unpack.at(b"d/p")
    assert (f.st_mode, f.st_uid, f.st_gid, f.st_mtime_ns) == (stat.S_IFREG | 0o4755, 4294967294, 2, 1_250_000_000)
    assert os.getxattr(os.path.join(unpack.rootfs, b"d/f"), "user.x") == b"a\0\nb"
    assert (stat.S_IMODE(d.st_mode), d.st_uid, d.st_gid, d.st_mtime) == (0o1777, 7, 8, 5)
    assert (link.st_uid, link.st_gid, link.st_mtime) == (3, 4, 6)
    assert (pipe.st_mode, pipe.st_uid, pipe.st_gid, pipe.st_mtime) == (stat.S_IFIFO | 0o640, 5, 6, 7)
    assert result.files == 5
    assert result.owners


def test_directory_of_mode_000_has_children(unpack):
    unpack(CASES["directory of mode 000 with children"].make(b""))
    assert stat.S_IMODE(unpack.at(b"d").st_mode) == 0
    assert unpack.at(b"d/e").st_mtime == 9


def test_a_directory_behind_its_child_gets_its_attributes(unpack):
    unpack(CASES["child before its parent"].make(b""))
    assert (stat.S_IMODE(unpack.at(b"a").st_mode), unpack.at(b"a").st_mtime) == (0o700, 5)


def test_the_number_of_an_owner_counts_and_not_the_name(unpack):
    unpack(CASES["name and number disagree"].make(b""))
    assert unpack.at(b"x").st_uid == 1234


def test_absurd_times_are_clamped(unpack):
    unpack(CASES["mtime absurd"].make(b""))
    # To the year 2514; the file system may end earlier.
    assert 1 << 32 < unpack.at(b"x").st_mtime == unpack.at(b"y").st_mtime <= 1 << 34


def test_root_entry_sets_the_root(unpack):
    data = file(b"./manifest", b"{}") + directory(b"./") + directory(b"./rootfs/", mode=0o711, uid=4, mtime=3) + bytes(1024)
    unpack(data)
    info = os.lstat(unpack.rootfs)
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_mtime) == (0o711, 4, 3)


def test_missing_parents_are_made_the_same_each_time(unpack):
    unpack(CASES["missing parents"].make(b""))
    info = unpack.at(b"a/b")
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_mtime) == (0o755, 0, 0)


def test_deferred_attributes_go_to_the_directory_that_was_made(unpack):
    """Behind a replaced link another directory has the same name; it keeps its own mode."""
    unpack(CASES["second directory of a name behind a link"].make(b""))
    assert (stat.S_IMODE(unpack.at(b"r/sub").st_mode), unpack.at(b"r/sub").st_uid) == (0o700, 1)


def test_a_link_to_itself_is_named_as_such(unpack):
    with pytest.raises(ArchiveError, match="itself"):
        unpack(CASES["hard link itself through a link"].make(b""))


def test_umask_is_not_used(unpack):
    old = os.umask(0o077)
    try:
        unpack(image(file(R + b"f", mode=0o666), block(R + b"p", b"6", mode=0o666)))
    finally:
        os.umask(old)
    assert stat.S_IMODE(unpack.at(b"f").st_mode) == 0o666
    assert stat.S_IMODE(unpack.at(b"p").st_mode) == 0o666


@pytest.mark.parametrize("keep", [False, True])
def test_extended_attributes_of_the_host_do_not_travel(unpack, keep):
    result = unpack(CASES["attributes of a host"].make(b""), capabilities=keep)
    names = os.listxattr(os.path.join(unpack.rootfs, b"f"))
    assert [name for name in names if name != "security.selinux"] == (["security.capability"] if keep else [])
    assert not [name for name in os.listxattr(os.path.join(unpack.rootfs, b"d")) if "overlay" in name]
    assert result.dropped_xattrs == 2 * len(FOREIGN) + (not keep)


@pytest.mark.spec("A9")
def test_image_id_is_compared(unpack):
    data = image(file(R + b"x"))
    with pytest.raises(ArchiveError) as caught:
        unpack(data, expected_id="sha512-" + "0" * 128)
    assert caught.value.code == "digest-mismatch"


@pytest.mark.spec("A9")
def test_image_id_is_that_of_the_tar(unpack):
    data = image(file(R + b"x"))
    expected = "sha512-" + hashlib.sha512(data).hexdigest()
    assert unpack(data, expected_id=expected).image_id == expected


def test_a_full_directory_is_refused(unpack, tmp_path):
    unpack(image())
    with open(tmp_path / "image.aci", "rb") as stream, pytest.raises(StoreError):
        extract(stream.fileno(), str(tmp_path / "staging"))


def test_nothing_is_inherited_by_the_child_and_nothing_is_left(unpack):
    """A lock that the parent holds must not live on in the child, and no descriptor or process may stay."""
    before = set(os.listdir("/proc/self/fd"))
    unpack(image(file(R + b"x")))
    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_without_root_owners_and_setuid_are_left_out(root, tmp_path):
    """In a child that gave up root: the tree belongs to it, and no bit raises anybody's privileges."""
    pytest.importorskip("ctypes")  # loaded now: the interpreter may lie where the child cannot read
    for place in (tmp_path, *tmp_path.parents):
        if place.owner() == "root" and not place.stat().st_mode & 0o1000 and place != place.parent:
            os.chmod(place, 0o755)
    source = tmp_path / "image.aci"
    source.write_bytes(image(directory(R + b"d/", mode=0), file(R + b"d/f", mode=0o6755, uid=0, gid=0)))
    staging = tmp_path / "staging"
    staging.mkdir()
    os.chown(staging, 12345, 12345)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(12345, 12345, 12345)
            os.setresuid(12345, 12345, 12345)
            with open(source, "rb") as stream:
                status = 1 if extract(stream.fileno(), str(staging)).owners else 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    info = os.lstat(staging / "rootfs/d/f")
    assert (stat.S_IMODE(info.st_mode), info.st_uid) == (0o755, 12345)
