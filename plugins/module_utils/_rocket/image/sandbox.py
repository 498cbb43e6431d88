# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Run a function over hostile data in a forked child with bounds, and bring its result back.

The child is no place of safety by itself: what it runs still holds the privileges to set owners. It bounds what an
archive can use up, and ends with its parent.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys

from ..errors import ArchiveError, HostError, RocketError, SpecError, StoreError
from .stream import over_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any

    from .limits import Limits

_SET_PDEATHSIG = 1
_NEWNS = 0x00020000
_REC, _PRIVATE = 0x4000, 0x40000
_CAP_SYS_ADMIN = 21
_MAX_REPORT = 1 << 20
_CLASSES: dict[str, type[RocketError]] = {each.__name__: each for each in (ArchiveError, StoreError, HostError)}


def run(work: Callable[[], dict[str, Any]], keep: Collection[int], limits: Limits) -> dict[str, Any]:
    """Return what `work` returns in a child, a JSON object.

    Args:
        work: what to do; catches the errors that it expects.
        keep: descriptors that the child keeps, besides 0 to 2.
        limits: file size, memory and CPU time.

    Raises:
        ArchiveError: the child exceeded its CPU time, or ended without a word.
        HostError: the child cannot be bounded.
    """
    bound = _prepare(limits)
    reader, writer = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _child(work, bound, parent, writer, keep)
    os.close(writer)
    try:
        text = _read(reader)
        _pid, status = os.waitpid(pid, 0)
        pid = 0
    finally:
        os.close(reader)
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return _result(text, status, limits)


def attempt(work: Callable[[], dict[str, Any]], keep: Collection[int], limits: Limits, what: str) -> dict[str, Any]:
    """Return what `work` returns in a child, as `run` does; an error of ours in it is raised here.

    Args:
        work: what to do.
        keep: descriptors that the child keeps, besides 0 to 2.
        limits: file size, memory and CPU time.
        what: for the message of an error of the host: ``the image cannot be unpacked``.

    Raises:
        ArchiveError, StoreError, HostError, SpecError: the one of the child; ArchiveError also as `run`.
    """
    report = run(lambda: _caught(work, what), keep, limits)
    if "error" not in report:
        return report
    error = report["error"]
    if error["class"] == "SpecError":
        raise SpecError(error["what"], path=error["where"], hint=error["hint"])
    raise _CLASSES.get(error["class"], ArchiveError)(error["what"], where=error["where"], hint=error["hint"], code=error["code"])


def _caught(work: Callable[[], dict[str, Any]], what: str) -> dict[str, Any]:
    try:
        return work()
    except RocketError as error:
        return {"error": {"class": type(error).__name__, **error.to_json()}}
    except MemoryError:
        return {"error": {"class": "ArchiveError", **over_limit("the archive asks for too much memory").to_json()}}
    except OSError as failure:
        refusal = StoreError(f"{what} ({failure.strerror})", hint="look at the file system of the store")
        return {"error": {"class": "StoreError", **refusal.to_json()}}


def _child(work: Callable[[], dict[str, Any]], bound: Callable[[int], None], parent: int, writer: int, keep: Collection[int]) -> None:
    """Never returns."""
    data = b""
    try:
        _close_all_but({0, 1, 2, writer, *keep})
        bound(parent)
        data = json.dumps(work()).encode("ascii")
    finally:
        # Nothing of the parent may run here: no exit functions, no flush of its buffers, no frame of its callers.
        try:
            unexpected = sys.exc_info()[1]
            if unexpected is not None:
                data = json.dumps({"unexpected": f"{type(unexpected).__name__}: {unexpected}"[:1000]}).encode("ascii")
            while data:
                data = data[os.write(writer, data) :]
        finally:
            os._exit(0)


def _prepare(limits: Limits) -> Callable[[int], None]:
    """Return what bounds the child; ctypes is loaded before the fork, so that its failure has a place to go."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: Any) -> None:
        if getattr(libc, name)(*arguments) != 0:
            raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")

    def bound(parent: int) -> None:
        call("prctl", _SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
        if os.getppid() != parent:
            os._exit(1)
        if _may_mount():
            # A mount that the host makes later does not appear in the staging directory.
            call("unshare", ctypes.c_int(_NEWNS))
            call("mount", None, ctypes.c_char_p(b"/"), None, ctypes.c_ulong(_REC | _PRIVATE), None)
        os.umask(0)
        with open("/proc/self/statm", "rb") as lines:
            mapped = int(lines.read().split()[0]) * resource.getpagesize()
        _lower(resource.RLIMIT_AS, mapped + limits.working_memory)
        _lower(resource.RLIMIT_FSIZE, limits.bytes)
        _lower(resource.RLIMIT_CPU, limits.seconds)
        _lower(resource.RLIMIT_CORE, 0)
        # Too large a file is an error with a name, not a signal.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)

    return bound


def _may_mount() -> bool:
    with open("/proc/self/status", "rb") as lines:
        for line in lines:
            if line.startswith(b"CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    raise HostError("/proc/self/status tells no capabilities", hint="mount /proc")


def _lower(which: int, value: int) -> None:
    _soft, hard = resource.getrlimit(which)
    # The hard limit of CPU time kills without a name, so it comes after the soft one.
    wanted = value + 5 if which == resource.RLIMIT_CPU else value
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(which, (min(value, wanted), wanted))


def _close_all_but(keep: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd not in keep:
            try:
                os.close(fd)
            except OSError:
                # The descriptor of the listing itself, which is closed by now.
                continue


def _read(fd: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        piece = os.read(fd, 65536)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
        if size > _MAX_REPORT:
            raise ArchiveError("the work in the sandbox tells too much", hint="do not use this image, and report it")


def _result(text: bytes, status: int, limits: Limits) -> dict[str, Any]:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            raise over_limit(f"the archive takes more than {limits.seconds} s of work")
        raise ArchiveError(f"the work on it was ended by signal {number}", hint="look for out-of-memory messages in the kernel log")
    try:
        report = json.loads(text)
    except ValueError as error:
        raise ArchiveError("the work on it ended without a result", hint="try again; if it stays, the archive is hostile") from error
    if not isinstance(report, dict) or "unexpected" in report:
        raise ArchiveError(f"the work on it failed ({report})", hint="do not use this image, and report it")
    return report
