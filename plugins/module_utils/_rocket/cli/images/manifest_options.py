# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The options that say what an image manifest says, and the manifest that they make, alone or laid over another one."""

from __future__ import annotations

from ...errors import UsageError
from .. import words
from ..options import Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ...spec.image_manifest import ImageManifest
    from ..options import Values

USAGE = "rocket image build"

OPTIONS = (
    Option("--name", "name of the image", "NAME"),
    Option("--label", "a label: version=1.0, and os=linux and arch=amd64 where it needs them; none is filled in", "NAME=VALUE", True),
    Option("--exec", "the program of the app; its arguments follow --", "PATH"),
    Option("--user", "user name or number, or a path of the image", "USER"),
    Option("--group", "group name or number, or a path of the image", "GROUP"),
    Option("--supplementary-gids", "further group numbers", "GID,..."),
    Option("--working-dir", "directory to start in", "PATH"),
    Option("--environment", "environment of the app", "NAME=VALUE", True),
    Option("--mount", "a place for a volume", "NAME,path=PATH[,readOnly=true]", True),
    Option("--port", "a port where it listens, or count= of them; socketActivated=true", "NAME,protocol=tcp,port=NUMBER", True),
    Option("--isolator", 'a limit: resource/memory={"limit":"64Mi"}', "NAME=JSON", True),
    Option("--event-handler", 'pre-start or post-stop; with arguments: ["/bin/x","-v"]', "NAME=PATH", True),
    Option("--annotation", "an annotation", "NAME=VALUE", True),
    Option("--dependency", "an image whose files lie below", "NAME[:VERSION][,LABEL=VALUE,...][@IMAGE-ID]", True),
    Option("--path-whitelist", "keep this path; what is not listed goes", "PATH", True),
)


def manifest(base: Any, values: Values, arguments: Sequence[str]) -> ImageManifest:
    """Return the manifest `base`, a JSON value that is empty or hostile, with what the options and the words after ``--`` say.

    Raises:
        UsageError: an option that cannot be understood, or one that is missing.
        SpecError: the result breaks a rule.
    """
    from ...spec.changes import laid_over
    from ...spec.image_manifest import ImageManifest

    made = laid_over(base, changes(base, values, arguments))
    if made.get("name") is None:
        raise UsageError("the image has no name (M3)", where=USAGE, hint="give --name=example.com/shop/web, or a manifest that has one")
    app = made.get("app")
    if isinstance(app, dict) and (app.get("user") is None or app.get("group") is None):
        raise UsageError("an app has a user and a group (M7)", where=USAGE, hint="give both; --user=0 --group=0 is root")
    return ImageManifest.from_json(made)


def changes(base: Any, values: Values, arguments: Sequence[str]) -> dict[str, Any]:
    """Return what the options say, as a part of an image manifest; `base` matters for arguments of its own program alone.

    Raises:
        UsageError, SpecError: as manifest().
    """
    from ...spec.changes import dependency

    app: dict[str, Any] = {}
    for option, member in (("--user", "user"), ("--group", "group"), ("--working-dir", "workingDirectory")):
        if values.has(option):
            app[member] = values.text(option)
    if values.has("--exec") or arguments:
        app["exec"] = [*([values.text("--exec")] if values.has("--exec") else _own_exec(base)), *arguments]
    if values.has("--supplementary-gids"):
        app["supplementaryGIDs"] = words.numbers(values.text("--supplementary-gids"), "--supplementary-gids")
    for option, member, read in (
        ("--environment", "environment", _named),
        ("--mount", "mountPoints", _mount),
        ("--port", "ports", _port),
        ("--isolator", "isolators", _isolator),
        ("--event-handler", "eventHandlers", _event_handler),
    ):
        if values.has(option):
            app[member] = [read(text, option) for text in values.every(option)]
    found: dict[str, Any] = {"app": app} if app else {}
    if values.has("--name"):
        found["name"] = values.text("--name")
    for option, member in (("--label", "labels"), ("--annotation", "annotations")):
        if values.has(option):
            found[member] = [_named(text, option) for text in values.every(option)]
    if values.has("--dependency"):
        found["dependencies"] = [dependency(text, "--dependency") for text in values.every("--dependency")]
    if values.has("--path-whitelist"):
        found["pathWhitelist"] = values.every("--path-whitelist")
    return found


def _own_exec(base: Any) -> list[Any]:
    """Return the program and arguments of the base, which further arguments follow, as those of ``rocket run`` do."""
    from ...spec.reading import Node

    app = Node(base, "").optional("app")
    program = app.optional("exec") if app is not None else None
    if program is None:
        raise UsageError("there is no program to give arguments to", where=USAGE, hint="name one with --exec=PATH")
    return [item.value for item in program.items("M6")]


def _named(text: str, option: str) -> dict[str, Any]:
    name, value = words.assignment(text, option)
    return {"name": name, "value": value}


def _mount(text: str, option: str) -> dict[str, Any]:
    name, found = _members(text, option, ("path", "readOnly"))
    point: dict[str, Any] = {"name": name, "path": found.get("path")}
    if "readOnly" in found:
        point["readOnly"] = words.boolean(found["readOnly"], f"{option}={text}")
    return point


def _port(text: str, option: str) -> dict[str, Any]:
    name, found = _members(text, option, ("protocol", "port", "count", "socketActivated"))
    port: dict[str, Any] = {"name": name, "protocol": found.get("protocol")}
    for member in ("port", "count"):
        if member in found:
            port[member] = words.number(found[member], f"{option}={text}")
    if "socketActivated" in found:
        port["socketActivated"] = words.boolean(found["socketActivated"], f"{option}={text}")
    return port


def _members(text: str, option: str, names: Sequence[str]) -> tuple[str, dict[str, str]]:
    name, comma, rest = text.partition(",")
    if not comma:
        raise UsageError(f"expects a name and {names[0]}=, not {text!r}", where=option)
    return name, words.members(rest, option, names, USAGE)


def _isolator(text: str, option: str) -> dict[str, Any]:
    from ...spec.reading import load

    name, value = words.assignment(text, option)
    return {"name": name, "value": load(value.encode("utf-8", "surrogateescape"), f"{option}={name}")}


def _event_handler(text: str, option: str) -> dict[str, Any]:
    from ...spec.reading import load

    name, program = words.assignment(text, option)
    listed = load(program.encode("utf-8", "surrogateescape"), f"{option}={name}") if program.startswith("[") else [program]
    return {"name": name, "exec": listed}
