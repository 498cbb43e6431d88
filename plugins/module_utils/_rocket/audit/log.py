# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Writing the audit log of a host (docs/audit-log.md).

An event is on the disk before what it tells of is done; what cannot be written is not done, unless the relaxation ``audit`` says
so. A line that a crash cut short stays where it is: the next event is preceded by one that tells of it.

Not handled here: reading and verifying (chain.py), keeping what a host said elsewhere (playbooks/audit.yml).
"""

from __future__ import annotations

import fcntl
import os
import time

from ..errors import RocketError, StoreError, TrustError, printable
from .actor import actor
from .append_only import freed, set_append_only
from .line import ALLOWED, FAILED, PRUNE, REFUSED, REPAIR, Head, encode, line_digest
from .segments import KEEP, ROTATE, head_of, head_of_file, segment_path, segments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from ..paths import Paths

RELAXATION = "audit"
_RESERVE = 256 << 10
_FALLOC_FL_KEEP_SIZE = 1


def record(paths: Paths, action: str, subject: str, outcome: str = ALLOWED, **facts: Any) -> Head:
    """Write down what is about to be done, or what was refused; return when it is on the disk.

    Args:
        paths: of the host.
        action: the verb: ``fetch``, ``trust``, ``run``, ``stop``, ...
        subject: what it is done to.
        outcome: ``allowed``, ``refused`` or ``failed``.
        facts: JSON values; no secrets.

    Returns:
        Where the log ends now.

    Raises:
        StoreError: it cannot be written, and ``audit`` is not among the relaxations in force: do not do it.
    """
    try:
        return _append(paths, {"action": action, "subject": subject, "outcome": outcome, "facts": facts})
    except StoreError as error:
        if RELAXATION not in actor().insecure:
            raise
        actor().tell(f"not in the audit log: {action} {subject}: {error}")
        return Head()


class Acting:
    """What is done within is written down before; that it failed or was refused, after.

    Args:
        paths, action, subject, facts: as for `record`.
        ahead: whether it is written down before; False writes refusals and failures alone.
    """

    def __init__(self, paths: Paths, action: str, subject: str, ahead: bool = True, **facts: Any) -> None:
        self._paths = paths
        self._action = action
        self._subject = subject
        self._ahead = ahead
        self._facts = facts

    def __enter__(self) -> Acting:
        if self._ahead:
            record(self._paths, self._action, self._subject, **self._facts)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, RocketError) and error.code not in ("usage", "busy"):
            outcome = REFUSED if isinstance(error, TrustError) else FAILED
            try:
                record(self._paths, self._action, self._subject, outcome, **self._facts, code=error.code, why=printable(str(error), 400))
            except StoreError as second:
                error.what = f"{error.what} (and the audit log does not take it: {second})"


def read_head(paths: Paths) -> Head:
    """Return where the log ends now.

    Raises:
        StoreError: it cannot be read, or its end is damaged.
    """
    path = paths.audit_log
    try:
        for place in (path, *reversed(segments(path))):
            try:
                head = head_of_file(place)
            except FileNotFoundError:
                continue
            if head.seq:
                return head
    except OSError as error:
        raise StoreError(
            f"the audit log cannot be read: {error.strerror or error}", where=path, hint="run as root", code="audit"
        ) from error
    return Head()


def _append(paths: Paths, event: dict[str, Any]) -> Head:
    path = paths.audit_log
    try:
        fd = _locked(path)
        try:
            head, behind = head_of(fd, path)
            if not head.seq or behind or os.fstat(fd).st_size < ROTATE:
                return _continue(fd, path, head, behind, event)
            _move_away(fd, path, head)
        finally:
            os.close(fd)
        _prune(paths)
    except OSError as error:
        raise _refuse(path, error) from error
    return _append(paths, event)


def _continue(fd: int, path: str, head: Head, behind: int, event: dict[str, Any]) -> Head:
    """Write the event as the next one of this file, the first of a new file as the next one of the file before it."""
    full = segments(path) if not head.seq else []
    if full:
        head = head_of_file(full[-1])
    lines: list[bytes] = []
    if behind:
        head = _line(lines, head, _repair(fd, behind))
    head = _line(lines, head, event)
    # What a crash left behind has no newline of its own, or one too many, which says nothing.
    data = (b"\n" if behind else b"") + b"".join(line + b"\n" for line in lines)
    _reserve(fd, len(data))
    written = os.write(fd, data)
    os.fdatasync(fd)
    if written < len(data):
        raise StoreError("no space left for the audit log", where=path, hint=_HINT, code="disk-full")
    return head


def _locked(path: str) -> int:
    """Return the log, open and locked by this process alone; made where it is missing."""
    while True:
        fd = _open(path)
        try:
            found = os.fstat(fd)
            if found.st_mode & 0o170000 != 0o100000 or found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
                raise StoreError(
                    "the audit log is not a file that this user alone can write",
                    where=path,
                    hint="keep it for review, then move it away",
                    code="store-layout",
                )
            fcntl.flock(fd, fcntl.LOCK_EX)
            # Whoever held the lock may have moved a full file away.
            named = os.stat(path, follow_symlinks=False)
            if (named.st_dev, named.st_ino) == (found.st_dev, found.st_ino):
                return fd
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _open(path: str) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        _make_directory(os.path.dirname(path))
        fd = os.open(path, flags | os.O_CREAT, 0o600)
        _sync_directory(path)
        return fd


def _make_directory(path: str) -> None:
    """Make a directory and its parents with mode 0755, whatever the umask; what is there stays as it is."""
    if path in ("", "/") or os.path.isdir(path):
        return
    _make_directory(os.path.dirname(path))
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return


def _sync_directory(path: str) -> None:
    fd = os.open(os.path.dirname(path) or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _line(lines: list[bytes], head: Head, event: dict[str, Any]) -> Head:
    """Add the line of an event that comes after `head`, and return the head then."""
    acting = actor()
    line = encode(
        {
            **event,
            "seq": head.seq + 1,
            "prev": head.head,
            "time": int(time.time()),
            "boot": _boot_id(),
            "by": acting.to_json(),
            "insecure": list(acting.insecure),
        }
    )
    lines.append(line)
    return Head(head.seq + 1, line_digest(line))


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as source:
            return source.read().strip()
    except OSError:
        return ""


def _repair(fd: int, behind: int) -> dict[str, Any]:
    """Return the event that tells of what a crash left behind the last event."""
    left = os.pread(fd, behind, os.fstat(fd).st_size - behind)
    facts = {"bytes": len(left), "digest": line_digest(left)}
    return {"action": REPAIR, "subject": "audit.log", "outcome": ALLOWED, "facts": facts}


_HINT = f"free space there and repeat; nothing was done. --insecure-options={RELAXATION} goes on without a record"


def _refuse(path: str, error: OSError) -> StoreError:
    full = error.errno in (28, 122)  # ENOSPC, EDQUOT
    return StoreError(
        f"the audit log cannot be written: {error.strerror or error}",
        where=path,
        hint=_HINT if full else f"run as root, and check the file system. --insecure-options={RELAXATION} goes on without a record",
        code="disk-full" if full else "audit",
    )


def _reserve(fd: int, need: int) -> None:
    """Have blocks beyond the end of the file, so that what frees space on a full disk can still be written down.

    Where the file system cannot, or has nothing left, the write itself decides.
    """
    found = os.fstat(fd)
    if found.st_blocks * 512 - found.st_size > need + _RESERVE // 4:
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    allocate = getattr(libc, "fallocate64", None) or getattr(libc, "fallocate", None)
    if allocate is not None:
        allocate(fd, _FALLOC_FL_KEEP_SIZE, ctypes.c_longlong(found.st_size), ctypes.c_longlong(_RESERVE))


def _move_away(fd: int, path: str, head: Head) -> None:
    """Move a full file away; the next event begins a new one."""
    bound = freed(path)
    place = segment_path(path, head.seq)
    os.rename(path, place)
    if bound:
        set_append_only(fd, True)
        new = _open(path)
        try:
            set_append_only(new, True)
        finally:
            os.close(new)
    _sync_directory(path)


def _prune(paths: Paths) -> None:
    """Drop the oldest full files where there are too many; that they go is an event as well."""
    for oldest in segments(paths.audit_log)[:-KEEP]:
        try:
            gone = head_of_file(oldest)
            freed(oldest)
            _append(paths, {"action": PRUNE, "subject": os.path.basename(oldest), "outcome": ALLOWED, "facts": gone.to_json()})
            os.unlink(oldest)
        except FileNotFoundError:
            continue  # Another process, which moved the next one away, was faster.
        _sync_directory(oldest)
