# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The list of files is the directory, and a payload that lacks one is refused."""

from __future__ import annotations

import os

import pytest

from _rocket.errors import HostError
from _rocket.host import contents

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(contents.__file__)))


def on_disk():
    return sorted(
        os.path.relpath(os.path.join(parent, name), PACKAGE)
        for parent, _rest, files in os.walk(PACKAGE)
        for name in files
        if "__pycache__" not in parent and name.endswith(".py")
    )


def test_the_list_is_the_directory():
    names = contents.names()
    missing = sorted(set(on_disk()) - set(names))
    gone = sorted(set(names) - set(on_disk()))
    assert not missing and not gone, f"in host/contents.py, import {missing} and drop {gone}"
    assert len(names) == len(set(names))


def test_sources_are_the_bytes_on_disk():
    sources = contents.sources()
    for name in ("__init__.py", "cli/main.py", "host/contents.py"):
        with open(f"{PACKAGE}/{name}", "rb") as source:
            assert sources[name] == source.read()


def test_a_hole_in_the_package_is_refused(monkeypatch):
    monkeypatch.setattr(contents, "PACKAGE", "_rocket")
    real = contents._read
    monkeypatch.setattr(contents, "_read", lambda name: real("no/such.py" if name == "errors.py" else name))
    with pytest.raises(HostError, match=r"no/such\.py"):
        contents.sources()
