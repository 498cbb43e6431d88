# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Ways to break one place of a valid manifest: what to put there, and the JSON path and rule that the error then has to name."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

GONE = object()
ID = "sha512-" + "0123456789abcdef" * 8
_ABSENT = (GONE, None)
_NO_FLAG = ("true", 1, 0, [], {})
_NO_NUMBER = ("1", True, [], {})
_NO_LIST = ("x", 1, {})
_NO_OBJECT = ("x", 1, [])
_NO_IDENTIFIER = ("", "A", "a--b", "a/../b", "a/", "-a", "a b", "a" * 256, 1, [], {})
_NO_NAME = ("", "A", "a--b", "a.b", "a-", "-a", "a_b", "é", 1, [], {})
_NO_PATH = ("", "etc", "/a/../b", "/..", "/a\0b", "/" + "a" * 4095, 1, [])
_NO_TEXT = (1, True, [], {}, "a\0b")
_NO_ID = ("", "sha512-abc", "sha512-" + "G" * 128, ID.upper(), ID[:-1], ID + "0", "sha256-" + "0" * 64, 1)
_NO_VERSION = ("", "0.8", "0.0.0", "00.8.11", "1.0.0", "v0.8.11", 8)


class Place(NamedTuple):
    """What may not stand at a place, and the rule that says so; `at` is what the error's path has behind the place's own."""

    values: tuple[Any, ...]
    rule: str
    at: str = ""


