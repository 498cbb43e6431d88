# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A tree makes the same image as a directory and as a tar, whoever packed it and in whatever order."""

from __future__ import annotations

import os
import random
import stat
import subprocess

import pytest
from image_archives import MANIFEST, ZEROS, block, directory, file, hardlink, image, pax, symlink

from _rocket.errors import ArchiveError
from _rocket.image import source_tar
from _rocket.image.build import build, open_source, work_out
from _rocket.image.tar import Reader
from _rocket.spec.image_manifest import parse_image_manifest

KEEP = 1 << 33
IMAGE = parse_image_manifest(MANIFEST)


def image_id(path, **options):
    with open_source(str(path)) as source:
        return work_out(source, IMAGE, **options)[0]


def packed(tmp_path, *members, name="in.tar"):
    path = tmp_path / name
    path.write_bytes(b"".join(members) + ZEROS)
    return path


def entries(path):
    reader = Reader(iter([path.read_bytes()]))
    return [(entry, b"".join(reader.data(entry))) for entry in reader.entries()]


def made(tmp_path, *members):
    """Return the entries of the image that a tar of these members becomes, by name."""
    build(str(packed(tmp_path, *members)), IMAGE, str(tmp_path / "out.aci"), "none", mtime=KEEP)
    return {entry.name: (entry, content) for entry, content in entries(tmp_path / "out.aci")}


@pytest.fixture
def tree(tmp_path):
    """A tree with one of each kind that needs no privileges; its times are whole seconds, as GNU's form of tar has them."""
    top = tmp_path / "tree"
    for name in ("bin", "bin.d", "etc", "empty", "d" * 90):
        (top / name).mkdir(parents=True)
    (top / "bin" / "b").write_bytes(b"b" * 70_000)
    (top / "bin" / "a").write_bytes(b"")
    os.link(top / "bin" / "b", top / "bin.d" / "hard")
    os.link(top / "bin" / "b", top / "a-hard")
    os.symlink("bin/b", top / "link")
    os.link(top / "link", top / "same link", follow_symlinks=False)
    os.symlink("x" * 300, top / "long link")
    os.mkfifo(top / "pipe")
    (top / ("n" * 200)).write_text("long")
    (top / ("d" * 90) / ("e" * 90)).write_text("prefix")
    (top / os.fsdecode(b"caf\xe9")).write_text("bytes")
    os.chmod(top / "bin" / "b", 0o4755)
    os.chmod(top / "empty", 0o1777)
    for at, (path, _directories, files) in enumerate(os.walk(os.fsencode(top), topdown=False)):
        for name in [*files, b"."]:
            os.utime(os.path.join(path, name), (at, 1_000_000_000 + at), follow_symlinks=False)
    return top


@pytest.mark.parametrize("names", [["."], None], ids=["with ./", "without ./"])
@pytest.mark.parametrize("form", ["gnu", "posix"])
@pytest.mark.parametrize("compression", ["--no-auto-compress", "-z", "-j", "-J"])
def test_a_tar_of_a_tree_is_the_tree(program, tmp_path, tree, names, form, compression):
    words = names or sorted(os.listdir(tree))
    archive = tmp_path / "in.tar"
    subprocess.run([program("tar"), f"--format={form}", "-C", str(tree), compression, "-cf", str(archive), "--", *words], check=True)
    assert image_id(archive, owner=(0, 0)) == image_id(tree, owner=(0, 0))
    if names:
        assert image_id(archive, mtime=KEEP) == image_id(tree, mtime=KEEP)
    else:
        # Without an entry of its own the root has the numbers and the time that unpacking would give it.
        assert image_id(archive, mtime=KEEP) != image_id(tree, mtime=KEEP)


