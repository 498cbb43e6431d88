# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Images that depend on each other, as parts of bundles, and a host that is given such bundles and has no network."""

from __future__ import annotations

from bundles import Part, bundle
from fetch_site import archive, signed

from _rocket.fetch.fetcher import Fetcher
from _rocket.fetch.options import FetchOptions
from _rocket.fetch.transports import registry

NAMES = {letter: f"example.com/{letter}" for letter in "abcd"}


def made(letter, *needs, name="", **changes):
    """Return an image called by a letter, with what it depends on."""
    wanted = [need if isinstance(need, dict) else {"imageName": NAMES[need]} for need in needs]
    members = {"dependencies": wanted} if wanted else {}
    return archive(name or NAMES[letter], files={f"rootfs/{letter}": letter.encode()}, **members, **changes)


def part(letter, *needs, named=False, data=None, signature=None, **said):
    """Return an image of a bundle, with a good signature."""
    data = made(letter, *needs) if data is None else data
    return Part(data, NAMES[letter], signed(data) if signature is None else signature, named, **said)


BASE, APP = part("b"), part("a", "b", named=True)


class BundleHost:
    """A host without network: whoever asks it fails.

    Args:
        store: of the host.
        verifier: of the host.
        directory: where bundles are written to.
        monkeypatch: takes the network away.
    """

    def __init__(self, store, verifier, directory, monkeypatch) -> None:
        self._store, self._verifier, self._directory = store, verifier, directory
        monkeypatch.setattr(registry.Transports, "of", self._refuse)

    @staticmethod
    def _refuse(*_values):
        raise RuntimeError("somebody asks the network")

    def write(self, *parts, data=None, **options):
        """Write a bundle; return the reference to it."""
        path = self._directory / "x.bundle"
        path.write_bytes(bundle(*parts, **options) if data is None else data)
        return f"bundle:{path}"

    def fetch(self, reference, **options):
        """Fetch a reference; named values are options."""
        return Fetcher(self._store, self._verifier, FetchOptions(**options)).get(reference)

    def plan(self, reference, state="present", **options):
        """Plan the fetch of a reference; named values are options."""
        return Fetcher(self._store, self._verifier, FetchOptions(**options)).plan(reference, state)
