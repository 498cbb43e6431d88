# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""docs/air-gap.md: its example is a bundle.json, its limits and classes are those of the code."""

from __future__ import annotations

import json
import pathlib
import re

from bundles import text

from _rocket.fetch.download import SIGNATURE_LIMIT
from _rocket.fetch.options import FetchOptions
from _rocket.spec import bundle, reading

TOP = pathlib.Path(__file__).resolve().parents[3]
TEXT = (TOP / "docs" / "air-gap.md").read_text(encoding="utf-8")
PRODUCT = TOP / "plugins" / "module_utils" / "_rocket"
# A TrustError, FetchError or NotFound of these files, by the codes that they name.
FILES = [f"fetch/{name}.py" for name in ("bundled", "bundle_file", "bundle_closure", "verification")]
FILES += ["image/bundle.py", "spec/bundle.py"]


def test_the_example_is_read_as_it_stands():
    value = json.loads(re.search(r"```json\n(.*?)```", TEXT, re.DOTALL)[1])
    (image,) = bundle.Bundle.parse(text(value)).images
    assert (str(image), image.size, image.signature_size, image.named) == ("example.com/shop/web:1.0", 43214848, 228, True)
    members = {
        name for cell in re.findall(r"^\| (`images.*?) \|", TEXT, re.MULTILINE) for name in re.findall(r"`(?:images\[\]\.)?(\w+)`", cell)
    }
    assert members == set(value["images"][0])


def test_the_limits_are_those_of_the_code():
    told = dict(reversed(row) for row in re.findall(r"^\| (\d[^|]*) \| ([^|]*) \|", TEXT, re.MULTILINE))
    assert told == {"images": "256", "`bundle.json`": "1 MiB", "a signature": "64 KiB", "an image": "16 GiB"}
    assert (bundle.MOST_IMAGES, reading.MAX_BYTES, bundle.SIGNATURE_LIMIT) == (256, 1 << 20, SIGNATURE_LIMIT)
    assert (SIGNATURE_LIMIT, FetchOptions().image_limit) == (64 << 10, 16 << 30)


def test_every_class_of_error_is_in_the_table():
    rows = re.findall(r"^\| (`[a-z].*?) \|", TEXT[TEXT.index("## Errors") :], re.MULTILINE)
    described = {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)}
    raised = {code for name in FILES for code in re.findall(r'code="([a-z-]+)"', (PRODUCT / name).read_text(encoding="utf-8"))}
    assert raised <= described


def test_every_file_of_the_page_is_there():
    for name in re.findall(r"\]\(([\w./-]+\.md)\)", TEXT):
        assert (TOP / "docs" / name).is_file()
