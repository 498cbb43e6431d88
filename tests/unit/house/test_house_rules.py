# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The rules of docs/architecture.md: each finds its planted defect, leaves good code alone, and holds for the checkout."""

from __future__ import annotations

import checkout
import pytest
import rules
import text_rules

P = checkout.PACKAGE
# REUSE-IgnoreStart: parts of headers that are test data.
HEAD = "# SPDX-FileCopyrightText: The appc.rocket contributors\n# SPDX-License-Identifier: "
# REUSE-IgnoreEnd

# rule, file, a defect that it has to find, the same thing done well
PLANTED = [
    (rules.import_directions, P + "fetch/a.py", "from ..trust import verify", "from ..store import verdict"),
    (rules.import_directions, P + "run/a.py", "from ..fetch.fetcher import Fetcher", "from ..store.store import Store"),
    (rules.import_directions, P + "trust/a.py", "def f():\n    from ..run import pods", "def f():\n    from ..store import locks"),
    (rules.import_directions, P + "fetch/transports/a.py", "from ...trust import keyring", "from ..reference import parse_reference"),
    (rules.import_directions, P + "spec/a.py", "from ..image import tar", "from ..errors import SpecError"),
    (rules.import_directions, P + "image/a.py", "from ..store import files", "from ..spec import values"),
    (rules.import_directions, P + "run/__init__.py", "from ..cli import main", "from . import stop"),
    (rules.import_directions, P + "record.py", "from .spec import canonical", "from .errors import RocketError"),
    (rules.import_directions, P + "fetch/a.py", "if TYPE_CHECKING:\n    from ..trust.verify import Verifier", "from . import reference"),
    (rules.relative_imports, P + "cli/a.py", "from _rocket.run import stop", "from ..run import stop"),
    (rules.relative_imports, P + "cli/a.py", "from ansible.module_utils.basic import AnsibleModule", "import os"),
    (rules.third_party, P + "fetch/a.py", "import requests", "def f():\n    import requests"),
    (rules.third_party, P + "run/a.py", "def f():\n    import yaml", "def f():\n    import json"),
    (rules.third_party, P + "fetch/a.py", "def f():\n    import cryptography.x509", "import os"),
    (rules.literal_imports, P + "cli/a.py", "__import__('x')", "def f():\n    from . import stop"),
    (rules.literal_imports, P + "cli/a.py", "import importlib", "import os"),
    (rules.no_input_output, P + "spec/a.py", "def f():\n    import os", "def f():\n    import json"),
    (rules.no_input_output, P + "spec/a.py", "x = open('y').read()", "x = reopen('y')"),
    (rules.broad_except, P + "run/a.py", "try:\n    f()\nexcept:\n    pass", "try:\n    f()\nexcept OSError:\n    pass"),
    (
        rules.broad_except,
        P + "run/a.py",
        "try:\n    f()\nexcept (OSError, Exception):\n    x()",
        "try:\n    f()\nexcept Exception:\n    raise",
    ),
    (
        rules.broad_except,
        "plugins/filter/a.py",
        "try:\n    f()\nexcept BaseException:\n    x()",
        "try:\n    f()\nexcept BaseException:\n    os._exit(1)",
    ),
    (
        rules.broad_except,
        P + "image/a.py",
        "try:\n    f()\nexcept Exception:  # noqa: BLE001\n    x()",
        "try:\n    f()\nexcept Exception as e:  # noqa: BLE001 - raised in the thread that reads\n    x(e)",
    ),
    (rules.literal_imports, "plugins/modules/a.py", "from importlib import import_module", "from ..module_utils._rocket import plan"),
    (rules.forbidden_calls, "plugins/modules/a.py", "import subprocess", "import os"),
    (rules.forbidden_calls, P + "run/a.py", "def f():\n    from subprocess import run", "import os"),
    (rules.forbidden_calls, P + "run/a.py", "os.system('x')", "os.execve('x', [], {})"),
    (rules.forbidden_calls, P + "run/a.py", "from os import posix_spawn", "from os import fork"),
    (rules.forbidden_calls, P + "run/a.py", "print('x')", "sys.stdout.write('x')"),
    (rules.forbidden_calls, P + "run/a.py", "sys.exit(1)", "raise SystemExit(1)"),
    (rules.forbidden_calls, P + "run/a.py", "assert x", "assertion = 1"),
    (rules.forbidden_calls, P + "run/a.py", "'''\nassert this\n'''", "'''\nit is asserted\n'''"),
    (rules.forbidden_calls, P + "run/a.py", "x._url" + "open()", "x._open_url()"),
    (rules.pylint_of_ansible_test, "tests/unit/test_a.py", "for _ in x: pass", "for _number in x: pass"),
    (rules.pylint_of_ansible_test, "tests/unit/test_a.py", "a, _ = b", "a, _rest = b"),
    (rules.pylint_of_ansible_test, P + "run/a.py", "type(a) is not int", "type(a) is type(b)"),
    (rules.names, P + "run/pod_manager.py", "", ""),
    (rules.names, P + "run/a.py", "class PodHelper: pass", "class EventHandler: pass"),
    (rules.names, P + "run/a.py", "def common_paths(): pass", "def f(common): pass"),
    (rules.names, P + "run/a.py", "tar_utils = 1", "utilisation = 1"),
    (rules.docstrings, P + "run/a.py", "x = 1", "'''One.'''\nx = 1"),
    (rules.docstrings, P + "run/a.py", "'''One.'''\ndef f(): pass", "'''One.'''\ndef _f(): pass"),
    (rules.docstrings, P + "run/a.py", "'''One.'''\nclass A:\n    '''A.'''\n    def f(self): pass", "'''One.'''"),
    (rules.future_annotations, P + "run/a.py", "'''One.'''\nimport os", "'''One.'''\nfrom __future__ import annotations"),
    (rules.length, P + "run/a.py", "x = 1\n" * 451, "x = 1\n" * 450),
    (text_rules.tests_without_assertion, "tests/unit/test_a.py", "def test_a():\n    f()", "def test_a():\n    assert f()"),
    (
        text_rules.tests_without_assertion,
        "tests/unit/test_a.py",
        "class TestA:\n    def test_a(self):\n        with open('x'):\n            pass",
        "def same(a):\n    assert a\ndef test_a():\n    same(1)",
    ),
]


