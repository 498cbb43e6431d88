# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""https, and http where the operator allowed it by name: what a hostile or broken server can do ends in an error.

Redirects are followed by hand, bytes are counted, nothing is inflated, a watchdog keeps the time; retries are few and
only after failures that pass, and go on where the last one ended if the server has the very same object.
"""

from __future__ import annotations

import time
from urllib.parse import urldefrag

from ...errors import FetchError, printable
from ...store.partial import Origin
from .. import configuration
from ..addresses import Peers, check_url
from ..credentials import Credentials
from . import answers, client
from .base import Response, Sink, Transport, too_large
from .dial import Dialer, Guard
from .hop import Hop, Request, host_of, redirected
from .watchdog import Watchdog

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    import requests

    from ..configuration import Configuration
    from ..options import FetchOptions
    from .dial import Peer

    Answer = Callable[["requests.Response", Hop], Response]

_MOST_REDIRECTS = 10
_BLOCK = 16 << 10
_DRAINED = 64 << 10
_PROGRESS = 1 << 20


class _Judge(Guard):
    """Whether the URL of this moment may be asked for over a connection."""

    def __init__(self, allow_private: bool) -> None:
        self._peers = Peers(allow_private)
        self._url, self._own = "", False
        self._watch: Watchdog | None = None

    def now(self, hop: Hop, own: bool) -> None:
        """Be told of the next request."""
        self._url, self._own, self._watch = hop.url, own, hop.watch
        self.reused = False

    def judge(self, peer: Peer) -> None:
        if peer.address:
            self._peers.check(peer.address, self._url, self._own, peer.mapped)

    def follow(self, connection: socket.socket) -> None:
        if self._watch is not None:
            self._watch.follow(connection)


class HttpsTransport(Transport):
    """The requests of one fetch; `options.deadline` counts from here.

    Args:
        options: what the operator said.
        sleep: waits between tries; for tests.
        configured: what is configured on the host; by default it is read from there.

    Attributes:
        received: bytes of content that came over the network.
    """

    def __init__(self, options: FetchOptions, sleep: Callable[[float], None] = time.sleep, configured: Configuration | None = None) -> None:
        self._options = options
        self._sleep = sleep
        self._end = time.monotonic() + options.deadline
        self._configured = configuration.load(options.layers) if configured is None else configured
        self._credentials = Credentials(options.layers)
        self._guard = _Judge(options.allow_private)
        self._dialer = Dialer(options, self._configured, self._credentials, self._guard, self._end)
        self._sessions: dict[str, requests.Session] = {}
        self.received = 0

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def get(
        self, url: str, sink: Sink, limit: int, what: str, etag: str = "", own: bool = False, headers: Mapping[str, str] | None = None
    ) -> Response:
        def answer(response: requests.Response, hop: Hop) -> Response:
            if etag and response.status_code == answers.UNCHANGED:
                return Response(url=hop.url, status=answers.UNCHANGED, size=0, etag=etag, max_age=answers.max_age(response))
            return self._receive(response, hop, sink, limit)

        attempt, parts = 1, True
        while True:
            sink.step_back()
            start = sink.done if parts and sink.origin is not None else 0
            before = sink.done
            try:
                return self._follow(Request("GET", url, what, own, etag, sink.origin if start else None, start, headers), answer)
            except FetchError as error:
                if error.code == "range-mismatch" and start:
                    parts = False
                else:
                    attempt = self._again(attempt, error, sink.done - before if sink.origin is not None else 0)

    def ask(self, url: str, etag: str, own: bool = False) -> Response:
        def answer(response: requests.Response, hop: Hop) -> Response:
            if response.status_code != answers.UNCHANGED:
                answers.check_status(response, hop.url, "image")
            found = answers.tag(response)
            same = response.status_code == answers.UNCHANGED or (bool(etag) and found == etag)
            return Response(url=hop.url, status=answers.UNCHANGED if same else 200, size=0, etag=found, max_age=answers.max_age(response))

        attempt = 1
        while True:
            try:
                return self._follow(Request("HEAD", url, "image", own, etag), answer)
            except FetchError as error:
                attempt = self._again(attempt, error)

    def _again(self, attempt: int, error: FetchError, gained: int = 0) -> int:
        """Wait before another try, at least as long as the server asked for, and return its number.

        A try that brought enough starts the count anew: what ends it all is the deadline.

        Raises:
            FetchError: `error`, when it does not pass, was seen often enough, or the deadline comes first.
        """
        import random

        if gained >= _PROGRESS:
            attempt = 0
        if not error.facts.get("transient") or attempt >= self._options.attempts:
            raise error
        wait = self._options.backoff * 2 ** max(attempt - 1, 0) * random.uniform(0.5, 1.5)
        wait = max(wait, float(error.facts.get("retry_after", 0)))
        if time.monotonic() + wait >= self._end:
            raise error
        self._sleep(wait)
        return attempt + 1

    def _follow(self, request: Request, answer: Answer) -> Response:
        """Ask, and follow redirects (V6); what is meant for one origin only is not sent to another."""
        schemes = self._options.schemes
        at = urldefrag(request.url)[0]
        first = host_of(check_url(at, schemes))
        stayed = True
        with Watchdog(self._end, self._options.minimum_rate, self._options.rate_window) as watch:
            for number in range(_MOST_REDIRECTS + 1):
                hop = Hop(request, at, host_of(check_url(at, schemes, "redirect-refused")), watch)
                stayed = stayed and hop.host == first
                self._guard.now(hop, request.own and number == 0)
                found = self._ask(hop, self._headers(hop, stayed), answer)
                if isinstance(found, Response):
                    return found
                at = redirected(at, found, schemes)
        raise FetchError(
            f"more than {_MOST_REDIRECTS} redirects", where=printable(request.url), hint="repair the server", code="redirect-refused"
        )

    def _headers(self, hop: Hop, stayed: bool) -> dict[str, str]:
        headers = {"User-Agent": "rocket", "Accept-Encoding": "identity", "Accept": "*/*"}
        if hop.request.etag and stayed:
            headers["If-None-Match"] = hop.request.etag
        if hop.origin is not None:
            headers.update({"Range": f"bytes={hop.request.start}-", "If-Range": hop.origin.etag})
        credential = self._credentials.for_url(hop.url)
        if credential is not None:
            headers["Authorization"] = credential.header
        if hop.request.headers and stayed:
            headers.update(hop.request.headers)
        return headers

    def _session(self, hop: Hop) -> requests.Session:
        if hop.host not in self._sessions:
            _scheme, host, port = check_url(hop.url, self._options.schemes)
            ca_file = self._options.ca_file or self._configured.ca_file(host, port)
            self._sessions[hop.host] = client.new_session(hop.url, ca_file, self._dialer, self._guard)
        return self._sessions[hop.host]

    def _ask(self, hop: Hop, headers: dict[str, str], answer: Answer) -> Response | str:
        """Return the answer, or where the server redirects to."""
        session = self._session(hop)
        failures = client.errors()
        timeouts = (self._options.connect_timeout, self._options.read_timeout)
        while True:
            answered = False
            try:
                hop.watch.check(hop.url)
                with session.request(
                    hop.request.method, hop.url, headers=headers, stream=True, allow_redirects=False, timeout=timeouts
                ) as response:
                    answered = True
                    return self._take(response, hop, answer)
            except failures as error:
                hop.watch.check(hop.url)
                failure = client.translate(error, hop.url, hop.request.what)
                if answered or not self._guard.reused or failure.code == "too-slow":
                    raise failure from error
                # The server had given the connection up: that says nothing about the request, which goes over a new one.
                session.close()
            except FetchError as error:
                if error.code != "deadline":
                    hop.watch.check(hop.url)
                if error.facts.get("status") == 401:
                    error.hint = self._credentials.advice_for(hop.url)
                raise

    def _take(self, response: requests.Response, hop: Hop, answer: Answer) -> Response | str:
        if response.status_code not in (200, answers.PARTIAL) or hop.request.method == "HEAD":
            client.drain(response, _DRAINED)
        if response.status_code in answers.REDIRECTS and "Location" in response.headers:
            return str(response.headers["Location"])
        return answer(response, hop)

    def _receive(self, response: requests.Response, hop: Hop, sink: Sink, limit: int) -> Response:
        """Put the body into the sink, behind what it has or from the start; a length that was given has to be met exactly."""
        what, start = hop.request.what, 0
        origin = hop.origin
        if origin is not None and response.status_code in (answers.PARTIAL, answers.NO_SUCH_RANGE):
            start = hop.request.start
            answers.check_part(response, hop.url, origin, start)
            total: int | None = origin.total
        else:
            answers.check_status(response, hop.url, what)
            total = answers.length(response, hop.url)
            sink.restart()
        answers.check_content(response, hop.url, what)
        if total is not None:
            if total > limit:
                raise too_large(hop.url, what, limit)
            sink.expect(total)
        etag = answers.strong_tag(response)
        if etag and total and not start and answers.can_resume(response):
            sink.remember(Origin(hop.request.url, hop.host, etag, total))
        self._copy(response, hop, sink, limit, total)
        whole = total is not None or answers.chunked(response)
        return Response(
            url=hop.url,
            status=200,
            size=sink.done,
            etag=answers.tag(response),
            whole=whole,
            max_age=answers.max_age(response),
            resumed=start,
            media_type=answers.media_type(response),
        )

    def _copy(self, response: requests.Response, hop: Hop, sink: Sink, limit: int, total: int | None) -> None:
        while True:
            block = response.raw.read(_BLOCK, decode_content=False)
            hop.watch.check(hop.url)
            if not block:
                break
            self.received += len(block)
            hop.watch.count(len(block))
            if sink.done + len(block) > limit:
                raise too_large(hop.url, hop.request.what, limit)
            sink.write(block)
        if total is not None and sink.done < total:
            raise client.truncated(hop.url, hop.request.what)
