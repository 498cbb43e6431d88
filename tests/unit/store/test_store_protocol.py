# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The order of syncs and renames that docs/store.md promises, as the kernel sees it: what a power cut leaves follows from it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from store_archives import archive

import _rocket

HERE = os.path.dirname(os.path.abspath(__file__))
# What each work does after the store was prepared for it; `store`, `imports` and the images `one` and `two` are there.
PREPARE = """
import sys
sys.path[:0] = sys.argv[1:3]
from _rocket.paths import Paths
from _rocket.store.store import Store
from store_archives import Imports, INSECURE, SIGNED
import os
store = Store(Paths(data=sys.argv[3]))
imports = Imports(store)
first, second = (open(path, "rb").read() for path in sys.argv[4:6])
"""
STAGED, ID = r"/staging/\w+", r"sha512-\w+"
PARTIAL = r"/staging/\w+\.partial/aci"
PUBLISH = [
    rf"fsync .*{STAGED}\.aci",
    rf"rename .*{STAGED}\.aci .*{STAGED}/aci",
    *(rf"fsync .*{STAGED}/{name}" for name in ("manifest", r"aci\.asc", r"record\.json", "cache")),
    rf"fsync .*{STAGED}",
]
TREE = [
    rf"write .*{STAGED}/rootfs/hello",
    rf"fsync .*{STAGED}/record\.json",
    rf"syncfs .*{STAGED}",
    rf"rename .*{STAGED} .*/trees/{ID}",
    "fsync .*/trees",
]
WORKS = {
    "add": ("imports(first)", [*PUBLISH, rf"rename .*{STAGED} .*/images/{ID}", "fsync .*/images"]),
    "replace": (
        "imports(first, INSECURE, signature=None)\nMARK\nimports(first, SIGNED)",
        [*PUBLISH, rf"exchange .*{STAGED} .*/images/{ID}", "fsync .*/images", rf"unlink .*{STAGED}/aci"],
    ),
    "render": ("one = imports(first)\nMARK\nstore.tree(one.id)", TREE),
    "render with dependencies": (
        "imports(first)\ntwo = imports(second)\nMARK\nstore.tree(two.id)",
        [*TREE, *TREE[1:4], rf"link .*/trees/{ID}/rootfs/hello .*{STAGED}/rootfs/hello", *TREE[1:]],
    ),
    "layer": (
        "from _rocket.store.blobs import Blobs\nMARK\n"
        "Blobs(store).obtain('sha256:' + 'a' * 64, 1, lambda partial: os.write(partial.fd, b'x'))",
        [rf"write .*{PARTIAL}", rf"fsync .*{PARTIAL}", rf"rename .*{PARTIAL} .*/blobs/sha256/a+", "fsync .*/blobs/sha256"],
    ),
    "remove": (
        "one = imports(first)\nstore.tree(one.id)\nMARK\nstore.remove(one.id)",
        [
            *(rf"rename .*/images/{ID} .*/garbage/\w+", "fsync .*/images", rf"rename .*/trees/{ID} .*/garbage/\w+", "fsync .*/trees"),
            *(rf"unlink .*/locks/{ID}", r"unlink .*/garbage/\w+/.*", r"rmdir .*/garbage/\w+"),
        ],
    ),
    "one file": (
        "one = imports(first)\nMARK\nstore.confirm(one.id, one.verdict)",
        [
            *(rf"write .*/images/{ID}/record\.json\.\w+\.new", rf"fsync .*/images/{ID}/record\.json\.\w+\.new"),
            *(rf"rename .*/images/{ID}/record\.json\.\w+\.new .*/images/{ID}/record\.json", rf"fsync .*/images/{ID}"),
        ],
    ),
}
_CALL = re.compile(r"^\d+ +(\w+)\((.*)\) = \d")
_OPEN = re.compile(r"^\d+<(.*?)>")
_AT = re.compile(r'(?:(?:AT_FDCWD<[^>]*>|\d+<(?P<directory>[^>]*)>), )?"(?P<name>[^"]*)"')
NAMES = {"renameat2": "rename", "renameat": "rename", "unlinkat": "unlink", "linkat": "link", "fdatasync": "fsync", "pwrite64": "write"}


def events(text):
    """Yield each call of a trace as one line: its name and the whole paths that it is about."""
    for line in text.splitlines():
        found = _CALL.match(line)
        if found is None:
            continue
        call, values = found[1], found[2]
        name = NAMES.get(call, call)
        if "RENAME_EXCHANGE" in values:
            name = "exchange"
        elif call == "unlinkat" and "AT_REMOVEDIR" in values:
            name = "rmdir"
        opened = _OPEN.match(values) if call in ("fsync", "fdatasync", "syncfs", "write", "pwrite64") else None
        places = [opened[1]] if opened else []
        for place in () if opened else _AT.finditer(values):
            places.append(f"{place['directory']}/{place['name']}" if place["directory"] and place["name"][0] != "/" else place["name"])
        yield " ".join((name, *places))


def missing(expected, seen):
    """Return what of `expected` does not follow in `seen` on what is before it; empty where all does, in this order."""
    rest = iter(seen)
    for pattern in expected:
        if not any(re.fullmatch(pattern, event) for event in rest):
            return pattern
    return ""


@pytest.fixture
def traced(tmp_path, program):
    """Do a piece of work under strace and return what it did after the line MARK, as events."""
    strace = program("strace")
    for name, data in (("one", archive()), ("two", archive(name="example.com/two", dependencies=[{"imageName": "example.com/app"}]))):
        (tmp_path / name).write_bytes(data)

    def run(work):
        begin = 'os.open("/begin-of-the-work", 0) if False else os.access("/begin-of-the-work", 0)'
        code = PREPARE + (work if "MARK" in work else f"MARK\n{work}").replace("MARK", begin)
        calls = "trace=openat,fsync,fdatasync,syncfs,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,write,pwrite64,access"
        words = [strace, "-f", "-y", "-qq", "-s", "4096", "-o", str(tmp_path / "trace"), "-e", calls, "-e", "signal=none"]
        package = os.path.dirname(_rocket.__path__[0])
        words += [sys.executable, "-c", code, package, HERE, str(tmp_path / "data"), str(tmp_path / "one"), str(tmp_path / "two")]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=100)
        if "ptrace" in done.stderr:
            pytest.skip("missing ability: ptrace")
        assert done.returncode == 0, done.stderr
        return list(events((tmp_path / "trace").read_text().partition("/begin-of-the-work")[2]))

    return run


@pytest.mark.parametrize("name", WORKS)
def test_the_order_is_as_written(traced, name):
    work, expected = WORKS[name]
    seen = traced(work)
    assert missing(expected, seen) == "", "\n".join(seen)


def test_another_order_is_found():
    expected = ["fsync a", "rename a b", "fsync b"]
    assert missing(expected, ["fsync a", "write c", "rename a b", "fsync b"]) == ""
    for wrong, says in (
        (["rename a b", "fsync a", "fsync b"], "rename a b"),
        (["fsync a", "rename a b"], "fsync b"),
        (["fsync a", "rename a bc", "fsync b"], "rename a b"),
    ):
        assert missing(expected, wrong) == says
