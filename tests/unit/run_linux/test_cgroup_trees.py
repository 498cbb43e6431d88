# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Control groups: where they are found, what is written, and that nothing outside the pod's own is touched."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from _rocket.errors import LaunchError
from _rocket.run.cgroup import base, v1, v2
from _rocket.run.cgroup.detect import detect, directory
from _rocket.run.stage1 import namespaces
from _rocket.run.stage1.base import Child

NONE = dict.fromkeys(base.NAMES)
UUID = "0b3d1a9e-0000-4000-8000-000000000000"

UNIFIED = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
HYBRID = """31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/with\\040space rw - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"""


def test_a_unified_host():
    groups = detect(UUID, UNIFIED, "0::/user.slice/x.scope\n")
    assert groups.paths("app") == [f"/sys/fs/cgroup/rocket/{UUID}/app"]
    assert groups.controllers == ()


def test_a_hybrid_host_uses_version_1_below_the_callers_own_groups():
    groups = detect(UUID, HYBRID, "3:pids:/\n2:memory:/outer/own\n1:cpu,cpuacct:/\n0::/\n")
    assert groups.paths("") == [f"/sys/fs/cgroup/with space/rocket/{UUID}"]
    groups.controllers = ("memory", "cpu")
    assert groups.paths("a") == [
        f"/sys/fs/cgroup/memory/outer/own/rocket/{UUID}/a", f"/sys/fs/cgroup/cpu,cpuacct/rocket/{UUID}/a",
    ]  # fmt: skip


def test_a_host_without_groups_is_refused():
    with pytest.raises(LaunchError, match="no control groups"):
        detect(UUID, "22 27 0:21 / /proc rw - proc proc rw", "0::/\n")


@pytest.mark.parametrize(
    ("root", "path", "expected"),
    [("/", "/a", "/m/a"), ("/", "/", "/m"), ("/a", "/a/b", "/m/b"), ("/a", "/a", "/m"), ("/a", "/ab", "/m"), ("/", "/../x", "/m")],
)
def test_where_a_group_is_seen(root, path, expected):
    assert directory(root, "/m", path) == expected


FILES = ("memory.max", "memory.swap.max", "memory.low", "cpu.max", "cpu.weight", "pids.max")


@pytest.fixture
def unified(tmp_path, monkeypatch):
    """A unified tree of plain files; what is put into subtree_control shows as controllers of the children."""
    make, write = base.make_directory, base.write

    def make_group(path):
        make(path)
        for name in ("cgroup.controllers", "cgroup.subtree_control", "cgroup.procs", *FILES):
            open(f"{path}/{name}", "a").close()

    def write_file(path, text):
        write(path, text)
        if path.endswith("/cgroup.subtree_control"):
            for child in Path(path).parent.iterdir():
                if child.is_dir():
                    (child / "cgroup.controllers").write_text(text.replace("+", ""))
            given[path] = text

    given: dict = {}
    monkeypatch.setattr(v2, "write", write_file)
    make_group(str(tmp_path))
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    make_group(f"{tmp_path}/rocket")
    (tmp_path / "rocket/cgroup.controllers").write_text("cpu memory pids")

    def make_and_inherit(path):
        make_group(path)
        parent = str(Path(path).parent)
        if f"{parent}/cgroup.subtree_control" in given:
            Path(path, "cgroup.controllers").write_text(given[f"{parent}/cgroup.subtree_control"].replace("+", ""))

    monkeypatch.setattr(v2, "make_directory", make_and_inherit)
    return tmp_path


LIMITS = {**NONE, "memory_limit": 1 << 30, "memory_request": 1 << 20, "cpu_limit": 1500, "cpu_shares": 1024, "pids": 50}


@pytest.mark.spec("resource/memory enforced", "resource/cpu enforced", "os/linux/cpu-shares enforced")
def test_version_2_writes_the_limits_and_nothing_above_its_own_tree(unified):
    groups = v2.V2(str(unified), UUID, delegated=False)
    outcomes = groups.create(NONE, {"app": LIMITS})
    here = unified / "rocket" / UUID / "app"
    found = {
        name: (here / name).read_text() for name in ("memory.max", "memory.swap.max", "memory.low", "cpu.max", "cpu.weight", "pids.max")
    }
    assert found == {
        "memory.max": "1073741824", "memory.swap.max": "0", "memory.low": "1048576", "cpu.max": "150000 100000", "cpu.weight": "39",
        "pids.max": "50",
    }  # fmt: skip
    assert {outcome.outcome for outcome in outcomes["app"]} == {"enforced"}
    assert (unified / "cgroup.subtree_control").read_text() == ""
    assert not (unified / "supervisor").exists()


