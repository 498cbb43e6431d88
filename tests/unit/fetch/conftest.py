# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A site with its authority, a store, and fetchers between the two."""

from __future__ import annotations

import pytest
from bundle_parts import BundleHost
from fetch_site import FakeVerifier, archive
from oci_registry import Registry

from _rocket.fetch.fetcher import Fetcher, FetchOptions
from _rocket.image.check import inspect
from _rocket.record import replace
from _rocket.store.store import Store


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


@pytest.fixture
def serve(site, tmp_path):
    """Publish an image called by a letter, with what it depends on; return its image ID."""

    def make(letter, *needs, version="1.0", **changes):
        wanted = [need if isinstance(need, dict) else {"imageName": f"example.com/{need}"} for need in needs]
        name = changes.pop("name", f"example.com/{letter}")
        data = archive(name, files={f"rootfs/{letter}": letter.encode()}, labels=(("version", version),), dependencies=wanted)
        site.publish(data, f"example.com/{letter}", f"/images/{letter}.aci", **changes)
        (tmp_path / "x.aci").write_bytes(data)
        return inspect(str(tmp_path / "x.aci")).image_id, data

    return make


@pytest.fixture
def registry(store, options, tmp_path):
    """The store's host before a registry."""
    return Registry(store, options, tmp_path)


@pytest.fixture
def fetch(registry):
    """Fetch from the registry; the record of the image."""
    return registry.fetch


@pytest.fixture
def refusal(registry, nothing_published):
    """Fetch from the registry what is refused; the error. Nothing is left of it."""

    def run(*words, **changes):
        error = registry.refusal(*words, **changes)
        nothing_published()
        return error

    return run


@pytest.fixture
def bundle_host(store, verifier, tmp_path, monkeypatch):
    """A host that is given bundles and has no network."""
    return BundleHost(store, verifier, tmp_path, monkeypatch)
