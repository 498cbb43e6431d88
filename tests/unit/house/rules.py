# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The rules of docs/architecture.md about code: each a pure function from a parsed file to its findings.

A finding is `path:line: what is wrong`. test_house_rules.py shows for each rule a defect that it finds, then holds
the checkout to all of them.
"""

from __future__ import annotations

import ast
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from checkout import Source

TOOLS = {"fetch", "trust", "run"}
BASE = {"errors", "record", "plan", "paths", "platform", "command"}
# What each part may import besides itself and the base files.
BELOW: dict[str, set[str]] = {
    "cli": {"host", "fetch", "trust", "run", "store", "image", "audit", "spec"},
    "host": {"fetch", "trust", "run", "store", "image", "audit", "spec"},
    "fetch": {"store", "image", "audit", "spec"},
    "trust": {"store", "image", "audit", "spec"},
    "run": {"store", "image", "audit", "spec"},
    "store": {"image", "audit", "spec"},
    "audit": {"spec"},
    "image": {"spec"},
    "spec": set(),
}
# Lists every file of the package, as imports that never run, so that AnsiballZ ships them all.
CONTENTS = "plugins/module_utils/_rocket/host/contents.py"
# The standard library's own SHA-512, under the names of Python 3.9 to 3.11 and of later ones; each release knows one of them.
RENAMED = {"_sha2", "_sha512"}
# Where a package from outside the standard library may be imported, inside functions.
THIRD_PARTY = {"requests": {"fetch"}, "urllib3": {"fetch"}, "cryptography": {"trust"}, "yaml": {"host"}}
# What the specification's part may import from outside: parsing, and the hash of canonical JSON.
PURE = {"__future__", "_json", "json", "hashlib", *RENAMED}
SHELLS = ("plugins/modules/", "plugins/module_utils/_ansible/", "plugins/module_utils/_rocket/cli/main.py")
FORBIDDEN_WORDS = {"manager", "managers", "helper", "helpers", "util", "utils", "common"}
MODULES_OF_ANSIBLE = {"ansible", "ansible_collections"}


class Import(NamedTuple):
    """One imported name: absolute dotted module, line, and how it is imported."""

    module: str
    line: int
    relative: bool
    deferred: bool
    for_types: bool


def module_name(path: str) -> str:
    """Return the dotted name of a file of the product, packages as their directory."""
    inner = path.split("plugins/module_utils/" if "/module_utils/" in path else "plugins/")[-1][: -len(".py")].replace("/", ".")
    return inner[: -len(".__init__")] if inner.endswith(".__init__") else inner


def part_of(module: str) -> str:
    """Return the part of the product that a dotted name belongs to: `_rocket.run.stop` is in `run`."""
    return module.split(".")[1] if module.startswith("_rocket.") else ""


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    package = module_name(source.path).split(".")
    if not source.path.endswith("/__init__.py"):
        package = package[:-1]
    package = package[: len(package) - node.level + 1]
    return ".".join([*package, *([node.module] if node.module else [])])


def _is_types_only(node: ast.stmt) -> bool:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING")


def imports(source: Source) -> list[Import]:
    """Return every import of a file, `from . import name` as the module `name`."""
    found: list[Import] = []

    def visit(node: ast.AST, deferred: bool, for_types: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, False, deferred, for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append(Import(node.module or "", node.lineno, False, deferred, for_types))
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(source, node)
            names = [f"{module}.{alias.name}" for alias in node.names] if not node.module else [module]
            found.extend(Import(name, node.lineno, True, deferred, for_types) for name in names)
        elif _is_types_only(node) and isinstance(node, ast.If):
            for child in node.body:
                visit(child, deferred, True)
            for child in node.orelse:
                visit(child, deferred, for_types)
        else:
            inside = deferred or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            for child in ast.iter_child_nodes(node):
                visit(child, inside, for_types)

    visit(source.tree, False, False)
    return found


def import_directions(source: Source) -> Iterator[str]:
    """Rules 1 and 2: imports point down, and the three tools know nothing of each other."""
    if source.path == CONTENTS:
        return
    part = part_of(module_name(source.path))
    for item in imports(source):
        other = part_of(item.module)
        if not other or other == part or other in BASE:
            continue
        if part in BASE or other not in BELOW.get(part, set()):
            yield f"{source.path}:{item.line}: {part or 'the package'} must not import {other}"


def relative_imports(source: Source) -> Iterator[str]:
    """Rule 6: the product finds its own files by relative imports, and nothing of Ansible."""
    for item in imports(source):
        top = item.module.split(".")[0]
        if not item.relative and top == "_rocket":
            yield f"{source.path}:{item.line}: import {item.module} relatively"
        if top in MODULES_OF_ANSIBLE:
            yield f"{source.path}:{item.line}: the product knows nothing of Ansible: {item.module}"


def third_party(source: Source) -> Iterator[str]:
    """Rule 3: only fetch, trust and cli use packages, each its own, and only inside functions."""
    part = part_of(module_name(source.path))
    known = getattr(sys, "stdlib_module_names", None)  # since Python 3.10
    for item in imports(source):
        top = item.module.split(".")[0]
        if item.relative or item.for_types or top == "_rocket" or top in MODULES_OF_ANSIBLE:
            continue
        if top not in THIRD_PARTY:
            if known is not None and top not in known and top not in RENAMED:
                yield f"{source.path}:{item.line}: {top} is not in the standard library"
        elif part not in THIRD_PARTY[top]:
            yield f"{source.path}:{item.line}: {part} must not import {top}"
        elif not item.deferred:
            yield f"{source.path}:{item.line}: import {top} inside the function that needs it"


def literal_imports(source: Source) -> Iterator[str]:
    """Rule 4: a registry imports literally; AnsiballZ ships only what it can see in the syntax tree."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            name = _called(node)
            if name in ("__import__", "entry_points", "exec", "eval") or name.endswith("import_module"):
                yield f"{source.path}:{node.lineno}: {name} hides an import; write it literally"
    for item in imports(source):
        if item.module.split(".")[0] == "importlib" and not item.for_types:
            yield f"{source.path}:{item.line}: importlib hides imports; write them literally"