APP = {
    "": [Place(_NO_OBJECT, "M5")],
    ".exec": [Place(_NO_LIST, "M6")],
    ".exec[0]": [Place(("",), "M6")],
    ".exec[]": [Place((*_NO_TEXT, None), "M6")],
    ".user": [Place((*_ABSENT, "", "/../x", 0), "M7")],
    ".group": [Place((*_ABSENT, "", "/a/../b", 0), "M7")],
    ".supplementaryGIDs": [Place(_NO_LIST, "M8")],
    ".supplementaryGIDs[]": [Place((*_NO_NUMBER, -1, (1 << 31) - 1, None), "M8")],
    ".eventHandlers": [Place(_NO_LIST, "M9")],
    ".eventHandlers[].name": [Place((*_ABSENT, "", "Pre-Start", "pre-stop", 1), "M9")],
    ".eventHandlers[].exec": [Place((*_ABSENT, [], "x"), "M9"), Place(([""], [None]), "M9", "[0]")],
    ".workingDirectory": [Place(("srv", "/a/../b", 1), "M10")],
    ".environment": [Place(_NO_LIST, "M11")],
    ".environment[]": [Place((*_NO_OBJECT, None), "M11")],
    ".environment[].name": [Place((*_ABSENT, "", "9A", "A=B", "A B", "É", 1), "M11")],
    ".environment[].value": [Place((*_ABSENT, *_NO_TEXT), "M11")],
    ".isolators": [Place(_NO_LIST, "T6")],
    ".mountPoints": [Place(_NO_LIST, "M13")],
    ".mountPoints[]": [Place((*_NO_OBJECT, None), "M13")],
    ".mountPoints[].name": [Place(_ABSENT, "M13"), Place(_NO_NAME, "T2")],
    ".mountPoints[].path": [Place((*_ABSENT, *_NO_PATH, "/", "//."), "M13")],
    ".mountPoints[].readOnly": [Place(_NO_FLAG, "M13")],
    ".ports": [Place(_NO_LIST, "M14")],
    ".userAnnotations": [Place(_NO_OBJECT, "T12"), Place(({"a": 1}, {"a": None}), "T12", ".a")],
    ".userLabels": [Place(_NO_OBJECT, "T12"), Place(({"a": 1}, {"a": None}), "T12", ".a")],
}
PORT = {
    "": [Place((*_NO_OBJECT, None), "M14")],
    ".name": [Place(_ABSENT, "M14"), Place(_NO_NAME, "T2")],
    ".protocol": [Place((*_ABSENT, "", "TCP", "quic", 1, []), "M14")],
    ".port": [Place((*_ABSENT, *_NO_NUMBER, 0, -1, 65536), "M14")],
    ".count": [Place((*_NO_NUMBER, 0, -1, 65537), "M14")],
    ".socketActivated": [Place(_NO_FLAG, "M14")],
}
LABEL = {
    "": [Place((*_NO_OBJECT, None), "T9")],
    ".name": [Place((*_ABSENT, "name"), "T9"), Place(_NO_IDENTIFIER, "T1")],
    ".value": [Place((*_ABSENT, *_NO_TEXT), "T9")],
}
ANNOTATION = {
    "": [Place((*_NO_OBJECT, None), "T11")],
    ".name": [Place(_ABSENT, "T11"), Place(_NO_IDENTIFIER, "T1")],
    ".value": [Place((*_ABSENT, *_NO_TEXT), "T11")],
}
VOLUME = {
    ".name": [Place(_ABSENT, "P10"), Place(_NO_NAME, "T2")],
    ".kind": [Place((*_ABSENT, "", "tmpfs", 1, []), "P10")],
    ".source": [Place((*_ABSENT, *_NO_PATH), "P10")],
    ".mode": [Place(("", "0999", "01000000", "2000", "0o755", 755), "P10")],
    ".uid": [Place((*_NO_NUMBER, -1, (1 << 31) - 1), "P10")],
    ".gid": [Place((*_NO_NUMBER, -1, (1 << 31) - 1), "P10")],
    ".readOnly": [Place(_NO_FLAG, "P10")],
    ".recursive": [Place(_NO_FLAG, "P10")],
}
ISOLATOR = {
    "": [Place((*_NO_OBJECT, None), "T6")],
    ".name": [Place(_ABSENT, "T6"), Place(_NO_IDENTIFIER, "T1")],
    ".value": [Place(_ABSENT, "T6")],
}
IMAGE = {
    "acKind": [Place((*_ABSENT, "", "Other", "imagemanifest", 1), "M1")],
    "acVersion": [Place(_ABSENT, "M2"), Place(_NO_VERSION, "T4")],
    "name": [Place(_ABSENT, "M3"), Place(_NO_IDENTIFIER, "T1")],
    "labels": [Place(_NO_LIST, "T9")],
    "dependencies": [Place(_NO_LIST, "M16")],
    "dependencies[]": [Place((*_NO_OBJECT, None), "M16")],
    "dependencies[].imageName": [Place(_ABSENT, "M16"), Place(_NO_IDENTIFIER, "T1")],
    "dependencies[].imageID": [Place(_NO_ID, "T5")],
    "dependencies[].size": [Place((*_NO_NUMBER, 0, -1), "M16")],
    "pathWhitelist": [Place(_NO_LIST, "M17")],
    "pathWhitelist[]": [Place((*_NO_PATH, None), "M17")],
    "annotations": [Place(_NO_LIST, "T11")],
}
POD = {
    "acKind": [Place((*_ABSENT, "", "Other", "podmanifest", 1), "P4")],
    "acVersion": [Place(_ABSENT, "P4"), Place(_NO_VERSION, "T4")],
    "apps": [Place((*_ABSENT, [], *_NO_LIST), "P4")],
    "apps[]": [Place(_NO_OBJECT, "P5"), Place((None,), "P4")],
    "apps[].name": [Place(_ABSENT, "P5"), Place((*_NO_NAME, "a" * 64), "T2")],
    "apps[].image": [Place((*_ABSENT, *_NO_OBJECT), "P5")],
    "apps[].image.id": [Place(_ABSENT, "P5"), Place(_NO_ID, "T5")],
    "apps[].image.name": [Place(_NO_IDENTIFIER, "T1")],
    "apps[].image.labels": [Place(_NO_LIST, "T9")],
    "apps[].readOnlyRootFS": [Place(_NO_FLAG, "P7")],
    "apps[].mounts": [Place(_NO_LIST, "P8")],
    "apps[].mounts[]": [Place((*_NO_OBJECT, None), "P8")],
    "apps[].mounts[].volume": [Place(_ABSENT, "P8"), Place(_NO_NAME, "T2")],
    "apps[].mounts[].path": [Place((*_ABSENT, *_NO_PATH, "/"), "P8")],
    "apps[].mounts[].appVolume": [Place(_NO_OBJECT, "P10")],
    "apps[].annotations": [Place(_NO_LIST, "T11")],
    "volumes": [Place(_NO_LIST, "P10")],
    "volumes[]": [Place((*_NO_OBJECT, None), "P10")],
    "isolators": [Place(_NO_LIST, "T6")],
    "annotations": [Place(_NO_LIST, "T11")],
    "userLabels": [Place(_NO_OBJECT, "T12")],
    "ports": [Place(_NO_LIST, "P12")],
    "ports[]": [Place((*_NO_OBJECT, None), "P12")],
    "ports[].name": [Place(_ABSENT, "P12"), Place(_NO_NAME, "T2")],
    "ports[].hostPort": [Place((*_ABSENT, *_NO_NUMBER, 0, -1, 65536), "P12")],
    "ports[].hostIP": [Place(("", "1.2.3.256", "01.2.3.4", "localhost", "::1::", 1), "P12")],
    "ports[].podPort": [Place(_NO_OBJECT, "M14")],
}
_PARTS = (
    (re.compile(r"((?:.*\.)?labels\[\])(.*)"), LABEL),
    (re.compile(r"((?:.*\.)?annotations\[\])(.*)"), ANNOTATION),
    (re.compile(r"(volumes\[\]|.*\.appVolume)(.*)"), VOLUME),
    (re.compile(r"((?:.*\.)?isolators\[\])(.*)"), ISOLATOR),
    (re.compile(r"(.*app\.ports\[\]|ports\[\]\.podPort(?=\.))(.*)"), PORT),
    (re.compile(r"(app|apps\[\]\.app)(.*)"), APP),
)
_QUANTITY = ("", "-1", "5.", "1GB", "1ki", "1_000", "9Ei", "1000000000000E", True, [])
_SET = (Place((*_ABSENT, [], "x"), "I5", ".set"), Place(([""], [1], ["X"]), "I5", ".set[0]"))
_LIMIT = (Place(_QUANTITY, "I4", ".limit"), Place(("0",), "I3", ".limit"))
_RATE = (
    Place((GONE, False, "true"), "I5", ".default"),
    Place((GONE, "0"), "I3", ".limit"),
    Place(_QUANTITY, "I4", ".limit"),
    Place(("1",), "I5", ".request"),
)
# Bad values of isolators: `at` is where in the value they stand.
VALUES = {
    "os/linux/seccomp-remove-set": (*_SET, Place((["@appc.io/all"], ["reboots"]), "I5", ".set[0]"), Place(("EFOO", 1), "I5", ".errno")),
    "os/linux/seccomp-retain-set": (*_SET, Place((["@appc.io/empty"], ["@x/y"]), "I5", ".set[0]"), Place(("eperm",), "I5", ".errno")),
    "os/linux/capabilities-remove-set": (*_SET, Place((["CAP_FLY"], ["KILL"]), "I5", ".set[0]")),
    "os/linux/capabilities-retain-set": (*_SET, Place((["CAP_ALL"], ["cap_kill"]), "I5", ".set[0]")),
    "os/linux/no-new-privileges": (Place(_NO_FLAG, "I5"),),
    "os/linux/oom-score-adj": (Place((*_NO_NUMBER, -1001, 1001), "I5"),),
    "os/linux/cpu-shares": (Place((*_NO_NUMBER, 1, 262145), "I5"),),
    "os/linux/selinux-context": tuple(Place((*_ABSENT, "", "a b", 1), "I5", f".{part}") for part in ("user", "role", "type", "level")),
    "os/linux/apparmor-profile": (Place((*_ABSENT, "", " a", 1), "I5", ".profile"),),
    "resource/cpu": (*_LIMIT, Place((True,), "I5", ".default"), Place(("1000",), "I3", ".request")),
    "resource/memory": (*_LIMIT, Place((True,), "I5", ".default"), Place(("4095", "16m"), "I3", ".limit")),
    "resource/block-bandwidth": _RATE,
    "resource/block-iops": _RATE,
    "resource/network-bandwidth": _RATE,
    "os/unix/sysctl": (Place(("", [], {}), "I5"), Place((1, "a\nb"), "I5", ".kernel.sem")),
}


