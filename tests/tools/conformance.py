# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The page docs/spec-conformance.md: each requirement, where it is done, and the tests that prove it.

python tests/tools/conformance.py            write the page
python tests/tools/conformance.py --check    exit status 1 where it is not what would be written

A file of the product does what it cites by number in a docstring, another string (``rule="T5"``) or a comment; ranges (M6 to M15)
are no citations. A test proves what its mark `spec` names. Both ways exit status 1 and a line each: a number that does not exist, a
rule without a test or a place, one that is not offered and has a test, and what may not be in those lists.
"""

from __future__ import annotations

import ast
import importlib
import io
import re
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from requirements import Requirement

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "spec-conformance.md"
PRODUCT = TOP / "plugins" / "module_utils" / "_rocket"
NUMBER = re.compile(r"(?<![\w./-])([TAMDPEISV]\d{1,2}a?)(?![\w-])")
RANGE = re.compile(r"\b[TAMDPEISV]\d{1,2}a?(?: to |-)[TAMDPEISV]?\d{1,2}a?\b")
HEAD = """# Conformance

Every requirement of the App Container specification 0.8.11, by the numbers that error messages, docstrings and tests use: what we do about
it, where in `plugins/module_utils/_rocket`, and the tests that prove it. Written by `tests/tools/conformance.py` from
`tests/tools/requirements.py`, the code and the marks on the tests; a test keeps the three and this page together.

"Not offered yet" says that this version does not do it; "decided" that the text leaves it to us and what we do instead.
"""
DIFFERENCES = """
## Where the specification's own validator differs

`tests/conformance` compares our reading with `actool validate` 0.8.11. It differs in these things and, as far as the tests go, in no other.
"JSON" stands for how documents are read at all.

