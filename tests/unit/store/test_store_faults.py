# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""SIGKILL and a full disk at every step of the write protocol: the store is as before or as after, never in between."""

from __future__ import annotations

import errno
import os
import sys

import pytest
from store_archives import INSECURE, SIGNED, Imports, archive

from _rocket.errors import NotFound, RocketError, StoreError
from _rocket.image import compose
from _rocket.store import collect, files, publish, render, staging
from _rocket.store import store as store_module
from _rocket.store.store import Store
from _rocket.store.verify import verify_tree

# The calls of the operating system that change something, and our own two that go through ctypes.
_CALLS = ("open", "write", "fsync", "rename", "mkdir", "unlink", "rmdir", "chmod", "link")


class Fault:
    """Counts the changing calls of the store and does something at the one with the given number."""

    def __init__(self, at: int, what) -> None:
        self.at, self.what, self.count = at, what, 0

    def install(self) -> None:
        fault = self

        class Calls:
            """The module os as the store sees it."""

            def __getattr__(self, name):
                real = getattr(os, name)
                return fault.around(real) if name in _CALLS else real

        for module in (files, publish, render, staging, store_module, collect, compose):
            module.os = Calls()
            if hasattr(module, "exchange"):
                module.exchange = fault.around(module.exchange)
            if hasattr(module, "sync_file_system"):
                module.sync_file_system = fault.around(module.sync_file_system, translated=True)

    def around(self, real, translated=False):
        def call(*values, **named):
            self.count += 1
            if self.count == self.at:
                try:
                    self.what()
                except OSError as error:
                    if translated:
                        files.raise_disk_error(error, str(values[0]))
                    raise
            return real(*values, **named)

        return call


def _in_child(paths, work, at: int, what) -> int:
    """Run `work` in a forked child with a fault; return its exit status: 0 done, 3 a proper error, 9 killed."""
    child = os.fork()
    if child == 0:
        status = 4
        try:
            fault = Fault(at, what)
            fault.install()
            work(Store(paths))
            status = 0 if fault.count < at else 5
        except StoreError as error:
            status = 3 if error.where or error.facts.get("path") else 6
        except RocketError:
            status = 6
        except Exception as error:  # noqa: BLE001  the parent asserts on the status
            sys.stderr.write(f"{error!r}\n")
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _kill() -> None:
    os.kill(os.getpid(), 9)


def _no_space() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _assert_whole(paths) -> None:
    """Whatever has a name is complete: record, manifest and blob fit, trees have their files."""
    store = Store(paths)
    assert store.damaged() == []
    for record in store.images():
        store.verify(record.id)
    for name in os.listdir(paths.trees) if os.path.isdir(paths.trees) else []:
        assert os.path.exists(f"{paths.trees}/{name}/rootfs/hello")
        verify_tree(store, name)


def _points(paths, work, what, prepare):
    """Run `work` with the fault at its first call, its second, and so on until it is through; yield each status."""
    for at in range(1, 500):
        prepare(at)
        status = _in_child(paths, work, at, what)
        yield at, status
        if status == 0:
            return
    pytest.fail("the work never came to its end")


DATA = archive()
BASE = archive(name="example.com/base")
UPPER = archive(dependencies=[{"imageName": "example.com/base"}], files={"rootfs/bin": None, "rootfs/hello": b"x"})


def _add(store: Store) -> None:
    Imports(store)(DATA)


def _replace(store: Store) -> None:
    Imports(store)(DATA, SIGNED)


def _tree(store: Store) -> None:
    store.tree(store.images()[0].id)


def _compose(store: Store) -> None:
    store.tree(store.resolve("example.com/app").id)


def _remove(store: Store) -> None:
    store.remove(store.images()[0].id)


def _gc(store: Store) -> None:
    collect.collect(collect.plan_gc(store, (), 0))


WORKS = {"add": _add, "replace": _replace, "tree": _tree, "compose": _compose, "remove": _remove, "gc": _gc}


def _prepare(paths, name):
    """Return what brings the store into the state before the work."""

    def prepare(_at):
        store = Store(paths)
        for image_id in store.ids():
            store.remove(image_id)
        collect.collect(collect.plan_gc(store, (), 0))
        if name == "replace":
            Imports(store)(DATA, INSECURE, signature=None)
        elif name == "compose":
            for data in (BASE, UPPER):
                Imports(store)(data)
        elif name != "add":
            record = Imports(store)(DATA)
            if name != "tree":
                store.tree(record.id)

    return prepare


@pytest.mark.parametrize("name", WORKS)
def test_killed_anywhere_the_store_is_whole_the_command_repeats_and_gc_cleans(paths, leftovers, name):
    killed = 0
    for at, status in _points(paths, WORKS[name], _kill, _prepare(paths, name)):
        assert status in (0, 9), f"call {at}: status {status}"
        killed += status == 9
        _assert_whole(paths)
        if name == "replace":
            assert len(Store(paths).images()) == 1, f"call {at}: the image was gone for a moment"
        try:
            WORKS[name](Store(paths))
        except (NotFound, IndexError):
            assert name in ("remove",), "only a removal may find nothing left to do"
        _assert_whole(paths)
        collect.collect(collect.plan_gc(Store(paths), (), 10**9))
        assert [path for path in leftovers() if "/locks/" not in path] == []
    assert killed >= 4, "hardly anything was tried"


@pytest.mark.parametrize("name", WORKS)
def test_a_full_disk_anywhere_keeps_the_old_state_and_gives_space_back(paths, leftovers, name):
    failed = 0
    for at, status in _points(paths, WORKS[name], _no_space, _prepare(paths, name)):
        assert status in (0, 3, 5), f"call {at}: status {status}"
        failed += status == 3
        _assert_whole(paths)
        store = Store(paths)
        if name in ("replace", "tree"):
            assert len(store.images()) == 1
        if name in ("add", "replace") and status == 3:
            assert [path for path in leftovers() if path.endswith(".aci")] == [], f"call {at}: the download was left"
        try:
            WORKS[name](store)
        except (NotFound, IndexError):
            assert name == "remove"
    assert failed >= 3


def test_a_tree_on_a_full_disk_leaves_nothing_and_says_where(store, imports, monkeypatch, paths, leftovers):
    record = imports()

    def full(*_values, **_named):
        raise StoreError("the image cannot be unpacked (No space left on device)", hint="look at the file system of the store")

    monkeypatch.setattr("_rocket.image.extract.extract", full)
    with pytest.raises(StoreError, match=r"No space left.*") as caught:
        store.tree(record.id)
    assert paths.staging in str(caught.value) and str(record.file_size) in str(caught.value)
    assert leftovers() == [] and os.listdir(paths.trees) == []
    monkeypatch.undo()
    assert os.path.isdir(store.tree(record.id))
