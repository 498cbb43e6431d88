# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Images made for tests of the store."""

from __future__ import annotations

import io
import json
import os
import tarfile

from _rocket.image.check import inspect
from _rocket.store.record import new_record
from _rocket.store.store import Store
from _rocket.store.verdict import Signer, Verdict

SIGNED = Verdict("signed", (Signer("a" * 40, "example.com"),), 1000)
PINNED = Verdict("pinned", (), 1000)
INSECURE = Verdict("insecure", (), 1000, ("image",))


def archive(name="example.com/app", version="1.0", compression="gz", files=None, **members) -> bytes:
    """Return an image archive; `files` maps names to contents: bytes of a file, text that a link leads to, None for a directory."""
    labels = [{"name": "version", "value": version}] if version else []
    manifest = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": name, "labels": labels, **members}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}", format=tarfile.PAX_FORMAT) as tar:
        for path, content in {"manifest": json.dumps(manifest).encode(), "rootfs": None, **(files or {"rootfs/hello": b"hello\n"})}.items():
            entry = tarfile.TarInfo(path)
            if content is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class Imports:
    """Adds archives to a store as a fetch would."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def stage(self, data: bytes):
        """Return descriptor, path and inspection of a staged file."""
        fd, path = self.store.staging_file()
        os.write(fd, data)
        return fd, path, inspect(fd)

    def __call__(
        self, data: bytes | None = None, verdict: Verdict = SIGNED, source="https://example.com/app.aci", signature=b"sig", **named
    ):
        fd, path, inspection = self.stage(archive(**named) if data is None else data)
        try:
            return self.store.add(path, new_record(inspection, verdict, source), inspection.manifest_bytes, signature)
        finally:
            os.close(fd)
