# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""How this host fetches: ``fetch.json`` of the operator over that of the vendor. Proxy, authorities of a domain, mirrors.

No secrets: git can hold it. Strict: an unknown member is refused with the nearest known one. Docs: docs/fetching.md.
"""

from __future__ import annotations

from ..errors import HostError, SpecError, UsageError
from ..record import Record
from ..spec.identifier import check_ac_identifier, prefix_covers
from ..store.operator_file import check_kind, read
from .credentials import Place, read_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..spec.reading import Node

FILE = "fetch.json"


class Mirror(Record):
    """Where the images below a prefix are looked for before their site is asked.

    Attributes:
        prefix: an image name; covers it and all below it.
        templates: as on a discovery page, tried in their order.
        discovery: whether the site is asked at all.
    """

    prefix: str
    templates: tuple[str, ...]
    discovery: bool = True


class Configuration(Record):
    """What is configured on a host.

    Attributes:
        proxy: URL of the proxy for all connections; empty for none.
        direct: hosts that are connected to without it; one that begins with a dot stands for all below it.
        authorities: (place, PEM file) pairs: who alone may vouch for a host.
        mirrors: one a prefix.
    """

    proxy: str = ""
    direct: tuple[str, ...] = ()
    authorities: tuple[tuple[Place, str], ...] = ()
    mirrors: tuple[Mirror, ...] = ()

    def is_direct(self, host: str) -> bool:
        """Return whether a host is connected to without the proxy."""
        host = host.lower()
        return any(host == name or (name.startswith(".") and host.endswith(name)) for name in self.direct)

    def ca_file(self, host: str, port: int) -> str:
        """Return the file of the authorities of a host; empty for the installed ones."""
        return next((file for place, file in self.authorities if place.covers(host, port, "")), "")

    def mirror_of(self, name: str) -> Mirror | None:
        """Return the mirrors of an image name: those of the longest prefix that covers it."""
        fitting = [mirror for mirror in self.mirrors if prefix_covers(mirror.prefix, name)]
        return max(fitting, key=lambda mirror: len(mirror.prefix), default=None)

    def to_json(self) -> dict[str, Any]:
        """Return the configuration in the form of its file."""
        value: dict[str, Any] = {"rktKind": "fetch", "rktVersion": "v1"}
        if self.proxy or self.direct:
            value["proxy"] = {"url": self.proxy, "direct": list(self.direct)}
        value["domains"] = [{"domain": str(place), "caFile": file} for place, file in self.authorities]
        value["mirrors"] = [
            {"prefix": mirror.prefix, "templates": list(mirror.templates), "discovery": mirror.discovery} for mirror in self.mirrors
        ]
        return value


def load(layers: tuple[str, ...]) -> Configuration:
    """Return what the files of the layers say, the vendor's first: a later proxy, domain or prefix replaces an earlier one.

    Raises:
        HostError: others may write a file.
        SpecError: a file is not what it should be.
    """
    proxy: tuple[str, tuple[str, ...]] = ("", ())
    authorities: dict[Place, str] = {}
    mirrors: dict[str, Mirror] = {}
    for layer in layers:
        try:
            found = read(f"{layer}/{FILE}", _read)
        except FileNotFoundError:
            continue
        except PermissionError as error:
            raise HostError(
                "cannot be read by this user", where=f"{layer}/{FILE}", hint="make its mode 0644", code="configuration"
            ) from error
        proxy = (found.proxy, found.direct) if found.proxy or found.direct else proxy
        authorities.update(found.authorities)
        mirrors.update({mirror.prefix: mirror for mirror in found.mirrors})
    return Configuration(*proxy, tuple(authorities.items()), tuple(mirrors.values()))


def _read(node: Node) -> Configuration:
    check_kind(node, ("fetch",))
    proxy = node.optional("proxy")
    url, direct = ("", ()) if proxy is None else _proxy(proxy)
    authorities = node.each("domains", _domain)
    mirrors = node.each("mirrors", _mirror)
    node.refuse_unknown()
    _once([str(place) for place, _file in authorities], "domains", "domain")
    _once([mirror.prefix for mirror in mirrors], "mirrors", "prefix")
    return Configuration(url, direct, authorities, mirrors)


def _once(names: list[str], path: str, member: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise SpecError("is given twice", path=f"{path}[{index}].{member}", value=name)


def _proxy(node: Node) -> tuple[str, tuple[str, ...]]:
    from .transports.tunnel import read_proxy

    url = node.required("url").text()
    if url != "none":
        try:
            read_proxy(url)
        except UsageError as error:
            raise SpecError(error.what, path=f"{node.path}.url", hint=error.hint) from None
    direct = node.each("direct", lambda item: item.text(empty=False).lower())
    node.refuse_unknown()
    return url, direct


def _domain(node: Node) -> tuple[Place, str]:
    place = read_place(node.required("domain"), 443)
    if place.path:
        raise SpecError("a host has one authority for all its paths", path=f"{node.path}.domain")
    file = node.required("caFile")
    if not file.text().startswith("/"):
        raise file.error("an absolute path was expected")
    node.refuse_unknown()
    return place, file.text()


def _mirror(node: Node) -> Mirror:
    prefix = check_ac_identifier(node.required("prefix").value, f"{node.path}.prefix")
    templates = node.each("templates", _template)
    discovery = node.flag("discovery", default=True)
    node.refuse_unknown()
    if not templates and not discovery:
        raise SpecError("leads nowhere: there is no template, and discovery is off", path=node.path)
    return Mirror(prefix, templates, discovery)


def _template(node: Node) -> str:
    text = node.text()
    if "{ext}" not in text or not text.startswith(("https://", "http://")) or len(text.split()) != 1:
        raise node.error("a URL with {ext} in it was expected", hint="for example https://mirror.example.com/{name}-{version}.{ext}")
    return text
