# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Unpacking: the corpus of hostile archives, each beside a canary tree that must stay as it is."""

from __future__ import annotations

import hashlib
import os
import stat
import struct

import pytest
from image_archives import aci, base256, block, canary, content, directory, file, hardlink, long, pax, snapshot, symlink

from _rocket.errors import ArchiveError, StoreError
from _rocket.image.extract import extract
from _rocket.image.limits import Limits

R = b"rootfs/"
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)


@pytest.fixture(params=[True, False], ids=["openat2", "walk"])
def unpack(request, root, tmp_path):
    """Unpack bytes beside a canary; whatever happens, the canary stays byte-identical."""
    outside = canary(tmp_path)

    def run(data, limits=None, **options):
        source = tmp_path / "image.aci"
        source.write_bytes(data.replace(b"@OUTSIDE@" + b"\0" * (len(outside) - 9), outside) if b"@OUT" in data else data)
        staging = tmp_path / "staging"
        staging.mkdir()
        before = snapshot(outside)
        around = sorted(os.listdir(tmp_path))
        with open(source, "rb") as stream:
            try:
                return extract(stream.fileno(), str(staging), limits or Limits(), openat2=request.param, **options)
            finally:
                assert snapshot(outside) == before
                assert sorted(os.listdir(tmp_path)) == around
                assert set(os.listdir(staging)) <= {"rootfs"}

    run.outside = outside
    run.rootfs = os.path.join(os.fsencode(tmp_path), b"staging", b"rootfs")
    return run


def at(unpack, *parts):
    """Return lstat of a path in the tree."""
    return os.lstat(os.path.join(unpack.rootfs, *parts))


def read(unpack, *parts):
    """Return the content of a real file in the tree."""
    fd = os.open(os.path.join(unpack.rootfs, *parts), os.O_RDONLY | os.O_NOFOLLOW)
    with open(fd, "rb") as stream:
        return stream.read()


LONG = b"p" * 100 + b"/" + b"q" * 100

