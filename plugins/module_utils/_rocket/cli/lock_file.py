# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Lock files on disk: YAML, read so that nothing of it is lost."""

from __future__ import annotations

from ..errors import MissingPackage, SpecError, UsageError, printable
from ..spec.lock import Lock
from . import packages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LIMIT = 16 << 20


def read_lock(path: str) -> Lock:
    """Return the lock in the file at `path`.

    Raises:
        UsageError: there is no such file, or it is no YAML.
        SpecError: it is no lock; names the place in it.
        MissingPackage: PyYAML is not installed.
    """
    try:
        return Lock.from_json(read_yaml(path))
    except SpecError as error:
        error.where = f"{path}: {error.where}" if error.where else path
        raise


def read_yaml(path: str) -> Any:
    """Return the value in the YAML file at `path`; a member given twice is refused, as two readers could disagree about it.

    Raises:
        UsageError: there is no such file, or it is no YAML.
        MissingPackage: PyYAML is not installed.
    """
    from ..store.files import read_limited

    packages.reach()
    try:
        import yaml
    except ImportError as error:
        raise MissingPackage("yaml", "reading YAML") from error

    class Strict(yaml.SafeLoader):
        """Refuses what plain YAML lets pass."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [self.construct_object(key, deep=True) for key, _value in node.value]
            for number, key in enumerate(keys):
                if key in keys[:number]:
                    raise yaml.constructor.ConstructorError(None, None, f"{printable(key)} is given twice", node.start_mark)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(read_limited(path, _LIMIT), Loader=Strict)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=path, hint="name a YAML file") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise UsageError(f"is no YAML: {printable(problem, 300)}", where=path, hint="correct it there") from error