def test_what_needs_privileges_needs_none_in_a_tar(root, program, tmp_path, tree):
    try:
        os.mknod(tree / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod(tree / "disk", 0o660 | stat.S_IFBLK, os.makedev(8, 1))
    except PermissionError:
        pytest.skip("missing ability: mknod")
    os.chown(tree / "bin" / "a", 5_000_000, 3)
    os.chown(tree / "link", 7, 8, follow_symlinks=False)
    for name in ("user.x", "security.capability", "trusted.overlay.opaque"):
        value = bytes.fromhex("0100000200200000000000000000000000000000") if name.startswith("security") else b"\n=\0"
        os.setxattr(tree / "bin" / "a", name, value)
    archive = tmp_path / "in.tar"
    words = ["--format=posix", "--xattrs", "--xattrs-include=*", "-C", str(tree), "-cf", str(archive), "."]
    subprocess.run([program("tar"), *words], check=True)
    wanted = image_id(tree, mtime=KEEP)
    assert image_id(archive, mtime=KEEP) == wanted
    archive.chmod(0o644)
    with archive.open("rb") as stream:
        assert as_nobody(lambda: image_id(f"/proc/self/fd/{stream.fileno()}", mtime=KEEP)) == wanted


def as_nobody(work):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os.environ.pop("TMPDIR", None)
            os.write(writer, work().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="ascii") as stream:
        text = stream.read()
    os.waitpid(child, 0)
    return text


def test_the_order_of_the_archive_does_not_matter(tmp_path, tree):
    """Hard links turn around with it: the first name in an image is the first in its own order."""
    members = tree_members(tree)
    wanted = image_id(tree, mtime=KEEP)
    turned = random.Random(1)
    for _attempt in range(20):
        turned.shuffle(members)
        seen, found = {}, []
        for name, info in members:
            key = (info.st_dev, info.st_ino)
            found.append(member(tree, name, info, seen.get(key)))
            if not stat.S_ISDIR(info.st_mode):
                seen.setdefault(key, name)
        assert image_id(packed(tmp_path, *found), mtime=KEEP) == wanted


def tree_members(tree):
    found = [(b".", os.lstat(tree))]
    for path, directories, files in os.walk(os.fsencode(tree)):
        for name in [*directories, *files]:
            each = os.path.join(path, name)
            found.append((os.path.relpath(each, os.fsencode(tree)), os.lstat(each)))
    return found


def member(tree, name, info, linked):
    facts = {"mode": stat.S_IMODE(info.st_mode), "uid": info.st_uid, "gid": info.st_gid, "mtime": int(info.st_mtime)}
    named = [(b"path", name)] if len(name) > 100 else []
    target = linked if linked is not None else os.readlink(os.path.join(os.fsencode(tree), name)) if stat.S_ISLNK(info.st_mode) else b""
    named += [(b"linkpath", target)] if len(target) > 100 else []
    before, short = (pax(*named) if named else b""), name[:100]
    if linked is not None:
        return before + hardlink(short, target[:100], **facts)
    if stat.S_ISLNK(info.st_mode):
        return before + block(short, b"2", link=target[:100], **facts)
    if stat.S_ISREG(info.st_mode):
        with open(os.path.join(os.fsencode(tree), name), "rb") as stream:
            return before + file(short, stream.read(), **facts)
    return before + block(short, b"5" if stat.S_ISDIR(info.st_mode) else b"6", **facts)


@pytest.mark.parametrize("compression", ["none", "gzip", "xz"])
def test_an_image_is_its_tree_and_its_manifest_the_base(tmp_path, tree, compression):
    first = build(str(tree), IMAGE, str(tmp_path / "one.aci"), compression, mtime=KEEP)
    assert image_id(tmp_path / "one.aci", mtime=KEEP) == first
    with open_source(str(tmp_path / "one.aci")) as source:
        assert parse_image_manifest(source.manifest) == IMAGE
    with open_source(str(tree)) as source:
        assert source.manifest == b""


def test_an_image_with_its_manifest_last_is_one(tmp_path):
    members = [directory(b"./"), directory(b"./rootfs/"), file(b"./rootfs/x"), file(b"./manifest", MANIFEST)]
    with open_source(str(packed(tmp_path, *members))) as source:
        assert source.manifest == MANIFEST
        assert [entry.name for entry, _content in source.entries()] == [b"rootfs/", b"rootfs/x"]


@pytest.mark.parametrize(
    "members",
    [
        [file(b"manifest", MANIFEST), file(b"rootfs", b"no directory")],
        [directory(b"manifest/"), directory(b"rootfs/")],
        [file(b"manifest", MANIFEST), file(b"etc/x")],
        [symlink(b"manifest", b"x"), directory(b"rootfs/")],
    ],
)
def test_what_only_looks_like_an_image_is_a_tree(tmp_path, members):
    with open_source(str(packed(tmp_path, *members))) as source:
        assert source.manifest == b""
        assert len(list(source.entries())) > 2


def test_directories_without_an_entry_are_made_as_unpacking_makes_them(tmp_path):
    found = made(tmp_path, file(b"usr/lib/x"))
    assert list(found) == [b"manifest", b"rootfs/", b"rootfs/usr/", b"rootfs/usr/lib/", b"rootfs/usr/lib/x"]
    for name in (b"rootfs/", b"rootfs/usr/", b"rootfs/usr/lib/"):
        entry = found[name][0]
        assert (entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime_ns) == ("directory", 0o755, 0, 0, 0)


def test_a_directory_that_comes_after_what_is_in_it_has_its_own_numbers(tmp_path):
    found = made(tmp_path, file(b"usr/x"), directory(b"usr/", uid=7, mode=0o700))
    assert (found[b"rootfs/usr/"][0].uid, found[b"rootfs/usr/"][0].mode) == (7, 0o700)


def test_names_of_one_file_share_its_numbers_and_its_content_comes_first(tmp_path):
    found = made(tmp_path, file(b"z", b"data", uid=5, mode=0o600), hardlink(b"a", b"./z", uid=6), hardlink(b"m", b"a"))
    assert found[b"rootfs/a"][1] == b"data"
    assert [(found[name][0].kind, found[name][0].uid, found[name][0].mode) for name in (b"rootfs/a", b"rootfs/m", b"rootfs/z")] == [
        ("file", 5, 0o600),
        ("hardlink", 5, 0o600),
        ("hardlink", 5, 0o600),
    ]
    assert {found[name][0].link for name in (b"rootfs/m", b"rootfs/z")} == {b"rootfs/a"}


def test_a_hard_link_to_a_node_is_a_node_of_its_own(tmp_path):
    """As in a directory, where the names of a link or device are not tied."""
    found = made(tmp_path, symlink(b"s", b"x"), hardlink(b"t", b"s"), block(b"n", b"3", device=(1, 3)), hardlink(b"m", b"n"))
    assert (found[b"rootfs/t"][0].kind, found[b"rootfs/t"][0].link) == ("symlink", b"x")
    assert (found[b"rootfs/m"][0].kind, found[b"rootfs/m"][0].device) == ("char", (1, 3))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([file(b"x"), file(b"./x")], "twice"),
        ([directory(b"x/"), directory(b"x")], "twice"),
        ([file(b"x"), file(b"x/y")], "leads through a file"),
        ([file(b"x/y"), file(b"x")], "leads through a file"),
        ([symlink(b"lib", b"usr/lib"), directory(b"usr/lib/"), file(b"lib/x")], "leads through a symlink"),
        ([file(b"lib/a/b/x"), symlink(b"lib", b"/")], "leads through a symlink"),
        ([file(b"../x")], r"'\.\.'"),
        ([file(b"/etc/x")], "absolute"),
        ([file(b"a//b")], "empty"),
        ([hardlink(b"x", b"y"), file(b"y")], "hard link"),
        ([hardlink(b"x", b"x")], "hard link"),
        ([directory(b"d/"), hardlink(b"x", b"d")], "hard link"),
        ([file(b"x"), hardlink(b"y", b"../x")], r"'\.\.'"),
        ([symlink(b".", b"/")], "root is a symlink"),
        ([block(b"x", b"S", magic=b"ustar  \0")], "sparse"),
        ([pax((b"GNU.sparse.major", b"1")), file(b"x")], "PAX key"),
        ([file(b"manifest", MANIFEST), directory(b"rootfs/"), file(b"evil")], "A3"),
        ([file(b"manifest", MANIFEST), directory(b"rootfs/"), directory(b"rootfsevil/")], "A3"),
        ([file(b"manifest", MANIFEST), directory(b"rootfs/"), hardlink(b"rootfs/x", b"manifest")], "hard link"),
        ([file(b"x" * 99, b"")] * 2, "twice"),
    ],
)
def test_refused(tmp_path, members, message):
    with pytest.raises(ArchiveError, match=message) as caught:
        open_source(str(packed(tmp_path, *members)))
    assert "in.tar" in caught.value.where


