# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Where our reading of manifests differs from the library's on purpose: rows for actool.Differences.

The rule is a number of docs/spec-conformance.md, or JSON for how documents are read at all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from actool import IT_CRASHES, WE_ACCEPT, WE_REFUSE, Difference

from _rocket.spec.isolators import ISOLATORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What is read by the same code in several places, under one name.
_SAME = (
    (r"^apps\[\]\.app\b", "app"),
    (r"^apps\[\]\.mounts\[\]\.appVolume\b", "volumes[]"),
    (r"^ports\[\]\.podPort\b", "app.ports[]"),
    (r"^(apps\[\]\.image|dependencies\[\])\.labels\b", "labels"),
    (r"^apps\[\]\.annotations\b", "annotations"),
    (r"^app\.isolators\b", "isolators"),
)
MISSING, EMPTY, UNIQUE = "is required", "must not be empty", "must be unique"


def place(path: str) -> str:
    """The JSON path of a refusal without numbers, and one name for what is read by the same code."""
    path = re.sub(r"\[\d+\]", "[]", path)
    for expression, name in _SAME:
        path = re.sub(expression, name, path)
    return path


def _refuses(name: str, rule: str, places: str, says: str = "", value: Callable[[Any], bool] | None = None) -> Difference:
    """We refuse by `rule` at one of `places` (words), with `says` in what we say and a value that fits."""

    def applies(_manifest: Any, refusal: Any) -> bool:
        if refusal is None or (rule != "JSON" and refusal.rule != rule) or not re.search(says, refusal.what):
            return False
        return (not places or place(refusal.path) in places.split()) and (value is None or value(refusal.value))

    return Difference(name, rule, WE_REFUSE, applies)