REFUSED = {
    "dotdot": [file(R + b"../x")],
    "dotdot that stays inside": [directory(R + b"a/"), file(R + b"a/../x")],
    "dotdot by prefix": [file(b"x", prefix=b"rootfs/..")],
    "dotdot by long name": [long(R + b"../x"), file(b"short")],
    "dotdot by pax path": [pax((b"path", R + b"../../x")), file(b"short")],
    "NUL by pax path": [pax((b"path", R + b"a\0b")), file(b"short")],
    "NUL hidden in the name field": [file(R + b"a\0hidden")],
    "empty pax path": [pax((b"path", b"")), file(R + b"x")],
    "empty name": [file(b"")],
    "part of 256 bytes": [pax((b"path", R + b"a" * 256)), file(b"short")],
    "256 parts": [pax((b"path", R + b"a/" * 255 + b"a")), file(b"short")],
    "3000 levels": [long(R + b"a/" * 3000 + b"a"), file(b"short")],
    "name over 4095 bytes": [pax((b"path", R + b"/".join([b"a" * 250] * 17))), file(b"short")],
    "root is a file": [file(b"rootfs")],
    "root is a link": [symlink(b"rootfs", b"/")],
    "absolute": [file(b"/rootfs/x")],
    "double slash": [file(R + b"a//x")],
    "dot part": [file(R + b"./x")],
    "outside of rootfs": [file(b"etc/x")],
    "text prefix of rootfs": [file(b"rootfsevil/x")],
    "duplicate file": [file(R + b"x"), file(R + b"x")],
    "duplicate with and without dot": [file(R + b"x"), file(b"./rootfs/x")],
    "duplicate directory and file": [directory(R + b"x/"), file(R + b"x")],
    "second rootfs": [directory(b"rootfs")],
    "second manifest": [file(b"manifest")],
    "file named as a directory": [file(R + b"x/")],
    "file used as a directory": [file(R + b"x"), file(R + b"x/y")],
    "directory replaced by a file through a link": [
        directory(R + b"d/"),
        file(R + b"d/x"),
        symlink(R + b"l", b"."),
        file(R + b"l/d"),
    ],
    "hard link absolute": [hardlink(R + b"x", b"/etc/passwd")],
    "hard link dotdot": [hardlink(R + b"x", b"rootfs/../../outside/file")],
    "hard link out of rootfs": [hardlink(R + b"x", b"manifest")],
    "hard link relative to its directory": [file(R + b"f"), hardlink(R + b"x", b"f")],
    "hard link to another top": [file(R + b"f"), hardlink(R + b"x", b"other/f")],
    "hard link missing": [hardlink(R + b"x", R + b"y")],
    "hard link itself": [hardlink(R + b"x", R + b"x")],
    "hard link itself through a link": [file(R + b"x"), symlink(R + b"l", b"."), hardlink(R + b"l/x", R + b"x")],
    "hard link to a directory": [directory(R + b"d/"), hardlink(R + b"x", R + b"d")],
    "hard link to a FIFO": [block(R + b"f", b"6"), hardlink(R + b"x", R + b"f")],
    "hard link with data": [file(R + b"f"), block(R + b"x", b"1", link=R + b"f", size=4) + content(b"evil")],
    "symlink with data": [block(R + b"x", b"2", link=b"f", size=4) + content(b"evil")],
    "directory with data": [block(R + b"x/", b"5", size=4) + content(b"evil")],
    "symlink without target": [symlink(R + b"x", b"")],
    "unknown type": [block(R + b"x", b"Z")],
    "contiguous file": [block(R + b"x", b"7")],
    "multi-volume": [block(R + b"x", b"M")],
    "sparse, old": [block(R + b"x", b"S", magic=b"ustar  \0")],
    "sparse, pax 0.0": [pax((b"GNU.sparse.size", b"1099511627776"), (b"GNU.sparse.numblocks", b"0")), file(R + b"x")],
    "sparse, pax 1.0": [pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"x")), file(R + b"x")],
    "uid negative": [file(R + b"x", uid=base256(-1, 8))],
    "uid 2^32-1": [file(R + b"x", uid=base256(2**32 - 1, 8))],
    "uid 2^32": [file(R + b"x", uid=base256(2**32, 8))],
    "uid 2^32-1 by pax": [pax((b"uid", b"4294967295")), file(R + b"x")],
    "gid negative by pax": [pax((b"gid", b"-1")), file(R + b"x")],
    "gid 2^32-1": [file(R + b"x", gid=base256(2**32 - 1, 8))],
    "size negative": [block(R + b"x", size=base256(-512, 12))],
    "size huge": [block(R + b"x", size=base256(2**80, 12))],
    "size 2^62": [block(R + b"x", size=base256(2**62, 12))],
    "size negative by pax": [pax((b"size", b"-1")), file(R + b"x")],
    "size no number": [block(R + b"x", size=b"12x4")],
    "pax length zero": [pax(raw=b"0 path=x\n"), file(R + b"x")],
    "pax length past the end": [pax(raw=b"99 path=x\n"), file(R + b"x")],
    "pax length short": [pax(raw=b"3 path=x\n"), file(R + b"x")],
    "pax length signed": [pax(raw=b"+9 path=x\n"), file(R + b"x")],
    "pax length of spaces": [pax(raw=b" " * 2000), file(R + b"x")],
    "pax without newline": [pax(raw=b"10 path=xy"), file(R + b"x")],
    "pax repeated key": [pax((b"path", R + b"a"), (b"path", R + b"b")), file(R + b"x")],
    "pax unknown key": [pax((b"EVIL.key", b"1")), file(R + b"x")],
    "pax acl": [pax((b"SCHILY.acl.access", b"user::rwx")), file(R + b"x")],
    "two pax headers": [pax((b"path", R + b"a")), pax((b"path", R + b"b")), file(R + b"x")],
    "two long names": [long(R + b"a"), long(R + b"b"), file(R + b"x")],
    "pax path and long name": [long(R + b"a"), pax((b"path", R + b"b")), file(R + b"x")],
    "global path": [pax((b"path", R + b"a"), kind=b"g"), file(R + b"x")],
    "global size": [pax((b"size", b"0"), kind=b"g"), file(R + b"x")],
    "metadata of 1 GiB": [block(b"PaxHeaders/x", b"x", size=1 << 30)],
    "pax header at the end": [pax((b"path", R + b"a"))],
    "pax mtime nan": [pax((b"mtime", b"nan")), file(R + b"x")],
    "checksum wrong in the middle": [file(R + b"x"), file(R + b"y", checksum=1), file(R + b"z")],
    "no ustar": [block(R + b"x", magic=bytes(8))],
    "one zero block, then a header and zeros": [bytes(512), directory(R + b"x/")],
    "one zero block in the middle": [bytes(512), file(R + b"x")],
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(unpack, case):
    with pytest.raises(ArchiveError) as caught:
        unpack(aci(*REFUSED[case]))
    assert "\n" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("cut", ["no end marker", "one zero block", "data cut", "header cut", "data after the end", "late data"])
