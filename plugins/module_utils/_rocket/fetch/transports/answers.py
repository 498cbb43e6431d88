# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What the head of a response says, read strictly: is it a plain answer, how long, which object, for how long it is good."""

from __future__ import annotations

import time

from ...errors import FetchError, printable
from . import client

TYPE_CHECKING = False
if TYPE_CHECKING:
    import requests

    from ...store.partial import Origin

REDIRECTS = (301, 302, 303, 307, 308)
PARTIAL = 206
UNCHANGED = 304
UNAUTHORIZED = 401
NO_SUCH_RANGE = 416
_TRANSIENT = (429, 500, 502, 503, 504)
_LOGIN_PAGES = ("text/html", "application/xhtml+xml")
_HINTS = {401: "the server wants credentials", 403: "the server refuses this host or client", 404: "check name and version"}
_LONGEST_TAG = 256
_LONGEST_AGE = 86400
_DIGITS = 18


def check_status(response: requests.Response, url: str, what: str) -> None:
    """Let only a plain 200 pass.

    Raises:
        FetchError: ``http-status``, transient where the status is one that passes; ``range-mismatch`` for a part.
    """
    status = response.status_code
    if status == 200:
        return
    if status == PARTIAL:
        raise FetchError(
            f"the server sends a part of the {what}, unasked", where=printable(url), hint="repair the server", code="range-mismatch"
        )
    facts: dict[str, object] = {"status": status}
    if status == UNAUTHORIZED:
        facts["challenge"] = str(response.headers.get("WWW-Authenticate", ""))
    if status in _TRANSIENT:
        facts.update(transient=True, retry_after=retry_after(response.headers.get("Retry-After", "")))
    hint = _HINTS.get(status, "look into the server's log")
    raise FetchError(f"the server answers {status} for the {what}", where=printable(url), hint=hint, code="http-status", **facts)


def check_content(response: requests.Response, url: str, what: str) -> None:
    """Let only unencoded content of a fitting kind pass.

    Raises:
        FetchError: ``encoding-refused``, ``not-an-image``.
    """
    where = printable(url)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise FetchError(
            f"the server encodes the {what} as {printable(encoding)}, unasked",
            where=where,
            hint="turn content encoding off for these files",
            code="encoding-refused",
        )
    kind = media_type(response)
    if what != "discovery page" and kind in _LOGIN_PAGES:
        raise FetchError(
            f"the server sends a web page ({kind}) for the {what}",
            where=where,
            hint="is there a login or a proxy in the way?",
            code="not-an-image",
        )


def media_type(response: requests.Response) -> str:
    """Return what the content is said to be, in lower case and without parameters; may be empty."""
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


def check_part(response: requests.Response, url: str, origin: Origin, start: int) -> None:
    """Let a 206 pass only if it is the rest of the very object that was asked for: start, end, total and entity tag.

    Raises:
        FetchError: ``range-mismatch``; the download has to start over.
    """
    if response.status_code == NO_SUCH_RANGE:
        raise part_refused(url, f"it has nothing behind byte {start}")
    wanted = f"bytes {start}-{origin.total - 1}/{origin.total}"
    given = response.headers.get("Content-Range", "")
    count = length(response, url)
    if given != wanted or tag(response) != origin.etag or count not in (None, origin.total - start):
        raise part_refused(url, f"asked was for {wanted}, it sends {printable(given) or 'an unnamed part'}")


def part_refused(url: str, why: str) -> FetchError:
    """Return the error for a server that does not go on where a download was cut."""
    return FetchError(
        f"the server does not go on with the same object: {why}",
        where=printable(url),
        hint="repeat when the server is repaired",
        code="range-mismatch",
        transient=True,
    )


def length(response: requests.Response, url: str) -> int | None:
    """Return the Content-Length where it counts, None where the body is chunked or ends with the connection.

    Raises:
        FetchError: ``http-malformed``.
    """
    if "Transfer-Encoding" in response.headers:
        return None
    text = response.headers.get("Content-Length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise client.malformed(url, f"Content-Length {printable(text)}")
    return int(text)


def chunked(response: requests.Response) -> bool:
    """Return whether the end of the body is marked by its chunks."""
    return "chunked" in response.headers.get("Transfer-Encoding", "").lower()


def tag(response: requests.Response) -> str:
    """Return the entity tag, where it is one that can be stored and sent back."""
    found = str(response.headers.get("ETag", ""))
    return found if len(found) <= _LONGEST_TAG and all(" " < character <= "~" for character in found) else ""


def strong_tag(response: requests.Response) -> str:
    """Return the entity tag if it is a strong one: only that says byte for byte the same."""
    found = tag(response)
    inner = found[1:-1]
    return found if len(found) > 2 and found[0] == found[-1] == '"' and '"' not in inner else ""


def can_resume(response: requests.Response) -> bool:
    """Return whether the server does not say that it cannot send parts."""
    return response.headers.get("Accept-Ranges", "bytes").strip().lower() == "bytes"


def max_age(response: requests.Response) -> int | None:
    """Return for how many seconds nobody has to ask again: by ``Cache-Control`` and ``Age``, at most a day; None if it is silent.

    0 where the server forbids it or contradicts itself. ``must-revalidate`` asks for nothing more: what is stale is never used
    here without asking.
    """
    text = response.headers.get("Cache-Control")
    if text is None:
        return None
    ages: list[int | None] = []
    for part in text.lower().split(","):
        name, _equals, value = part.strip().partition("=")
        if name in ("no-cache", "no-store"):
            return 0
        if name == "max-age":
            ages.append(_seconds(value))
    spent = _seconds(response.headers.get("Age", "0").strip())
    if len(ages) != 1 or ages[0] is None or spent is None:
        return 0
    return max(0, min(ages[0] - spent, _LONGEST_AGE))


def _seconds(text: str) -> int | None:
    return int(text[:_DIGITS]) if text.isascii() and text.isdigit() else None


def retry_after(text: str) -> float:
    """Return the seconds that the server asks to wait: a number, or a date."""
    seconds = _seconds(text)
    if seconds is not None:
        return float(seconds)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0
