# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The only place that knows `requests` and `urllib3`: a session an origin, and their errors as ours.

A session takes nothing from the environment: no proxy, no netrc, no certificate authority; and it keeps no cookies.
Connections are made by dial.py and judged anew for each request that goes over them. Nothing is shared between origins.
"""

from __future__ import annotations

import os
import socket
import ssl

from ...errors import FetchError, MissingPackage, printable
from ..addresses import is_address
from .dial import Peer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import requests

    from .dial import Dialer, Guard

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
    from urllib3.util.ssltransport import SSLTransport

    class Context(ssl.SSLContext):
        def wrap_socket(self, sock: Any, *values: Any, **named: Any) -> Any:
            # TLS to the origin inside TLS to a proxy: the outer one is no descriptor that OpenSSL could read by itself.
            if isinstance(sock, ssl.SSLSocket):
                return SSLTransport(sock, self, named.get("server_hostname"))
            return super().wrap_socket(sock, *values, **named)

    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if getattr(urllib3, "__version__", "").startswith("1.") and is_address(urlsplit(url).hostname or ""):
        # urllib3 1 does not tell OpenSSL an IP address; without this it would refuse, with it it compares the address itself.
        context.check_hostname = False
    return context


def load_authorities(context: ssl.SSLContext, ca_file: str) -> None:
    """Have a context trust the authorities of a file, or where there is none those that the sessions trust.

    Raises:
        FetchError: ``tls-failed``: the file cannot be read.
        MissingPackage: requests is not installed.
    """
    require_packages()
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    try:
        context.load_verify_locations(_existing(ca_file) if ca_file else DEFAULT_CA_BUNDLE_PATH)
    except (OSError, ssl.SSLError) as error:
        raise FetchError("not a file of certificate authorities", where=ca_file, hint="check ca_file", code="tls-failed") from error


def _existing(ca_file: str) -> str:
    if not os.path.isfile(ca_file):
        raise FetchError("no such file of certificate authorities", where=ca_file, hint="check ca_file", code="tls-failed")
    return ca_file


def _connections(dialer: Dialer, guard: Guard) -> tuple[type[Any], type[Any]]:
    """Return the pools of http and https connections that are made by `dialer` and judged before each use."""
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Judged:
        host: str
        port: Any
        sock: Any
        default_port: Any
        _peer = Peer("")
        used = False

        def _new_conn(self) -> socket.socket:
            connection, self._peer = dialer.open(self.host.strip("[]"), self.port or self.default_port)
            self.used = False
            return connection

        def putrequest(self, *values: Any, **named: Any) -> Any:
            if self.sock is None:
                self.used = False
            elif self.used:
                # The connection was judged for another URL, which somebody else may have named.
                guard.judge(self._peer)
                with socket.socket(fileno=os.dup(self.sock.fileno())) as copy:
                    guard.follow(copy)
            guard.reused, self.used = self.used, True
            return super().putrequest(*values, **named)  # type: ignore[misc]

    class Plain(Judged, HTTPConnection):
        pass

    class Secure(Judged, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls: Any = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls: Any = Secure

    return PlainPool, SecurePool


def new_session(url: str, ca_file: str, dialer: Dialer, guard: Guard) -> requests.Session:
    """Return a session for the origin of this URL.

    Raises:
        FetchError: ``tls-failed`` when the file of certificate authorities cannot be read.
        MissingPackage: requests is not installed.
    """
    require_packages()
    from http.cookiejar import DefaultCookiePolicy

    import requests
    from requests.adapters import HTTPAdapter

    plain, secure = _connections(dialer, guard)

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *values: Any, **named: Any) -> None:
            super().init_poolmanager(*values, **{**named, "ssl_context": tls_context(url)})
            self.poolmanager.pool_classes_by_scheme = {"http": plain, "https": secure}

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> None:
            """Nowhere: requests would read the whole of an answer that redirects, and inflate it."""

    session = Session()
    session.trust_env = False
    session.headers.clear()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.adapters.clear()
    session.mount(f"{url.partition(':')[0]}://", Adapter(pool_connections=1, pool_maxsize=1, max_retries=0))
    if ca_file:
        session.verify = _existing(ca_file)
    return session


def drain(response: requests.Response, most: int) -> None:
    """Read what is left of a short body that nobody wants, so that the connection can serve again."""
    text = response.headers.get("Content-Length", "")
    if response.request.method == "HEAD" or response.status_code == 304 or (text.isdigit() and int(text[:18]) <= most):
        try:
            response.raw.read(most + 1, decode_content=False)
        except errors():
            # The answer is known; all that is lost is the connection.
            pass


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
            return tls_failure(cause, where)
    for cause in causes:
        if isinstance(
            cause, (RemoteDisconnected, IncompleteRead, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
        ):
            return truncated(url, what)
    for cause in causes:
        if isinstance(cause, (LineTooLong, HTTPException, InvalidHeader)):
            return malformed(url, printable(str(cause)))
        if type(cause).__name__ == "CertificateError":
            why = _TLS_CAUSES[62]
            return FetchError(f"TLS failed: {why}", where=where, hint="check the name in the URL", code="tls-failed", cause=why)
        if isinstance(cause, ssl.SSLError):
            return tls_failure(cause, where)
        if isinstance(cause, (socket.timeout, TimeoutError)):
            return FetchError(f"the server stopped sending the {what}", where=where, hint="try again later", code="too-slow")
    return FetchError(
        f"the connection failed: {printable(str(error))}", where=where, hint="check name, network and server", code="network-unreachable"
    )


def tls_failure(error: ssl.SSLError, where: str) -> FetchError:
    """Return the error for a handshake that failed; the fact ``cause`` says why a certificate does not do."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        why = printable(error.reason or str(error))
        return FetchError(f"TLS failed: {why}", where=where, hint="the server needs TLS 1.2 or later", code="tls-failed")
    why = _TLS_CAUSES.get(error.verify_code, "")
    if not why:
        why = "the certificate is of an unknown issuer" if error.verify_code in _UNKNOWN_ISSUERS else error.verify_message
    return FetchError(
        f"TLS failed: {why}", where=where, hint="check the server's certificate, or give its CA", code="tls-failed", cause=why
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
