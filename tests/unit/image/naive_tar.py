# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""An extractor as one would write it in five minutes: it shows that the archives of the corpus are as hostile as they say."""

from __future__ import annotations

import tarfile


def unpack(path, directory):
    """Unpack `path` with the standard library, which is asked for nothing but what is in the archive."""
    trusted = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
    with tarfile.open(path) as archive:
        archive.extractall(directory, numeric_owner=True, **trusted)