def test_ends(unpack, cut):
    whole = aci(file(R + b"x", b"d" * 1000))
    data = {
        "no end marker": whole[:-1024],
        "one zero block": whole[:-512],
        "data cut": whole[: -1024 - 600],
        "header cut": whole[: -1024 - 1024 - 100],
        "data after the end": whole + b"x",
        "late data": whole + bytes(1 << 20) + b"x",
    }[cut]
    unpack_whole = aci(file(R + b"x", b"d" * 1000)) + bytes(9216)
    assert unpack_whole.startswith(whole)
    with pytest.raises(ArchiveError):
        unpack(data)


def test_zeros_behind_the_end_are_part_of_the_image(unpack):
    data = aci() + bytes(9216)
    assert unpack(data).image_id == "sha512-" + hashlib.sha512(data).hexdigest()


INSIDE = {
    "write through an absolute link": lambda out: [symlink(R + b"l", out), file(R + b"l/file", b"evil")],
    "write through a relative link": lambda out: [symlink(R + b"l", b"../../outside"), file(R + b"l/file", b"evil")],
    "write through a link in the parent": lambda out: [directory(R + b"d/"), symlink(R + b"d/l", b"../../../outside"), file(R + b"d/l/x")],
    "mkdir through a link": lambda out: [symlink(R + b"l", out), directory(R + b"l/new/")],
    "directory attributes through a link": lambda out: [symlink(R + b"l", out), directory(R + b"l/sub/", mode=0o777, uid=12)],
    "FIFO through a link": lambda out: [symlink(R + b"l", out), block(R + b"l/fifo", b"6")],
    "symlink through a link": lambda out: [symlink(R + b"l", out), symlink(R + b"l/new", b"x")],
    "file over a link": lambda out: [symlink(R + b"l", out + b"/file"), symlink(R + b"s", b"."), file(R + b"s/l", b"evil", mode=0o777)],
    "chain of links": lambda out: [symlink(R + b"a", b"b"), symlink(R + b"b", b"c"), symlink(R + b"c", out), file(R + b"a/file", b"evil")],
    "loop of links": lambda out: [symlink(R + b"a", b"b"), symlink(R + b"b", b"a"), file(R + b"a/x")],
    "dangling link as a parent": lambda out: [symlink(R + b"a", b"../outside/new"), file(R + b"a/x")],
    "dangling absolute link": lambda out: [symlink(R + b"a", out + b"/new"), directory(R + b"a/x/")],
    "hard link through a linked directory": lambda out: [symlink(R + b"l", out), hardlink(R + b"x", R + b"l/file")],
    "hard link to a symlink, then written": lambda out: [
        symlink(R + b"l", out + b"/file"),
        hardlink(R + b"h", R + b"l"),
        symlink(R + b"s", b"."),
        file(R + b"s/h", b"evil", mode=0o4777, uid=5),
    ],
    "hard link written through a directory link": lambda out: [symlink(R + b"l", out), hardlink(R + b"l/x", R + b"l/passwd")],
    "directory replaced before its deferred mode": lambda out: [
        directory(R + b"d/", mode=0o777, uid=99),
        symlink(R + b"s", b"."),
        symlink(R + b"s/d", out),
    ],
    "parent replaced before the deferred mode": lambda out: [
        symlink(R + b"p", b"q"),
        directory(R + b"q/sub/", mode=0o777, uid=99),
        directory(R + b"p/sub2/", mode=0o777),
        symlink(R + b"s", b"."),
        symlink(R + b"s/p", out),
    ],
    "proc magic link": lambda out: [symlink(R + b"l", b"/proc/self/root" + out), file(R + b"l/file", b"evil")],
    "proc cwd": lambda out: [symlink(R + b"l", b"/proc/self/cwd"), file(R + b"l/file", b"evil")],
    "mtime absurd": lambda out: [file(R + b"x", mtime=base256(2**70, 12)), pax((b"mtime", b"9" * 40)), file(R + b"y")],
    "mtime before 1970": lambda out: [file(R + b"x", mtime=base256(-5, 12))],
    "root mode 000": lambda out: [],
}


