# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Values that both manifests use: AC version, labels, annotations, user labels, timestamps, paths, addresses
(docs/spec-conformance.md T4, T7, T9 to T12).

Not handled here: names (see identifier.py), quantities (see quantity.py).
"""

from __future__ import annotations

from ..errors import SpecError
from ..record import Record
from .identifier import check_ac_identifier
from .reading import Node, join, thaw, unique

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

AC_VERSION = "0.8.11"
# The largest user or group (M7): -1 means none to the kernel, and what is above is no number to every program.
ID_LIMIT = (1 << 31) - 2
_PATH_LIMIT = 4095
_NOTIFY = "appc.io/executor/supports-systemd-notify"

# What a label os=... allows in arch=...: the list of the specification's library, and linux/riscv64.
ARCHITECTURES = {
    "linux": (
        "amd64",
        "i386",
        "aarch64",
        "aarch64_be",
        "armv6l",
        "armv7l",
        "armv7b",
        "ppc64",
        "ppc64le",
        "s390x",
        "riscv64",
    ),
    "freebsd": ("amd64", "i386", "arm"),
    "darwin": ("x86_64", "i386"),
}


class NamedValue(Record):
    """A label, an annotation or a variable of the environment; unpacks as ``name, value``, so that ``dict()`` takes a list of them.

    Attributes:
        name: checked by the list's rule.
        value: any string without NUL.
        rest: unknown members, sorted (name, JSON value) pairs.
    """

    name: str
    value: str
    rest: tuple[tuple[str, Any], ...] = ()

    def __iter__(self) -> Iterator[str]:
        return iter((self.name, self.value))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return thaw(self.rest, name=self.name, value=self.value)


def value_of(values: Iterable[NamedValue], name: str, default: str = "") -> str:
    """Return the value that `name` has in `values`, or `default`."""
    for item in values:
        if item.name == name:
            return item.value
    return default


def read_named(node: Node | None, rule: str) -> tuple[NamedValue, ...]:
    """Return the list in `node` of objects with `name` (AC Identifier) and `value` (string); names are unique.

    Raises:
        SpecError: `rule`, or T1 for a name.
    """
    if node is None:
        return ()
    nodes = node.items(rule)
    values = []
    for item in nodes:
        name = item.required("name", rule)
        value = item.required("value", rule).text(rule)
        values.append(NamedValue(check_ac_identifier(name.value, name.path), value, item.rest()))
    unique(nodes, [value.name for value in values], rule)
    return tuple(values)


def read_labels(node: Node | None) -> tuple[NamedValue, ...]:
    """Return the labels in `node` (M4): unique, never ``name``, and an os and arch that exist.

    Raises:
        SpecError: T9, T10.
    """
    labels = read_named(node, "T9")
    check_labels(labels, node.path if node else "")
    return labels


def check_labels(labels: Iterable[NamedValue], path: str) -> None:
    """Check what the names of `labels` say about their values; `path` is the list's.

    Raises:
        SpecError: T9 a label called ``name``; T10 an os that does not exist, or an arch that this os does not have.
    """
    seen = {label.name: (label.value, f"{path}[{index}]") for index, label in enumerate(labels)}
    if "name" in seen:
        raise SpecError("a label that is not called name was expected", path=join(seen["name"][1], "name"), value="name", rule="T9")
    if "os" not in seen:
        return
    os_name, os_path = seen["os"]
    if os_name not in ARCHITECTURES:
        raise SpecError(f"one of {', '.join(ARCHITECTURES)} was expected", path=join(os_path, "value"), value=os_name, rule="T10")
    arch, arch_path = seen.get("arch", ("", ""))
    if "arch" in seen and arch not in ARCHITECTURES[os_name]:
        known = ", ".join(ARCHITECTURES[os_name])
        raise SpecError(f"with os {os_name}, one of {known} was expected", path=join(arch_path, "value"), value=arch, rule="T10")


def check_platform(value: str, path: str) -> str:
    """Return ``os/arch``, one that is known.

    Raises:
        SpecError: it is not (T10).
    """
    system, _slash, arch = value.partition("/")
    if arch not in ARCHITECTURES.get(system, ()):
        raise SpecError("os/arch was expected, such as linux/amd64", path=path, value=value, rule="T10")
    return value


def read_annotations(node: Node | None) -> tuple[NamedValue, ...]:
    """Return the annotations in `node` (M18, P9); the names that the specification knows have checked values.

    Raises:
        SpecError: T11, T7 for ``created``.
    """
    annotations = read_named(node, "T11")
    for index, annotation in enumerate(annotations):
        path = f"{node.path if node else ''}[{index}].value"
        if annotation.name == "created":
            check_timestamp(annotation.value, path)
        elif annotation.name in ("homepage", "documentation"):
            check_web_address(annotation.value, path)
        elif annotation.name == _NOTIFY and annotation.value not in ("true", "false"):
            raise SpecError('"true" or "false" was expected', path=path, value=annotation.value, rule="T11")
    return annotations


def read_user_values(node: Node | None) -> tuple[tuple[str, str], ...]:
    """Return userLabels or userAnnotations (M15), an object of strings, as pairs sorted by name.

    Raises:
        SpecError: T12.
    """
    if node is None:
        return ()
    return tuple((name, Node(value, join(node.path, name)).text("T12")) for name, value in sorted(node.members("T12").items()))


def parse_version(value: str) -> tuple[int, int, int] | None:
    """Return the three numbers of a Semantic Version 2.0.0, or None where it is none."""
    core, plus, build = value.partition("+")
    numbers, dash, pre = core.partition("-")
    parts = numbers.split(".")
    if len(value) > 64 or len(parts) != 3 or not all(map(_is_number, parts)):
        return None
    for present, text, numeric_rule in ((dash, pre, True), (plus, build, False)):
        if present and not all(_is_version_part(part, numeric_rule) for part in text.split(".")):
            return None
    return int(parts[0]), int(parts[1]), int(parts[2])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")


def _is_version_part(part: str, numeric_rule: bool) -> bool:
    if not part.isascii() or not part.replace("-", "a").isalnum():
        return False
    return not (numeric_rule and part.isdigit()) or _is_number(part)


def check_ac_version(node: Node) -> str:
    """Return the AC version in `node`: a Semantic Version 0.x.y, not 0.0.0.

    Raises:
        SpecError: T4.
    """
    text = node.text("T4")
    numbers = parse_version(text)
    if numbers is None or numbers == (0, 0, 0):
        raise node.error("a released version of the specification, such as 0.8.11, was expected", "T4")
    if numbers[0] != 0:
        raise node.error("a version 0.x of the specification was expected, others are not compatible", "T4")
    return text


def version_warning(version: str) -> str:
    """Return the warning that a checked AC version calls for, or the empty string (T4)."""
    numbers = parse_version(version)
    if numbers is not None and numbers > (0, 8, 11):
        return f"acVersion {version} is newer than {AC_VERSION}: what it added is ignored (T4)"
    return ""


def check_timestamp(value: str, path: str) -> str:
    """Return `value`, a date and time of RFC 3339 with upper-case ``T`` and ``Z``; dates that do not exist are refused.

    Raises:
        SpecError: T7.
    """
    if not _is_timestamp(value):
        raise SpecError("a time of RFC 3339 was expected, such as 2026-01-31T12:00:00Z", path=path, value=value, rule="T7")
    return value


def _shaped(text: str, shape: str) -> bool:
    """Whether `text` has digits where `shape` has 0, and `shape`'s own characters elsewhere."""
    return len(text) == len(shape) and all(c in "0123456789" if s == "0" else c == s for c, s in zip(text, shape))


