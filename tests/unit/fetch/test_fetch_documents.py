# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""docs/fetching.md: its examples are what the product reads, its classes are those of the code, its numbers those of the options."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

from _rocket.fetch import download, keys, places
from _rocket.fetch.configuration import load
from _rocket.fetch.credentials import Credentials
from _rocket.fetch.options import FetchOptions
from _rocket.spec.lock import HEAD, Lock

TOP = pathlib.Path(__file__).resolve().parents[3]
TEXT = (TOP / "docs" / "fetching.md").read_text()
FETCH = TOP / "plugins" / "module_utils" / "_rocket" / "fetch"
# What the page is about.
FILES = ("addresses", "configuration", "credentials", "discovery", "download", "fetcher", "gather", "keys", "places")
FILES += ("reference", "rendering", "single", "stored", "under_lock", "verification", "transports/*")


@pytest.fixture
def layers(tmp_path):
    """The examples, each where the line above it says."""
    found = re.findall(r"^`/etc/rocket/([\w./]+)`:\n\n```json\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert len(found) == 4
    for name, content in found:
        path = tmp_path / "etc" / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o644 if name == "fetch.json" else 0o600)
    return (str(tmp_path / "etc"),)


def test_the_examples_mean_what_the_page_says(layers):
    found = load(layers)
    assert found.proxy == "http://proxy.example.com:3128"
    assert found.is_direct("mirror.example.net") and found.is_direct("a.inside.example.com") and not found.is_direct("example.com")
    assert found.ca_file("registry.example.com", 8443) == "/etc/ssl/shop.pem" and not found.ca_file("registry.example.com", 443)
    mirror = found.mirror_of("example.com/shop/web")
    assert len(mirror.templates) == 2 and not mirror.discovery
    credentials = Credentials(layers)
    assert len(credentials.all()) == 4
    assert credentials.for_url("https://registry.example.com:8443/x").user == "shop"
    assert credentials.for_url("https://example.com/private/x").user == "shop" and not credentials.for_url("https://example.com/x")
    assert credentials.for_url("https://mirror.example.net/x").scheme == "oauth"
    assert credentials.find("proxyAuth", "proxy.example.com", 3128).user == "host7"


def test_the_lock_of_the_page_is_one_and_written_as_it_stands_there():
    (text,) = re.findall(r"^`rocket\.lock\.yml`:\n\n```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    lock = Lock.from_json(yaml.safe_load(text))
    assert lock.to_yaml() == HEAD + text and lock.images[0].signed_by


def test_every_class_of_error_is_in_the_table():
    table = TEXT[TEXT.index("## Errors") :]
    described = set(
        re.findall(r"`([a-z]+(?:-[a-z]+)*)`", " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `")))
    )
    paths = [path for name in FILES for path in FETCH.glob(f"{name}.py")]
    raised = {code for path in paths for code in re.findall(r'code(?:: str)? ?= ?"([a-z-]+)"', path.read_text())}
    raised -= {"signature-missing", "policy-unmet"}  # A matter of trust: docs/security-model.md.
    assert described == raised


def test_the_numbers_are_those_of_the_code():
    options = FetchOptions()
    assert (options.attempts, options.deadline, options.connect_timeout, options.read_timeout) == (4, 3600, 10, 30)
    assert (options.minimum_rate, options.rate_window, options.image_limit) == (1024, 30, 16 << 30)
    assert (places.PAGE_LIMIT, keys.KEY_LIMIT, download.SIGNATURE_LIMIT) == (1 << 20, 1 << 20, 64 << 10)
    for text in (
        "four tries",
        "an hour",
        "10 seconds",
        "30 for each silence",
        "1 KiB a second",
        "half minute",
        "16 GiB",
        "64 KiB",
        "1 MiB",
    ):
        assert text in TEXT
