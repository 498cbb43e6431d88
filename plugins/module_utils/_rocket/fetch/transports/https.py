# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""https, and http where the operator allowed it by name: what a hostile or broken server can do ends in an error.

Redirects are followed by hand, bytes are counted, nothing is inflated, a watchdog keeps the time; retries are few and
only after failures that pass. Not handled here: proxies, credentials, resuming a download (a retry starts over).
"""

from __future__ import annotations

import time
from urllib.parse import urldefrag, urljoin

from ...errors import FetchError, printable
from ..addresses import Peers, check_url
from . import client
from .base import Response, Sink, Transport, too_large
from .watchdog import Watchdog

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    import requests

    from ..options import FetchOptions

REDIRECTS = (301, 302, 303, 307, 308)
_TRANSIENT = (429, 500, 502, 503, 504)
_MOST_REDIRECTS = 10
_BLOCK = 16 << 10
_LOGIN_PAGES = ("text/html", "application/xhtml+xml")


class HttpsTransport(Transport):
    """The requests of one fetch; `options.deadline` counts from here.

    Args:
        options: what the operator said.
        sleep: waits between tries; for tests.
    """

    def __init__(self, options: FetchOptions, sleep: Callable[[float], None] = time.sleep) -> None:
        self._options = options
        self._end = time.monotonic() + options.deadline
        self._peers = Peers(options.allow_private)
        self._sleep = sleep

    def get(
        self, url: str, sink: Sink, limit: int, what: str, etag: str = "", own: bool = False, headers: Mapping[str, str] | None = None
    ) -> Response:
        def answer(response: requests.Response, at: str, watch: Watchdog) -> Response:
            if etag and response.status_code == 304:
                return Response(url=at, status=304, size=0, etag=etag)
            _check_answer(response, at, what)
            return _receive(response, at, sink, limit, what, watch)

        attempt = 1
        while True:
            try:
                return self._follow("GET", url, what, etag, own, answer, headers)
            except FetchError as error:
                if not error.facts.get("transient") or attempt >= self._options.attempts:
                    raise
                self._pause(attempt, error)
            sink.restart()
            attempt += 1

    def unchanged(self, url: str, etag: str, own: bool = False) -> bool:
        def answer(response: requests.Response, at: str, watch: Watchdog) -> Response:
            if response.status_code != 304:
                _check_answer(response, at, "image")
            return Response(url=at, status=response.status_code, size=0, etag=_tag(response))

        found = self._follow("HEAD", url, "image", etag, own, answer)
        return found.status == 304 or (bool(etag) and found.etag == etag)

    def _pause(self, attempt: int, error: FetchError) -> None:
        """Wait before another try; at least as long as the server asked for.

        Raises:
            FetchError: `error`, when the deadline comes first.
        """
        import random

        wait = self._options.backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
        wait = max(wait, float(error.facts.get("retry_after", 0)))
        if time.monotonic() + wait >= self._end:
            raise error
        self._sleep(wait)

    def _follow(
        self,
        method: str,
        url: str,
        what: str,
        etag: str,
        own: bool,
        answer: Callable[[requests.Response, str, Watchdog], Response],
        further: Mapping[str, str] | None = None,
    ) -> Response:
        """Ask, and follow redirects (V6); what is sent to the first origin only is dropped when the origin changes."""
        options = self._options
        at = urldefrag(url)[0]
        origin = check_url(at, options.schemes)
        usual = {"User-Agent": "rocket", "Accept-Encoding": "identity", "Accept": "*/*"}
        headers = {**usual, **(further or {})}
        if etag:
            headers["If-None-Match"] = etag
        with Watchdog(self._end, options.minimum_rate, options.rate_window) as watch:
            for hop in range(_MOST_REDIRECTS + 1):
                target = self._ask(method, at, headers, what, own and hop == 0, watch, answer)
                if isinstance(target, Response):
                    return target
                at = _redirect(at, target, options.schemes)
                if check_url(at, options.schemes, "redirect-refused") != origin:
                    headers = usual
        raise FetchError(f"more than {_MOST_REDIRECTS} redirects", where=printable(url), hint="repair the server", code="redirect-refused")

    def _ask(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        what: str,
        own: bool,
        watch: Watchdog,
        answer: Callable[[requests.Response, str, Watchdog], Response],
    ) -> Response | str:
        """Return the answer, or where the server redirects to."""

        def judge(connection: socket.socket, mapped: bool) -> None:
            self._peers.check(str(connection.getpeername()[0]), url, own, mapped)
            watch.follow(connection)

        session = client.new_session(url, self._options, judge)
        failures = client.errors()
        timeouts = (self._options.connect_timeout, self._options.read_timeout)
        try:
            watch.check(url)
            with session.request(method, url, headers=headers, stream=True, allow_redirects=False, timeout=timeouts) as response:
                if response.status_code in REDIRECTS and "Location" in response.headers:
                    return str(response.headers["Location"])
                return answer(response, url, watch)
        except failures as error:
            watch.check(url)
            raise client.translate(error, url, what) from error
        except FetchError as error:
            if error.code not in ("deadline", "too-slow"):
                watch.check(url)
            raise
        finally:
            session.close()


def _redirect(at: str, location: str, schemes: tuple[str, ...]) -> str:
    """Return the absolute URL of a redirect.

    Raises:
        FetchError: ``redirect-refused``: from https to anything else, or a URL that would be refused anyway.
    """
    try:
        target = urldefrag(urljoin(at, location))[0]
    except ValueError as error:
        raise FetchError(f"redirect to what is no URL: {error}", where=printable(at), code="redirect-refused") from error
    allowed = ("https",) if at.startswith("https:") else schemes
    try:
        check_url(target, allowed, "redirect-refused")
    except FetchError as error:
        raise FetchError(
            f"redirect refused: {error.what}",
            where=f"{printable(at)} -> {printable(target)}",
            hint="repair the server",
            code="redirect-refused",
        ) from error
    return target


def _check_answer(response: requests.Response, url: str, what: str) -> None:
    """Let only a plain 200 with unencoded content of a fitting kind pass."""
    status = response.status_code
    where = printable(url)
    if status != 200:
        facts: dict[str, object] = {"status": status}
        if status == 401:
            facts["challenge"] = str(response.headers.get("WWW-Authenticate", ""))
        if status in _TRANSIENT:
            facts.update(transient=True, retry_after=_retry_after(response.headers.get("Retry-After", "")))
        hint = {401: "the server wants credentials", 403: "the server refuses this host or client", 404: "check name and version"}.get(
            status, "look into the server's log"
        )
        raise FetchError(f"the server answers {status} for the {what}", where=where, hint=hint, code="http-status", **facts)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise FetchError(
            f"the server encodes the {what} as {printable(encoding)}, unasked",
            where=where,
            hint="turn content encoding off for these files",
            code="encoding-refused",
        )
    kind = _media_type(response)
    if what != "discovery page" and kind in _LOGIN_PAGES:
        raise FetchError(
            f"the server sends a web page ({kind}) for the {what}",
            where=where,
            hint="is there a login or a proxy in the way?",
            code="not-an-image",
        )


def _receive(response: requests.Response, url: str, sink: Sink, limit: int, what: str, watch: Watchdog) -> Response:
    """Put the body into the sink; a length that was given has to be met exactly."""
    expected = _length(response, url)
    if expected is not None:
        if expected > limit:
            raise too_large(url, what, limit)
        sink.expect(expected)
    count = 0
    while True:
        block = response.raw.read(_BLOCK, decode_content=False)
        watch.check(url)
        if not block:
            break
        count += len(block)
        watch.count(len(block))
        if count > limit:
            raise too_large(url, what, limit)
        sink.write(block)
    if expected is not None and count != expected:
        raise client.truncated(url, what)
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return Response(
        url=url,
        status=200,
        size=count,
        etag=_tag(response),
        whole=expected is not None or chunked,
        media_type=_media_type(response),
    )


def _media_type(response: requests.Response) -> str:
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


def _length(response: requests.Response, url: str) -> int | None:
    if "Transfer-Encoding" in response.headers:
        return None
    text = response.headers.get("Content-Length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise client.malformed(url, f"Content-Length {printable(text)}")
    return int(text)


def _tag(response: requests.Response) -> str:
    """The entity tag, where it is one that can be stored and sent back."""
    tag = str(response.headers.get("ETag", ""))
    return tag if len(tag) <= 256 and all(" " < character <= "~" for character in tag) else ""


def _retry_after(text: str) -> float:
    """Seconds that the server asks to wait: a number, or a date."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0
