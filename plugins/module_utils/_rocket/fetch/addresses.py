# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Which URLs and peers a fetch may touch.

The rule for peers: what the operator named may be anywhere. A URL that somebody else named, in a redirect or on a
discovery page, has to lead to a public address, or to one of a kind (private, loopback) that the operator's own name or
URL led to in the same fetch, or `allow_private` is set. A link-local address, where clouds keep credentials, is only
ever reached by the operator's own URL. What counts is the peer of the connected socket, not another look-up.
"""

from __future__ import annotations

from ..errors import FetchError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PUBLIC, PRIVATE, LOOPBACK, LINK_LOCAL, OTHER = "public", "private", "loopback", "link-local", "reserved"


def check_url(url: str, schemes: Iterable[str], code: str = "url-refused") -> tuple[str, str, int]:
    """Return scheme, host in lower case, and port of a URL that may be asked for.

    Raises:
        FetchError: `code`: another scheme, user information, no host, control characters or spaces.
    """
    from urllib.parse import urlsplit

    shown = printable(url)
    if any(not "!" <= character <= "~" for character in url) or "\\" in url:
        raise FetchError("a URL has no spaces, backslashes, control or non-ASCII characters", where=shown, code=code)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise FetchError(f"not a URL: {error}", where=shown, code=code) from error
    if parts.scheme not in schemes:
        hint = "plain http needs --insecure-options=http" if parts.scheme == "http" else f"use {' or '.join(schemes)}"
        raise FetchError(f"the scheme {printable(parts.scheme)!r} is not allowed here", where=shown, hint=hint, code=code)
    if not host:
        raise FetchError("a URL needs a host", where=shown, code=code)
    if "@" in parts.netloc:
        raise FetchError("a URL must not carry a user name or password", where=shown.replace(parts.netloc, host), code=code)
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80)


def is_address(host: str) -> bool:
    """Return whether a host is given as an IP address."""
    import ipaddress

    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def kind_of(address: str) -> str:
    """Return what kind of network an IP address belongs to; an IPv4 address inside an IPv6 one counts as itself."""
    import ipaddress

    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return OTHER
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return kind_of(str(inner))
    if ip.is_loopback:
        return LOOPBACK
    if ip.is_link_local:
        return LINK_LOCAL
    if ip.is_multicast or ip.is_unspecified or ip.is_reserved:
        return OTHER
    if ip.is_global:
        return PUBLIC
    return PRIVATE


class Peers:
    """The rule for peers, over one fetch."""

    def __init__(self, allow_private: bool = False) -> None:
        self._allowed = {PUBLIC, PRIVATE, LOOPBACK} if allow_private else {PUBLIC}

    def check(self, address: str, url: str, own: bool, mapped: bool) -> None:
        """Check the peer of a connection before a byte is sent.

        Args:
            address: IP address of the connected socket's other end.
            url: what is asked for there.
            own: the operator named this URL, or the name it was made of.
            mapped: the operator gave this address for the host (`connect_to`); says nothing about other hosts.

        Raises:
            FetchError: ``redirect-refused``.
        """
        if mapped:
            return
        kind = kind_of(address)
        if own:
            if kind in (PRIVATE, LOOPBACK):
                self._allowed.add(kind)
            return
        if kind not in self._allowed:
            raise FetchError(
                f"a redirect or discovery page leads to the {kind} address {printable(address)}",
                where=printable(url),
                hint="name the URL yourself, or allow private addresses if this network is yours",
                code="redirect-refused",
            )
