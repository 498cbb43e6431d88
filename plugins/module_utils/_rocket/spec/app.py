# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The app of an image or pod: what to run, as whom, with what around it (docs/spec-conformance.md M6 to M15).

Not handled here: names of users and programs, which only the rendered root file system can answer (see run).
"""

from __future__ import annotations

from ..errors import SpecError
from ..record import Record, replace
from .identifier import NAME_LIMIT, check_ac_name
from .isolators import Isolator, read_isolators
from .reading import Node, thaw, unique
from .values import ID_LIMIT, NamedValue, check_absolute_path, read_user_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    N = TypeVar("N", "MountPoint", "Port", "EventHandler", NamedValue)

PROTOCOLS = ("tcp", "udp", "sctp")
_VARIABLE_START = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_VARIABLE = _VARIABLE_START | frozenset("0123456789.-")


class MountPoint(Record):
    """A place where the app expects a volume (M13)."""

    name: str
    path: str
    read_only: bool = False
    rest: tuple[tuple[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        value = thaw(self.rest, name=self.name, path=self.path)
        if self.read_only:
            value["readOnly"] = True
        return value


class Port(Record):
    """A port, or `count` of them from `port` on, where the app listens (M14); the protocol is tcp, udp or sctp."""

    name: str
    protocol: str
    port: int
    count: int = 1
    socket_activated: bool = False
    rest: tuple[tuple[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        value = thaw(self.rest, name=self.name, protocol=self.protocol, port=self.port)
        if self.count != 1:
            value["count"] = self.count
        if self.socket_activated:
            value["socketActivated"] = True
        return value


class EventHandler(Record):
    """A program run before (`pre-start`) or after (`post-stop`) the app (M9)."""

    name: str
    exec: tuple[str, ...]
    rest: tuple[tuple[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return thaw(self.rest, name=self.name, exec=list(self.exec))


class App(Record):
    """How to run an image (M6 to M15).

    Attributes:
        user: a name, digits, or an absolute path whose owner is meant; `group` likewise.
        exec: program and arguments; empty where the image leaves them to whoever runs it.
        working_directory: absolute; in the app's root file system.
        user_annotations: (name, value) pairs, sorted; `user_labels` likewise.
    """

    user: str
    group: str
    exec: tuple[str, ...] = ()
    supplementary_gids: tuple[int, ...] = ()
    event_handlers: tuple[EventHandler, ...] = ()
    working_directory: str = "/"
    environment: tuple[NamedValue, ...] = ()
    isolators: tuple[Isolator, ...] = ()
    mount_points: tuple[MountPoint, ...] = ()
    ports: tuple[Port, ...] = ()
    user_annotations: tuple[tuple[str, str], ...] = ()
    user_labels: tuple[tuple[str, str], ...] = ()
    rest: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def from_json(cls, value: Any, path: str = "app") -> App:
        """Return the app in the JSON object `value`; raises SpecError, naming the JSON path below `path`."""
        node = Node(value, path)
        directory = node.optional("workingDirectory", "M5")
        app = cls(
            user=_owner(node.required("user", "M7")),
            group=_owner(node.required("group", "M7")),
            exec=read_exec(node.optional("exec"), "M6"),
            supplementary_gids=tuple(item.integer(0, ID_LIMIT, "M8") for item in _supplementary_gids(node)),
            event_handlers=_named(node, "eventHandlers", _event_handler, "M9"),
            # The specification's own library writes and takes the empty text for the default.
            working_directory=check_absolute_path(directory, "M10") if directory is not None and directory.value != "" else "/",
            environment=_named(node, "environment", _variable, "M11"),
            isolators=read_isolators(node.optional("isolators"), "app"),
            mount_points=_named(node, "mountPoints", _mount_point, "M13"),
            ports=_named(node, "ports", read_port, "M14"),
            user_annotations=read_user_values(node.optional("userAnnotations")),
            user_labels=read_user_values(node.optional("userLabels")),
        )
        return replace(app, rest=node.rest())

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object; members that have their default are left out."""
        value = thaw(self.rest, user=self.user, group=self.group)
        lists = {
            "exec": list(self.exec),
            "supplementaryGIDs": list(self.supplementary_gids),
            "eventHandlers": [item.to_json() for item in self.event_handlers],
            "environment": [item.to_json() for item in self.environment],
            "isolators": [item.to_json() for item in self.isolators],
            "mountPoints": [item.to_json() for item in self.mount_points],
            "ports": [item.to_json() for item in self.ports],
            "userAnnotations": dict(self.user_annotations),
            "userLabels": dict(self.user_labels),
        }
        value.update({name: item for name, item in lists.items() if item})
        if self.working_directory != "/":
            value["workingDirectory"] = self.working_directory
        return value

    def warnings(self) -> tuple[str, ...]:
        """Return what is valid and yet deserves a word to the operator: variables that the executor sets itself (E2)."""
        names = [item.name for item in self.environment if item.name == "container" or item.name.startswith("AC_")]
        return tuple(f"the variable {name} of the app is ignored: the executor sets it (E2)" for name in names)


