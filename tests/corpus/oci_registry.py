# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A registry on a Site of fetch_site.py: images pushed to it, its tokens, and fetches from it."""

from __future__ import annotations

import base64
import json
import pathlib
import sys
from urllib.parse import urlsplit

import pytest
from fetch_site import FakeVerifier
from oci_images import END, MANIFEST, sha256

from _rocket.errors import RocketError
from _rocket.fetch.fetcher import Fetcher
from _rocket.record import replace
from _rocket.store.blobs import Blobs
from _rocket.store.store import Store

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "unit" / "image"))

from image_archives import directory, file

REPOSITORY = "/v2/shop/web"
REFERENCE = "docker://example.com/shop/web:1.4"
LOWER = directory(b"a/") + file(b"a/x", b"1") + file(b"a/y", b"2") + END
UPPER = file(b"a/.wh.x", b"") + file(b"b", b"3") + END


def document(data, media_type, digest=""):
    """A manifest or index as a registry sends it."""
    return lambda request: request.reply(data, Content_Type=media_type, Docker_Content_Digest=digest or sha256(data))


def push(site, image, tag="1.4", repository=REPOSITORY):
    """Have the site serve an image as a registry does."""
    media_type = image.manifest.get("mediaType", MANIFEST)
    for digest, data in image.blobs.items():
        parsed = json.loads(data) if data[:1] == b"{" else {}
        if "schemaVersion" in parsed:
            site.pages[f"{repository}/manifests/{digest}"] = document(data, parsed.get("mediaType", MANIFEST))
        else:
            site.pages[f"{repository}/blobs/{digest}"] = data
    site.pages[f"{repository}/manifests/{tag}"] = document(image.blobs[image.digest], media_type)
    return image


def configured(directory, user, password):
    """Return a directory of configuration with a credential for the registry."""
    value = {
        "rktKind": "dockerAuth",
        "rktVersion": "v1",
        "registries": ["example.com"],
        "credentials": {"user": user, "password": password},
    }
    path = directory / "etc" / "auth.d" / "registry.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    path.chmod(0o600)
    return str(directory / "etc")


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def guard(site, token, realm="https://example.com/token", challenge=None, pages=None):
    """Have every page of the registry want a token; serve tokens; return what the token server was asked."""
    asked = []

    def behind(answer):
        def page(request):
            if request.headers.get("Authorization") == f"Bearer {token}":
                answer(request) if callable(answer) else request.reply(answer)
            else:
                wanted = (
                    challenge or f'Bearer realm="{realm}",service="registry of example.com",scope="repository:shop/web:pull,push,delete"'
                )
                request.reply(b"{}", status=401, WWW_Authenticate=wanted)

        return page

    def serve(request):
        asked.append((urlsplit(request.path), request.headers.get("Authorization")))
        request.reply(json.dumps({"token": token, "expires_in": 300, "issued_at": "2026-01-01T00:00:00Z"}).encode())

    for path, answer in list(site.pages.items()):
        if "/v2/" in (path if isinstance(path, str) else "") and not isinstance(path, tuple):
            site.pages[path] = behind(answer)
    site.pages.update(dict.fromkeys(pages or tokens_of(realm), serve))
    return asked


def tokens_of(realm):
    scope = "scope=repository%3Ashop%2Fweb%3Apull"
    path = urlsplit(realm).path
    return [f"{path}?service=registry%20of%20example.com&{scope}", f"{path}?{scope}"]


class Registry:
    """Fetches of one host from the registry.

    Args:
        store: of the host.
        options: of every fetch.
        place: directory for its configuration.
    """

    def __init__(self, store, options, place) -> None:
        self._store = store
        self._options = options
        self._place = place
        self.verifier = FakeVerifier()

    def fetch(self, reference=REFERENCE, login=None, **changes):
        """Fetch a reference with the operator's user and password; named values are options."""
        layers = () if login is None else (configured(self._place, *login),)
        return Fetcher(self._store, self.verifier, replace(self._options, layers=layers, **changes)).fetch(reference)

    def refusal(self, reference=REFERENCE, **changes):
        """Fetch what is refused; return the error. Nothing is left, not even a layer that is not what its name says."""
        changes.setdefault("insecure", ("image",))
        with pytest.raises(RocketError) as caught:
            self.fetch(reference, **changes)
        blobs = Blobs(Store(self._store.paths))
        for digest in blobs.names():
            with open(blobs.path(digest), "rb") as stream:
                assert sha256(stream.read()) == digest
        assert str(caught.value).isprintable()
        return caught.value