class Break(NamedTuple):
    """A manifest with one thing wrong, and what the error has to say about it."""

    manifest: Any
    path: str
    rule: str
    value: Any


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in `value`, as names and numbers."""
    yield path
    if isinstance(value, dict):
        for name in value:
            yield from places(value[name], (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))


def shown(path: tuple[Any, ...]) -> str:
    """A path as errors show it; its names are plain words."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".") if path else ""


def at(manifest: Any, path: tuple[Any, ...]) -> Any:
    """The value at `path`."""
    for part in path:
        manifest = manifest[part]
    return manifest


def replaced(manifest: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of `manifest` with `value` at `path`; GONE takes the member away."""
    if not path:
        return value
    result = copy.deepcopy(manifest)
    node = at(result, path[:-1])
    if value is GONE:
        node.pop(path[-1], None)
    else:
        node[path[-1]] = value
    return result


def _table(pattern: str, kind: str) -> list[Place]:
    for expression, table in _PARTS:
        found = expression.fullmatch(pattern)
        if found and found[2] in table:
            return table[found[2]]
    return {"ImageManifest": IMAGE, "PodManifest": POD}[kind].get(pattern, [])


def candidates(manifest: dict[str, Any]) -> list[tuple[tuple[Any, ...], Any, str, str]]:
    """What can be broken in a valid manifest: (path, what to put there, path of the error, rule)."""
    found = []
    for path in places(manifest):
        text = shown(path)
        pattern = re.sub(r"\[\d+\]", "[]", text)
        tables = _table(pattern, manifest["acKind"])
        if text.endswith(".exec[0]") and pattern.endswith("app.exec[]"):
            tables = [*tables, *APP[".exec[0]"]]
        found += [(path, value, text + place.at, place.rule) for place in tables for value in place.values]
        if pattern.endswith("isolators[].value"):
            found += _values(at(manifest, path[:-1]), path, text)
    return found


def _values(isolator: dict[str, Any], path: tuple[Any, ...], text: str) -> Iterator[tuple[tuple[Any, ...], Any, str, str]]:
    for place in VALUES.get(isolator["name"], ()):
        member = place.at.removeprefix(".").removesuffix("[0]")
        if member == "limit" and "request" in isolator["value"]:
            continue  # a request above the new limit would be wrong too
        for value in place.values:
            yield (*path, member) if member else path, value, _member(text, place.at), place.rule


def _member(text: str, at: str) -> str:
    return f'{text}["kernel.sem"]' if at == ".kernel.sem" else text + at


def broken(manifest: dict[str, Any], choice: tuple[tuple[Any, ...], Any, str, str]) -> Break:
    """The manifest with one of its `candidates` carried out."""
    path, value, where, rule = choice
    return Break(replaced(manifest, path, value), where, rule, value)
