# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What servers and proxies do that are broken, slow or hostile: a name, what it does, and the class of error that a fetch ends in.

A behaviour is a page of fetch_site.py: a function of the request. It serves the image, or what `place` says.
"""

from __future__ import annotations

import gzip
import socket
import struct
import time
import zlib
from typing import TYPE_CHECKING, NamedTuple

from proxy_server import says

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 1 << 20
SLOW = {"deadline": 1.0}
DRIPPING = {"rate_window": 0.6, "minimum_rate": 2000, "deadline": 20.0}


class Fault(NamedTuple):
    """One misbehaviour.

    Attributes:
        behaviour: what is done with the request.
        code: the class of the error.
        place: what is served so: `image`, `signature` or `page`.
        changes: options of the fetch, where they differ from those of all.
        tries: requests for it, where two are allowed.
        says: a part of the message.
        insecure: without a signature, whose check would hide the class.
    """

    behaviour: Callable
    code: str
    place: str = "image"
    changes: dict = {}  # noqa: RUF012
    tries: int = 1
    says: str = ""
    insecure: bool = False


def answer(head: bytes, body: bytes = b""):
    """Answer with exactly this head and body, then close."""
    return lambda request: request.raw(b"HTTP/1.1 " + head + b"\r\n\r\n" + body)


def raw(data: bytes):
    """Answer with exactly these bytes, then close."""
    return lambda request: request.raw(data)


def endless(head: bytes, piece: bytes, pause: float = 0.0, first: bytes = b""):
    """Answer with this head, then a piece again and again until the client has had enough."""

    def go_on(request) -> None:
        try:
            request.raw(b"HTTP/1.1 " + head + first)
            while True:
                request.raw(piece)
                if pause:
                    time.sleep(pause)
        except OSError:
            return

    return go_on


def silent(head: bytes = b""):
    """Send this much, then nothing until the client hangs up."""

    def wait(request) -> None:
        request.raw(head)
        try:
            # Whatever comes, even the end, is the client's last word.
            request.connection.settimeout(30)
            request.connection.recv(1)
        except OSError:
            return

    return wait


def reset(head: bytes, body: bytes = b""):
    """Answer, then end the connection the hard way."""

    def end(request) -> None:
        request.raw(b"HTTP/1.1 " + head + b"\r\n\r\n" + body)
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return end


def redirect(place: str, status: int = 302):
    """Redirect there; `{port}` is that of the server."""

    def move(request) -> None:
        target = place.replace("{port}", str(request.server.site.port)).encode("latin-1")
        request.raw(b"HTTP/1.1 %d X\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, target))

    return move


def further(request) -> None:
    """Redirect to a place below this one, which does the same."""
    request.server.site.pages[f"{request.path}/x"] = further
    redirect(f"{request.path}/x")(request)


def bomb(count: int) -> bytes:
    """Return this many bytes of nothing, compressed by gzip to a thousandth."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 20)
    return b"".join([packer.compress(block) for _number in range(count >> 20)]) + packer.flush()


