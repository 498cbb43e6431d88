# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Files that are complete or absent, and locks that die with their holder."""

from __future__ import annotations

import errno
import os

import pytest

from _rocket.errors import Busy, StoreError
from _rocket.store import files, locks, staging


def test_a_read_is_bounded_and_of_regular_files_only(tmp_path):
    path = str(tmp_path / "file")
    files.write_new(path, b"12345")
    assert files.read_limited(path, 5) == b"12345"
    with pytest.raises(StoreError, match="more than 4 bytes"):
        files.read_limited(path, 4)
    os.symlink(path, f"{path}.link")
    with pytest.raises(OSError) as caught:
        files.read_limited(f"{path}.link", 5)
    assert caught.value.errno == errno.ELOOP
    os.mkfifo(f"{path}.fifo")
    with pytest.raises(StoreError, match="not a regular file"):
        files.read_limited(f"{path}.fifo", 5)


def test_an_atomic_write_replaces_the_file_and_never_writes_into_it(tmp_path):
    path = str(tmp_path / "file")
    files.write_atomic(path, b"old", 0o640)
    reader = os.open(path, os.O_RDONLY)
    files.write_atomic(path, b"new and longer", 0o600)
    assert os.read(reader, 100) == b"old"
    os.close(reader)
    assert files.read_limited(path) == b"new and longer"
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call, number):
    path = str(tmp_path / "file")
    files.write_atomic(path, b"old")

    def fail(*_values, **_named):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(files.os, call, fail)
        with pytest.raises(StoreError) as caught:
            files.write_atomic(path, b"new")
    assert files.read_limited(path) == b"old"
    assert os.listdir(tmp_path) == ["file"]
    assert caught.value.code == ("store-io" if number == errno.EIO else "disk-full")
    if number != errno.EIO:
        assert str(tmp_path) in str(caught.value) and caught.value.facts["need"] == 3


def test_everything_is_synced_before_it_has_its_name(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "rename"):
        real = getattr(os, name)
        monkeypatch.setattr(files.os, name, lambda *values, _name=name, _real=real: (calls.append(_name), _real(*values))[1])
    files.write_atomic(str(tmp_path / "file"), b"x")
    assert calls == ["fsync", "rename", "fsync"]


def test_exchange_swaps_directories_in_one_step(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert files.exchange(str(tmp_path / "a"), str(tmp_path / "b"))
    assert os.listdir(tmp_path / "a") == ["b"]
    assert os.listdir(tmp_path / "b") == ["a"]


def test_an_exclusive_lock_excludes_and_shared_ones_do_not(tmp_path):
    path = str(tmp_path / "lock")
    with locks.exclusive(path):
        assert locks.is_locked(path)
        with pytest.raises(Busy):
            locks.exclusive(path, wait=False)
        with pytest.raises(Busy):
            locks.shared(path, wait=False)
    assert not locks.is_locked(path)
    with locks.shared(path), locks.shared(path, wait=False), pytest.raises(Busy):
        locks.exclusive(path, wait=False)


def test_a_lock_dies_with_its_process(tmp_path):
    path = str(tmp_path / "lock")
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        locks.exclusive(path)
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    assert locks.is_locked(path)
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert not locks.is_locked(path)
    for end in (*ready, *go):
        os.close(end)


def _removed_between(monkeypatch, module):
    """Remove what is about to be locked, once, between its opening and its locking: what garbage collection may do."""
    real, removed = module.lock_fd, []

    def lock_fd(fd, path, operation, wait):
        if not removed:
            removed.append(path)
            (os.rmdir if os.path.isdir(path) else os.unlink)(path)
        real(fd, path, operation, wait)

    monkeypatch.setattr(module, "lock_fd", lock_fd)
    return removed


def test_a_lock_on_a_removed_file_is_taken_again(tmp_path, monkeypatch):
    path = str(tmp_path / "lock")
    removed = _removed_between(monkeypatch, locks)
    with locks.exclusive(path) as lock:
        assert removed == [path] and locks.same_file(lock.fd, path), "it holds a file that nobody else can find"


@pytest.mark.parametrize("make", [staging.staging_file, staging.staging_directory])
def test_a_staging_entry_that_was_collected_at_once_is_made_again(paths, monkeypatch, make):
    staging.prepare_directories(paths)
    removed = _removed_between(monkeypatch, staging)
    fd, path = make(paths)
    assert path != removed[0] and locks.is_locked(path) and os.listdir(paths.staging) == [os.path.basename(path)]
    os.close(fd)


def test_a_transient_lock_leaves_no_file(tmp_path):
    path = str(tmp_path / "lock")
    with locks.exclusive(path, transient=True):
        assert os.path.exists(path)
    assert not os.path.exists(path)


def test_a_lock_is_not_followed_through_a_link(tmp_path):
    os.symlink(tmp_path / "elsewhere", tmp_path / "lock")
    with pytest.raises(StoreError):
        locks.exclusive(str(tmp_path / "lock"))
    assert not (tmp_path / "elsewhere").exists()
