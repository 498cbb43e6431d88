# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Trees made of trees: by links and by copies, the same to the last attribute."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from _rocket.errors import StoreError
from _rocket.image import compose as module
from _rocket.image.compose import compose
from _rocket.image.layers import Layer, lines, overlay
from _rocket.image.limits import DEFAULT
from _rocket.image.listing import again, content_digest, take


@pytest.fixture
def trees(root, tmp_path):
    """Two trees with everything that an image may hold."""
    for name in ("one", "two"):
        top = tmp_path / name
        (top / "bin").mkdir(parents=True)
        (top / "bin" / name).write_text(name * 1000)
        (top / "same").write_text(name)
    one = tmp_path / "one"
    os.chown(one / "bin" / "one", 7, 8)
    os.chmod(one / "bin" / "one", 0o6755)
    os.setxattr(one / "bin" / "one", "user.k", b"v")
    os.setxattr(one / "bin", "user.d", b"w")
    os.link(one / "bin" / "one", one / "hard")
    os.symlink("bin/one", one / "link")
    os.lchown(one / "link", 3, 4)
    os.mkfifo(one / "pipe")
    os.chown(one / "pipe", 5, 6)
    os.chmod(one / "pipe", 0o620)
    (one / os.fsdecode(b"caf\xe9")).write_text("")
    os.chown(one / "bin", 9, 9)
    os.chmod(one / "bin", 0o2711)
    for path in ("bin/one", "link", "pipe", "bin", "."):
        os.utime(one / path, ns=(1, 1_234_567_890), follow_symlinks=False)
    (tmp_path / "out").mkdir(mode=0o700)
    return one, tmp_path / "two", tmp_path / "out"


def listed(top):
    fd = os.open(top, os.O_RDONLY)
    try:
        return b"".join(line + b"\n" for line in take(fd, content_digest, DEFAULT))
    finally:
        os.close(fd)


def put_together(tops, out, link):
    whole = overlay([Layer(listed(top)) for top in tops], DEFAULT)
    fds = [os.open(top, os.O_RDONLY) for top in (*tops, out)]
    try:
        compose(whole, fds[:-1], fds[-1], link)
        return b"".join(line.text() + b"\n" for line in lines(whole)), again(fds[-1], b"", DEFAULT)
    finally:
        for fd in fds:
            os.close(fd)


@pytest.mark.parametrize("link", [True, False], ids=["links", "copies"])
def test_the_tree_is_what_was_worked_out(trees, link):
    one, two, out = trees
    old = os.umask(0o077)
    try:
        wanted, found = put_together((two, one), out, link)
    finally:
        os.umask(old)
    assert found == wanted
    assert (out / "same").read_text() == "one" and (out / "bin" / "two").read_text() == "two" * 1000
    assert stat.S_IMODE(os.lstat(out / "bin" / "one").st_mode) == 0o6755
    assert (os.lstat(out / "bin" / "one").st_ino == os.lstat(one / "bin" / "one").st_ino) is link
    assert os.lstat(out / "hard").st_ino == os.lstat(out / "bin" / "one").st_ino, "two names of one file stay that"
    assert listed(one) == listed(one), "what was linked is as it was"


def test_a_file_with_as_many_names_as_there_may_be_is_copied(trees, monkeypatch):
    one, _two, out = trees
    real = os.link

    def link(source, target, **options):
        if source == b"bin/one" and options["src_dir_fd"] != options["dst_dir_fd"]:
            raise OSError(errno.EMLINK, "too many links")
        real(source, target, **options)

    monkeypatch.setattr(module.os, "link", link)
    wanted, found = put_together((one,), out, True)
    assert found == wanted
    assert os.lstat(out / "bin" / "one").st_ino != os.lstat(one / "bin" / "one").st_ino


def test_the_copy_of_a_file_that_shrank_is_no_copy(trees):
    one, _two, out = trees
    whole = overlay([Layer(listed(one))], DEFAULT)
    (one / "same").write_text("")
    fds = [os.open(top, os.O_RDONLY) for top in (one, out)]
    try:
        with pytest.raises(StoreError, match="/same"):
            compose(whole, fds[:1], fds[1], link=False)
    finally:
        for fd in fds:
            os.close(fd)


@pytest.mark.parametrize("link", [True, False], ids=["links", "copies"])
def test_what_is_missing_is_named(trees, link):
    one, _two, out = trees
    whole = overlay([Layer(listed(one))], DEFAULT)
    os.unlink(one / "bin" / "one")
    fds = [os.open(top, os.O_RDONLY) for top in (one, out)]
    try:
        with pytest.raises(StoreError, match="/bin/one"):
            compose(whole, fds[:1], fds[1], link)
    finally:
        for fd in fds:
            os.close(fd)
    assert not (out / "hard").exists()


def test_a_link_in_a_layer_is_never_followed(trees, tmp_path):
    """Where the listing says file and a link lies there, the copy fails instead of reading what it leads to."""
    one, _two, out = trees
    whole = overlay([Layer(listed(one))], DEFAULT)
    (tmp_path / "secret").write_text("one")
    os.unlink(one / "same")
    os.symlink(tmp_path / "secret", one / "same")
    fds = [os.open(top, os.O_RDONLY) for top in (one, out)]
    try:
        with pytest.raises(StoreError, match="/same"):
            compose(whole, fds[:1], fds[1], link=False)
    finally:
        for fd in fds:
            os.close(fd)


def test_a_full_disk_says_so(trees, monkeypatch):
    one, _two, out = trees

    def mkdir(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(module.os, "mkdir", mkdir)
    with pytest.raises(StoreError) as caught:
        put_together((one,), out, True)
    assert caught.value.code == "no-space"