def _called(node: ast.Call) -> str:
    parts: list[str] = []
    target: ast.expr = node.func
    while isinstance(target, ast.Attribute):
        parts.append(target.attr)
        target = target.value
    return ".".join(reversed([*parts, target.id if isinstance(target, ast.Name) else ""]))


def _leaves(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise):
        return True
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) and _called(statement.value) == "os._exit"


def broad_except(source: Source) -> Iterator[str]:
    """Rule 8: only the shells catch everything; elsewhere it is raised again, ends a forked child, or the line says why."""
    if source.path.startswith(SHELLS):
        return
    lines = source.text.splitlines()
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        names = {item.id for item in caught if isinstance(item, ast.Name)}
        reasoned = re.search(r"# noqa: BLE001 - \w.{14}", lines[node.lineno - 1]) is not None and node.type is not None
        if (node.type is None or names & {"Exception", "BaseException"}) and not _leaves(node.body[-1]) and not reasoned:
            yield f"{source.path}:{node.lineno}: catches everything; name what can be handled here"


_FORBIDDEN_CALLS = re.compile(r"(os\.(popen|system|spawn\w+|posix_spawn\w*)|sys\.exit|print|exit|quit|breakpoint)")
_FORBIDDEN_FROM_OS = re.compile(r"(popen|system|spawn\w+|posix_spawn\w*)")


def forbidden_calls(source: Source) -> Iterator[str]:
    """Rule 7: what ansible-test forbids in modules and module_utils, in every file under plugins."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and _FORBIDDEN_CALLS.fullmatch(_called(node)):
            yield f"{source.path}:{node.lineno}: {_called(node)} is forbidden under plugins"
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "sys"):
            for alias in node.names:
                if _FORBIDDEN_FROM_OS.fullmatch(alias.name) or (node.module, alias.name) == ("sys", "exit"):
                    yield f"{source.path}:{node.lineno}: {node.module}.{alias.name} is forbidden under plugins"
    for item in imports(source):
        if item.module.split(".")[0] == "subprocess":
            yield f"{source.path}:{item.line}: subprocess is forbidden under plugins"
    for number, line in enumerate(source.text.splitlines(), 1):
        if re.match(r"\s*assert\b", line):
            yield f"{source.path}:{number}: assert is forbidden under plugins; raise an error of errors.py"
        if "urlopen" in line.split("#")[0]:
            yield f"{source.path}:{number}: those letters are forbidden under plugins"


def pylint_of_ansible_test(source: Source) -> Iterator[str]:
    """What `ansible-test sanity` finds after minutes, found here at once: the name `_`, and `type(x) is int`."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == "_":
            yield f"{source.path}:{node.lineno}: ansible-test refuses the name _; say what is thrown away: _name"
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Is, ast.IsNot, ast.Eq, ast.NotEq)):
            sides = [isinstance(side, ast.Call) and _called(side) == "type" for side in (node.left, node.comparators[0])]
            if sides == [True, False]:
                yield f"{source.path}:{node.lineno}: ansible-test refuses to compare type(x); use isinstance"


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def names(source: Source) -> Iterator[str]:
    """No manager, helper, utils or common in the names that others see: of files, classes, functions and module-level values."""
    own = source.path.split("plugins/module_utils/")[-1].split("plugins/")[-1]
    for word in _words(own):
        if word in FORBIDDEN_WORDS:
            yield f"{source.path}:1: the path says {word}; name what it does"
    top = [target for node in source.tree.body if isinstance(node, ast.Assign) for target in node.targets]
    for node in ast.walk(source.tree):
        given = ""
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            given = node.name
        elif isinstance(node, ast.Name) and node in top:
            given = node.id
        for word in _words(given):
            if word in FORBIDDEN_WORDS:
                yield f"{source.path}:{getattr(node, 'lineno', 1)}: {given} says {word}; name what it does"


