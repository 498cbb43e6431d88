# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The corpus: archives by name, hostile and honest, each with the verdict that is due.

One table for all who read archives: looking at one, unpacking it (openat2 and walk), and the comparison with `actool`.
Archives are made when they are asked for; the paths in them that lead out of the tree lead to a canary of the test.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

from image_archives import image

R = b"rootfs/"
# accept: unpacks. skip: unpacks, and names what was not made. inside: may fail, and touches nothing outside. refuse: an error.
VERDICTS = ("accept", "skip", "inside", "refuse")


class Case(NamedTuple):
    """One archive.

    Attributes:
        name: what it tries.
        group: the class of docs/security-model.md, Archives.
        make: the path of the canary -> the bytes of the archive.
        verdict: one of VERDICTS, of unpacking.
        seen: who refuses it: `archive` (everybody who reads it), `tree` (only who unpacks it, because the order of its
            entries contradicts itself), `manifest` (only who reads the manifest).
        code: of the error.
        words: part of the message.
        large: takes seconds or hundreds of megabytes.
    """

    name: str
    group: str
    make: Callable[[bytes], bytes]
    verdict: str
    seen: str
    code: str
    words: str
    large: bool


def whole(data):
    """Mark bytes that are a whole archive already."""
    return lambda _outside: data


def table(group, verdict, rows, seen="archive", code="archive", words="", large=False):
    """Return the cases of `rows`: name -> members behind manifest and rootfs, or what makes members or a whole archive."""
    if verdict not in VERDICTS:
        raise ValueError(verdict)
    return [
        Case(name, group, _maker(row), verdict, seen if verdict == "refuse" else "", code if verdict == "refuse" else "", words, large)
        for name, row in rows.items()
    ]


def _maker(row):
    def make(outside):
        made = row(outside) if callable(row) else row
        return made if isinstance(made, bytes) else image(*made)

    return make


def corpus():
    """Return every case by its name."""
    import corpus_bombs
    import corpus_format
    import corpus_headers
    import corpus_links
    import corpus_names

    found = {}
    for part in (corpus_names, corpus_links, corpus_headers, corpus_format, corpus_bombs):
        for case in part.CASES:
            if case.name in found:
                raise ValueError(f"two cases are named {case.name}")
            found[case.name] = case
    return found
