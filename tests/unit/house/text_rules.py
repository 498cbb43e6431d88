# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The rules of the house about text and about tests: pure functions from a file to its findings."""

from __future__ import annotations

import ast
import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from checkout import Source

GPL = ("plugins/modules/", "plugins/doc_fragments/", "plugins/module_utils/_ansible/")
# Ansible's own plugin types link with GPL code in the controller.
GPL += tuple(f"plugins/{kind}/" for kind in ("action", "become", "connection", "filter", "inventory"))
# Written in two pieces, so that this file does not break its own rule.
PACKAGE_HOSTS = [
    ".".join(pair)
    for pair in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry.npmjs", "org"),
        ("deb.debian", "org"),
        ("proxy.golang", "org"),
        ("crates", "io"),
    )
]
# REUSE-IgnoreStart: what follows looks like a header, and is the search for one.
HOLDER = "SPDX-FileCopyrightText: The appc.rocket contributors"
LICENCE = re.compile(r"SPDX-License-Identifier: (\S+)")
# REUSE-IgnoreEnd
MACHINE_PATH = re.compile(r"(?<![\w)}\]/.*$-])/(?:work|root|home)/(?=[\w.])")
GENERATED = ("changelogs/changelog.yaml",)
HEADED = (".py", ".yml", ".yaml", ".toml", ".sh", ".j2")


def licence_header(path: str, text: str) -> Iterator[str]:
    """Each file of code starts with the two SPDX lines; what Ansible loads itself is GPL, the rest Apache-2.0."""
    first = "\n".join(text.splitlines()[:12])
    if path in GENERATED or not (path.endswith(HEADED) or text.startswith("#!") or path == "Makefile") or not text.strip():
        return
    licence = LICENCE.search(first)
    if HOLDER not in first or licence is None:
        yield f"{path}:1: the two SPDX lines are missing"
        return
    if path.endswith(".py") and path.startswith("plugins/"):
        wanted = "GPL-3.0-or-later" if path.startswith(GPL) else "Apache-2.0"
        if licence.group(1) != wanted:
            yield f"{path}:1: the licence here is {wanted}, not {licence.group(1)}"


def machine_paths(path: str, text: str) -> Iterator[str]:
    """No path of the machine that something was written on."""
    for number, line in enumerate(text.splitlines(), 1):
        found = MACHINE_PATH.search(line)
        if found:
            yield f"{path}:{number}: names a place on somebody's machine: {line[found.start() : found.start() + 30]}"


def package_hosts(path: str, text: str) -> Iterator[str]:
    """No host of a package registry: each site configures its own."""
    for number, line in enumerate(text.splitlines(), 1):
        for host in PACKAGE_HOSTS:
            if host in line:
                yield f"{path}:{number}: names a package registry's host; leave it to the configuration of the client"


def repeated_names(paths: Sequence[str]) -> Iterator[str]:
    """Test files have names of their own: without packages pytest cannot tell two equal ones apart."""
    tests = [path for path in paths if path.startswith("tests/") and path.endswith(".py") and "/files/" not in path]
    counted = Counter(path.rpartition("/")[2] for path in tests)
    for path in tests:
        name = path.rpartition("/")[2]
        if name == "__init__.py":
            yield f"{path}:1: no packages among the tests"
        elif counted[name] > 1 and name != "conftest.py":
            yield f"{path}:1: another test file has this name"


def _proves(node: ast.AST, proving: set[str]) -> bool:
    for inner in ast.walk(node):
        if isinstance(inner, (ast.Assert, ast.Raise)):
            return True
        if isinstance(inner, ast.Call):
            target = inner.func
            name = target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else ""
            if name in proving or name in ("raises", "warns", "fail") or name.startswith(("assert_", "check_", "require_", "verify")):
                return True
    return False


def tests_without_assertion(source: Source) -> Iterator[str]:
    """A test that cannot fail on its subject is a defect: it asserts, expects an error, or calls what does."""
    functions = [node for node in ast.walk(source.tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    proving: set[str] = set()
    while True:
        more = {node.name for node in functions if node.name not in proving and _proves(node, proving)}
        if not more:
            break
        proving |= more
    for node in functions:
        if node.name.startswith("test") and node.name not in proving:
            yield f"{source.path}:{node.lineno}: {node.name} asserts nothing"