@pytest.mark.parametrize("case", INSIDE)
def test_inside(unpack, case):
    try:
        unpack(aci(*INSIDE[case](unpack.outside)))
    except ArchiveError as error:
        assert "\n" not in str(error)


def test_link_to_the_merged_usr_lands_inside(unpack):
    unpack(
        aci(
            directory(R + b"usr/"),
            directory(R + b"usr/lib/"),
            symlink(R + b"lib", b"usr/lib"),
            symlink(R + b"lib64", b"/usr/lib"),
            file(R + b"lib/x", b"1"),
            file(R + b"lib64/y", b"2"),
        )
    )
    assert read(unpack, b"usr/lib/x") == b"1"
    assert read(unpack, b"usr/lib/y") == b"2"
    assert os.readlink(os.path.join(unpack.rootfs, b"lib64")) == b"/usr/lib"


def test_absolute_link_is_resolved_in_the_root(unpack):
    """A host directory of that name exists; the write has to go to the image's own."""
    unpack(aci(directory(R + b"etc/"), directory(R + b"d/"), symlink(R + b"d/l", b"/etc"), file(R + b"d/l/rocket-test", b"1")))
    assert read(unpack, b"etc/rocket-test") == b"1"
    assert not os.path.lexists("/etc/rocket-test")


def test_file_replaces_a_link(unpack):
    unpack(aci(symlink(R + b"l", unpack.outside + b"/file"), symlink(R + b"s", b"."), file(R + b"s/l", b"new")))
    assert read(unpack, b"l") == b"new"


def test_a_directory_replaces_a_link_and_what_was_reached_through_it(unpack):
    """The open parent was found through the link: after the link is gone, the same name is another directory."""
    unpack(
        aci(
            directory(R + b"d/"),
            symlink(R + b"d/self", b"."),
            file(R + b"d/self/a"),
            directory(R + b"d/self/self/"),
            file(R + b"d/self/b"),
        )
    )
    assert sorted(os.listdir(os.path.join(unpack.rootfs, b"d"))) == [b"a", b"self"]
    assert os.listdir(os.path.join(unpack.rootfs, b"d/self")) == [b"b"]


def test_overwritten_hard_link_keeps_the_other_content(unpack):
    unpack(aci(file(R + b"a", b"old"), hardlink(R + b"b", R + b"a"), symlink(R + b"s", b"."), file(R + b"s/a", b"new")))
    assert (read(unpack, b"a"), read(unpack, b"b")) == (b"new", b"old")


