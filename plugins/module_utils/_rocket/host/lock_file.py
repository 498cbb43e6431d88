# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Lock files on disk: YAML, read so that nothing of it is lost, and written where the images are others. Observe, plan, apply."""

from __future__ import annotations

import os

from ..errors import HostError, MissingPackage, SpecError, StoreError, UsageError, printable
from ..plan import Plan, Step
from ..platform import host
from ..record import Record
from ..spec.lock import Lock, changes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..fetch.locking import Locking
    from ..spec.lock import Change

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
        return yaml.load(read_limited(os.path.realpath(path), _LIMIT), Loader=Strict)
    except StoreError as error:
        raise UsageError(f"cannot be read: {error.what}", where=path, hint="name a YAML file") from error
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=path, hint="name a YAML file") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise UsageError(f"is no YAML: {printable(problem, 300)}", where=path, hint="correct it there") from error


def there(path: str) -> Lock | None:
    """Return the lock in the file at `path`; None where there is no such file; raises as read_lock()."""
    return read_lock(path) if os.path.lexists(path) else None


class Outcome(Record):
    """What a plan is about.

    Attributes:
        plan: the steps.
        lock: what the file holds in the end.
        changes: which references mean other images than in the former file.
    """

    plan: Plan
    lock: Lock
    changes: tuple[Change, ...] = ()


def plan_file(path: str, references: Iterable[str], locking: Locking, platforms: Sequence[str] = (), update: bool = False) -> Outcome:
    """Return the steps after which the file at `path` locks these references.

    Args:
        path: of the lock file.
        references: as declarations have them.
        locking: what resolves those that are not locked, fetching their images.
        platforms: ``os/arch`` of the hosts; by default those that the file names, else this host's.
        update: whether to ask for all anew.

    Raises:
        UsageError, SpecError: the file is no lock, or cannot be where it is to be.
        RocketError: an image cannot be had; names the reference.
    """
    before = there(path)
    _check_place(path)
    named = sorted({image.platform for image in before.images if image.platform}) if before else []
    after = locking.resolve(references, list(dict.fromkeys(platforms)) or named or [host()], None if update else before)
    return Outcome(plan_lock(path, before, after), after, changes(before or Lock(), after))


def plan_lock(path: str, before: Lock | None, after: Lock) -> Plan:
    """Return the steps after which the file at `path` holds the lock `after`; each reference that means another image is drift."""
    found = changes(before or Lock(), after)
    drift = tuple(
        f"{change.reference}{f' for {change.platform}' if change.platform else ''}: {change.before} became {change.after}"
        for change in found
        if change.drifted
    )
    if before == after:
        return Plan(path, (), before.to_json(), after.to_json())
    reason = "missing" if before is None else f"{len(found)} references mean other images" if found else "facts about the images changed"
    step = Step("write", path, reason)
    return Plan(path, (step,), before.to_json() if before else None, after.to_json(), drift)


def _check_place(path: str) -> None:
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise UsageError("its directory does not exist", where=path, hint="make it first")


def write_lock(path: str, lock: Lock) -> None:
    """Write a lock to the file at `path`, complete or not at all; where `path` is a link, to what it leads to.

    Raises:
        StoreError, HostError: it cannot be written.
    """
    from ..store.files import write_atomic

    place = os.path.realpath(path)
    try:
        mode = os.stat(place).st_mode & 0o777
    except FileNotFoundError:
        mode = 0o644
    except OSError as error:
        raise HostError(f"cannot be looked at ({error.strerror})", where=path) from error
    write_atomic(place, lock.to_yaml().encode("ascii"), mode)
