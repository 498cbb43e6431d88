# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A proxy on loopback that knows CONNECT, and what proxies do that lie."""

from __future__ import annotations

import socket
import ssl
import threading


class Proxy:
    """A running proxy; every host is behind it at `port` of loopback.

    Args:
        port: where the origin listens.
        answer: what it does with a request, called with the connection and its head; by default it connects.
        certificate: speaks TLS with this one.
        bare: it reads no head: `answer` is called with the connection and an empty text.
        authorization: the value of Proxy-Authorization that it wants.

    Attributes:
        heads: the heads of all requests so far, as text.
        connections: how many were made to it.
        failures: handshakes that failed.
    """

    def __init__(self, port: int = 0, answer=None, certificate: str = "", authorization: str = "", bare: bool = False) -> None:
        self._origin = port
        self._answer = answer or self.connect
        self._authorization = authorization
        self._bare = bare
        self.heads: list[str] = []
        self.connections = 0
        self.failures = 0
        self._context = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self._stop = threading.Event()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            if self._bare:
                self._answer(connection, "")
                return
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = connection.recv(1)
                if not byte:
                    return
                head += byte
            self.heads.append(head.decode("latin-1"))
            if self._authorization and f"Proxy-Authorization: {self._authorization}\r\n" not in self.heads[-1]:
                connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            self._answer(connection, self.heads[-1])
        except ssl.SSLError:
            self.failures += 1
        except OSError:
            return
        finally:
            connection.close()

    def connect(self, connection: socket.socket, _head: str) -> None:
        """Do what a good proxy does."""
        with socket.create_connection(("127.0.0.1", self._origin)) as origin:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")
            other = threading.Thread(target=_pump, args=(origin, connection), daemon=True)
            other.start()
            _pump(connection, origin)
            other.join(10)

    def wait(self) -> None:
        """Do nothing until the proxy is closed."""
        self._stop.wait(60)

    def close(self) -> None:
        """End it, with all its connections."""
        self._stop.set()
        self._listener.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def says(*pieces: bytes):
    """Answer with exactly these bytes, then close."""

    def answer(connection: socket.socket, _head: str) -> None:
        for piece in pieces:
            connection.sendall(piece)
        # The other side hangs up: what it has not read yet must not be lost in a reset.
        connection.settimeout(5)
        while connection.recv(65536):
            continue

    return answer
