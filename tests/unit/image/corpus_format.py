# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Ends of archives, the manifest in them, and what is no archive at all."""

from __future__ import annotations

import json

from image_archives import MANIFEST, ZEROS, block, directory, file, image
from image_corpus import R, table, whole

WHOLE = image(file(R + b"x", b"d" * 1000))


def manifest(**members):
    """Return an image whose manifest has `members` besides what it needs."""
    return whole(image(manifest=json.dumps({**json.loads(MANIFEST), **members}).encode()))


CASES = [
    *table(
        "ends",
        "refuse",
        {
            "no end marker": whole(WHOLE[:-1024]),
            "one zero block": whole(WHOLE[:-512]),
            "data cut": whole(WHOLE[: -1024 - 600]),
            "padding cut": whole(WHOLE[: -1024 - 10]),
            "header cut": whole(WHOLE[: -1024 - 1024 - 100]),
            "cut after a header": whole(WHOLE[: -1024 - 1024]),
            "end marker cut": whole(WHOLE[:-1]),
            "data after the end": whole(WHOLE + b"x"),
            "late data": whole(WHOLE + bytes(1 << 20) + b"x"),
            "second archive after the end": whole(WHOLE + image(file(R + b"y"))),
            "checksum wrong in the middle": [file(R + b"x"), file(R + b"y", checksum=1), file(R + b"z")],
            "one zero block, then a header and zeros": [bytes(512), directory(R + b"x/")],
            "one zero block in the middle": [bytes(512), file(R + b"x")],
        },
    ),
    *table(
        "ends",
        "accept",
        {"zeros behind the end": whole(WHOLE + bytes(9216)), "zeros that fill no block": whole(WHOLE + bytes(100))},
    ),
    *table(
        "format",
        "refuse",
        {
            "nothing": whole(b""),
            "one byte": whole(b"x"),
            "an empty archive": whole(ZEROS),
            "zeros": whole(bytes(10240)),
            "a page": whole(b"<html>login</html>" * 50),
            "zip": whole(b"PK\x03\x04" + bytes(600)),
            "old tar": whole(block(b"manifest", size=len(MANIFEST), magic=bytes(8)) + MANIFEST.ljust(512, b"\0") + directory(R) + ZEROS),
            "encrypted by a password": whole(b"\x8c\x0d\x04\x09" + bytes(600)),
            "encrypted for a key": whole(b"\x85\x02\x0c\x03" + bytes(600)),
            "encrypted and armored": whole(b"-----BEGIN PGP MESSAGE-----\n\n" + b"aGVsbG8=\n" * 60),
        },
        code="not-an-image",
    ),
    *table(
        "manifest",
        "refuse",
        {
            "manifest no JSON": whole(image(manifest=b"{")),
            "manifest a list": whole(image(manifest=b"[]")),
            "manifest no UTF-8": whole(image(manifest=b"\xff")),
            "manifest with a byte order mark": whole(image(manifest=b"\xef\xbb\xbf" + MANIFEST)),
            "manifest of a pod": whole(image(manifest=b'{"acKind":"PodManifest","acVersion":"0.8.11"}')),
            "member given twice": whole(image(manifest=MANIFEST.replace(b'"name"', b'"name": "example.com/other", "name"', 1))),
            "depth 10 000": whole(image(manifest=b'{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"," + MANIFEST[1:])),
            "number of 100 000 digits": whole(image(manifest=b'{"x":' + b"9" * 100_000 + b"," + MANIFEST[1:])),
            "data behind the manifest": whole(image(manifest=MANIFEST + b"{}")),
            "white list that climbs": manifest(pathWhitelist=["/a/../../etc/passwd"]),
            "name that climbs": manifest(name="a/../b"),
        },
        seen="manifest",
        code="spec",
    ),
    *table(
        "manifest",
        "refuse",
        {"manifest of 100 MB": lambda _outside: image(manifest=b'{"x":"' + b"x" * 100_000_000 + b'",' + MANIFEST[1:])},
        code="archive-limit",
        large=True,
    ),
]