def test_a_manifest_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(ArchiveError) as caught:
        open_source(str(packed(tmp_path, file(b"manifest", b" " * (1 << 20) + b"{}"), directory(b"rootfs/"))))
    assert caught.value.code == "archive-limit"


@pytest.mark.parametrize("data", [b"", b"junk" * 1000, image()[:-600], image() + b"x"])
def test_what_is_no_archive_is_refused(tmp_path, data):
    (tmp_path / "in.tar").write_bytes(data)
    with pytest.raises(ArchiveError):
        open_source(str(tmp_path / "in.tar"))


def test_what_is_neither_file_nor_directory_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "nothing"):
        with pytest.raises(ArchiveError, match=r"regular file|No such file"):
            open_source(str(tmp_path / name))


def test_the_place_for_what_files_hold_is_chosen_and_left_empty(tmp_path, tree, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "room"))
    with pytest.raises(ArchiveError, match="TMPDIR"):
        open_source(str(packed(tmp_path, file(b"x"))))
    (tmp_path / "room").mkdir()
    with open_source(str(packed(tmp_path, file(b"x", b"d" * 5000)))):
        assert os.listdir(tmp_path / "room") == []
    assert os.listdir(tmp_path / "room") == []


def test_a_full_disk_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(source_tar, "_temporary_file", lambda: open("/dev/full", "r+b", buffering=0))
    with pytest.raises(ArchiveError, match="TMPDIR") as caught:
        open_source(str(packed(tmp_path, file(b"x"))))
    assert "No space left" in str(caught.value)