@pytest.mark.parametrize(("rule", "path", "bad", "good"), PLANTED)
def test_a_rule_finds_its_planted_defect(rule, path, bad, good):
    assert list(rule(checkout.source(path, bad)))
    if path != P + "run/pod_manager.py":
        assert list(rule(checkout.source(path, good))) == []


PLANTED_TEXT = [
    (text_rules.licence_header, P + "run/a.py", "x = 1\n", HEAD + "Apache-2.0\nx = 1\n"),
    (text_rules.licence_header, P + "run/a.py", HEAD + "GPL-3.0-or-later\n", HEAD + "Apache-2.0\n"),
    (text_rules.licence_header, "plugins/modules/pod.py", HEAD + "Apache-2.0\n", "#!/usr/bin/python\n" + HEAD + "GPL-3.0-or-later\n"),
    (text_rules.licence_header, "demo/run", "#!/usr/bin/env bash\necho\n", "plain data\n"),
    (text_rules.machine_paths, "docs/a.md", "see /ro" + "ot/.pyenv/x", "see /rootfs/x and /root"),
    (text_rules.machine_paths, "docs/a.md", "cd '/wo" + "rk/main'", "f'{upper}/work/x'"),
    (text_rules.machine_paths, "docs/a.md", "/ho" + "me/ada/src", "apps/x/home/y"),
    (text_rules.package_hosts, "docs/a.md", "https://pypi." + "org/simple", "the package index"),
]


