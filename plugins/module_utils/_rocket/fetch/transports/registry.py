# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Schemes and their transports, one life long: a fetch. Literal imports, so that Ansible bundles what it needs."""

from __future__ import annotations

from ...errors import FetchError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from ..configuration import Configuration
    from ..options import FetchOptions
    from .base import Transport


class Transports:
    """The transports of one fetch; the deadline counts from its making. They keep connections until the end of the ``with`` block."""

    def __init__(self, options: FetchOptions) -> None:
        self._options = options
        self._made: dict[str, Transport] = {}
        self._configured: Configuration | None = None

    def __enter__(self) -> Transports:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        for transport in self._made.values():
            transport.close()

    @property
    def configured(self) -> Configuration:
        """What is configured on this host for fetching.

        Raises:
            HostError, SpecError: it is not as it should be.
        """
        if self._configured is None:
            from ..configuration import load

            self._configured = load(self._options.layers)
        return self._configured

    @property
    def received(self) -> int:
        """Bytes of content that came over the network so far."""
        return sum(transport.received for transport in self._made.values())

    def schemes(self) -> tuple[str, ...]:
        """Return the schemes that may be used."""
        return (*self._options.schemes, "file")

    def of(self, url: str) -> Transport:
        """Return the transport of a URL's scheme.

        Raises:
            FetchError: there is none, or it is not allowed.
        """
        scheme = url.partition(":")[0].lower()
        if scheme not in self.schemes():
            hint = "plain http needs --insecure-options=http" if scheme == "http" else f"use one of {', '.join(self.schemes())}"
            raise FetchError(f"no transport for {printable(scheme)}", where=printable(url), hint=hint, code="url-refused")
        family = "file" if scheme == "file" else "https"
        if family not in self._made:
            self._made[family] = self._make(family)
        return self._made[family]

    def _make(self, family: str) -> Transport:
        if family == "file":
            from .file import FileTransport

            return FileTransport()
        from .https import HttpsTransport

        return HttpsTransport(self._options, configured=self.configured)
