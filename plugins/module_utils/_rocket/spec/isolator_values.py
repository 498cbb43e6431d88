# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The values of isolators: one reader each.

Each takes the value's Node and returns the checked value; each raises SpecError.

Not handled here: names, scopes and pairs (see isolators.py), sets of system calls (see seccomp.py).
"""

from __future__ import annotations

from ..errors import SpecError
from ..record import Record
from .identifier import nearest
from .quantity import parse_cpu, parse_quantity
from .reading import Node, join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_CAPABILITY_NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST "
    "NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE "
    "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM "
    "BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
_DEFAULT_NAMES = "AUDIT_WRITE CHOWN DAC_OVERRIDE FSETID FOWNER KILL MKNOD NET_RAW NET_BIND_SERVICE SETUID SETGID SETPCAP SETFCAP SYS_CHROOT"
# In the order of their numbers: the index is the number of the capability (linux/capability.h).
CAPABILITIES = tuple("CAP_" + name for name in _CAPABILITY_NAMES.split())
DEFAULT_CAPABILITIES = tuple("CAP_" + name for name in _DEFAULT_NAMES.split())

_SYSCTL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_SYSCTL_ALLOWED = ("net.", "kernel.msg", "kernel.shm", "fs.mqueue.")
_SMALLEST_MEMORY = 4096
_LARGEST_PID_COUNT = 1 << 22


class Resource(Record):
    """Request and limit of a resource in its base unit; None where not given.

    Attributes:
        request: guaranteed minimum as written; `guaranteed` is the one that I3 gives.
        limit: maximum.
    """

    request: int | None = None
    limit: int | None = None

    @property
    def guaranteed(self) -> int | None:
        """The guaranteed minimum: the request, and the limit where there is no request (I3)."""
        return self.limit if self.request is None else self.request


class SelinuxContext(Record):
    """The four parts of an SELinux context."""

    user: str
    role: str
    type: str
    level: str


def set_of_names(node: Node) -> list[Node]:
    """Return the members of ``set``, which is not empty."""
    given = node.required("set", "I5")
    nodes = given.items("I5")
    if not nodes:
        raise SpecError("must not be empty", path=given.path, rule="I5")
    return nodes


def _word(node: Node, forbidden: str = "") -> str:
    """A text without control characters, white space around it and `forbidden` characters."""
    text = node.text("I5", empty=False)
    if text != text.strip() or not text.isprintable() or any(character in forbidden for character in text):
        without = f" without {forbidden}" if forbidden else ""
        raise node.error(f"a printable text{without} was expected", "I5")
    return text


def read_selinux_context(node: Node) -> SelinuxContext:
    """Return the context; only the level may have a colon."""
    return SelinuxContext(
        _word(node.required("user", "I5"), ": "),
        _word(node.required("role", "I5"), ": "),
        _word(node.required("type", "I5"), ": "),
        _word(node.required("level", "I5"), " "),
    )


def read_apparmor_profile(node: Node) -> str:
    """Return the name of the profile."""
    return _word(node.required("profile", "I5"))


def _capability(node: Node) -> str:
    name = node.text("I5", empty=False)
    if name not in CAPABILITIES:
        near = nearest(name if name.upper().startswith("CAP_") else "CAP_" + name, CAPABILITIES)
        raise node.error("the name of a capability, such as CAP_NET_ADMIN, was expected", "I5", f"did you mean {near}?" if near else "")
    return name


def read_capabilities(node: Node) -> tuple[str, ...]:
    """Return the capabilities of a set, as written, without repetitions."""
    return tuple(dict.fromkeys(_capability(item) for item in set_of_names(node)))


def _read_resource(node: Node, parse: Callable[[object, str], int]) -> Resource:
    request, limit = node.optional("request", "I3"), node.optional("limit", "I3")
    resource = Resource(
        None if request is None else parse(request.value, request.path),
        None if limit is None else parse(limit.value, limit.path),
    )
    if request is None and limit is None:
        raise node.error("request, limit or both were expected", "I3")
    if limit is not None and resource.limit == 0:
        raise limit.error("a limit above 0 was expected", "I3")
    if request is not None and resource.request is not None and resource.limit is not None and resource.request > resource.limit:
        raise request.error("a request not above the limit was expected", "I3")
    return resource


def _refuse_default(node: Node) -> None:
    if node.flag("default", "I5"):
        raise SpecError("false or nothing was expected", path=join(node.path, "default"), value=True, rule="I5", hint="remove it")


def read_cpu(node: Node) -> Resource:
    """Return request and limit in millicores."""
    _refuse_default(node)
    return _read_resource(node, parse_cpu)


def read_memory(node: Node) -> Resource:
    """Return request and limit in bytes; below 4096 only a request of 0 is meant."""
    _refuse_default(node)
    resource = _read_resource(node, parse_quantity)
    for name, number in (("request", resource.request), ("limit", resource.limit)):
        if number is not None and 0 < number < _SMALLEST_MEMORY:
            raise SpecError(
                f"at least {_SMALLEST_MEMORY} bytes were expected",
                path=join(node.path, name),
                value=node.value[name],
                rule="I3",
                hint="M and Mi are millions of bytes, m is a thousandth of one",
            )
    return resource


def read_default_limit(node: Node) -> Resource:
    """Return the limit, in bytes or operations a second, that holds for every device or interface: default is true, no request."""
    default = node.required("default", "I5")
    if default.boolean("I5") is not True:
        raise default.error("true was expected: the limit holds for every device or interface", "I5")
    request = node.optional("request", "I5")
    if request is not None:
        raise request.error("nothing was expected, this isolator has no request", "I5", "remove it")
    node.required("limit", "I3")
    return _read_resource(node, parse_quantity)


def _check_sysctl(key: str, path: str) -> None:
    parts = key.split(".")
    if len(key) > 255 or len(parts) < 2 or not all(part and _SYSCTL.issuperset(part) for part in parts):
        raise SpecError("a key of a-z 0-9 _ - in parts joined by . was expected", path=path, value=key, rule="I5")
    if not key.startswith(_SYSCTL_ALLOWED) and key != "kernel.sem":
        raise SpecError(
            "this key is not the pod's own",
            path=path,
            value=key,
            rule="I5",
            hint="allowed: net.*, kernel.msg*, kernel.sem, kernel.shm*, fs.mqueue.*",
        )


def read_sysctl(node: Node) -> tuple[tuple[str, str], ...]:
    """Return (key, value) pairs, sorted; only keys that the pod's own namespaces keep."""
    pairs = []
    for key, value in node.members("I5").items():
        item = Node(value, join(node.path, key))
        _check_sysctl(key, item.path)
        text = item.text("I5")
        if any((character < " " and character != "\t") or character == "\x7f" for character in text):
            raise item.error("a value without control characters was expected", "I5")
        pairs.append((key, text))
    if not pairs:
        raise SpecError("must not be empty", path=node.path, rule="I5")
    return tuple(sorted(pairs))


def read_pids(node: Node) -> int:
    """Return the largest number of processes and threads, from ``{"limit": n}`` or plain ``n``."""
    limit = node.required("limit", "I3") if isinstance(node.value, dict) else node
    return limit.integer(1, _LARGEST_PID_COUNT, "I3")
