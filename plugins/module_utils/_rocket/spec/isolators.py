# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Isolators of apps and pods: names, scopes, values, and what must not stand together (docs/spec-conformance.md I1 to I5).

An unknown isolator is kept with ``parsed=None`` (M12); whoever runs the pod lists it as ignored (I2).

Not handled here: enforcing them (see run), what this kernel has.
"""

from __future__ import annotations

from ..errors import SpecError
from ..record import Record
from . import isolator_values as values
from .identifier import check_ac_identifier
from .isolator_values import CAPABILITIES, DEFAULT_CAPABILITIES, Resource, SelinuxContext
from .reading import Node, join, thaw, unique
from .seccomp import SeccompSet, read_seccomp_remove_set, read_seccomp_retain_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

__all__ = [
    "CAPABILITIES",
    "DEFAULT_CAPABILITIES",
    "EXCLUSIVE",
    "ISOLATORS",
    "Isolator",
    "Resource",
    "SeccompSet",
    "SelinuxContext",
    "find_isolator",
    "parse_isolators",
    "read_isolators",
]

_APP = ("app",)
_POD = ("pod",)
_BOTH = ("app", "pod")

# Name: where it may stand, how its value is read. What a reader returns is `parsed` of the isolator.
ISOLATORS: dict[str, tuple[tuple[str, ...], Callable[[Node], Any]]] = {
    "os/linux/seccomp-remove-set": (_APP, read_seccomp_remove_set),
    "os/linux/seccomp-retain-set": (_APP, read_seccomp_retain_set),
    "os/linux/selinux-context": (_BOTH, values.read_selinux_context),
    "os/linux/apparmor-profile": (_BOTH, values.read_apparmor_profile),
    "os/linux/capabilities-remove-set": (_APP, values.read_capabilities),
    "os/linux/capabilities-retain-set": (_APP, values.read_capabilities),
    "os/linux/no-new-privileges": (_APP, lambda node: node.boolean("I5")),
    "os/linux/oom-score-adj": (_APP, lambda node: node.integer(-1000, 1000, "I5")),
    "os/linux/cpu-shares": (_APP, lambda node: node.integer(2, 262144, "I5")),
    "resource/cpu": (_BOTH, values.read_cpu),
    "resource/memory": (_BOTH, values.read_memory),
    "resource/block-bandwidth": (_BOTH, values.read_default_limit),
    "resource/block-iops": (_BOTH, values.read_default_limit),
    "resource/network-bandwidth": (_BOTH, values.read_default_limit),
    "os/unix/sysctl": (_POD, values.read_sysctl),
    "appc.rocket/pids": (_BOTH, values.read_pids),
}

EXCLUSIVE = (
    ("os/linux/seccomp-remove-set", "os/linux/seccomp-retain-set"),
    ("os/linux/capabilities-remove-set", "os/linux/capabilities-retain-set"),
)


class Isolator(Record):
    """One isolator of an app or a pod.

    Attributes:
        name: an AC Identifier.
        value: the JSON value as written; not to be changed.
        parsed: the checked value, None where the name is unknown. By name: ``seccomp-*`` SeccompSet; ``selinux-context``
            SelinuxContext; ``apparmor-profile`` the name; ``capabilities-*`` a tuple of names; ``no-new-privileges`` a
            boolean; ``oom-score-adj`` and ``cpu-shares`` an integer; ``resource/*`` Resource (memory and bandwidth in
            bytes, cpu in millicores, iops in operations); ``sysctl`` sorted (key, value) pairs; ``appc.rocket/pids`` the
            number of processes.
        rest: unknown members, sorted (name, JSON value) pairs.
    """

    name: str
    value: Any
    parsed: Any = None
    rest: tuple[tuple[str, Any], ...] = ()

    @property
    def known(self) -> bool:
        """Whether this is one of ISOLATORS."""
        return self.name in ISOLATORS

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return thaw(self.rest, name=self.name, value=self.value)


def find_isolator(isolators: tuple[Isolator, ...], name: str) -> Isolator | None:
    """Return the isolator `name` of one checked list, or None."""
    for isolator in isolators:
        if isolator.name == name:
            return isolator
    return None


def _read(node: Node, scope: str) -> Isolator:
    name_node = node.required("name", "T6")
    name = check_ac_identifier(name_node.value, name_node.path)
    value = node.required("value", "T6")
    if name not in ISOLATORS:
        return Isolator(name, value.value, None, node.rest())
    scopes, read = ISOLATORS[name]
    if scope not in scopes:
        raise SpecError(
            f"this isolator belongs on {' or '.join(_PLACES[place] for place in scopes)}, not on {_PLACES[scope]}",
            path=name_node.path,
            value=name,
            rule="P11" if scope == "pod" else "I5",
        )
    return Isolator(name, value.value, read(value), node.rest())


_PLACES = {"app": "an app", "pod": "a pod"}


def read_isolators(node: Node | None, scope: str) -> tuple[Isolator, ...]:
    """Return the isolators in the list `node`, of an ``app`` or a ``pod``; none where it is None.

    Raises:
        SpecError: T6, I3, I4, I5, or P11 for one of an app on a pod; names the JSON path.
    """
    if scope not in _PLACES:
        raise ValueError(f"{scope} is no scope of isolators")
    if node is None:
        return ()
    nodes = node.items("T6")
    isolators = tuple(_read(item, scope) for item in nodes)
    names = [isolator.name for isolator in isolators]
    unique(nodes, names, "I5")
    for pair in EXCLUSIVE:
        if pair[0] in names and pair[1] in names:
            second = max(names.index(pair[0]), names.index(pair[1]))
            raise SpecError(
                f"{names[second]} and {pair[pair[0] == names[second]]} exclude each other",
                path=join(nodes[second].path, "name"),
                rule="I5",
                hint="keep one of them",
            )
    cpu = find_isolator(isolators, "resource/cpu")
    if cpu is not None and cpu.parsed.request is not None and "os/linux/cpu-shares" in names:
        raise SpecError(
            "os/linux/cpu-shares and the request of resource/cpu say the same thing",
            path=join(nodes[names.index("os/linux/cpu-shares")].path, "name"),
            rule="I5",
            hint="keep one of them",
        )
    return isolators


def parse_isolators(value: Any, path: str, scope: str) -> tuple[Isolator, ...]:
    """Return the isolators in the JSON list `value`; see read_isolators."""
    return read_isolators(Node(value, path), scope)