def test_progress_is_told_while_reading(tmp_path):
    told = []
    path = packed(tmp_path, file(b"x", b"d" * 3_000_000))
    with open_source(str(path), lambda done, total: told.append((done, total))):
        assert told[-1] == (path.stat().st_size, path.stat().st_size)
        assert len(told) > 2


def test_what_a_link_cannot_hold_is_left_out(tmp_path):
    attribute = pax((b"SCHILY.xattr.user.x", b"1"))
    members = [
        attribute,
        file(b"f"),
        attribute,
        block(b"s", b"2", link=b"f", mode=0o755),
        attribute,
        block(b"p", b"6"),
        hardlink(b"h", b"f"),
    ]
    found = made(tmp_path, *members)
    assert {name: entry.xattrs for name, (entry, _content) in found.items() if entry.xattrs} == {b"rootfs/f": ((b"user.x", b"1"),)}
    assert found[b"rootfs/h"][0].kind == "hardlink"
    assert found[b"rootfs/s"][0].mode == 0o777


def test_a_source_can_be_read_again(tmp_path, tree):
    archive = tmp_path / "in.tar"
    build(str(tree), IMAGE, str(tmp_path / "in.aci"), mtime=KEEP)
    os.rename(tmp_path / "in.aci", archive)
    with open_source(str(archive)) as source:
        assert work_out(source, IMAGE) == work_out(source, IMAGE)


def test_a_disk_that_takes_a_part_at_a_time_loses_nothing(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
    with open_source(str(packed(tmp_path, file(b"x", b"0123456789" * 10)))) as source:
        assert [b"".join(content) for _entry, content in source.entries()] == [b"", b"0123456789" * 10]


@pytest.mark.parametrize(("depth", "fits"), [(254, True), (255, False)])
def test_what_no_reader_would_take_is_not_written(tmp_path, depth, fits):
    top = tmp_path / "tree"
    (top / "/".join(["d"] * depth)).mkdir(parents=True)
    (tmp_path / "in.tar").write_bytes(pax((b"path", b"d/" * depth)) + directory(b"d/") + ZEROS)
    for source in (top, tmp_path / "in.tar"):
        if fits:
            assert image_id(source)
        else:
            with pytest.raises(ArchiveError, match="more than 255 parts"):
                image_id(source)