| What | Rule | Difference |
|---|---|---|
"""


def marks_of(text: str) -> Iterator[tuple[str, str]]:
    """The (number, test) pairs of one test file; the number is empty where a mark names none that can be read here."""
    tree = ast.parse(text)
    constants = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
            for call in (inner for decorator in node.decorator_list for inner in ast.walk(decorator)):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.spec":
                    numbers = [number for argument in call.args for number in _numbers(argument, constants)]
                    yield from ((number, node.name) for number in numbers or [""])


def _numbers(argument: ast.expr, constants: Mapping[str, ast.expr]) -> list[str]:
    """The strings that an argument of a mark stands for: itself, or a constant of the file that is unpacked."""
    if isinstance(argument, ast.Constant):
        return [str(argument.value)]
    if isinstance(argument, ast.Starred):
        argument = constants.get(ast.unparse(argument.value), argument.value)
    if isinstance(argument, (ast.Tuple, ast.List)):
        return [number for item in argument.elts for number in _numbers(item, constants)]
    return [""]


def texts_of(text: str) -> Iterator[str]:
    """The strings and comments of one file of the product."""
    yield from (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    yield from (token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT)


def citations_of(text: str, path: str, names: Iterable[str]) -> set[str]:
    """The requirements that one file of the product cites.

    Args:
        text: of the file.
        path: of the file, below the package.
        names: requirements whose numbers are words: an isolator's value is read in spec/, and enforced in run/.
    """
    whole = "\n".join(texts_of(text))
    found = set(NUMBER.findall(RANGE.sub("", whole)))
    part = path.partition("/")[0]
    for name in names:
        word = name.removesuffix(" enforced")
        right = part in ("spec", "run") if " " in word else part == ("spec" if word == name else "run")
        if right and re.search(rf"(?<![\w/-]){re.escape(word)}(?![\w/-])", " ".join(whole.split())):
            found.add(name)
    return found


def problems(
    rows: Sequence[Requirement],
    not_offered: Mapping[str, str],
    allowed: tuple[str, Iterable[str]],
    places: Mapping[str, Iterable[str]],
    proofs: Mapping[str, Iterable[str]],
) -> list[str]:
    """What is wrong, a line each.

    Args:
        rows: the requirements.
        not_offered: number and reason of those that this version does not offer.
        allowed: groups that may have none of these, and numbers of theirs that may all the same.
        places: by number, files that cite it.
        proofs: by number, tests that are marked with it.
    """
    numbers = [row.number for row in rows]
    found = [f"{number} is listed twice" for number in sorted({number for number in numbers if numbers.count(number) > 1})]
    for what, cited in (("a mark", proofs), ("the code", places), ("the list of what is not offered", not_offered)):
        found += [
            f"{what} names {number or 'no number'}, which is no requirement: {'; '.join(cited[number])}"
            for number in sorted(set(cited) - set(numbers))
        ]
    groups, excepted = allowed
    for row in rows:
        number, missing = row.number, row.number in not_offered
        if row.decision and (row.level == "MUST" or missing):
            found.append(f"{number} is {'not offered' if missing else 'a MUST'}, there is nothing to decide")
        if missing and number[0] in groups and number not in excepted:
            found.append(f"{number} is about data and has to be offered")
        if missing and proofs.get(number):
            found.append(f"{number} is proven by {'; '.join(proofs[number])}: take it from the list of what is not offered")
        if not missing and not row.decision:
            found += [f"{number} has no {what}" for what, known in (("test", proofs), ("place", places)) if not known.get(number)]
    return found


def page(
    rows: Sequence[Requirement],
    groups: Mapping[str, str],
    not_offered: Mapping[str, str],
    places: Mapping[str, Iterable[str]],
    proofs: Mapping[str, Iterable[str]],
    differences: Iterable[tuple[str, str, str]] = (),
) -> str:
    """Return the page as it should be; `differences` are name, rule and direction."""
    lines, group = [HEAD.rstrip()], ""
    for row in rows:
        title = groups[row.number[0]] if re.fullmatch(r"[A-Z]\d+a?", row.number) else "Isolators one by one"
        if title != group:
            group = title
            lines += ["", f"## {group}", "", "| Number | Rule | Where | Proven by |", "|---|---|---|---|"]
        rule = f"{row.rule} ({row.level})"
        if row.number in not_offered:
            rule += f"<br>**not offered yet: {not_offered[row.number]}**"
        if row.decision:
            rule += f"<br>**decided:** {row.decision}"
        number = row.number if title in groups.values() else f"`{row.number}`".replace(" enforced`", "` enforced")
        where = "<br>".join(f"`{place}`" for place in sorted(places.get(row.number, ())))
        lines.append(f"| {number} | {rule} | {where} | {'<br>'.join(sorted(set(proofs.get(row.number, ()))))} |")
    lines.append(DIFFERENCES.rstrip())
    lines += [f"| {name} | {rule} | {direction} |" for name, rule, direction in differences]
    return "\n".join(lines) + "\n"


def differences_of_the_tests() -> list[tuple[str, str, str]]:
    """Return name, rule and direction of the rows of tests/conformance/*_differences.py, one table behind the other."""
    sys.path[:0] = [str(PRODUCT.parent), str(TOP / "tests" / "conformance")]
    modules = [importlib.import_module(path.stem) for path in sorted((TOP / "tests" / "conformance").glob("*_differences.py"))]
    rows = [row for module in modules for row in module.ROWS]
    return sorted(((row.name, row.rule, row.direction) for row in rows), key=lambda row: row[2], reverse=True)


def collect(names: Iterable[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return what the product cites and what the tests are marked with, by number."""
    names, places, proofs = list(names), {}, {}
    for path in sorted(PRODUCT.rglob("*.py")):
        below = path.relative_to(PRODUCT).as_posix()
        for number in citations_of(path.read_text(encoding="utf-8"), below, names):
            places.setdefault(number, []).append(below)
    for path in sorted(TOP.glob("tests/**/test_*.py")):
        for number, test in marks_of(path.read_text(encoding="utf-8")):
            proofs.setdefault(number, []).append(f"`{path.name[5:-3]}`: {test[5:].replace('_', ' ')}")
    return places, proofs


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    from requirements import DATA_GROUPS, GROUPS, NOT_ABOUT_DATA, NOT_OFFERED, REQUIREMENTS

    places, proofs = collect(row.number for row in REQUIREMENTS if not NUMBER.fullmatch(row.number))
    found = problems(REQUIREMENTS, NOT_OFFERED, (DATA_GROUPS, NOT_ABOUT_DATA), places, proofs)
    differences = differences_of_the_tests()
    known = {row.number for row in REQUIREMENTS} | {"JSON"}
    found += [
        f"the difference {name!r} names {rule}, which is no requirement" for name, rule, _direction in differences if rule not in known
    ]
    wanted = page(REQUIREMENTS, GROUPS, NOT_OFFERED, places, proofs, differences)
    if "--check" not in arguments:
        PAGE.write_text(wanted, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != wanted:
        found.append("docs/spec-conformance.md is not what would be written: python tests/tools/conformance.py")
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
