# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A store in a temporary directory, and what puts images into it."""

from __future__ import annotations

import os

import pytest
from store_archives import Imports

from _rocket.store.store import Store


@pytest.fixture
def store(paths) -> Store:
    return Store(paths)


@pytest.fixture
def imports(store) -> Imports:
    return Imports(store)


@pytest.fixture
def leftovers(paths):
    """Return the names under staging/, garbage/ and locks/: nothing may stay there after a command."""

    def listing() -> list[str]:
        found = []
        for path in (paths.staging, paths.garbage, paths.locks):
            found += [f"{path}/{name}" for name in os.listdir(path)] if os.path.isdir(path) else []
        return found

    return listing
