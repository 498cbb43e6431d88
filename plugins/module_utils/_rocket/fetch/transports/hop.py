# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A request and its way over redirects: what is for whom."""

from __future__ import annotations

from urllib.parse import urldefrag, urljoin

from ...errors import FetchError, printable
from ...record import Record
from ..addresses import check_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...store.partial import Origin
    from .watchdog import Watchdog


class Request(Record):
    """What is asked for, the same over all redirects.

    Attributes:
        method: GET or HEAD.
        url: where first.
        what: for messages.
        own: the operator named the URL.
        etag: entity tag that the caller has; only the first origin gets to see it.
        origin: the object that the caller has the beginning of; only who gave its entity tag gets to see that.
        start: how many bytes of it.
        headers: further ones of the caller; only the first origin gets to see them.
    """

    method: str
    url: str
    what: str
    own: bool = False
    etag: str = ""
    origin: Origin | None = None
    start: int = 0
    headers: Mapping[str, str] | None = None


class Hop(Record):
    """One request on the way.

    Attributes:
        request: what it is for.
        url: what is asked for here.
        host: its origin: scheme, host and port.
        watch: keeps the time.
    """

    request: Request
    url: str
    host: str
    watch: Watchdog

    @property
    def origin(self) -> Origin | None:
        """The object of which only the rest is asked for here."""
        origin = self.request.origin
        return origin if origin is not None and origin.host == self.host else None


def host_of(place: tuple[str, str, int]) -> str:
    """Return an origin, scheme, host and port, as one text."""
    scheme, host, port = place
    return f"{scheme}://{host}:{port}"


def redirected(at: str, location: str, schemes: tuple[str, ...]) -> str:
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
