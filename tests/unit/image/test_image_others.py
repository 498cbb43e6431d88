# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Other programs read what we write, and we read what they write: the tree comes out as it went in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile

import naive_tar
import pytest
from image_archives import MANIFEST, facts

from _rocket.image.build import build
from _rocket.image.check import inspect
from _rocket.image.extract import extract
from _rocket.spec.image_manifest import parse_image_manifest

KEEP = 1 << 33
LONG = "n" * 200


def names(top):
    """Return the paths below `top`, what is in a directory before the directory."""
    return [os.path.join(path, name) for path, inner, files in os.walk(top, topdown=False) for name in [*files, *inner]]


@pytest.fixture
def tree(root, tmp_path):
    """A tree of all kinds that an image may hold, with what archives tend to lose."""
    top = tmp_path / "tree"
    (top / "bin").mkdir(parents=True)
    (top / "bin" / "b").write_bytes(bytes(range(256)) * 5)
    (top / "bin" / "empty").write_bytes(b"")
    os.link(top / "bin" / "b", top / "hard")
    os.symlink("bin/b", top / "link")
    os.symlink("x" * 300, top / "long link")
    os.mkfifo(top / "pipe", 0o640)
    (top / LONG).write_text("a long name")
    (top / ("d" * 90) / ("e" * 90) / ("f" * 90)).mkdir(parents=True)
    (top / ("d" * 90) / ("e" * 90) / ("f" * 90) / "deep").write_text("a long path")
    (top / os.fsdecode(b"caf\xe9 \x01")).write_text("bytes")
    os.chown(top / "bin" / "empty", 5_000_000, 3)
    os.chown(top / "link", 7, 8, follow_symlinks=False)
    os.chmod(top / "bin" / "b", 0o4755)
    os.chmod(top / "bin", 0o2750)
    os.setxattr(top / "bin" / "empty", "user.x", b"\n=\0")
    os.setxattr(top / "bin", "user.of.a.directory", b"v" * 2000)
    for path in names(top):
        os.utime(path, ns=(0, 1_234_567_890_123_456_789), follow_symlinks=False)
    # Whole seconds: of -1.5 s libarchive reads -0.5, and writes -2.5.
    os.utime(top / "bin" / "empty", ns=(0, -2_000_000_000))
    os.utime(top, ns=(0, 5_000_000_007))
    return top


@pytest.fixture
def written(tree, tmp_path):
    """The image of the tree, by us, uncompressed and with all times."""
    build(str(tree), parse_image_manifest(MANIFEST), str(tmp_path / "x.aci"), "none", mtime=KEEP)
    (tmp_path / "out").mkdir()
    return tmp_path / "x.aci"


def check_same(out, tree, **kept):
    """Compare trees; some formats keep whole seconds alone, or no attributes."""
    found, wanted = (facts(top, **kept) for top in (out, tree))
    assert {name for name in wanted[0] if found[0].get(name) != wanted[0][name]} == set()
    assert found == wanted


def test_gnu_tar_unpacks_it(program, written, tree, tmp_path):
    command = [program("tar"), "--xattrs", "--xattrs-include=user.*", "--numeric-owner", "-xpf", str(written), "-C", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line for line in done.stderr.splitlines() if "implausibly old" not in line] == []
    check_same(tmp_path / "out" / "rootfs", tree)


def test_gnu_tar_lists_it_without_a_complaint(program, written, tree):
    done = subprocess.run([program("tar"), "--numeric-owner", "-tvf", str(written)], capture_output=True, check=True)
    assert done.stderr == b""
    assert done.stdout.count(b"\n") == 2 + len(names(tree))
    assert b"5000000/3" in done.stdout
    assert b"link to rootfs/" in done.stdout


