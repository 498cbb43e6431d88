# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A site with its authority, a store, and fetchers between the two."""

from __future__ import annotations

import pytest
from fetch_site import Authority, FakeVerifier, Site

from _rocket.fetch.fetcher import Fetcher, FetchOptions
from _rocket.record import replace
from _rocket.store.store import Store


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificate(authority):
    return authority.certificate()


@pytest.fixture
def site(certificate):
    running = Site(certificate)
    yield running
    running.close()


@pytest.fixture
def store(paths):
    return Store(paths)


@pytest.fixture
def verifier():
    return FakeVerifier()


@pytest.fixture
def options(site, authority):
    return FetchOptions(ca_file=authority.file, connect_to=site.connect_to(), backoff=0.01, deadline=30)


@pytest.fixture
def fetcher(store, verifier, options):
    """Make a fetcher; named values change the options."""

    def make(**changes) -> Fetcher:
        return Fetcher(store, verifier, replace(options, **changes))

    return make


@pytest.fixture
def nothing_published(store, paths):
    """Check that a failed fetch left neither an image nor anything staged."""
    import os

    def check() -> None:
        assert store.ids() == []
        assert not os.path.isdir(paths.staging) or os.listdir(paths.staging) == []

    return check
