# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Serve a directory over HTTPS on 127.0.0.1: all the registry that App Containers need.

Usage: python site_server.py DIRECTORY CERTIFICATE KEY PORT_FILE; ends with SIGTERM.
"""

from __future__ import annotations

import functools
import http.server
import os
import ssl
import sys


def main(directory: str, certificate: str, key: str, port_file: str) -> None:
    """Listen on a free port, write its number to `port_file`, serve until the process is ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        with open(f"{port_file}.new", "w", encoding="ascii") as file:
            file.write(str(server.server_address[1]))
        os.rename(f"{port_file}.new", port_file)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