def test_bsdtar_unpacks_it(program, written, tree, tmp_path):
    command = [program("bsdtar"), "--numeric-owner", "-xpf", str(written), "-C", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    check_same(tmp_path / "out" / "rootfs", tree)


def test_busybox_lists_it(program, written):
    """Its reader is another one again; it knows neither attributes nor parts of seconds."""
    done = subprocess.run([program("busybox"), "tar", "-tf", str(written)], capture_output=True, check=True)
    assert f"rootfs/{LONG}".encode() in done.stdout


def test_the_standard_library_unpacks_it(written, tree, tmp_path):
    with tarfile.open(written) as archive:
        found = [os.fsencode(member.name) for member in archive]
        assert len(found) == len(set(found)) == 2 + len(names(tree))
        assert archive.getmember("rootfs/bin/empty").pax_headers["SCHILY.xattr.user.x"] == "\n=\0"
    naive_tar.unpack(written, tmp_path / "out")
    # It knows no attributes, times as fractions of 53 bits, and no times of links.
    check_same(tmp_path / "out" / "rootfs", tree, whole_seconds=True, xattrs=False, link_times=False)


def test_actool_takes_it(program, written):
    done = subprocess.run([program("actool"), "--debug", "validate", str(written)], capture_output=True, text=True, check=False)
    assert "valid app container image" in done.stdout + done.stderr


def _gnu(form, *more):
    return lambda program, out: [
        program("tar"),
        f"--format={form}",
        "--numeric-owner",
        *more,
        "-C",
        "top",
        "-cf",
        out,
        "manifest",
        "rootfs",
    ]


def _bsd(form):
    return lambda program, out: [program("bsdtar"), f"--format={form}", "--numeric-owner", "-C", "top", "-cf", out, "manifest", "rootfs"]


def _python(form):
    text = "import sys, tarfile; t = tarfile.open(sys.argv[1], 'w', format=getattr(tarfile, sys.argv[2]));"
    text += "[t.add('top/' + name, name) for name in ('manifest', 'rootfs')]; t.close()"
    return lambda _program, out: [sys.executable, "-c", text, out, form]


# What writes; whether the format holds parts of seconds and attributes, and whether it holds long names.
WRITERS = {
    "GNU tar, gnu": (_gnu("gnu"), False, True),
    "GNU tar, pax": (_gnu("pax", "--xattrs", "--xattrs-include=user.*"), True, True),
    "GNU tar, ustar": (_gnu("ustar"), False, False),
    "bsdtar, pax": (_bsd("pax"), True, True),
    "bsdtar, ustar": (_bsd("ustar"), False, False),
    "bsdtar, gnutar": (_bsd("gnutar"), False, True),
    "tarfile, pax": (_python("PAX_FORMAT"), False, True),
    "tarfile, gnu": (_python("GNU_FORMAT"), False, True),
    "tarfile, ustar": (_python("USTAR_FORMAT"), False, False),
}


def _fit_ustar(top):
    """Leave out what ustar cannot hold: long names and links, large owners, times before 1970."""
    for name in (LONG, "long link", os.fsdecode(b"caf\xe9 \x01")):
        os.unlink(top / name)
    shutil.rmtree(top / ("d" * 90))
    os.chown(top / "bin" / "empty", 5, 3)
    os.utime(top / "bin" / "empty", ns=(0, 0))


@pytest.mark.parametrize("writer", WRITERS)
def test_what_others_write_is_read(program, tree, tmp_path, writer):
    command, exact, long_names = WRITERS[writer]
    if not long_names:
        _fit_ustar(tree)
    if writer == "bsdtar, gnutar":
        # It writes times before 1970 as 1970.
        os.utime(tree / "bin" / "empty", ns=(0, 0))
    if "tarfile" not in writer:
        os.link(tree / "link", tree / "bin" / "hard link to a link", follow_symlinks=False)
    os.makedirs(tmp_path / "top")
    (tmp_path / "top" / "manifest").write_bytes(MANIFEST)
    os.rename(tree, tmp_path / "top" / "rootfs")
    (tmp_path / "out").mkdir()
    subprocess.run(command(program, str(tmp_path / "x.aci")), cwd=tmp_path, check=True, capture_output=True)
    assert inspect(str(tmp_path / "x.aci")).manifest.name == "example.com/app"
    with open(tmp_path / "x.aci", "rb") as stream:
        extract(stream.fileno(), str(tmp_path / "out"))
    check_same(tmp_path / "out" / "rootfs", tmp_path / "top" / "rootfs", whole_seconds=not exact, xattrs=exact)
