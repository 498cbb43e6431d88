# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Ports of the host that lead into a pod (docs/spec-conformance.md P12).

Not handled here: which port of which app a name means (see pod_manifest.py), and whether the host's port is free.
"""

from __future__ import annotations

from ..errors import SpecError
from ..record import Record, replace
from .addresses import Address, parse_address
from .app import Port, read_port
from .identifier import NAME_LIMIT, check_ac_name
from .reading import Node, join, thaw, unique

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ExposedPort(Record):
    """A port of the host that leads to a port of the pod (P12); an empty `host_ip` means every address."""

    name: str
    host_port: int
    host_ip: str = ""
    pod_port: Port | None = None
    rest: tuple[tuple[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        value = thaw(self.rest, name=self.name, hostPort=self.host_port)
        if self.host_ip:
            value["hostIP"] = self.host_ip
        if self.pod_port is not None:
            value["podPort"] = self.pod_port.to_json()
        return value


def read_exposed_ports(node: Node | None) -> tuple[ExposedPort, ...]:
    """Return the exposed ports in the list `node`, names unique; none where it is None. Raises SpecError (P12, M14)."""
    if node is None:
        return ()
    nodes = node.items("P12")
    ports = tuple(_port(item) for item in nodes)
    unique(nodes, [port.name for port in ports], "P12")
    check_overlap([(port, port.pod_port) for port in ports], [item.path for item in nodes])
    return ports


def _port(node: Node) -> ExposedPort:
    name, pod_port, address = node.required("name", "P12"), node.optional("podPort", "P12"), node.optional("hostIP", "P12")
    if address is not None:
        parse_address(address)
    port = ExposedPort(
        name=check_ac_name(name.value, name.path, NAME_LIMIT),
        host_port=node.required("hostPort", "P12").integer(1, 65535, "P12"),
        host_ip="" if address is None else address.text(),
        pod_port=None if pod_port is None else read_port(pod_port),
    )
    return replace(port, rest=node.rest())


def check_overlap(ports: list[tuple[ExposedPort, Port | None]], paths: list[str]) -> None:
    """Refuse ranges above 65535, and two that meet; a port whose target is not known yet meets none."""
    taken: list[tuple[Address, str, int, int, str]] = []
    for (port, target), path in zip(ports, paths):
        first, last = port.host_port, port.host_port + (target.count if target else 1) - 1
        where = join(path, "hostPort")
        if last > 65535:
            raise SpecError(f"{last - first + 1} ports from here end at {last}, above 65535", path=where, value=first, rule="P12")
        address = parse_address(Node(port.host_ip or None, join(path, "hostIP")))
        protocol = target.protocol if target else ""
        for other, other_protocol, other_first, other_last, other_path in taken:
            same_protocol = protocol != "" and protocol == other_protocol
            if same_protocol and address.meets(other) and first <= other_last and other_first <= last:
                raise SpecError(f"is taken by {other_path} already", path=where, value=first, rule="P12")
        taken.append((address, protocol, first, last, path))
