# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Connections to hosts: directly, to where the operator mapped a host, or through the operator's proxy.

Nothing here waits longer than the options say: names are resolved in a thread, because a resolver keeps its own time.
"""

from __future__ import annotations

import queue
import socket
import threading
import time

from ...errors import FetchError, printable
from ...record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Union

    from ..configuration import Configuration
    from ..credentials import Credentials
    from ..options import FetchOptions

    Found = Union[list[tuple[Any, ...]], Exception]

_SHORTEST = 0.001


class Peer(Record):
    """Where a connection leads.

    Attributes:
        address: IP address of its other end; of a host behind a proxy the one in its name, or empty: the proxy resolves names.
        mapped: the operator gave this address for the host.
    """

    address: str
    mapped: bool = False


class Guard:
    """What the request that is made now thinks of connections; one transport's.

    Attributes:
        reused: the request goes over a connection that had one before.
    """

    reused = False

    def judge(self, peer: Peer) -> None:
        """Raise FetchError unless what is asked for now may be asked there."""
        raise NotImplementedError

    def follow(self, connection: socket.socket) -> None:
        """Keep the time of a connection."""
        raise NotImplementedError


class Dialer:
    """Connects for one fetch.

    Args:
        options: what the operator said.
        configured: what is configured on the host.
        credentials: for proxies.
        guard: judges each connection before a byte is sent to the host.
        end: time.monotonic() at which everything has to be over.
    """

    def __init__(self, options: FetchOptions, configured: Configuration, credentials: Credentials, guard: Guard, end: float) -> None:
        self._options = options
        self._configured = configured
        self._credentials = credentials
        self._guard = guard
        self._end = end

    def open(self, host: str, port: int) -> tuple[socket.socket, Peer]:
        """Return a connection that leads to the host, judged, and where it leads.

        Raises:
            FetchError: ``network-unreachable``, ``proxy-failed``, ``tls-failed`` (of a proxy), or what the guard raised.
        """
        place = next(((address, number) for name, address, number in self._options.connect_to if name.lower() == host.lower()), None)
        proxy = "" if place else self._options.proxy or self._configured.proxy
        if proxy and proxy != "none" and not self._configured.is_direct(host):
            return self._through(proxy, host, port)
        connection = self._connect(*(place or (host, port)))
        peer = Peer(str(connection.getpeername()[0]), place is not None)
        try:
            self._guard.judge(peer)
            self._guard.follow(connection)
        except BaseException:
            connection.close()
            raise
        return connection, peer

    def _through(self, proxy: str, host: str, port: int) -> tuple[socket.socket, Peer]:
        from . import tunnel

        peer = Peer(tunnel.address_in(host))
        self._guard.judge(peer)
        place = tunnel.read_proxy(proxy)
        try:
            connection = self._connect(place.host, place.port)
        except FetchError as error:
            error.what = f"the proxy cannot be reached: {error.what}"
            raise
        try:
            self._guard.follow(connection)
            connection.settimeout(self._within(self._options.read_timeout))
            if place.secure:
                ca_file = self._options.ca_file or self._configured.ca_file(place.host, place.port)
                connection = tunnel.secured(connection, place, ca_file)
            tunnel.open_tunnel(connection, place, host, port, self._credentials)
            connection.settimeout(self._within(self._options.connect_timeout))
        except BaseException:
            connection.close()
            raise
        return connection, peer

    def _connect(self, host: str, port: int) -> socket.socket:
        failure: Exception = TimeoutError("timed out")
        for family, kind, protocol, _name, address in self._resolve(host, port):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(self._within(self._options.connect_timeout))
                connection.connect(address)
                return connection
            except OSError as error:
                connection.close()
                failure = error
            if time.monotonic() >= self._end:
                break
        raise _unreachable(host, port, f"cannot connect: {failure}") from failure

    def _resolve(self, host: str, port: int) -> list[tuple[Any, ...]]:
        """Return what the system's resolver says, within the time of a connection.

        A resolver that hangs keeps its thread, which ends with the process.
        """
        answer: queue.SimpleQueue[Found] = queue.SimpleQueue()
        seconds = self._within(self._options.connect_timeout)
        threading.Thread(target=_look_up, args=(host, port, answer.put), name="rocket-resolver", daemon=True).start()
        try:
            found = answer.get(timeout=seconds)
        except queue.Empty:
            raise _unreachable(host, port, f"the name was not resolved within {seconds:.1f} seconds") from None
        if isinstance(found, Exception):
            raise _unreachable(host, port, f"cannot resolve the name: {found}") from found
        return found

    def _within(self, seconds: float) -> float:
        return max(_SHORTEST, min(seconds, self._end - time.monotonic()))


def _look_up(host: str, port: int, tell: Callable[[Found], None]) -> None:
    try:
        tell(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        tell(error)


def _unreachable(host: str, port: int, why: str) -> FetchError:
    return FetchError(why, where=f"{printable(host)}:{port}", hint="check name, network and firewall", code="network-unreachable")
