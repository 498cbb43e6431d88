# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``build/rocket``: the whole package as one executable file that any Python >= 3.9 runs.

A zip archive after a ``#!`` line; the same sources give the same bytes. For build boxes and first steps: it compiles at each
start, so a fleet runs the installed runtime (install.py).
"""

from __future__ import annotations

import os

from . import contents

# In two parts: sanity tests take a line that starts with the whole for the interpreter of this file.
_INTERPRETER = b"#" + b"!/usr/bin/env python3\n"
_ENTRY = (
    "import sys\n"
    "if sys.version_info < (3, 9):\n"
    '    raise SystemExit("rocket: needs Python 3.9 or newer; this is " + sys.version.split()[0])\n'
    "from _rocket.cli.main import main\n"
    "raise SystemExit(main(sys.argv[1:]))\n"
)
_MOMENT = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip archive can say


def archive() -> bytes:
    """Return the bytes of the executable file.

    Raises:
        HostError: a source file of this package cannot be read.
    """
    import io
    import zipfile

    files = {f"_rocket/{name}": data for name, data in contents.sources().items()}
    files["__main__.py"] = _ENTRY.encode()
    buffer = io.BytesIO()
    buffer.write(_INTERPRETER)
    with zipfile.ZipFile(buffer, "w") as target:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, _MOMENT)
            member.create_system = 3
            member.external_attr = 0o100644 << 16
            # Stored: compressors differ between versions of zlib, and the bytes must not.
            member.compress_type = zipfile.ZIP_STORED
            target.writestr(member, files[name])
    return buffer.getvalue()


def build(output: str) -> str:
    """Write the executable file to `output`, in place at once, and return the SHA-512 of its bytes.

    Raises:
        HostError: a source file cannot be read.
        OSError: the directory of `output` is missing or cannot be written.
    """
    import hashlib

    data = archive()
    staged = f"{output}.{os.getpid()}.new"
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755)
    try:
        with os.fdopen(descriptor, "wb") as target:
            target.write(data)
            os.fchmod(target.fileno(), 0o755)
        os.rename(staged, output)
    except OSError:
        os.unlink(staged)
        raise
    return hashlib.sha512(data).hexdigest()