def read_exec(node: Node | None, rule: str) -> tuple[str, ...]:
    """Return the program and arguments in `node`; empty where it is None. The program is not the empty string."""
    if node is None:
        return ()
    return tuple(item.text(rule, empty=index > 0) for index, item in enumerate(node.items(rule)))


def read_port(node: Node) -> Port:
    """Return the port in `node`; raises SpecError (M14)."""
    name, protocol = node.required("name", "M14"), node.required("protocol", "M14")
    first = node.required("port", "M14").integer(1, 65535, "M14")
    count = node.optional("count")
    number = 1 if count is None else count.integer(1, 65535, "M14")
    if count is not None and first + number - 1 > 65535:
        raise count.error(f"the last port would be {first + number - 1}, above 65535; a smaller count was expected", "M14")
    if protocol.value not in PROTOCOLS:
        raise protocol.error(f"one of {', '.join(PROTOCOLS)} was expected", "M14")
    port = Port(check_ac_name(name.value, name.path, NAME_LIMIT), protocol.value, first, number, node.flag("socketActivated", "M14"))
    return replace(port, rest=node.rest())


def _mount_point(node: Node) -> MountPoint:
    name = node.required("name", "M13")
    path = check_absolute_path(node.required("path", "M13"), "M13", root=False)
    point = MountPoint(check_ac_name(name.value, name.path, NAME_LIMIT), path, node.flag("readOnly", "M13"))
    return replace(point, rest=node.rest())


def _event_handler(node: Node) -> EventHandler:
    name = node.required("name", "M9")
    if name.value not in ("pre-start", "post-stop"):
        raise name.error("pre-start or post-stop was expected", "M9")
    program = node.required("exec", "M9")
    handler = EventHandler(name.value, read_exec(program, "M9"))
    if not handler.exec:
        raise SpecError("must not be empty", path=program.path, rule="M9")
    return replace(handler, rest=node.rest())


def _variable(node: Node) -> NamedValue:
    name = node.required("name", "M11")
    text = name.text("M11", empty=False)
    if text[0] not in _VARIABLE_START or not _VARIABLE.issuperset(text):
        raise name.error("a letter or _ and then letters, digits, _ . - were expected", "M11")
    return replace(NamedValue(text, node.required("value", "M11").text("M11")), rest=node.rest())


def _named(node: Node, member: str, read: Callable[[Node], N], rule: str) -> tuple[N, ...]:
    """The list `member` of `node`, whose items have unique names."""
    part = node.optional(member, rule)
    if part is None:
        return ()
    nodes = part.items(rule)
    items = [read(item) for item in nodes]
    unique(nodes, [item.name for item in items], rule)
    return tuple(items)


def _owner(node: Node) -> str:
    """A user or group: a name, digits, or the path of the file whose owner is meant (M7)."""
    text = node.text("M7", empty=False)
    return check_absolute_path(node, "M7") if text.startswith("/") else text


def _supplementary_gids(node: Node) -> list[Node]:
    """The list under either spelling of its name: the specification's text uses both; ours writes the right one."""
    gids, other = node.optional("supplementaryGIDs", "M8"), node.optional("supplementaryGids", "M8")
    if gids is not None and other is not None:
        raise other.error("supplementaryGIDs alone was expected", "M8", "both spellings of it are given")
    given = gids or other
    return [] if given is None else given.items("M8")
