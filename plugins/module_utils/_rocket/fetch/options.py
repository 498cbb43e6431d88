# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What an operator can say about fetching; every default is the strict one."""

from __future__ import annotations

from ..errors import FetchError, UsageError, printable
from ..platform import host, labels_of
from ..record import Record
from ..spec.identifier import check_ac_identifier, check_image_id, nearest
from ..spec.values import check_platform
from .addresses import check_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..spec.lock import Lock

    Progress = Callable[[int, int], None]

POLICIES = ("new", "update", "never")


def parse_connection(text: str) -> tuple[str, str, int]:
    """Return host, address and port of ``host=address:port``; an IPv6 address stands in brackets.

    Raises:
        UsageError: it is not of that form.
    """
    host, _ignored, place = text.partition("=")
    address, _ignored, port = place.rpartition(":")
    if host and address and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536:
        return host, address[1:-1] if address.startswith("[") and address.endswith("]") else address, int(port)
    raise UsageError("expects HOST=ADDRESS:PORT", where=printable(text), hint="write example.com=192.0.2.10:8443")


def parse_token_server(text: str) -> tuple[str, str]:
    """Return registry and token server of ``registry=host[:port]``.

    Raises:
        UsageError: it is not of that form.
    """
    registry, _equals, server = text.lower().partition("=")
    try:
        for place in (registry, server):
            check_url(f"https://{place}/", ("https",))
            if not place or any(mark in place for mark in "/?#"):
                raise FetchError("no host")
    except FetchError as error:
        raise UsageError(
            "expects REGISTRY=HOST[:PORT]", where=printable(text), hint="write registry.example.com=auth.example.com"
        ) from error
    return registry, server


class FetchOptions(Record):
    """Options of one fetch.

    Attributes:
        insecure: relaxations by name; of these, ``image`` (no signature) and ``http`` (plain http) concern fetching.
        pull_policy: ``new`` (what is stored is good enough), ``update`` (ask the source for a newer one), ``never``.
        lock: the lock file whose images are taken and no others; None for no lock.
        platform: ``os/arch`` of the hosts that images are for; empty for this host.
        expected_id: image ID that the operator pinned; no signature is needed then, unless `signed`.
        render: the root file system of the image is made too, in the same pass where that can be.
        signed: a signature is needed although an image ID is pinned.
        locking: it is for a lock file that is being made: what a pin would do for, without a signature, gets in unsigned only where the
            policy wants a pin and nothing else.
        name: image name that a file or URL must hold; verified against before the archive is opened.
        signature: path or URL of the signature of a file or URL reference; by default the image's own with ``.asc``.
        ca_file: PEM file of the certificate authorities to trust instead of the installed ones.
        layers: directories of configuration, the vendor's first: ``fetch.json``, ``auth.d``; read when the network is needed.
        proxy: URL of the proxy for all connections but those of `connect_to`; ``none`` for none; empty for the configured one.
        connect_to: (host, address, port) triples: connections for the host go there, TLS still proves the host.
        token_servers: (registry, host[:port]) pairs: where a registry may send for tokens beside itself.
        allow_private: discovery and redirects may lead to private and loopback addresses.
        deadline: seconds for the whole fetch.
        connect_timeout: seconds to reach one address; also for the TLS handshake.
        read_timeout: seconds without a byte.
        minimum_rate: bytes a second that a source has to deliver on average over `rate_window` seconds.
        rate_window: seconds.
        attempts: tries of one URL, the first included; only after resets, cuts, 429 and 5xx.
        backoff: seconds before the second try; doubled for each further one, with jitter.
        image_limit: bytes that an image file may have.
    """

    insecure: tuple[str, ...] = ()
    pull_policy: str = "new"
    lock: Lock | None = None
    platform: str = ""
    expected_id: str = ""
    render: bool = False
    signed: bool = False
    locking: bool = False
    name: str = ""
    signature: str = ""
    ca_file: str = ""
    layers: tuple[str, ...] = ()
    proxy: str = ""
    connect_to: tuple[tuple[str, str, int], ...] = ()
    token_servers: tuple[tuple[str, str], ...] = ()
    allow_private: bool = False
    deadline: float = 3600.0
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    minimum_rate: int = 1024
    rate_window: float = 30.0
    attempts: int = 4
    backoff: float = 0.5
    image_limit: int = 16 << 30

    def check(self) -> FetchOptions:
        """Return the options themselves.

        Raises:
            UsageError: a value that means nothing, a proxy that is none.
            SpecError: `expected_id` is no image ID (T5), `platform` none that is known (T10), or `name` no image name (T1).
        """
        if self.pull_policy not in POLICIES:
            near = nearest(self.pull_policy, POLICIES)
            raise UsageError(
                f"{self.pull_policy} is not a pull policy", hint=f"did you mean {near}?" if near else f"one of {', '.join(POLICIES)}"
            )
        if "tls" in self.insecure:
            raise UsageError("certificates are always verified", hint="give the certificate authority of the server as ca_file")
        if self.attempts < 1 or self.deadline <= 0 or self.rate_window <= 0 or self.image_limit <= 0:
            raise UsageError("attempts, deadline, rate_window and image_limit are greater than 0")
        if self.proxy not in ("", "none"):
            from .transports.tunnel import read_proxy

            read_proxy(self.proxy)
        if self.expected_id:
            check_image_id(self.expected_id, "expected image ID")
        if self.platform:
            check_platform(self.platform, "platform")
        if self.name:
            check_ac_identifier(self.name, "image name")
        return self

    @property
    def host(self) -> str:
        """``os/arch`` of the hosts that images are for."""
        return self.platform or host()

    @property
    def host_labels(self) -> tuple[tuple[str, str], ...]:
        """The labels os and arch of these hosts (T10)."""
        return labels_of(self.host)

    @property
    def unverified(self) -> bool:
        """Whether images may come in without a signature."""
        return "image" in self.insecure

    @property
    def schemes(self) -> tuple[str, ...]:
        """The schemes of the network that may be used, the better one first."""
        return ("https", "http") if "http" in self.insecure else ("https",)
