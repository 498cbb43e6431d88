# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Headers that a caller adds to a request, and what it is told of the answer."""

from __future__ import annotations

import pytest

from _rocket.errors import FetchError
from _rocket.fetch.transports.base import MemorySink
from _rocket.fetch.transports.https import HttpsTransport

SECRET = {"Authorization": "Bearer secret", "Accept": "text/x-mine"}


def get(options, url="https://example.com/x", **named):
    sink = MemorySink()
    return HttpsTransport(options).get(url, sink, 1000, "manifest", own=True, **named), sink.content


def redirecting(place):
    return lambda request: request.raw(f"HTTP/1.1 307 x\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode())


def sent(site, name):
    return [(host, path, headers.get(name)) for _method, host, path, headers in site.requests]


def test_they_are_sent_over_the_usual_ones_and_to_the_same_origin_after_a_redirect(site, options):
    site.pages.update({"/x": redirecting("/y"), "/y": b"content"})
    assert get(options, headers=SECRET)[1] == b"content"
    assert sent(site, "Authorization") == [("example.com", "/x", "Bearer secret"), ("example.com", "/y", "Bearer secret")]
    assert sent(site, "Accept") == [("example.com", "/x", "text/x-mine"), ("example.com", "/y", "text/x-mine")]
    assert sent(site, "Accept-Encoding")[0][2] == "identity"


def test_another_origin_does_not_get_them_and_coming_back_does_not_bring_them_back(site, options):
    site.pages.update({"/x": redirecting("https://cdn.example.net/y"), "/y": redirecting("https://example.com/z"), "/z": b"content"})
    assert get(options, headers=SECRET)[1] == b"content"
    assert [header for _host, _path, header in sent(site, "Authorization")] == ["Bearer secret", None, None]
    assert [header for _host, _path, header in sent(site, "Accept")] == ["text/x-mine", "*/*", "*/*"]


def test_a_further_try_has_them_too(site, options):
    answers = [503, 200]
    site.pages["/x"] = lambda request: request.reply(b"content", status=answers.pop(0))
    assert get(options, headers=SECRET)[1] == b"content"
    assert [header for _host, _path, header in sent(site, "Authorization")] == ["Bearer secret"] * 2


@pytest.mark.parametrize(
    ("given", "told"),
    [("Application/JSON; charset=utf-8", "application/json"), ("application/vnd.x+json", "application/vnd.x+json"), ("", "")],
)
def test_the_media_type_is_told(site, options, given, told):
    site.pages["/x"] = lambda request: request.reply(b"content", Content_Type=given)
    assert get(options)[0].media_type == told


def test_a_401_tells_what_is_asked_for(site, options):
    site.pages["/x"] = lambda request: request.reply(b"", status=401, WWW_Authenticate='Bearer realm="https://example.com/token"')
    with pytest.raises(FetchError) as caught:
        get(options)
    assert caught.value.facts == {"status": 401, "challenge": 'Bearer realm="https://example.com/token"'}
