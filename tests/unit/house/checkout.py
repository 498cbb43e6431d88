# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The files of this checkout that the rules of the house are about."""

from __future__ import annotations

import ast
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parents[3]
PACKAGE = "plugins/module_utils/_rocket/"
LEFT_OUT = {".git", ".venv", ".cache", "build", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".ansible"}


class Source(NamedTuple):
    """A Python file: its path from the top of the checkout, its text and its syntax tree."""

    path: str
    text: str
    tree: ast.Module


def source(path: str, text: str) -> Source:
    """Parse `text` as the file `path`."""
    return Source(path, text, ast.parse(text, path))


@cache
def files() -> tuple[str, ...]:
    """Return the path of every file that belongs to the project, sorted; new ones that git does not ignore included."""
    listing = subprocess.run(
        ["git", "-C", str(TOP), "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=False
    )
    if listing.returncode == 0:
        names = {os.fsdecode(name) for name in listing.stdout.split(b"\0") if name}
    else:  # an unpacked release has no git
        names = set()
        for directory, below, here in os.walk(TOP):
            below[:] = [name for name in below if name not in LEFT_OUT]
            names.update(os.path.relpath(os.path.join(directory, name), TOP) for name in here)
    return tuple(sorted(name for name in names if (TOP / name).is_file()))


def text_of(path: str) -> str:
    """Return the text of a file; bytes that are not UTF-8 are kept visible."""
    return (TOP / path).read_text(encoding="utf-8", errors="backslashreplace")


@cache
def sources(prefix: str) -> tuple[Source, ...]:
    """Return every Python file whose path starts with `prefix`, parsed."""
    return tuple(source(path, text_of(path)) for path in files() if path.startswith(prefix) and path.endswith(".py"))


def product_modules(*parts: str) -> list[str]:
    """Return the dotted names (`_rocket.run.supervise`) of the product's modules, of some parts or of all."""
    names = []
    for path in files():
        if path.startswith(PACKAGE) and path.endswith(".py"):
            inner = path[len(PACKAGE) :]
            if not parts or inner.split("/")[0] in parts:
                names.append("_rocket." + inner[: -len(".py")].replace("/", "."))
    return [name[: -len(".__init__")] if name.endswith(".__init__") else name for name in names]