def explained_methods(product: Sequence[Source]) -> set[str]:
    """Return `Class.method` for every method with a docstring; what overrides one need not repeat it."""
    classes = [node for item in product for node in ast.walk(item.tree) if isinstance(node, ast.ClassDef)]
    return {
        f"{node.name}.{method.name}"
        for node in classes
        for method in node.body
        if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(method)
    }


def docstrings(source: Source, explained: frozenset[str] | set[str] = frozenset()) -> Iterator[str]:
    """Every file, public class and public function or method says what it is for, or the method it overrides does."""
    if source.text.strip() and ast.get_docstring(source.tree) is None and not source.path.endswith("__init__.py"):
        yield f"{source.path}:1: the file has no docstring"

    def visit(body: list[ast.stmt], owner: str, bases: list[str]) -> Iterator[str]:
        for node in body:
            if isinstance(node, (ast.If, ast.Try, ast.With)):
                yield from visit([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)], owner, bases)
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or node.name.startswith("_"):
                continue
            if ast.get_docstring(node) is None and not any(f"{base}.{node.name}" in explained for base in bases):
                yield f"{source.path}:{node.lineno}: {owner}{node.name} has no docstring"
            if isinstance(node, ast.ClassDef):
                yield from visit(node.body, f"{node.name}.", [base.id for base in node.bases if isinstance(base, ast.Name)])

    yield from visit(source.tree.body, "", [])


def future_annotations(source: Source) -> Iterator[str]:
    """Rule 6: annotations are never evaluated, so that new syntax in them runs on Python 3.9."""
    code = [node for node in source.tree.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    if code and not any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in code):
        yield f"{source.path}:1: from __future__ import annotations is missing"


def length(source: Source, limit: int = 450) -> Iterator[str]:
    """Rule 9: about 300 lines are wanted, `limit` is where the build breaks."""
    lines = source.text.count("\n")
    if lines > limit:
        yield f"{source.path}:{limit}: {lines} lines; split it (the limit is {limit}, the aim 300)"


def no_input_output(source: Source) -> Iterator[str]:
    """The specification's part is data and rules: it imports nothing that reaches outside, and opens nothing."""
    if part_of(module_name(source.path)) != "spec":
        return
    for item in imports(source):
        if not item.relative and not item.for_types and item.module not in PURE:
            yield f"{source.path}:{item.line}: {item.module} is not for data and rules"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("open", "exec", "eval", "input"):
            yield f"{source.path}:{node.lineno}: {node.func.id}() in the specification's part"


def cycles(product: Sequence[Source]) -> Iterator[str]:
    """Rule 2: no cycle among the imports that happen when a file is imported."""
    known = {module_name(item.path): item for item in product}
    graph = {
        name: {found for one in imports(item) if not one.deferred and not one.for_types for found in _resolved(one.module, known)} - {name}
        for name, item in known.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> Iterator[str]:
        if name in trail:
            yield " -> ".join([*trail[trail.index(name) :], name])
        elif name not in done:
            for other in sorted(graph[name]):
                yield from visit(other, [*trail, name])
            done.add(name)

    for name in sorted(graph):
        yield from visit(name, [])


def _resolved(module: str, known: dict[str, Source]) -> set[str]:
    if module in known:
        return {module}
    parent = module.rpartition(".")[0]
    return {parent} if parent in known else set()
