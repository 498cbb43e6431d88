# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the trust tests: GnuPG once a session, a keyring a test."""

from __future__ import annotations

import shutil

import pytest
from trust_bench import Bench, Gpg


@pytest.fixture(scope="session")
def gpg(tmp_path_factory):
    """The real GnuPG, or a skip."""
    for program in ("gpg", "gpgconf"):
        if shutil.which(program) is None:
            pytest.skip(f"missing ability: the program {program}")
    made = Gpg(tmp_path_factory.mktemp("g"))
    yield made
    made.stop()


@pytest.fixture
def bench(paths, tmp_path):
    """A keyring and a file to verify."""
    return Bench(paths, tmp_path)
