# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A proxy of the operator's: CONNECT, and what it may answer. The origin's TLS goes through it untouched.

What is sent to the proxy is host and port, and its own credentials; what it answers is read byte by byte up to the empty
line, since what follows belongs to the origin.
"""

from __future__ import annotations

import socket
import ssl

from ...errors import FetchError, UsageError, printable
from ...record import Record
from ..addresses import check_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..credentials import Credentials

_MOST_BYTES = 16 << 10
_TRANSIENT = (502, 503, 504)


class Proxy(Record):
    """Where a proxy is.

    Attributes:
        host, port: of the proxy.
        secure: it is spoken to by TLS.
    """

    host: str
    port: int
    secure: bool = False

    def __str__(self) -> str:
        return f"proxy {printable(self.host)}:{self.port}"


def read_proxy(url: str, where: str = "proxy") -> Proxy:
    """Return the proxy of an ``http://host:port`` or ``https://host:port``.

    Raises:
        UsageError: anything else; user and password belong into a file of credentials.
    """
    from urllib.parse import urlsplit

    try:
        scheme, host, port = check_url(url, ("http", "https"))
        parts = urlsplit(url)
    except FetchError as error:
        hint = "write http://HOST:PORT; user and password go into a file of auth.d with rktKind proxyAuth"
        raise UsageError(f"not a proxy: {error.what}", where=where, hint=hint) from error
    if parts.port is None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UsageError(f"not a proxy: {printable(url)}", where=where, hint="write http://HOST:PORT, and nothing behind it")
    return Proxy(host, port, scheme == "https")


def address_in(host: str) -> str:
    """Return the IP address that a host is written as, in any spelling that a proxy may take for one; else an empty text."""
    import ipaddress

    bare = host.strip("[]").rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(bare.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(bare))
    except OSError:
        return ""


def secured(connection: socket.socket, proxy: Proxy, ca_file: str) -> ssl.SSLSocket:
    """Return the connection to a proxy with TLS on it.

    Raises:
        FetchError: ``tls-failed``.
    """
    from .client import load_authorities, tls_failure

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_authorities(context, ca_file)
    try:
        return context.wrap_socket(connection, server_hostname=proxy.host)
    except ssl.SSLError as error:
        raise tls_failure(error, str(proxy)) from error
    except socket.timeout as error:
        raise _failed(proxy, "does not answer by TLS", code="too-slow") from error
    except OSError as error:
        raise _failed(proxy, f"ends the connection: {error}", transient=True) from error


def open_tunnel(connection: socket.socket, proxy: Proxy, host: str, port: int, credentials: Credentials) -> None:
    """Have the proxy connect to the host.

    Raises:
        FetchError: ``proxy-failed``; transient where another try may help.
    """
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", "User-Agent: rocket"]
    credential = credentials.find("proxyAuth", proxy.host, proxy.port)
    if credential is not None:
        lines.append(f"Proxy-Authorization: {credential.header}")
    try:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
        head = _read_head(connection, proxy)
    except socket.timeout as error:
        raise _failed(proxy, f"does not answer for {printable(target)}", code="too-slow") from error
    except OSError as error:
        raise _failed(proxy, f"ends the connection: {printable(str(error))}", transient=True) from error
    _check_head(head, proxy, target, credentials)


def _read_head(connection: socket.socket, proxy: Proxy) -> list[str]:
    data = bytearray()
    while not data.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise _failed(proxy, "closes the connection", transient=True)
        data += byte
        if len(data) == 5 and data != b"HTTP/":
            raise _failed(proxy, "does not speak HTTP")
        if len(data) > _MOST_BYTES:
            raise _failed(proxy, "answers without an end")
    return data.decode("latin-1").split("\r\n")


def _check_head(head: list[str], proxy: Proxy, target: str, credentials: Credentials) -> None:
    version, _space, rest = head[0].partition(" ")
    code = rest[:3]
    if version not in ("HTTP/1.0", "HTTP/1.1") or not (code.isascii() and code.isdigit()) or rest[3:4] not in ("", " "):
        raise _failed(proxy, f"answers {printable(head[0])}")
    if code[0] == "2":
        kinds = [line for line in head[1:] if line.lower().replace(" ", "").startswith("content-type:text/html")]
        if kinds:
            raise _failed(proxy, "answers with a web page instead of a connection")
        return
    hint = credentials.advice("proxyAuth", proxy.host, proxy.port) if code == "407" else "ask who runs it, or use another one"
    why = f"answers {code} for {printable(target)}"
    # Not as the fact `status`: that is what a site says about a name, and a proxy says nothing about names.
    raise _failed(proxy, why, hint, transient=int(code) in _TRANSIENT, proxy_status=int(code))


def _failed(proxy: Proxy, why: str, hint: str = "is it a proxy?", code: str = "proxy-failed", **facts: object) -> FetchError:
    return FetchError(f"the proxy {why}", where=str(proxy), hint=hint, code=code, **facts)
