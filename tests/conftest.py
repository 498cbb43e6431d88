# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of all tests: a host's paths in a temporary directory, and skips that name what is missing."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis.configuration import set_hypothesis_home_dir

TOP = Path(__file__).resolve().parent.parent
set_hypothesis_home_dir(TOP / ".cache" / "hypothesis")


def require_root() -> None:
    """Skip, naming the ability, where the test cannot be root."""
    if os.geteuid() != 0:
        pytest.skip("missing ability: root")


def require_program(name: str) -> str:
    """Return the path of a program of the host, or skip and name it."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"missing ability: the program {name}")
    return path


@pytest.fixture
def root() -> None:
    """The test runs as root."""
    require_root()


@pytest.fixture(scope="session")
def program():
    """Find a program of the host by name, or skip."""
    return require_program


@pytest.fixture
def paths(tmp_path):
    """The paths of a host that is not this one."""
    from _rocket.paths import Paths

    return Paths(data=str(tmp_path / "data"), local=str(tmp_path / "etc"), system=str(tmp_path / "usr"))


@pytest.fixture(scope="session")
def collections(tmp_path_factory) -> str:
    """A value for ANSIBLE_COLLECTIONS_PATH: this checkout as the collection appc.rocket."""
    place = tmp_path_factory.mktemp("collections")
    (place / "ansible_collections" / "appc").mkdir(parents=True)
    (place / "ansible_collections" / "appc" / "rocket").symlink_to(TOP, target_is_directory=True)
    return str(place)


@pytest.fixture(autouse=True)
def signals_stay_as_they_were():
    """A test that leaves signals blocked or handled makes another one fail much later, where nobody looks for the cause."""
    watched = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD)
    blocked, actions = signal.pthread_sigmask(signal.SIG_BLOCK, ()), [signal.getsignal(number) for number in watched]
    yield
    after = signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    assert after == blocked, f"the test left other signals blocked: {sorted(after ^ blocked)}"
    changed = [number.name for number, action in zip(watched, actions) if signal.getsignal(number) != action]
    for number, action in zip(watched, actions):
        signal.signal(number, action)
    assert not changed, f"the test left other actions for {' '.join(changed)}"


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate authority of the tests' own."""
    pytest.importorskip("cryptography")
    from fetch_site import Authority

    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificate(authority):
    """A good certificate of the site, with its key."""
    return authority.certificate()


@pytest.fixture
def site(certificate):
    """An HTTPS server on loopback."""
    from fetch_site import Site

    running = Site(certificate)
    yield running
    running.close()