OK = b"200 OK\r\n"
BODIES = {
    "shorter than its length": Fault(answer(OK + b"Content-Length: 100", b"x" * 99), "body-truncated", tries=2),
    "nothing of its length": Fault(answer(OK + b"Content-Length: 100"), "body-truncated", tries=2),
    "cut in a chunk": Fault(answer(OK + b"Transfer-Encoding: chunked", b"64\r\nabc"), "body-truncated", tries=2),
    "cut between chunks": Fault(answer(OK + b"Transfer-Encoding: chunked", b"3\r\nabc\r\n"), "body-truncated", tries=2),
    "chunks that are none": Fault(answer(OK + b"Transfer-Encoding: chunked", b"zz\r\nabc\r\n"), "body-truncated", tries=2),
    "reset in its middle": Fault(reset(OK + b"Content-Length: 100", b"x" * 50), "body-truncated", tries=2),
    # One more than the tries: the connection had served before, and is replaced.
    "no answer": Fault(lambda request: None, "body-truncated", tries=3),
    "cut without a length": Fault(answer(b"200 OK", b"\x1f\x8b half"), "body-truncated", insecure=True),
    "cut without a length, signed": Fault(answer(b"200 OK", b"\x1f\x8b half"), "signature-bad"),
    "longer than its length": Fault(answer(OK + b"Content-Length: 6", b"\x1f\x8b half of it"), "signature-bad"),
    "announced too large": Fault(answer(OK + b"Content-Length: 99999999"), "body-too-large"),
    "too large, without a length": Fault(endless(b"200 OK\r\n\r\n", b"x" * 65536), "body-too-large"),
    "too large, in chunks": Fault(
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"), "body-too-large"
    ),
    "encoded": Fault(answer(OK + b"Content-Encoding: gzip\r\nContent-Length: 20", gzip.compress(b"")), "encoding-refused"),
    "encoded twice": Fault(answer(OK + b"Content-Encoding: gzip, br\r\nContent-Length: 1", b"x"), "encoding-refused"),
    "a bomb by encoding": Fault(
        answer(OK + b"Content-Encoding: gzip\r\nContent-Length: %d" % len(bomb(256 << 20)), bomb(256 << 20)), "encoding-refused"
    ),
    "a login page": Fault(answer(OK + b"Content-Type: text/html; charset=utf-8\r\nContent-Length: 1", b"<"), "not-an-image"),
    "a login page of XML": Fault(answer(OK + b"Content-Type: Application/XHTML+xml\r\nContent-Length: 1", b"<"), "not-an-image"),
    "a login page without a type": Fault(answer(OK + b"Content-Length: 6", b"<html>"), "not-an-image"),
    "something else": Fault(answer(OK + b"Content-Length: 6", b"PK\3\4xx"), "not-an-image"),
}
# What is no answer at all is asked for once more on a new connection, where the old one had served before: tries are 2.
HEADS = {
    "two lengths": Fault(answer(OK + b"Content-Length: 5\r\nContent-Length: 3", b"abcde"), "http-malformed", tries=2),
    "a negative length": Fault(answer(OK + b"Content-Length: -5", b"abcde"), "http-malformed"),
    "a length in words": Fault(answer(OK + b"Content-Length: five", b"abcde"), "http-malformed"),
    "a length with a sign": Fault(answer(OK + b"Content-Length: +5", b"abcde"), "http-malformed"),
    "a length beyond all bounds": Fault(answer(OK + b"Content-Length: " + b"9" * 40, b"abcde"), "http-malformed"),
    "a long header": Fault(answer(OK + b"X: " + b"x" * 70000), "http-malformed", tries=2),
    "a header of 64 MiB": Fault(endless(b"200 OK\r\nX: ", b"x" * 65536), "http-malformed", tries=2),
    "many headers": Fault(answer(b"200 OK" + b"\r\nX: x" * 200), "http-malformed", tries=2),
    "headers without an end": Fault(endless(b"200 OK\r\n", b"X: x\r\n" * 1000), "http-malformed", tries=2),
    "another protocol": Fault(raw(b"SSH-2.0-x\r\n"), "http-malformed", tries=2),
    "no status": Fault(raw(b"HTTP/1.1 OK\r\n\r\n"), "http-malformed", tries=2),
    "an endless status": Fault(endless(b"200 ", b"x" * 65536), "http-malformed", tries=2),
    "continue, for ever": Fault(endless(b"100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01), "deadline", changes=SLOW),
    "a part, unasked": Fault(answer(b"206 X\r\nContent-Range: bytes 0-0/5\r\nContent-Length: 1", b"x"), "range-mismatch"),
    "unchanged, unasked": Fault(answer(b"304 Not Modified"), "http-status"),
    "no content": Fault(answer(b"204 No Content"), "http-status"),
    "another protocol by agreement": Fault(answer(b"101 Switching\r\nUpgrade: x\r\nConnection: upgrade"), "http-status"),
}
STATUSES = {
    **{
        f"status {status}": Fault(answer(b"%d X\r\nContent-Length: 0" % status), "http-status", says=str(status))
        for status in (400, 401, 403, 451, 501)
    },
    **{
        f"storm of {status}": Fault(answer(b"%d X\r\nContent-Length: 0" % status), "http-status", tries=2)
        for status in (429, 500, 502, 503, 504)
    },
    "not there": Fault(answer(b"404 X\r\nContent-Length: 0"), "http-status", says="404"),
    "busy for a day": Fault(answer(b"503 X\r\nRetry-After: 86400\r\nContent-Length: 0"), "http-status"),
    "an error of endless length": Fault(endless(b"404 X\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 65536), "http-status"),
    "an error of endless length, byte by byte": Fault(
        endless(b"404 X\r\nContent-Length: 99999999999\r\n\r\n", b"x", 0.05), "http-status", changes=SLOW
    ),
    "an error that is cut": Fault(answer(b"404 X\r\nContent-Length: 100", b"x"), "http-status"),
}
REDIRECTS = {
    "without a place": Fault(answer(b"302 Found\r\nContent-Length: 0"), "http-status"),
    "in a circle": Fault(lambda request: redirect(request.path)(request), "redirect-refused", tries=11, says="10 redirects"),
    "ever further": Fault(further, "redirect-refused", says="10 redirects"),
    **{
        f"to {place}": Fault(redirect(place), "redirect-refused")
        for place in (
            "http://example.com/y",
            "file:///etc/passwd",
            "ftp://example.com/y",
            "javascript:x",
            "https://a:b@example.com/y",
            "https://example.com:99999/y",
            "https://[::1",
            "//a\\b/y",
            "https://127.0.0.1:{port}/y",
            "https://localhost:{port}/y",
        )
    },
    "of the page, to http": Fault(redirect("http://example.com/y"), "redirect-refused", place="page"),
    "of the signature, to a file": Fault(redirect("file:///etc/passwd"), "redirect-refused", place="signature"),
}
PAGES = {
    "a page of a GB": Fault(
        endless(OK + b"Content-Type: text/html\r\nContent-Length: 1073741824\r\n\r\n", b"<p>" * 20000), "body-too-large", "page"
    ),
    "a page without an end": Fault(endless(OK + b"Content-Type: text/html\r\n\r\n", b"<p>" * 20000), "body-too-large", "page"),
    "an encoded page": Fault(answer(OK + b"Content-Encoding: gzip\r\nContent-Length: 20", gzip.compress(b"")), "encoding-refused", "page"),
    "a page that is cut": Fault(answer(OK + b"Content-Length: 100", b"<html>"), "body-truncated", "page", tries=2),
    "a page in trouble": Fault(answer(b"503 X\r\nContent-Length: 0"), "http-status", "page", tries=2),
    "no page": Fault(answer(b"404 X\r\nContent-Length: 0"), "discovery-failed", "page"),
    "an empty page": Fault(answer(OK + b"Content-Length: 0"), "discovery-failed", "page"),
    "a signature without an end": Fault(endless(b"200 OK\r\n\r\n", b"x" * 65536), "body-too-large", "signature"),
    "no signature": Fault(answer(b"404 X\r\nContent-Length: 0"), "signature-missing", "signature"),
    "a signature that is a page": Fault(answer(OK + b"Content-Type: text/html\r\nContent-Length: 1", b"<"), "not-an-image", "signature"),
    "a signature that is cut": Fault(answer(OK + b"Content-Length: 100", b"x"), "body-truncated", "signature", tries=2),
}
SLOWNESS = {
    "headers byte by byte": Fault(endless(b"200 OK\r\nX: ", b"x", 0.05), "deadline", changes=SLOW),
    "headers byte by byte, by their rate": Fault(endless(b"200 OK\r\nX: ", b"x", 0.05), "too-slow", changes=DRIPPING),
    "a body of 1 kB/s": Fault(endless(OK + b"Content-Length: 900000\r\n\r\n", b"x" * 102, 0.1), "deadline", changes=SLOW),
    "a body of 1 kB/s, by its rate": Fault(endless(OK + b"Content-Length: 900000\r\n\r\n", b"x" * 102, 0.1), "too-slow", changes=DRIPPING),
    "a body of 1 kB/s without a length": Fault(endless(b"200 OK\r\n\r\n", b"x" * 102, 0.1), "too-slow", changes=DRIPPING),
    "a body that is slower than asked for": Fault(
        endless(OK + b"Content-Length: 900000\r\n\r\n", b"x" * 20_000, 0.05), "too-slow", changes={**DRIPPING, "minimum_rate": 10_000_000}
    ),
    "chunks of one byte": Fault(endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.05), "too-slow", changes=DRIPPING),
    "a chunk extension without an end": Fault(
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"x", 0.05, first=b"5;"), "deadline", changes=SLOW
    ),
    "silence": Fault(silent(), "too-slow", changes={"read_timeout": 0.3}),
    "silence until the end": Fault(silent(), "deadline", changes=SLOW),
    "silence behind the headers": Fault(silent(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), "too-slow", changes={"read_timeout": 0.3}),
    "silence in the body": Fault(silent(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"), "too-slow", changes={"read_timeout": 0.3}),
    "a slow page": Fault(endless(OK + b"Content-Length: 900\r\n\r\n", b"x", 0.05), "too-slow", "page", changes=DRIPPING),
    "a slow signature": Fault(endless(OK + b"Content-Length: 900\r\n\r\n", b"x", 0.05), "deadline", "signature", changes=SLOW),
    "a slow redirect": Fault(
        endless(b"302 Found\r\nLocation: /y\r\nContent-Length: 900\r\n\r\n", b"x", 0.05), "too-slow", changes=DRIPPING
    ),
}


def handshake_by_bytes(connection: socket.socket) -> None:
    """Begin a TLS record, byte by byte."""
    connection.sendall(b"\x16\x03\x03\x40\x00")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def wait_for_end(connection: socket.socket) -> None:
    """Read until the other side hangs up."""
    connection.settimeout(30)
    while connection.recv(65536):
        continue


# What is behind a port that should speak TLS: what is done with the connection, the class, and options of the fetch.
HANDSHAKES = {
    "silence": (wait_for_end, "deadline", SLOW),
    "silence, by the time for a connection": (wait_for_end, "too-slow", {"connect_timeout": 0.5}),
    "a handshake byte by byte": (handshake_by_bytes, "deadline", SLOW),
    "a handshake byte by byte, by its rate": (handshake_by_bytes, "too-slow", DRIPPING),
    "an end at once": (lambda connection: None, "body-truncated", {}),
    "another protocol": (lambda connection: connection.sendall(b"SSH-2.0-x\r\n") or wait_for_end(connection), "tls-failed", {}),
    "plain http": (lambda connection: connection.sendall(b"HTTP/1.1 400 X\r\n\r\n") or wait_for_end(connection), "tls-failed", {}),
    "an alert": (lambda connection: connection.sendall(b"\x15\x03\x03\x00\x02\x02\x28") or wait_for_end(connection), "tls-failed", {}),
}
GROUPS = {"bodies": BODIES, "heads": HEADS, "statuses": STATUSES, "redirects": REDIRECTS, "pages": PAGES, "slowness": SLOWNESS}


# What a proxy does with CONNECT, and the class; of what is no proxy's dialogue, the message names the proxy.
LIES = {
    "refuses": (says(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"), "proxy-failed"),
    "wants credentials": (says(b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n"), "proxy-failed"),
    "a web page": (says(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>log in</html>"), "proxy-failed"),
    "a web page without a head": (says(b"<html>log in</html>"), "proxy-failed"),
    "a page of unnamed kind": (says(b"HTTP/1.1 200 OK\r\n\r\n<html>log in</html>"), "tls-failed"),
    "another protocol": (says(b"SSH-2.0-x\r\n\r\n"), "proxy-failed"),
    "a status that is none": (says(b"HTTP/1.1 2xx OK\r\n\r\n"), "proxy-failed"),
    "a long status": (says(b"HTTP/1.1 2000 OK\r\n\r\n"), "proxy-failed"),
    "another version": (says(b"HTTP/9.9 200 OK\r\n\r\n"), "proxy-failed"),
    "a redirect": (says(b"HTTP/1.1 302 Found\r\nLocation: https://example.com/\r\n\r\n"), "proxy-failed"),
    "headers without an end": (says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000), "proxy-failed"),
    "closes": (lambda _connection, _head: None, "proxy-failed"),
    "closes in its head": (lambda connection, _head: connection.sendall(b"HTTP/1.1 200"), "proxy-failed"),
    "closes behind its head": (lambda connection, _head: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n"), "body-truncated"),
    "never answers": (lambda connection, _head: wait_for_end(connection), "too-slow"),
}
