# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What a registry asks for with a 401, and the tokens that a token server gives for it.

A registry says itself where tokens are to be had, so it could send the operator's credentials anywhere: they go to the
registry's own host, or to a token server that the operator named for it, by https. The scope is ours and the smallest.
"""

from __future__ import annotations

from ...errors import FetchError, SpecError, printable
from ...spec.reading import Node, load
from ..addresses import check_url
from ..transports.base import MemorySink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..transports.base import Transport

_LONGEST = 16 << 10
_ANSWER_LIMIT = 1 << 20
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def challenges(text: str) -> list[tuple[str, dict[str, str]]]:
    """Return scheme, in lower case, and parameters of each challenge of a ``WWW-Authenticate`` header; what is malformed ends it."""
    found: list[tuple[str, dict[str, str]]] = []
    rest = text[:_LONGEST].strip(" \t,")
    while rest:
        name, rest = _token(rest)
        if not name:
            break
        if not rest.startswith("="):
            found.append((name.lower(), {}))
        elif found:
            value, rest = _value(rest[1:])
            found[-1][1].setdefault(name.lower(), value)
        else:
            break
        rest = rest.strip(" \t,")
    return found


def _token(text: str) -> tuple[str, str]:
    length = len(text) - len(text.lstrip("".join(_TOKEN)))
    return text[:length], text[length:]


def _value(text: str) -> tuple[str, str]:
    if not text.startswith('"'):
        return _token(text)
    value, at = "", 1
    while at < len(text) and text[at] != '"':
        at += text[at] == "\\"
        value += text[at : at + 1]
        at += 1
    return value, text[at + 1 :]


def token_url(realm: str, service: str, repository: str) -> str:
    """Return where a token to read one repository is asked for."""
    from urllib.parse import quote

    parts = [f"service={quote(service, safe='')}"] if service else []
    parts.append(f"scope={quote(f'repository:{repository}:pull', safe='')}")
    return f"{realm}{'&' if '?' in realm else '?'}{'&'.join(parts)}"


def check_realm(realm: str, registry: str, allowed: tuple[tuple[str, str], ...]) -> None:
    """Refuse a token server that is neither the registry itself nor named by the operator for it.

    Args:
        realm: its URL, by the registry.
        registry: ``host[:port]``.
        allowed: (registry, host[:port] of a token server) pairs.

    Raises:
        FetchError: ``realm-refused``.
    """
    shown = printable(realm)
    try:
        _scheme, host, port = check_url(realm, ("https",))
        if "#" in realm:
            raise FetchError("a URL without a fragment was expected")
    except FetchError as error:
        raise FetchError(
            f"the registry names a token server that is not asked: {error.what}",
            where=shown,
            hint="the registry is misconfigured or hostile",
            code="realm-refused",
        ) from error
    server = f"{host}:{port}"
    trusted = [registry, *(place for name, place in allowed if name == registry)]
    if server in [place if ":" in place else f"{place}:443" for place in trusted]:
        return
    place = host if port == 443 else server
    raise FetchError(
        f"the registry {printable(registry)} sends for a token to another host",
        where=shown,
        hint=f"if that is right, allow it: --token-server={printable(registry)}={printable(place)}",
        code="realm-refused",
    )


def get_token(transport: Transport, url: str, authorization: str) -> str:
    """Return a token.

    Args:
        transport: of the URL.
        url: of token_url().
        authorization: the header for the token server; empty for none.

    Raises:
        FetchError: there is none.
    """
    sink = MemorySink()
    headers = {"Accept": "application/json", **({"Authorization": authorization} if authorization else {})}
    try:
        transport.get(url, sink, _ANSWER_LIMIT, "token", own=True, headers=headers)
    except FetchError as error:
        if error.facts.get("status") == 401:
            error.hint = "the token server does not take the credentials" if authorization else "it wants credentials"
        raise
    try:
        answer = Node(load(sink.content, "token"), "token")
        node = answer.optional("token") or answer.required("access_token")
        token = node.text(empty=False)
    except SpecError as error:
        raise _no_token(url, error.what) from error
    if len(token) > _LONGEST or not all("!" <= character <= "~" for character in token):
        raise _no_token(url, "it is no token")
    return token


def _no_token(url: str, why: str) -> FetchError:
    return FetchError(
        f"the token server's answer holds no token ({why})", where=printable(url), hint="repair the token server", code="http-malformed"
    )
