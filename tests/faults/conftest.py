# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the fault tests: an authority, a server with a certificate of it, and hosts whose stores hold an image."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil

import pytest
from fetch_site import FakeVerifier, archive, signed

from _rocket.audit import chain
from _rocket.fetch.fetcher import Fetcher
from _rocket.fetch.options import FetchOptions
from _rocket.paths import Paths
from _rocket.record import replace
from _rocket.store.store import Store


@pytest.fixture
def options(site, authority):
    """Of every fetch here: two tries, and a time limit that none of them needs."""
    return FetchOptions(
        ca_file=authority.file,
        connect_to=site.connect_to(),
        deadline=30.0,
        connect_timeout=5.0,
        read_timeout=10.0,
        attempts=2,
        backoff=0.01,
        image_limit=1 << 20,
    )


class Host:
    """A store of its own, in which one image is before anything happens."""

    def __init__(self, paths: Paths, options: FetchOptions) -> None:
        self.paths = paths
        self.store = Store(paths)
        self._options = options

    def fetcher(self, **changes) -> Fetcher:
        """Return a fetcher into the store; named values change the options."""
        return Fetcher(self.store, FakeVerifier(), replace(self._options, **changes))

    def seen(self) -> dict:
        """Return every file and directory of the store but the audit log: name, mode and content."""
        found = {}
        for directory, names, files in os.walk(self.paths.data):
            for name in (*names, *(name for name in files if name != "audit.log")):
                path = os.path.join(directory, name)
                with open(path, "rb") if name in files else open(os.devnull, "rb") as file:
                    found[path[len(self.paths.data) :]] = (os.lstat(path).st_mode, hashlib.sha512(file.read()).hexdigest())
        return found

    def told(self) -> list[tuple[str, str, str]]:
        """Return action, outcome and code of each event of the audit log, which has to hang together."""
        places = chain.files(self.paths)
        assert chain.verify(places).intact
        return [(event["action"], event["outcome"], event["facts"].get("code", "")) for event in chain.events(places)]


@pytest.fixture(scope="session")
def stocked(tmp_path_factory):
    """The directory of a store with one image."""
    directory = tmp_path_factory.mktemp("stocked")
    path = directory / "old.aci"
    path.write_bytes(archive(name="example.com/old"))
    (directory / "old.aci.asc").write_bytes(signed(path.read_bytes()))
    host = Host(Paths(data=str(directory / "data")), FetchOptions())
    host.fetcher().fetch(str(path))
    return directory / "data"


@pytest.fixture
def make_host(tmp_path, stocked, options):
    """Make a host; safe to call from several threads."""
    number = itertools.count()

    def make(**changes) -> Host:
        directory = tmp_path / f"host{next(number)}"
        shutil.copytree(stocked, directory / "data", symlinks=True)
        paths = Paths(data=str(directory / "data"), local=str(directory / "etc"), system=str(directory / "usr"))
        host = Host(paths, replace(options, **changes))
        # Reading makes the cache of a copied record anew, once.
        host.store.images()
        return host

    return make