def test_version_2_in_a_delegated_group_moves_the_supervisor_into_a_leaf_first(unified):
    groups = v2.V2(str(unified), UUID, delegated=True)
    groups.make_room()
    assert (unified / "supervisor/cgroup.procs").read_text() == "0"
    groups.create(NONE, {"app": LIMITS})
    assert (unified / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_version_2_in_a_group_of_others_moves_nobody(unified):
    v2.V2(str(unified), UUID, delegated=False).make_room()
    assert sorted(path.name for path in unified.iterdir() if path.is_dir()) == ["rocket"]


def test_a_process_that_stands_in_the_way_is_named(unified):
    """The kernel says no more than "busy" to a group with processes that is to hand controllers down."""
    (unified / "cgroup.procs").write_text("4711\n")
    groups = v2.V2(str(unified), UUID, delegated=True)
    groups.make_room()
    with pytest.raises(LaunchError, match="process 4711 is in the group"):
        groups.create(NONE, {"app": LIMITS})
    assert (unified / "cgroup.subtree_control").read_text() == ""


def test_the_supervisor_makes_room_before_its_first_child_is_born(monkeypatch):
    """A child is born into the group of its parent: the pod's first process kept the unit's group busy."""
    order = []

    class Groups:
        def make_room(self):
            order.append("room")

        def create(self, _limits, _apps):
            order.append("create")
            return {}

    def spawn(*_arguments):
        order.append("spawn")
        return Child(pid=os.getpid(), status=-1, go=-1)

    monkeypatch.setattr(namespaces, "spawn", spawn)
    monkeypatch.setattr(namespaces.programs, "sealed", lambda _name, _data: os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
    kernel = SimpleNamespace(unshare=lambda _flags: None, pidfd_open=lambda _pid: os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
    namespaces.Namespaces(kernel, "/pod", {"limits": NONE, "apps": []}, Groups()).create()
    assert order == ["room", "spawn", "create"]


def test_version_2_without_a_controller_says_so(unified):
    (unified / "rocket/cgroup.controllers").write_text("pids")
    outcomes = v2.V2(str(unified), UUID, delegated=False).create(NONE, {"app": {**NONE, "memory_limit": 1 << 30, "pids": 9}})
    assert [(row.name, row.outcome) for row in outcomes["app"]] == [("memory_limit", "ignored"), ("pids", "enforced")]
    assert "memory controller" in outcomes["app"][0].reason


@pytest.mark.spec("I1")
def test_an_app_is_bounded_by_its_pod(unified):
    outcomes = v2.V2(str(unified), UUID, delegated=False).create({**NONE, "pids": 10}, {"app": {**NONE, "pids": 50}})
    assert [(row.outcome, row.effective) for row in outcomes[""]] == [("enforced", "10")]
    assert [(row.outcome, row.effective) for row in outcomes["app"]] == [("modified", "10")]


def test_version_1_uses_only_the_hierarchies_that_a_limit_needs(tmp_path):
    for name in ("pids", "memory", "cpu"):
        (tmp_path / name).mkdir()
    groups = v1.V1({name: str(tmp_path / name) for name in ("pids", "memory", "cpu")}, UUID)
    groups.create(NONE, {"app": NONE})
    assert groups.joins("app") == [f"{tmp_path}/pids/rocket/{UUID}/app/tasks"]
    assert not (tmp_path / "memory/rocket").exists()


@pytest.mark.spec("os/linux/cpu-shares enforced")
@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262144, 10000)])
def test_shares_become_weights(shares, weight):
    assert v2.weight(shares) == weight


@pytest.mark.spec("resource/memory enforced", "resource/cpu enforced")
def test_version_1_settings():
    assert v1.settings("cpu_limit", 500)[0] == ("cpu.cfs_quota_us", "50000")
    assert v1.settings("memory_limit", 4096)[0] == ("memory.limit_in_bytes", "4096")
    assert v1.settings("cpu_request", 500) == [("cpu.shares", "512")]


def test_a_group_that_does_not_become_empty_is_told(tmp_path, monkeypatch):
    import errno

    def busy(path):
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(base, "REMOVAL_TIME", 0.01)
    monkeypatch.setattr(base.os, "rmdir", busy)
    with pytest.raises(LaunchError, match="cannot remove"):
        base.remove_directory(str(tmp_path))
