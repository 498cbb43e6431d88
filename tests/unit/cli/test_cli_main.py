# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The command as a whole: globals, dispatch, errors and exit statuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from _rocket.cli import context, main, options
from _rocket.errors import NotFound, UsageError

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(main.__file__)))


def cold(code, *arguments):
    """Run code in a fresh interpreter as the installed launcher does."""
    text = f"import sys; sys.path.insert(0, {os.path.dirname(PACKAGE)!r}); {code}"
    return subprocess.run([sys.executable, "-IS", "-c", text, *arguments], capture_output=True, text=True, timeout=60, check=False)


def broken(error):
    class Subcommand:
        COMMAND = None

        @staticmethod
        def execute(_context, _words):
            raise error

    return lambda: Subcommand


def test_table_and_loaders_name_the_same():
    assert [name for name, _rest in main.COMMANDS] == list(main.LOADERS)


@pytest.mark.parametrize("name", list(main.LOADERS))
def test_every_subcommand_has_help_with_examples_in_80_columns(name, capsys):
    assert main.main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith(f"Usage: rocket {name}")
    assert "Examples:" in text


def test_overview_fits_and_lists_everything(capsys):
    assert main.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for name in main.LOADERS:
        assert f"\n  {name} " in text


@pytest.mark.parametrize("words", [["help", "version"], ["version", "--help"], ["--debug", "version", "--help"]])
def test_ways_to_ask_for_help(words, capsys):
    assert main.main(words) == 0
    assert capsys.readouterr().out.startswith("Usage: rocket version")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "a subcommand is missing"),
        (["verison"], "did you mean version?"),
        (["--dri=/x", "version"], "did you mean --dir?"),
        (["--dir=relative", "version"], "absolute directory"),
        (["--insecure-options=images", "version"], "did you mean image?"),
        (["--insecure-options=all", "version"], "unknown insecure option"),
        (["version", "extra"], "does not know what to do with 'extra'"),
    ],
)
def test_usage_errors_are_one_line_and_254(words, message, capsys):
    assert main.main(words) == 254
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("rocket: ") and captured.err.count("\n") == 1
    assert message in captured.err


def test_global_options_become_paths_and_relaxations():
    values, index = context.read_globals(
        [
            "--dir",
            "/d/",
            "--local-config=/l",
            "--system-config=/s",
            "--insecure-options=pubkey,image",
            "--insecure-options=http",
            "run",
            "--x",
        ]
    )
    found = context.context(values)
    assert index == 6
    assert (found.paths.data, found.paths.local, found.paths.system) == ("/d", "/l", "/s")
    assert found.insecure == ("http", "image", "pubkey")


def test_without_options_nothing_is_relaxed():
    found = context.context(options.Values())
    assert found.insecure == () and found.paths.data == "/var/lib/rocket"


def test_insecure_none_relaxes_nothing():
    assert context.context(options.Values((("--insecure-options", "none"),))).insecure == ()


def test_errors_of_rocket_are_one_line_without_traceback(monkeypatch, capsys):
    monkeypatch.setitem(main.LOADERS, "list", broken(NotFound("is not there\n\x1b[2J", where="x", hint="look")))
    assert main.main(["list"]) == 254
    text = capsys.readouterr().err
    assert text == "rocket: x: is not there\\n\\x1b[2J; look\n"


def test_debug_adds_the_traceback(monkeypatch, capsys):
    monkeypatch.setitem(main.LOADERS, "list", broken(UsageError("no")))
    assert main.main(["--debug", "list"]) == 254
    assert "Traceback" in capsys.readouterr().err


def test_the_hosts_refusal_names_path_and_remedy(monkeypatch, capsys):
    monkeypatch.setitem(main.LOADERS, "list", broken(PermissionError(13, "Permission denied", "/var/lib/rocket/pods")))
    assert main.main(["list"]) == 254
    assert capsys.readouterr().err == "rocket: /var/lib/rocket/pods: Permission denied; run it as root\n"


def test_a_defect_is_not_taken_for_the_apps_status(monkeypatch, capsys):
    monkeypatch.setitem(main.LOADERS, "list", broken(ZeroDivisionError("oops")))
    assert main.main(["list"]) == 254
    assert "internal error: ZeroDivisionError" in capsys.readouterr().err


def test_interrupted_is_130(monkeypatch):
    monkeypatch.setitem(main.LOADERS, "list", broken(KeyboardInterrupt()))
    assert main.main(["list"]) == 130


def test_closed_output_is_no_traceback():
    code = "from _rocket.cli.main import main; sys.stdout.flush(); raise SystemExit(main(['--help']))"
    text = f"import sys; sys.path.insert(0, {os.path.dirname(PACKAGE)!r}); {code}"
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run([sys.executable, "-IS", "-c", text], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writer)
    assert process.stderr == ""


def test_version_shows_the_specification(capsys):
    assert main.main(["version", "--format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["appc"] == "0.8.11"
    assert main.main(["--version"]) == 0
    assert "appc 0.8.11" in capsys.readouterr().out


DEAR = [
    "json",
    "re",
    "dataclasses",
    "typing",
    "enum",
    "argparse",
    "subprocess",
    "signal",
    "socket",
    "pathlib",
    "hashlib",
    "tempfile",
    "shutil",
    "logging",
]


def test_start_of_the_command_imports_nothing_dear():
    code = "import _rocket.cli.main as m; m.main(['version']); sys.stderr.write(' '.join(sys.modules))"
    loaded = set(cold(code).stderr.split())
    assert "_rocket.cli.version" in loaded
    assert loaded.isdisjoint(DEAR), loaded & set(DEAR)
    assert not [name for name in loaded if name.startswith(("_rocket.run", "_rocket.fetch", "_rocket.trust", "_rocket.store"))]
