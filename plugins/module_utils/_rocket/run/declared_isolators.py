# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Isolators as a declaration writes them: a short form by everyday words, or the specification's own list.

=================== ================================ =========================================== =====
word                value                            isolator                                    scope
=================== ================================ =========================================== =====
memory              ``256Mi`` or {request, limit}    ``resource/memory``                         both
cpu                 ``500m`` or {request, limit}     ``resource/cpu``                            both
pids                a number                         ``appc.rocket/pids`` (ours)                 both
capabilities        list: exactly these are kept     ``os/linux/capabilities-retain-set``        app
no_new_privileges   boolean                          ``os/linux/no-new-privileges``              app
=================== ================================ =========================================== =====

An empty list of capabilities keeps none: the specification refuses an empty set, so that it becomes the removal of all 14
defaults, which is the same bound.
"""

from __future__ import annotations

from ..errors import SpecError
from ..spec.isolator_values import read_pids
from ..spec.isolators import DEFAULT_CAPABILITIES, EXCLUSIVE, parse_isolators
from ..spec.quantity import parse_cpu, parse_quantity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..spec.reading import Node

PIDS = "appc.rocket/pids"
MEMORY, CPU = "resource/memory", "resource/cpu"
RETAIN, REMOVE = "os/linux/capabilities-retain-set", "os/linux/capabilities-remove-set"
NO_NEW_PRIVILEGES = "os/linux/no-new-privileges"


def family(name: str) -> tuple[str, ...]:
    """Return the names that exclude each other with isolator `name`, itself among them (I5): one takes the place of another."""
    return next((names for names in EXCLUSIVE if name in names), (name,))


def declared_isolators(node: Node, scope: str) -> list[dict[str, Any]]:
    """Return the isolators of a declaration as the specification's list, sorted by name.

    Args:
        node: the member ``isolators``: an object of short words, or a list.
        scope: ``app`` or ``pod``.

    Raises:
        SpecError: an unknown word, a value of the wrong type, or an isolator that breaks I1 to I5; names the JSON path.
    """
    if not isinstance(node.value, dict):
        if not isinstance(node.value, (list, tuple)):
            raise node.error("an object such as memory: 256Mi or a list of isolators was expected", "T6")
        listed = list(node.value)
    else:
        listed = _from_words(node, scope)
    parse_isolators(listed, node.path, scope)
    return sorted(
        ({"name": isolator["name"], "value": isolator["value"]} for isolator in listed), key=lambda isolator: str(isolator["name"])
    )


def _from_words(node: Node, scope: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = []

    def add(name: str, value: Any) -> None:
        listed.append({"name": name, "value": value})

    memory, cpu, pids = node.optional("memory"), node.optional("cpu"), node.optional("pids")
    if memory is not None:
        add(MEMORY, _resource(memory, parse_quantity))
    if cpu is not None:
        add(CPU, _resource(cpu, parse_cpu))
    if pids is not None:
        add(PIDS, {"limit": read_pids(pids)})
    if scope == "app":
        capabilities, no_new = node.optional("capabilities"), node.optional("no_new_privileges")
        if capabilities is not None:
            kept = sorted(item.text() for item in capabilities.items())
            add(RETAIN, {"set": kept}) if kept else add(REMOVE, {"set": sorted(DEFAULT_CAPABILITIES)})
        if no_new is not None:
            add(NO_NEW_PRIVILEGES, no_new.boolean())
    node.refuse_unknown()
    return listed


def _resource(node: Node, parse: Any) -> dict[str, Any]:
    """Return the value of a resource isolator from ``256Mi`` or ``{request: 128Mi, limit: 256Mi}``."""
    if not isinstance(node.value, dict):
        return {"limit": _quantity(node, parse)}
    members = {name: part for name in ("request", "limit") if (part := node.optional(name)) is not None}
    node.refuse_unknown()
    if not members:
        raise SpecError("a request or a limit is required", path=node.path, rule="I3")
    return {name: _quantity(part, parse) for name, part in members.items()}


def _quantity(node: Node, parse: Any) -> Any:
    if isinstance(node.value, float):
        raise node.error("an integer or a quantity in quotes was expected", "I4", hint='write 500m or "0.5"')
    parse(node.value, node.path)
    return node.value
