# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A site that answers as a registry does: images pushed into it, tokens in front of it; and fetching from it."""

from __future__ import annotations

import base64
import json
from urllib.parse import urlsplit

import pytest
from oci_images import MANIFEST, sha256

from _rocket.errors import RocketError
from _rocket.fetch.layered import Layered
from _rocket.record import replace
from _rocket.spec.oci_reference import parse_oci_reference
from _rocket.store.blobs import Blobs
from _rocket.store.store import Store

REPOSITORY = "/v2/shop/web"
REFERENCE = "docker://example.com/shop/web:1.4"


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


def paths_asked(site):
    return [path.partition(REPOSITORY)[2] for path in site.asked() if path.startswith(REPOSITORY)]


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


def in_turn(site, path, *answers):
    """Have a page answer in another way each time."""
    waiting = list(answers)

    def answer(request):
        now = waiting.pop(0)
        now(request) if callable(now) else request.reply(now)

    site.pages[path] = answer


def fetching(store, options):
    """Return what fetches a reference; named values are options."""

    def run(reference=REFERENCE, credential=None, **changes):
        return Layered(store, replace(options, **changes), None, credential).fetch(parse_oci_reference(reference))

    return run


def refusing(fetch, nothing_published, paths):
    """Return what fetches and is refused; nothing is left, not even a layer that is not what its name says."""

    def run(reference=REFERENCE, **options):
        options.setdefault("insecure", ("image",))
        with pytest.raises(RocketError) as caught:
            fetch(reference, **options)
        nothing_published()
        blobs = Blobs(Store(paths))
        for digest in blobs.names():
            with open(blobs.path(digest), "rb") as stream:
                assert sha256(stream.read()) == digest
        assert str(caught.value).isprintable()
        return caught.value

    return run