def test_hard_links_share_an_inode_and_may_lead_to_a_symlink(unpack):
    unpack(aci(file(R + b"a"), hardlink(R + b"b", R + b"a"), symlink(R + b"l", b"nowhere"), hardlink(R + b"m", R + b"l")))
    assert at(unpack, b"a").st_ino == at(unpack, b"b").st_ino
    assert at(unpack, b"l").st_ino == at(unpack, b"m").st_ino


def test_devices_are_skipped_and_named(unpack):
    result = unpack(aci(block(R + b"null", b"3", device=(1, 3)), block(R + b"sda\x1b", b"4", device=(8, 0)), block(R + b"w", b"3")))
    assert os.listdir(unpack.rootfs) == []
    assert result.skipped_count == 3
    assert result.skipped == ("char rootfs/null", "block rootfs/sda\\x1b", "char rootfs/w")


def test_names_keep_their_bytes(unpack):
    unpack(aci(file(R + b"caf\xe9\x01")))
    assert os.listdir(unpack.rootfs) == [b"caf\xe9\x01"]


@pytest.mark.spec("A4")
def test_metadata_is_restored(unpack):
    result = unpack(
        aci(
            directory(R + b"d/", mode=0o1777, uid=7, gid=8, mtime=5),
            pax((b"mtime", b"1.25"), (b"uid", b"4294967294"), (b"SCHILY.xattr.user.x", b"a\0\nb")),
            file(R + b"d/f", mode=0o104755, uid=1, gid=2, uname=b"root"),
            symlink(R + b"d/l", b"f", uid=3, gid=4, mtime=6),
            block(R + b"d/p", b"6", mode=0o640, uid=5, gid=6, mtime=7),
            hardlink(R + b"d/h", R + b"d/f", mode=0, uid=9),
        )
    )
    f, d, link, pipe = at(unpack, b"d/f"), at(unpack, b"d"), at(unpack, b"d/l"), at(unpack, b"d/p")
    assert (f.st_mode, f.st_uid, f.st_gid, f.st_mtime_ns) == (stat.S_IFREG | 0o4755, 4294967294, 2, 1_250_000_000)
    assert os.getxattr(os.path.join(unpack.rootfs, b"d/f"), "user.x") == b"a\0\nb"
    assert (stat.S_IMODE(d.st_mode), d.st_uid, d.st_gid, d.st_mtime) == (0o1777, 7, 8, 5)
    assert (link.st_uid, link.st_gid, link.st_mtime) == (3, 4, 6)
    assert (pipe.st_mode, pipe.st_uid, pipe.st_gid, pipe.st_mtime) == (stat.S_IFIFO | 0o640, 5, 6, 7)
    assert result.files == 5
    assert result.owners


def test_directory_of_mode_000_has_children(unpack):
    unpack(aci(directory(R + b"d/", mode=0), directory(R + b"d/e/", mode=0, mtime=9), file(R + b"d/e/f")))
    assert stat.S_IMODE(at(unpack, b"d").st_mode) == 0
    assert at(unpack, b"d/e").st_mtime == 9


def test_root_entry_sets_the_root(unpack):
    data = file(b"./manifest", b"{}") + directory(b"./") + directory(b"./rootfs/", mode=0o711, uid=4, mtime=3) + bytes(1024)
    unpack(data)
    info = os.lstat(unpack.rootfs)
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_mtime) == (0o711, 4, 3)


def test_missing_parents_are_made_the_same_each_time(unpack):
    unpack(aci(file(R + b"a/b/c")))
    info = at(unpack, b"a/b")
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_mtime) == (0o755, 0, 0)


def test_deferred_attributes_go_to_the_directory_that_was_made(unpack):
    """Behind a replaced link another directory has the same name; it keeps its own mode."""
    unpack(
        aci(
            directory(R + b"r/"),
            directory(R + b"r/sub/", mode=0o700, uid=1),
            directory(R + b"q/"),
            symlink(R + b"p", b"q"),
            directory(R + b"p/sub/", mode=0o777, uid=2),
            symlink(R + b"s", b"."),
            symlink(R + b"s/p", b"r"),
        )
    )
    assert (stat.S_IMODE(at(unpack, b"r/sub").st_mode), at(unpack, b"r/sub").st_uid) == (0o700, 1)


