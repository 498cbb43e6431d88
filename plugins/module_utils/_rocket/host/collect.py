# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Old runtimes: which are in use by a running launcher, and the removal of the others."""

from __future__ import annotations

import fcntl
import os

from ..errors import Busy
from ..plan import Plan, Step
from . import entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def installed(root: str) -> list[str]:
    """Return the digests below `root`, sorted."""
    if not os.path.isdir(root):
        return []
    return sorted(name for name in os.listdir(root) if name.startswith("sha512-"))


def current(root: str) -> str:
    """Return the digest that ``current`` points at; empty where nothing is installed."""
    try:
        return os.readlink(f"{root}/current")
    except OSError:
        return ""


def in_use(root: str) -> list[str]:
    """Return the digests that a running launcher holds: pods run from them."""
    return [digest for digest in installed(root) if not _free(f"{root}/{digest}", remove=False)]


def plan_collect(root: str, keep: Iterable[str] = ()) -> Plan:
    """Return the removal of every digest that no process runs from.

    Args:
        root: directory of the runtimes.
        keep: digests that stay; the current one where none is named.
    """
    kept = {*in_use(root), *(list(keep) or [current(root)])}
    left = [name for name in (os.listdir(root) if os.path.isdir(root) else []) if name.startswith(".staged-")]
    steps = [Step("remove", f"{root}/{digest}", "no pod runs from it") for digest in installed(root) if digest not in kept]
    steps += [Step("remove", f"{root}/{name}", "left by an interrupted installation") for name in sorted(left) if not _alive(name)]
    return Plan("runtimes", tuple(steps), before=installed(root), after=sorted(set(installed(root)) & kept))


def plan_uninstall(root: str, link: str) -> Plan:
    """Return the removal of every runtime and of the command; empty where none is.

    Raises:
        Busy: a pod or command runs from one of them.
    """
    used = in_use(root)
    if used:
        raise Busy("a pod runs from the runtime", where=f"{root}/{used[0]}", hint="stop the pods of this host first (rocket list)")
    links = [path for path in (link, f"{root}/current") if os.path.islink(path) and _is_ours(path, root)]
    steps = [Step("remove", path, "the runtime is to be absent") for path in (*links, *(f"{root}/{name}" for name in installed(root)))]
    before = {"digest": current(root)} if current(root) else None
    return Plan("runtime", tuple(steps), before=before if steps else None)


def _is_ours(path: str, root: str) -> bool:
    target = os.readlink(path)
    return target.startswith((f"{root}/", "sha512-"))


def _alive(name: str) -> bool:
    return os.path.exists(f"/proc/{name.rpartition('-')[2]}")


def apply(plan: Plan) -> list[str]:
    """Remove what the plan says, unless a launcher took hold of it since; return what was removed.

    Raises:
        StoreError, OSError: a directory cannot be removed.
    """
    from ..image.remove import remove_tree

    removed = []
    for step in plan.steps:
        if os.path.islink(step.subject):
            os.unlink(step.subject)
            removed.append(step.subject)
        elif os.path.basename(step.subject).startswith(".") or _free(step.subject, remove=True):
            remove_tree(step.subject)
            removed.append(step.subject)
    return removed


def _free(directory: str, *, remove: bool) -> bool:
    try:
        descriptor = os.open(f"{directory}/{entry.LOCK}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True  # a removal that was interrupted
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if remove:
            # Under the lock: a launcher that opened the file before sees no link left and starts again.
            os.unlink(f"{directory}/{entry.LOCK}")
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