def _is_timestamp(text: str) -> bool:
    if not _shaped(text[:19], "0000-00-00T00:00:00"):
        return False
    zone = text[19:]
    if zone.startswith("."):
        decimals = len(zone) - 1 - len(zone[1:].lstrip("0123456789"))
        if not decimals:
            return False
        zone = zone[1 + decimals :]
    if zone != "Z" and not (zone[:1] in ("+", "-") and _shaped(zone[1:], "00:00") and int(zone[1:3]) < 24 and int(zone[4:]) < 60):
        return False
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    if not 1 <= month <= 12:
        return False
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = 29 if month == 2 and leap else (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
    return 1 <= day <= days and int(text[11:13]) < 24 and int(text[14:16]) < 60 and int(text[17:19]) < 60


def check_web_address(value: str, path: str) -> str:
    """Return `value`, an http or https URL with a host.

    Raises:
        SpecError: T11.
    """
    scheme, colon, rest = value.partition("://")
    authority = rest
    for end in "/?#":
        authority = authority.partition(end)[0]
    host = authority.rpartition("@")[2]
    host = host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
    printable = all("!" <= character != "\x7f" for character in value)
    if not colon or scheme.lower() not in ("http", "https") or not host or not printable:
        raise SpecError("an http or https URL with a host was expected", path=path, value=value, rule="T11")
    return value


def check_absolute_path(node: Node, rule: str, root: bool = True) -> str:
    """Return the absolute path in `node` without ``.`` parts, doubled and trailing slashes.

    Raises:
        SpecError: `rule`; relative, with a ``..`` part or NUL, above 4095 bytes, or ``/`` itself unless `root`.
    """
    text = node.text(rule)
    if not text.startswith("/"):
        raise node.error("an absolute path was expected", rule)
    if len(text.encode("utf-8", "surrogatepass")) > _PATH_LIMIT:
        raise node.error(f"a path of at most {_PATH_LIMIT} bytes was expected", rule)
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise node.error("a path without .. was expected", rule)
    if not parts and not root:
        raise node.error("a path below the root was expected", rule)
    return "/" + "/".join(parts)
