# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What the parts of the collection say about each other agrees: metadata, modules, roles, tests, the Makefile."""

from __future__ import annotations

import os
import re

import checkout
import yaml

FILES = checkout.files()


def read(path: str):
    """Return the YAML value of a file."""
    return yaml.safe_load(checkout.text_of(path))


def stems(prefix: str) -> set[str]:
    """Return the names of the plugins whose files lie under `prefix`."""
    return {path[len(prefix) : -len(".py")] for path in FILES if path.startswith(prefix) and path.endswith(".py")}


def roles() -> set[str]:
    """Return the names of the roles."""
    return {path.split("/")[1] for path in FILES if path.startswith("roles/") and path.count("/") > 1}


def test_every_module_is_in_the_action_group():
    modules = stems("plugins/modules/") - {"__init__"}
    assert modules
    assert set(read("meta/runtime.yml")["action_groups"]["rocket"]) == modules


def test_the_changelog_knows_the_version_and_every_released_module():
    releases = read("changelogs/changelog.yaml")["releases"]
    assert read("galaxy.yml")["version"] in releases
    told = {version: {module["name"] for module in release.get("modules", ())} for version, release in releases.items()}
    added: dict[str, set[str]] = {}
    for name in stems("plugins/modules/") - {"__init__"}:
        (version,) = re.findall(r"^version_added: (\S+)$", checkout.text_of(f"plugins/modules/{name}.py"), re.MULTILINE)
        added.setdefault(version, set()).add(name)
    assert {version: names for version, names in added.items() if version in releases} == told


def test_every_role_has_what_galaxy_wants():
    wanted = {f"roles/{role}/{name}" for role in roles() for name in ("README.md", "meta/main.yml", "meta/argument_specs.yml")}
    assert sorted(wanted - set(FILES)) == []


def test_the_readme_names_every_module_and_role():
    text = checkout.text_of("README.md")
    names = (stems("plugins/modules/") - {"__init__"}) | roles()
    assert sorted(name for name in names if f"`appc.rocket.{name}`" not in text) == []


def test_no_sanity_rule_is_ignored():
    ignored = [path for path in FILES if path.startswith("tests/sanity/ignore-") and checkout.text_of(path).strip()]
    assert ignored == []


def test_git_ignores_what_the_tools_leave():
    lines = checkout.text_of(".gitignore").splitlines()
    # Without the first, ansible-test inspects its own environments and fails.
    assert {"/tests/output/", "/build/", "/.cache/", "/.venv/", "__pycache__/"} <= set(lines)


def test_a_release_leaves_out_what_git_ignores():
    left_out = set(read("galaxy.yml")["build_ignore"])
    assert {".venv", ".cache", "build", "tests/output", ".git"} <= left_out


def test_every_target_has_its_line_in_the_help():
    text = checkout.text_of("Makefile")
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE)) - {"packages"}
    assert targets == set(re.findall(r"^([a-z-]+):.* ## \S", text, re.MULTILINE))
    assert {"setup", "test", "lint", "unit", "integration", "sanity", "build", "bench", "demo", "demo-clean", "clean"} <= targets


def test_what_is_executable_is_a_script():
    wrong = []
    for path in FILES:
        starts = checkout.text_of(path).startswith("#!")
        runs = os.access(checkout.TOP / path, os.X_OK) and (checkout.TOP / path).stat().st_mode & 0o111 != 0
        if runs and not starts and not path.startswith("plugins/modules/"):
            wrong.append(path)
    assert wrong == []