def _text(expression: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(expression, value, re.DOTALL) is not None


def _number(check: Callable[[int], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and check(value)


def _objects(value: Any, within: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All objects in a manifest that may be broken, each with the name of the list or member that holds it."""
    if isinstance(value, dict):
        yield within, value
        for name, item in value.items():
            yield from _objects(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item, within)


def _isolators(manifest: Any) -> Iterator[dict[str, Any]]:
    return (item for within, item in _objects(manifest) if within == "isolators")


def _unknown_isolator(manifest: Any, refusal: Any) -> bool:
    return refusal is None and any(item["name"] not in ISOLATORS for item in _isolators(manifest))


def _apparmor(manifest: Any, refusal: Any) -> bool:
    return refusal is None and any(item["name"] == "os/linux/apparmor-profile" for item in _isolators(manifest))


def _kilo(manifest: Any, refusal: Any) -> bool:
    values = [item["value"] for item in _isolators(manifest) if item["name"].startswith("resource/")]
    return refusal is None and any(re.fullmatch(r"[\d.]+K", str(text)) for value in values for text in value.values())


def _riscv(manifest: Any, refusal: Any) -> bool:
    return refusal is None and ("labels", {"name": "arch", "value": "riscv64"}) in list(_objects(manifest))


def _no_value(manifest: Any, refusal: Any) -> bool:
    return refusal is not None and any(item.get("value") is None and item.get("name") in ISOLATORS for item in _isolators(manifest))


def _another_case(_manifest: Any, refusal: Any) -> bool:
    return refusal is not None and "case-sensitive" in refusal.hint


def _no_kind(_manifest: Any, refusal: Any) -> bool:
    return refusal is not None and refusal.rule in ("M1", "P4") and refusal.path == "acKind"


_LONG = _text(".{64,}")
_NOBODY = _number(lambda number: not 0 <= number < 2**31 - 1)
_LABELS = " ".join(f"isolators[].value.{part}" for part in ("user", "role", "type", "level"))
_LIST_SCOPE = "isolators[].name"
_SET = "isolators[].value.set[]"
_LIMITS = "isolators[].value.limit isolators[].value.request"
ROWS = [
    _refuses("a member given twice", "JSON", "", "is given twice"),
    _refuses("a fraction, also where nobody reads it", "JSON", "", "only integers are allowed"),
    _refuses("a list with null in it", "JSON", "", "null is not an item"),
    _refuses("a text with NUL", "JSON", "", "without NUL"),
    Difference(
        "a member name in another case",
        "JSON",
        WE_REFUSE,
        lambda _manifest, refusal: refusal is not None and "case-sensitive" in refusal.hint,
    ),
    _refuses("two separators side by side in an identifier", "T1", "", "AC Identifier", _text(r"[a-z0-9][-a-z0-9._~/]*[a-z0-9]")),
    _refuses("an identifier above 255 characters", "T1", "", "at most", _LONG),
    _refuses("two dashes side by side in a name", "T2", "", "AC Name", _text(r"[a-z0-9][-a-z0-9]*[a-z0-9]")),
    _refuses("a name of an app above 63 characters, another above 255", "T2", "", "at most", _LONG),
    _refuses("an acVersion that is none, or not compatible", "T4", "acVersion", "", _text(r"\d+\.\d+\.\d+.*")),
    _refuses("an image ID without all of its digits", "T5", "", "", _text(r"sha512-[^-]+")),
    _refuses("a time with a comma, a short hour or a zone of a day", "T7", "annotations[].value", "RFC 3339", _text(r"[-\d]+T\d?\d:.*")),
    _refuses("a label without name or value", "T9", "labels[].name labels[].value", MISSING),
    _refuses("an annotation without name or value", "T11", "annotations[].name annotations[].value", MISSING),
    _refuses("a web address without a host", "T11", "annotations[].value", "a host", _text(r"https?://.*")),
    _refuses("a string boolean that is none", "T11", "annotations[].value", '"true" or "false"'),
    _refuses(
        "a user's value that is null",
        "T12",
        "app.userLabels.a app.userAnnotations.a userLabels.a userAnnotations.a",
        "a string",
        lambda x: x is None,
    ),
    _refuses("a program without a name", "M6", "app.exec[]", EMPTY),
    _refuses("an owner's path with ..", "M7", "app.user app.group", "without ..", _text("/.*")),
    _refuses("a group that no process can have", "M8", "app.supplementaryGIDs[]", "", _NOBODY),
    _refuses("an event handler without a program", "M9", "app.eventHandlers[].exec", ""),
    _refuses("an event handler whose program has no name", "M9", "app.eventHandlers[].exec[]", EMPTY),
    _refuses("a working directory with ..", "M10", "app.workingDirectory", "without ..", _text("/.*")),
    _refuses("a working directory above the limit of paths", "M10", "app.workingDirectory", "at most 4095", _text("/.*")),
    _refuses("a variable without value", "M11", "app.environment[].value", MISSING),
    _refuses("a mountPoint without name or path", "M13", "app.mountPoints[].name app.mountPoints[].path", MISSING),
    _refuses("a mountPoint at no path below the root", "M13", "app.mountPoints[].path", "path"),
    _refuses("two mountPoints of one name", "M13", "app.mountPoints[].name", UNIQUE),
    _refuses("a port without name or protocol", "M14", "app.ports[].name app.ports[].protocol", MISSING),
    _refuses("a protocol that is not tcp, udp or sctp", "M14", "app.ports[].protocol", "one of", _text(".*")),
    _refuses("a port that counts none", "M14", "app.ports[].count", "", _number(lambda number: number == 0)),
    _refuses("two ports of one name", "M14", "app.ports[].name", UNIQUE),
    _refuses("a dependency of no size", "M16", "dependencies[].size", "", _number(lambda number: number == 0)),
    _refuses("a path of the whitelist that is none", "M17", "pathWhitelist[]", "path", _text(".*")),
    _refuses("a pod without acVersion or apps", "P4", "acVersion apps", MISSING),
    _refuses("a pod of no apps", "P4", "apps", "at least one"),
    _refuses("an app of a pod without name, image or image ID", "P5", "apps[].name apps[].image apps[].image.id", MISSING),
    _refuses("a mount without volume or path", "P8", "apps[].mounts[].volume apps[].mounts[].path", MISSING),
    _refuses("a mount of a volume that is none", "P8", "apps[].mounts[].volume", "name of a volume"),
    _refuses("a mount at no path below the root", "P8", "apps[].mounts[].path", "path"),
    _refuses("mounts inside each other", "P16", "apps[].mounts[].path", "lies on"),
    _refuses("an empty volume with recursive", "P10", "volumes[].recursive", "only a volume of kind host"),
    _refuses("a mode that is none", "P10", "volumes[].mode", ""),
    _refuses(
        "an owner of a volume that no process can be",
        "P10",
        "volumes[].uid volumes[].gid",
        "",
        _NOBODY,
    ),
    _refuses("a source with .. or above the limit of paths", "P10", "volumes[].source", "path", _text("/.*")),
    _refuses("an isolator of apps on a pod", "P11", _LIST_SCOPE, "belongs on an app"),
    _refuses("a port of the host that is none", "P12", "ports[].hostPort", ""),
    _refuses("an address of the host that is none", "P12", "ports[].hostIP", ""),
    _refuses("an exposed port without name, or by one that no app has", "P12", "ports[].name", ""),
    _refuses("ports of one name in two apps", "P12", "app.ports[].name", "unique among the apps"),
    _refuses("a request above the limit", "I3", "isolators[].value.request", "not above the limit"),
    _refuses("a limit of nothing", "I3", "isolators[].value.limit", "above 0"),
    _refuses("a resource without limit", "I3", "isolators[].value isolators[].value.limit", "", lambda value: not isinstance(value, str)),
    _refuses("less memory than a page", "I3", _LIMITS, "4096 bytes"),
    _refuses("a quantity below zero", "I4", _LIMITS, "negative"),
    _refuses("a quantity that ends in a point", "I4", _LIMITS, "a quantity was expected", _text(r"\d+\.")),
    _refuses("a quantity above 2**63-1", "I4", _LIMITS, "at most 9223372036854775807"),
    _refuses("two isolators of one name", "I5", _LIST_SCOPE, UNIQUE),
    _refuses("both sets of capabilities", "I5", _LIST_SCOPE, "exclude each other"),
    _refuses("two isolators that say the same of the processor", "I5", _LIST_SCOPE, "say the same thing"),
    _refuses("an isolator of pods on an app", "I5", _LIST_SCOPE, "belongs on a pod"),
    _refuses("a capability that no kernel knows", "I5", _SET, "name of a capability"),
    _refuses("a system call or wildcard that nobody knows", "I5", _SET, "system call|wildcard"),
    _refuses("a member of a set without a name", "I5", _SET, EMPTY),
    _refuses("an error that Linux does not know", "I5", "isolators[].value.errno", "", _text("[A-Z0-9]+")),
    _refuses(
        "a label of security that is no word",
        "I5",
        _LABELS,
        "printable",
    ),
    _refuses("sysctl that is empty", "I5", "isolators[].value", EMPTY),
    _refuses("sysctl that is not the pod's own", "I5", 'isolators[].value["kernel.core_pattern"]', "not the pod's own"),
    _refuses("sysctl with a line break", "I5", 'isolators[].value["kernel.sem"]', "without control characters"),
    _refuses("an AppArmor profile that is none", "I5", "isolators[].value.profile"),
    _refuses("an isolator without name or value that it does not look at", "T6", f"{_LIST_SCOPE} isolators[].value", MISSING),
    Difference("an isolator that nobody knows", "M12", WE_ACCEPT, _unknown_isolator),
    Difference("an AppArmor profile, which the library does not know", "I5", WE_ACCEPT, _apparmor),
    Difference("K for a thousand", "I4", WE_ACCEPT, _kilo),
    Difference("riscv64", "T10", WE_ACCEPT, _riscv),
    Difference("an isolator without value", "T6", IT_CRASHES, _no_value),
    Difference("a manifest without a kind", "M1", IT_CRASHES, _no_kind),
]