def test_a_link_to_itself_is_named_as_such(unpack):
    with pytest.raises(ArchiveError, match="itself"):
        unpack(aci(file(R + b"x"), symlink(R + b"l", b"."), hardlink(R + b"l/x", R + b"x")))


def test_umask_is_not_used(unpack):
    old = os.umask(0o077)
    try:
        unpack(aci(file(R + b"f", mode=0o666), block(R + b"p", b"6", mode=0o666)))
    finally:
        os.umask(old)
    assert stat.S_IMODE(at(unpack, b"f").st_mode) == 0o666
    assert stat.S_IMODE(at(unpack, b"p").st_mode) == 0o666


FOREIGN = (
    b"trusted.overlay.redirect",
    b"user.overlay.opaque",
    b"security.selinux",
    b"trusted.x",
    b"system.posix_acl_access",
    b"security.ima",
)


@pytest.mark.parametrize("keep", [False, True])
def test_extended_attributes_of_the_host_do_not_travel(unpack, keep):
    pairs = [(b"SCHILY.xattr." + name, b"y") for name in FOREIGN]
    everything = pax((b"SCHILY.xattr.security.capability", CAPABILITY), *pairs)
    result = unpack(aci(everything, file(R + b"f"), pax(*pairs), directory(R + b"d/")), capabilities=keep)
    names = os.listxattr(os.path.join(unpack.rootfs, b"f"))
    assert [name for name in names if name != "security.selinux"] == (["security.capability"] if keep else [])
    assert not [name for name in os.listxattr(os.path.join(unpack.rootfs, b"d")) if "overlay" in name]
    assert result.dropped_xattrs == 2 * len(FOREIGN) + (not keep)


@pytest.mark.spec("A9")
def test_image_id_is_compared(unpack):
    data = aci(file(R + b"x"))
    with pytest.raises(ArchiveError) as caught:
        unpack(data, expected_id="sha512-" + "0" * 128)
    assert caught.value.code == "digest-mismatch"


@pytest.mark.spec("A9")
def test_image_id_is_that_of_the_tar(unpack):
    data = aci(file(R + b"x"))
    expected = "sha512-" + hashlib.sha512(data).hexdigest()
    assert unpack(data, expected_id=expected).image_id == expected


@pytest.mark.parametrize("case", ["entries", "bytes", "reserve", "reserve_files", "seconds", "global headers"])
def test_limits(unpack, case):
    data, limits = {
        "entries": (aci(file(R + b"x"), file(R + b"y")), Limits(entries=3)),
        "global headers": (aci(*[pax((b"comment", b"c"), kind=b"g")] * 5), Limits(entries=3)),
        "bytes": (aci(file(R + b"x", bytes(20000))), Limits(bytes=16384)),
        "reserve": (aci(), Limits(reserve=1 << 60)),
        "reserve_files": (aci(), Limits(reserve_files=1 << 60)),
        "seconds": (aci(*[file(R + b"%d" % n) for n in range(30000)]), Limits(seconds=0)),
    }[case]
    with pytest.raises((ArchiveError, StoreError)) as caught:
        unpack(data, limits)
    assert caught.value.code == ("no-space" if case.startswith("reserve") else "archive-limit")


def test_a_full_directory_is_refused(unpack, tmp_path):
    unpack(aci())
    with open(tmp_path / "image.aci", "rb") as stream, pytest.raises(StoreError):
        extract(stream.fileno(), str(tmp_path / "staging"))


def test_nothing_is_inherited_by_the_child_and_nothing_is_left(unpack):
    """A lock that the parent holds must not live on in the child, and no descriptor or process may stay."""
    before = set(os.listdir("/proc/self/fd"))
    unpack(aci(file(R + b"x")))
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
    source.write_bytes(aci(directory(R + b"d/", mode=0), file(R + b"d/f", mode=0o6755, uid=0, gid=0)))
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
