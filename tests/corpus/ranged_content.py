# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A page of fetch_site.py that knows ranges, as RFC 9110 has them, and cuts connections where a test says."""

from __future__ import annotations

import hashlib


class Ranged:
    """Serves one content with a strong entity tag.

    Args:
        content: what.
        cuts: after how many bytes of the content the connection ends, one a request; then none is cut.
        tag: the entity tag; by default that of the content.

    Attributes:
        served: (first byte, bytes sent) of each answer with content.
        asked: the headers Range and If-Range of each request.
    """

    def __init__(self, content: bytes, cuts=(), tag: str | None = None) -> None:
        self.content = content
        self.cuts = list(cuts)
        self.tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"' if tag is None else tag
        self.served: list[tuple[int, int]] = []
        self.asked: list[tuple[str | None, str | None]] = []

    def __call__(self, request) -> None:
        wanted, condition = request.headers.get("Range"), request.headers.get("If-Range")
        if request.headers.get("If-None-Match") == self.tag:
            request.send_response(304)
            request.send_header("ETag", self.tag)
            request.end_headers()
            return
        if request.command != "HEAD":
            self.asked.append((wanted, condition))
        start = 0
        if wanted and condition == self.tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.answer(request, start)

    def answer(self, request, start: int) -> None:
        """Send all from `start` on, with the head that belongs to it."""
        total = len(self.content)
        if start >= total > 0:
            request.raw(b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */%d\r\nContent-Length: 0\r\n\r\n" % total)
            return
        head = b"HTTP/1.1 200 OK\r\n"
        if start:
            head = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-%d/%d\r\n" % (start, total - 1, total)
        self.send(request, head, self.content[start:], start)

    def send(self, request, head: bytes, body: bytes, start: int) -> None:
        """Send a head, completed, and as much of the body as is not cut."""
        head += b"ETag: %s\r\n" % self.tag.encode() if self.tag else b""
        request.wfile.write(head + b"Content-Length: %d\r\n\r\n" % len(body))
        if request.command == "HEAD":
            return
        if self.cuts:
            body = body[: max(self.cuts.pop(0) - start, 0)]
        self.served.append((start, len(body)))
        request.raw(body)
