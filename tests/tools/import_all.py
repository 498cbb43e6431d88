# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Import every file of the collection that runs on a target, each in a process of its own, without site-packages.

    python3.X -I -S -B import_all.py CHECKOUT ANSIBLE DIRECTORY

ANSIBLE is the directory of the installed `ansible` package: its module_utils support the Pythons of targets, the rest
of it does not, so only they are made visible. Plugins of the controller are imported by ansible-test and ansible-doc.
"""

from __future__ import annotations

import os
import sys
import traceback

COLLECTION = "ansible_collections.appc.rocket.plugins"


def make_tree(checkout: str, ansible: str, directory: str) -> None:
    """Lay out `directory` as AnsiballZ does: empty packages, with the real module_utils and plugins behind links."""
    inner = os.path.join(directory, "ansible_collections", "appc", "rocket")
    os.makedirs(inner, exist_ok=True)
    os.makedirs(os.path.join(directory, "ansible"), exist_ok=True)
    # An ordinary package: ansible's own code asks for its __file__.
    with open(os.path.join(directory, "ansible", "__init__.py"), "w", encoding="utf-8"):
        pass
    for source, link in (
        (os.path.join(checkout, "plugins"), os.path.join(inner, "plugins")),
        (os.path.join(ansible, "module_utils"), os.path.join(directory, "ansible", "module_utils")),
        (os.path.join(ansible, "release.py"), os.path.join(directory, "ansible", "release.py")),
    ):
        if not os.path.islink(link):
            os.symlink(source, link)


def modules(checkout: str) -> list[str]:
    """Return the dotted name of every Python file under module_utils, modules and doc_fragments."""
    names = []
    top = os.path.join(checkout, "plugins")
    for kind in ("module_utils", "modules", "doc_fragments"):
        for directory, below, files in os.walk(os.path.join(top, kind)):
            below[:] = sorted(name for name in below if name != "__pycache__")
            for file in sorted(files):
                if file.endswith(".py"):
                    inner = os.path.relpath(os.path.join(directory, file), top)[: -len(".py")].replace(os.sep, ".")
                    names.append(f"{COLLECTION}.{inner[: -len('.__init__')] if inner.endswith('.__init__') else inner}")
    return names


def imports(name: str) -> bool:
    """Return whether `name` can be imported, alone, in a child; the traceback goes to standard error."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            __import__(name)
            status = 0
        except BaseException:  # noqa: BLE001 - whatever a file raises, SystemExit too, is the finding
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def main(checkout: str, ansible: str, directory: str) -> int:
    """Import all; return the exit status."""
    make_tree(checkout, ansible, directory)
    sys.path.insert(0, directory)
    names = modules(checkout)
    bad = [name for name in names if not imports(name)]
    for name in bad:
        print(f"cannot be imported on Python {sys.version.split()[0]}: {name}")
    print(f"{len(names) - len(bad)} of {len(names)} files imported on Python {sys.version.split()[0]}")
    return 1 if bad or not names else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
