# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Which app of a pod is exported, and what its image says; the real thing is in tests/integration/test_cli_images.py."""

from __future__ import annotations

import fcntl
import os

import pytest

from _rocket.errors import Busy, NotFound, PodError
from _rocket.run import pod_directory
from _rocket.run.declaration import Declaration
from _rocket.run.export import Wanted, export
from _rocket.run.pod_directory import PodDirectory, new_uuid
from _rocket.run.prepare import prepare_held
from _rocket.run.reify import reify


@pytest.fixture
def ended(paths, make_store, make_image):
    """A pod of two apps that is over."""
    store = make_store(make_image())
    name = make_image().name
    declaration = Declaration.from_json({"name": "shop", "apps": [{"name": app, "image": name} for app in ("one", "two")]})
    pod = prepare_held(paths, store, reify(declaration, store), standing=lambda verdict, name: None)
    pod.move("run")
    pod.unlock()
    return store, pod


def test_one_of_several_apps_has_to_be_named(ended, tmp_path):
    store, pod = ended
    with pytest.raises(PodError, match="several apps; name one of: one, two"):
        export(store, pod, Wanted(str(tmp_path / "out.aci")))
    with pytest.raises(PodError, match="no app three; name one of: one, two"):
        export(store, pod, Wanted(str(tmp_path / "out.aci"), app="three"))
    assert not (tmp_path / "out.aci").exists()


def test_what_is_looked_at_is_not_removed_and_what_runs_is_not_looked_at(ended, paths, monkeypatch):
    _store, pod = ended
    monkeypatch.setattr(pod_directory, "_GLANCE", 0.0)
    kept = pod.keep()
    others = pod.keep()
    assert pod.state() == "exited", "looking at it does not make it run"
    with pytest.raises(Busy):
        PodDirectory(paths, pod.uuid).lock()
    os.close(kept)
    os.close(others)
    with pod.lock(), pytest.raises(Busy, match="the pod is running"):
        PodDirectory(paths, pod.uuid).keep()
    with pytest.raises(NotFound):
        PodDirectory(paths, new_uuid()).keep()


def test_no_descriptor_is_left_by_a_refusal(ended, tmp_path):
    store, pod = ended
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(PodError):
        export(store, pod, Wanted(str(tmp_path / "out.aci"), app="three"))
    assert set(os.listdir("/proc/self/fd")) == before
    with open(f"{pod.location}/lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
