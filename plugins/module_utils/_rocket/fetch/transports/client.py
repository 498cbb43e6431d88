# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The only place that knows `requests` and `urllib3`: a fresh session for each request, and their errors as ours.

The session takes nothing from the environment: no proxy, no netrc, no certificate authority. Connections are made
here, so that the peer of the connected socket can be judged before a byte is sent.
"""

from __future__ import annotations

import os
import socket
import ssl

from ...errors import FetchError, MissingPackage, printable
from ..addresses import is_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import requests

    from ..options import FetchOptions

_TLS_CAUSES = {
    10: "the certificate has expired",
    9: "the certificate is not valid yet",
    62: "the certificate is for another host",
    64: "the certificate is for another host",
}
_UNKNOWN_ISSUERS = (2, 18, 19, 20, 21)


def require_packages() -> None:
    """Import what a fetch over the network needs.

    Raises:
        MissingPackage: it is not installed.
    """
    try:
        import requests  # noqa: F401
        import urllib3  # noqa: F401
    except ImportError as error:
        raise MissingPackage("requests", "fetching over the network") from error


def tls_context(url: str) -> ssl.SSLContext:
    """Return a context that verifies chain and host name and trusts nobody yet; the session loads the authorities."""
    from urllib.parse import urlsplit

    import urllib3

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if getattr(urllib3, "__version__", "").startswith("1.") and is_address(urlsplit(url).hostname or ""):
        # urllib3 1 does not tell OpenSSL an IP address; without this it would refuse, with it it compares the address itself.
        context.check_hostname = False
    return context


def connect(host: str, port: int, options: FetchOptions, judge: Callable[[socket.socket, bool], None]) -> socket.socket:
    """Return a connected socket that `judge` has let pass.

    Raises:
        FetchError: ``network-unreachable``, or what `judge` raised.
    """
    mapped = next(((address, number) for name, address, number in options.connect_to if name.lower() == host.lower()), None)
    try:
        connection = socket.create_connection(mapped or (host, port), options.connect_timeout)
    except (OSError, UnicodeError) as error:
        raise FetchError(
            f"cannot connect: {error}",
            where=f"{printable(host)}:{port}",
            hint="check name, network and firewall",
            code="network-unreachable",
        ) from error
    try:
        judge(connection, mapped is not None)
    except BaseException:
        connection.close()
        raise
    return connection


def new_session(url: str, options: FetchOptions, judge: Callable[[socket.socket, bool], None]) -> requests.Session:
    """Return a session for one request of this URL; close it after.

    Raises:
        FetchError: ``tls-failed`` when the file of certificate authorities cannot be read.
        MissingPackage: requests is not installed.
    """
    require_packages()
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self.host.strip("[]"), self.port or 80, options, judge)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self.host.strip("[]"), self.port or 443, options, judge)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *values: Any, **named: Any) -> None:
            super().init_poolmanager(*values, **{**named, "ssl_context": tls_context(url)})
            self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}

    session = requests.Session()
    session.trust_env = False
    session.headers.clear()
    session.adapters.clear()
    session.mount(f"{url.partition(':')[0]}://", Adapter(max_retries=0))
    if options.ca_file:
        if not os.path.isfile(options.ca_file):
            raise FetchError("no such file of certificate authorities", where=options.ca_file, hint="check ca_file", code="tls-failed")
        session.verify = options.ca_file
    return session


def errors() -> tuple[type[Exception], ...]:
    """Return every exception that a request or the reading of its response may end with."""
    from http.client import HTTPException

    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    return (RequestException, HTTPError, HTTPException, OSError, ValueError)


def _causes(error: BaseException) -> list[BaseException]:
    """The exception and all that it wraps, in whatever way the libraries of some year wrapped it."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting and len(found) < 50:
        item = waiting.pop(0)
        if isinstance(item, BaseException) and not any(item is other for other in found):
            found.append(item)
            waiting += [getattr(item, "reason", None), item.__cause__, item.__context__, *item.args]
    return found


def translate(error: Exception, url: str, what: str) -> FetchError:
    """Return the FetchError for an exception of the libraries; the fact ``transient`` says whether another try may help."""
    from http.client import HTTPException, IncompleteRead, LineTooLong, RemoteDisconnected

    from urllib3.exceptions import InvalidHeader

    where = printable(url)
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, FetchError):
            return cause
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = _TLS_CAUSES.get(cause.verify_code, "")
            if not why:
                why = "the certificate is of an unknown issuer" if cause.verify_code in _UNKNOWN_ISSUERS else cause.verify_message
            return FetchError(
                f"TLS failed: {why}", where=where, hint="check the server's certificate, or give its CA", code="tls-failed", cause=why
            )
    for cause in causes:
        if isinstance(cause, (RemoteDisconnected, IncompleteRead, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)):
            return truncated(url, what)
    for cause in causes:
        if isinstance(cause, (LineTooLong, HTTPException, InvalidHeader)):
            return malformed(url, printable(str(cause)))
        if type(cause).__name__ == "CertificateError":
            why = _TLS_CAUSES[62]
            return FetchError(f"TLS failed: {why}", where=where, hint="check the name in the URL", code="tls-failed", cause=why)
        if isinstance(cause, ssl.SSLError):
            return FetchError(
                f"TLS failed: {printable(str(cause.reason))}", where=where, hint="the server needs TLS 1.2 or later", code="tls-failed"
            )
        if isinstance(cause, (socket.timeout, TimeoutError)):
            return FetchError(f"the server stopped sending the {what}", where=where, hint="try again later", code="too-slow")
    return FetchError(
        f"the connection failed: {printable(str(error))}", where=where, hint="check name, network and server", code="network-unreachable"
    )


def truncated(url: str, what: str) -> FetchError:
    """Return the error for content that ended too early."""
    return FetchError(
        f"the connection ended before the whole {what} came", where=printable(url), hint="try again", code="body-truncated", transient=True
    )


def malformed(url: str, why: str) -> FetchError:
    """Return the error for a response that breaks the rules of HTTP."""
    return FetchError(
        f"the server's answer is not proper HTTP: {why}", where=printable(url), hint="repair the server", code="http-malformed"
    )
