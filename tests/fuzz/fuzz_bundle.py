# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed of bundles: the file as a whole, and what its ``bundle.json`` says."""

from __future__ import annotations

import io
import os
import tarfile

from _rocket.errors import RocketError
from _rocket.image import bundle
from _rocket.image.header import padding
from _rocket.spec.bundle import Bundle

LARGEST = 1 << 20


def _read(data, check_error):
    """Return the contents of a bundle; None where it is refused."""
    fd = os.memfd_create("bundle")
    try:
        os.write(fd, data)
        return bundle.read_contents(fd)
    except RocketError as error:
        check_error(error)
        return None
    finally:
        os.close(fd)


def _written(index, members):
    """Return the file of members: pairs of a name and its content."""
    pairs = [(bundle.INDEX, index), *members]
    return b"".join(bundle.heading(name, len(content)) + content + padding(len(content)) for name, content in pairs) + bundle.END


def run(repaired, expect, check_error, data):
    """Bundles: what is accepted is all that is in the file, for every reader of tar, and can be written in no other way."""
    for each in (data, repaired(data)):
        found = _read(each, check_error)
        if found is not None:
            members = [(place.name, each[place.offset : place.offset + place.size]) for place in found.places.values()]
            expect(_written(found.bundle.to_bytes(), members) == each, "there is another file that says the same", each)
            with tarfile.open(fileobj=io.BytesIO(each)) as other:
                seen = [(member.name, member.isfile(), member.offset_data, member.size) for member in other][1:]
            ours = [(place.name, True, place.offset, place.size) for place in found.places.values()]
            expect(seen == ours, "another reader sees other members", seen, ours)
    try:
        said = Bundle.parse(data)
    except RocketError as error:
        check_error(error)
        return
    expect(said.to_bytes() == data, "the canonical form is not canonical", data)
    if sum(size for _name, size in said.members()) < LARGEST:
        made = _written(data, [(name, bytes(size)) for name, size in said.members()])
        again = _read(made, check_error)
        expect(again is not None and again.bundle == said, "what it says cannot be written", said)
