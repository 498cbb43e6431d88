# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Which tests prove which rule of the App Container specification: docs/spec-conformance.md, from the marks on the tests.

python tests/tools/conformance.py            write the page
python tests/tools/conformance.py --check    exit status 1 where it is not what would be written
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "spec-conformance.md"
GROUPS = {
    "T": "Types",
    "A": "Image archive",
    "M": "Image manifest",
    "D": "Dependencies and rendering",
    "P": "Pods",
    "E": "What an app sees",
    "I": "Isolators",
    "S": "Metadata service",
    "V": "Discovery",
}
HEAD = """# Conformance

The rules of the App Container specification 0.8.11, by the numbers that error messages, docstrings and tests use, and the tests that prove
them. Written by `tests/tools/conformance.py` from the marks on the tests. A rule that is not listed has no test of its own yet.
"""


def rules_of(tree: ast.AST) -> list[tuple[str, str]]:
    """Return (rule, test) pairs of one test file."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.spec":
                    found += [(argument.value, node.name) for argument in mark.args if isinstance(argument, ast.Constant)]
    return found


def order(rule: str) -> tuple[int, int, str]:
    """Return what sorts rules as the groups stand, then by number."""
    letter, number, rest = re.fullmatch(r"([A-Z])(\d+)(\w*)", rule).groups()
    return list(GROUPS).index(letter), int(number), rest


def page() -> str:
    """Return the page as it should be."""
    proofs: dict[str, list[str]] = {}
    for path in sorted(TOP.glob("tests/**/test_*.py")):
        for rule, test in rules_of(ast.parse(path.read_text(encoding="utf-8"))):
            proofs.setdefault(rule, []).append(f"`{path.name[5:-3]}`: {test[5:].replace('_', ' ')}")
    lines, group = [HEAD.rstrip()], ""
    for rule in sorted(proofs, key=order):
        if rule[0] != group:
            group = rule[0]
            lines += ["", f"## {GROUPS[group]}", "", "| Rule | Proven by |", "|---|---|"]
        lines.append(f"| {rule} | {'<br>'.join(sorted(proofs[rule]))} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    wanted = page()
    if arguments == ["--check"]:
        if PAGE.read_text(encoding="utf-8") == wanted:
            return 0
        print("docs/spec-conformance.md is not what the tests say: python tests/tools/conformance.py")
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