@pytest.mark.parametrize(("rule", "path", "bad", "good"), PLANTED_TEXT)
def test_a_rule_about_text_finds_its_planted_defect(rule, path, bad, good):
    assert list(rule(path, bad))
    assert list(rule(path, good)) == []


def test_a_repeated_test_name_is_found():
    assert list(text_rules.repeated_names(["tests/unit/a/test_x.py", "tests/unit/b/test_x.py"]))
    assert list(text_rules.repeated_names(["tests/unit/a/__init__.py"]))
    assert list(text_rules.repeated_names(["tests/unit/a/test_x.py", "tests/unit/b/test_y.py"])) == []


def test_what_overrides_an_explained_method_need_not_repeat_it():
    base = checkout.source(P + "fetch/a.py", "'''One.'''\nclass A:\n    '''A.'''\n    def get(self):\n        '''Get.'''")
    over = checkout.source(P + "fetch/b.py", "'''One.'''\nclass B(A):\n    '''B.'''\n    def get(self): pass\n    def put(self): pass")
    explained = rules.explained_methods([base, over])
    assert [finding.split(": ")[1] for finding in rules.docstrings(over, explained)] == ["B.put has no docstring"]


def test_a_cycle_is_found():
    there = checkout.source(P + "run/a.py", "from .b import x")
    back = checkout.source(P + "run/b.py", "from . import a")
    deferred = checkout.source(P + "run/b.py", "def f():\n    from . import a")
    assert list(rules.cycles([there, back])) == ["_rocket.run.a -> _rocket.run.b -> _rocket.run.a"]
    assert list(rules.cycles([there, deferred])) == []


RULES_OF_THE_PRODUCT = [
    rules.import_directions,
    rules.relative_imports,
    rules.third_party,
    rules.no_input_output,
]
RULES_OF_PLUGINS = [
    rules.literal_imports,
    rules.broad_except,
    rules.forbidden_calls,
    rules.names,
    rules.future_annotations,
    rules.length,
]
RULES_OF_PYTHON = [rules.pylint_of_ansible_test]
RULES_OF_TEXT = [text_rules.licence_header, text_rules.machine_paths, text_rules.package_hosts]


def keep(findings):
    """Fail with one line a finding."""
    found = list(findings)
    if found:
        pytest.fail("\n".join(["the house has a rule against:", *found]), pytrace=False)


def test_the_product_is_found():
    assert len(checkout.sources(P)) > 10
    assert "_rocket.spec.canonical" in checkout.product_modules("spec")


@pytest.mark.parametrize("rule", RULES_OF_THE_PRODUCT)
def test_the_product_keeps(rule):
    keep(finding for file in checkout.sources(P) for finding in rule(file))


def test_the_product_is_explained():
    product = checkout.sources(P)
    explained = rules.explained_methods(product)
    keep(finding for file in product for finding in rules.docstrings(file, explained))


@pytest.mark.parametrize("rule", RULES_OF_PLUGINS)
def test_the_plugins_keep(rule):
    keep(finding for file in checkout.sources("plugins/") for finding in rule(file))


@pytest.mark.parametrize("rule", RULES_OF_PYTHON)
def test_every_python_file_keeps(rule):
    keep(finding for file in checkout.sources("") for finding in rule(file))


@pytest.mark.parametrize("rule", RULES_OF_TEXT)
def test_every_file_keeps(rule):
    keep(finding for path in checkout.files() for finding in rule(path, checkout.text_of(path)))


def test_no_import_cycle():
    keep(rules.cycles(checkout.sources(P)))


def test_test_files_have_names_of_their_own():
    keep(text_rules.repeated_names(checkout.files()))


def test_no_test_without_an_assertion():
    tests = [file for file in checkout.sources("tests/") if file.path.rpartition("/")[2].startswith("test_")]
    keep(finding for file in tests for finding in text_rules.tests_without_assertion(file))


def test_tests_are_no_longer_than_the_limit():
    keep(finding for file in checkout.sources("tests/") for finding in rules.length(file, 600))
