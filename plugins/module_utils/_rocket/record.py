# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Immutable values with named fields: what a frozen dataclass is, without the import of ``dataclasses``.

Importing ``dataclasses`` costs as much as a whole launch (docs/adr/0002-records.md). Type checkers see a frozen
dataclass through PEP 681.

Not handled here: mutable defaults (refused), ordering, slots.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, TypeVar

    from typing_extensions import dataclass_transform

    R = TypeVar("R", bound="Record")
else:

    def dataclass_transform(**_options):
        """Stand-in for typing.dataclass_transform where nothing checks types."""
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Record:
    """Base of immutable values; a subclass lists its fields as annotations, with defaults behind ``=``."""

    _fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        own = cls.__dict__.get("__annotations__", {})
        names = [name for name in own if not name.startswith("_") and name not in cls._fields]
        for name in names:
            if isinstance(cls.__dict__.get(name), (list, dict, set)):
                raise TypeError(f"{cls.__name__}.{name}: a default must be immutable")
        cls._fields = (*cls._fields, *names)

    if not TYPE_CHECKING:

        def __init__(self, *values, **named):
            fields = type(self)._fields
            if len(values) > len(fields):
                raise TypeError(f"{type(self).__name__} takes {len(fields)} values, {len(values)} were given")
            state = self.__dict__
            for name, value in zip(fields, values):
                state[name] = value
            for name, value in named.items():
                if name not in fields or name in state:
                    raise TypeError(f"{type(self).__name__}: unexpected or repeated field {name!r}")
                state[name] = value
            for name in fields:
                if name not in state:
                    if not hasattr(type(self), name):
                        raise TypeError(f"{type(self).__name__}: field {name!r} is missing")
                    state[name] = getattr(type(self), name)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be removed")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.__dict__[name] for name in self._fields)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={self.__dict__[n]!r}' for n in self._fields)})"


def replace(record: R, **changes: Any) -> R:
    """Return a copy of `record` with some fields changed."""
    return type(record)(**{**record.__dict__, **changes})
