# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Meta discovery: where the images and keys of a name are (docs/spec-conformance.md V1, V2, V3, V4, V5).

Tags count in the head of a page only, where whoever may write text into a page's body has no say. Not handled here:
getting pages (`get` is passed in), trusting keys (trust/).
"""

from __future__ import annotations

from html.parser import HTMLParser

from ..errors import FetchError, printable
from ..record import Record
from ..spec.identifier import prefix_covers
from .addresses import check_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+")
# A request that comes at the wrong moment is no statement about the name.
_TRY_LATER = (408, 425, 429)
_MOST_TAGS = 1000


class Endpoint(Record):
    """One place of an image.

    Attributes:
        image: URL of the ``.aci``.
        signature: URL of the ``.aci.asc``.
        own: the operator named it, no page did.
    """

    image: str
    signature: str
    own: bool = False


class Discovery(Record):
    """What the page of a name says.

    Attributes:
        page: URL of the page.
        endpoints: in the page's order; each one is a mirror of the others.
        pubkeys: URLs of public keys for the name, in order; where keys are, not whom to trust.
    """

    page: str
    endpoints: tuple[Endpoint, ...]
    pubkeys: tuple[str, ...] = ()


class _Enough(Exception):
    """The head is over."""


class _Head(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            raise _Enough
        if tag != "meta":
            return
        values: dict[str, str] = {}
        for name, value in attrs:
            values.setdefault(name, value or "")
        name = values.get("name", "").strip().lower()
        if name in ("ac-discovery", "ac-discovery-pubkeys"):
            self.tags.append((name, values.get("content", "")))
            if len(self.tags) >= _MOST_TAGS:
                raise _Enough

    def handle_endtag(self, tag: str) -> None:
        if tag == "head":
            raise _Enough


def meta_tags(page: bytes) -> list[tuple[str, str]]:
    """Return (name, content) of the discovery tags in the head of an HTML page, in order; from broken HTML what can be read."""
    parser = _Head()
    try:
        # Never closed: that would look again and again at the rest of a page of unfinished tags, for hours on a megabyte.
        parser.feed(page.decode("utf-8", "replace"))
    except (_Enough, AssertionError, NotImplementedError, ValueError):
        # The parser gives up on some broken declarations, each version in its own way; what came before them counts.
        pass
    return parser.tags


def encode(value: str) -> str:
    """Return `value` percent-encoded for a template (V3)."""
    return "".join(c if c in _PLAIN else "".join(f"%{byte:02X}" for byte in c.encode("utf-8", "surrogateescape")) for c in value)


def expand(template: str, variables: dict[str, str]) -> str | None:
    """Return the template with each ``{variable}`` replaced, in one pass; None where one is not known."""
    parts = []
    rest = template
    while True:
        before, opening, rest = rest.partition("{")
        if "}" in before:
            return None
        parts.append(before)
        if not opening:
            return "".join(parts)
        name, closing, rest = rest.partition("}")
        if not closing or name not in variables:
            return None
        parts.append(variables[name])


def _usable(url: str, schemes: Iterable[str]) -> bool:
    """Whether a URL made of a template is one that may be asked for: no tricks with paths, users or fragments."""
    try:
        check_url(url, schemes)
    except FetchError:
        return False
    rest = url.partition("://")[2]
    path = rest.partition("?")[0]
    return not any(mark in rest for mark in "@#") and "//" not in path and ".." not in path.split("/")


def endpoint(template: str, name: str, labels: dict[str, str], schemes: Iterable[str], own: bool = False) -> Endpoint | None:
    """Return the place that a template gives for an image (V3); None where it has an unknown variable or is no usable URL."""
    variables = {**{label: encode(value) for label, value in labels.items()}, "name": name}
    if "{ext}" not in template:
        return None
    image = expand(template, {**variables, "ext": "aci"})
    signature = expand(template, {**variables, "ext": "aci.asc"})
    if image is None or signature is None or not (_usable(image, schemes) and _usable(signature, schemes)):
        return None
    return Endpoint(image, signature, own)


def read_page(page: bytes, url: str, name: str, labels: dict[str, str], schemes: Iterable[str]) -> Discovery:
    """Return what the page at `url` says of `name`; without endpoints where it says nothing that fits."""
    endpoints: dict[Endpoint, None] = {}
    pubkeys: dict[str, None] = {}
    for kind, content in meta_tags(page):
        words = content.split()
        if len(words) != 2 or not prefix_covers(words[0], name):
            continue
        if kind == "ac-discovery":
            found = endpoint(words[1], name, labels, schemes)
            if found is not None:
                endpoints[found] = None
        elif _usable(words[1], schemes):
            pubkeys[words[1]] = None
    return Discovery(url, tuple(endpoints), tuple(pubkeys))


def pages(name: str, scheme: str = "https") -> list[str]:
    """Return the URLs to ask for `name`, its own first, then its parents' up to the host (V1, V5)."""
    parts = name.split("/")
    return [f"{scheme}://{'/'.join(parts[:length])}{'/' if length == 1 else ''}?ac-discovery=1" for length in range(len(parts), 0, -1)]


def discover(
    name: str, labels: dict[str, str], get: Callable[[str], bytes], schemes: tuple[str, ...] = ("https",), keys_only: bool = False
) -> Discovery:
    """Find where the image of `name` is.

    Goes up on 4xx or where no tag fits, stops on everything else (V5). http, where allowed, is asked only for a host that
    nothing can connect to by https.

    Args:
        name: an AC identifier.
        labels: the variables of templates: those asked for, and version, os and arch.
        get: returns the content of a URL, or raises FetchError with a fact ``status`` for an HTTP status.
        schemes: of discovery and of what is discovered.
        keys_only: a page with keys for the name is enough.

    Raises:
        FetchError: ``discovery-failed`` with what each page answered; or what `get` raised.
    """
    outcomes: list[str] = []
    for number, scheme in enumerate(schemes):
        try:
            found = _walk(name, labels, get, schemes, scheme, keys_only, outcomes)
        except FetchError as error:
            if error.code != "network-unreachable" or number == len(schemes) - 1:
                raise
            outcomes.append(str(error))
            continue
        if found is not None:
            return found
        break
    raise FetchError(
        f"no place of {name} was discovered ({'; '.join(outcomes)})",
        where=name,
        hint="check the name, and the ac-discovery tags of its site",
        code="discovery-failed",
    )


def _walk(
    name: str,
    labels: dict[str, str],
    get: Callable[[str], bytes],
    schemes: tuple[str, ...],
    scheme: str,
    keys_only: bool,
    outcomes: list[str],
) -> Discovery | None:
    for url in pages(name, scheme):
        try:
            page = get(url)
        except FetchError as error:
            status = error.facts.get("status", 0)
            if 400 <= status < 500 and status not in _TRY_LATER:
                outcomes.append(f"{printable(url)}: {status}" + (f", {error.hint}" if status == 401 else ""))
                continue
            raise
        found = read_page(page, url, name, labels, schemes)
        if found.endpoints or (keys_only and found.pubkeys):
            return found
        outcomes.append(f"{printable(url)}: no tag that fits")
    return None
