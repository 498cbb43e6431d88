# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The life of a pod as a fact of the file system: directory x lock x rename.

=================== ==================== ==================
directory           locked exclusively   not locked
=================== ==================== ==================
``embryo``          embryo               embryo
``prepare``         preparing            aborted-prepare
``prepared``        prepared             prepared
``run``             running              exited
``exited-garbage``  exited-deleting      exited-garbage
``garbage``         deleting             garbage
=================== ==================== ==================

The lock is a regular file inside the directory and moves with it; whoever works on the pod holds it, the supervisor for as
long as the pod lives. The kernel drops it when its holder dies, so "running" needs no bookkeeping and a crash at any point
leaves one of the states above. It is never a descriptor of a directory: one that leaks into a pod is a way out of it.

A pod only ever moves forward through the directories in the order of `POD_STATES`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from ..errors import Busy, NotFound, PodError, SpecError
from ..paths import POD_STATES
from ..spec.identifier import check_uuid
from ..store.files import fsync_directory, make_directory
from .process import Process, read_processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..paths import Paths

LOCKED = {
    "embryo": "embryo",
    "prepare": "preparing",
    "prepared": "prepared",
    "run": "running",
    "exited-garbage": "exited-deleting",
    "garbage": "deleting",
}
FREE = {
    "embryo": "embryo",
    "prepare": "aborted-prepare",
    "prepared": "prepared",
    "run": "exited",
    "exited-garbage": "exited-garbage",
    "garbage": "garbage",
}
MOVES = {
    "embryo": ("prepare", "garbage"),
    "prepare": ("prepared", "run", "garbage"),
    "prepared": ("run", "garbage"),
    "run": ("exited-garbage",),
    "exited-garbage": (),
    "garbage": (),
}
# A look at a pod's state holds a shared lock for an instant; a taker must not take that for another owner.
_GLANCES = 25
_GLANCE = 0.01


def new_uuid() -> str:
    """Return a random UUID (RFC 4122 version 4, T8); by hand, because importing ``uuid`` costs a tenth of a launch."""
    octets = bytearray(os.urandom(16))
    octets[6] = octets[6] & 0x0F | 0x40
    octets[8] = octets[8] & 0x3F | 0x80
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_uuid(text: str) -> bool:
    """Return whether `text` is a UUID in the canonical form of T8, so that it may name a directory."""
    try:
        check_uuid(text, "uuid")
    except SpecError:
        return False
    return True


class PodDirectory:
    """One pod on disk; also the holder of its lock while `held`.

    Attributes:
        paths: where pods are.
        uuid: the pod's UUID.

    Raises:
        SpecError: `uuid` is not a canonical UUID (T8); nothing else may name a directory.
    """

    def __init__(self, paths: Paths, uuid: str) -> None:
        self.paths = paths
        self.uuid = check_uuid(uuid, "uuid")
        self._fd: int | None = None
        self._directory = ""

    @classmethod
    def create(cls, paths: Paths, uuid: str = "") -> PodDirectory:
        """Make a new pod in ``prepare``, locked by the caller.

        Raises:
            PodError: the UUID is taken, or garbage collection was told to give embryos no time at all.
        """
        pod = cls(paths, uuid or new_uuid())
        for state in POD_STATES:
            make_directory(paths.pods(state), 0o700)
        if pod.directory(missing_ok=True):
            raise PodError("a pod with this UUID exists", where=pod.uuid, hint="leave the UUID out to have one made")
        directory = pod.path("embryo")
        os.mkdir(directory, 0o700)
        os.close(os.open(f"{directory}/lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        pod.lock()
        pod.move("prepare")
        return pod

    @property
    def held(self) -> bool:
        """Whether this object holds the pod's lock."""
        return self._fd is not None

    @property
    def lock_fd(self) -> int:
        """The descriptor that holds the lock; close-on-exec, and no child of the launcher may keep it.

        Raises:
            PodError: the lock is not held.
        """
        if self._fd is None:
            raise PodError("the pod is not locked by this process", where=self.uuid, hint="lock it first")
        return self._fd

    def path(self, state: str) -> str:
        """Return where the pod is or would be in the directory `state`."""
        return f"{self.paths.pods(state)}/{self.uuid}"

    def directory(self, missing_ok: bool = False) -> str:
        """Return which of POD_STATES the pod is in now.

        A pod moves forward only and the search goes forward, so that one which moves meanwhile is met later.

        Raises:
            NotFound: there is no such pod (an empty string with `missing_ok`).
        """
        if self.held:
            return self._directory
        for state in POD_STATES:
            if os.path.isdir(self.path(state)):
                return state
        if missing_ok:
            return ""
        raise NotFound("there is no such pod", where=self.uuid, hint="rocket list shows the pods of this host")

    @property
    def location(self) -> str:
        """The pod's directory as it is now; stable only while the lock is held."""
        return self.path(self.directory())

    def state(self) -> str:
        """Return the state in words: see the table on top.

        Raises:
            NotFound: there is no such pod.
        """
        while True:
            directory = self.directory()
            if self.held:
                return LOCKED[directory]
            locked = self._glance(self.path(directory))
            if locked is not None:
                return (LOCKED if locked else FREE)[directory]

    def _glance(self, location: str) -> bool | None:
        """Return whether somebody holds the lock in `location`; None when the pod has moved meanwhile."""
        try:
            fd = self._open(location)
        except FileNotFoundError:
            # Without a lock file: a crash before it was made or after it was deleted.
            return False if os.path.isdir(location) else None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            locked = False
        except BlockingIOError:
            locked = True
        finally:
            os.close(fd)
        return locked if os.path.isdir(location) else None

    @staticmethod
    def _open(location: str, flags: int = os.O_RDONLY) -> int:
        return os.open(f"{location}/lock", flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)

    def lock(self) -> PodDirectory:
        """Take the pod's lock for this process, until `unlock` or the end of the process.

        Raises:
            Busy: somebody else holds it; the message names the process.
            NotFound: there is no such pod, or it was removed meanwhile.
        """
        if self.held:
            raise Busy("this process has locked the pod already", where=self.uuid, hint="unlock it first")
        for attempt in range(_GLANCES):
            if attempt:
                time.sleep(_GLANCE)
            directory = self.directory()
            if self._take(directory):
                return self
        holder = self.holder()
        raise Busy(
            f"the pod is {self.state()} and locked" + (f" by process {holder.pid}" if holder else " by another process"),
            where=self.uuid,
            hint="wait for it or stop the pod first",
            pid=holder.pid if holder else None,
        )

    def keep(self) -> int:
        """Keep a pod that does not run from being moved or deleted, beside others who do; return a descriptor, closed to let go.

        Raises:
            Busy: it runs, or is being prepared, moved or deleted.
            NotFound: there is no such pod, or it was removed meanwhile.
        """
        for attempt in range(_GLANCES):
            if attempt:
                time.sleep(_GLANCE)
            location = self.location
            try:
                fd = self._open(location)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                if os.path.isdir(location):
                    return fd
            except BlockingIOError:
                pass
            os.close(fd)
        raise Busy(f"the pod is {self.state()}", where=self.uuid, hint="stop it first, or wait")

    def _take(self, directory: str) -> bool:
        """Try once to lock the pod in `directory`; False when it is locked or has moved."""
        location = self.path(directory)
        try:
            # What has lost its lock file is half deleted or half made, and has to be lockable to be cleaned up.
            creating = os.O_CREAT if directory in ("embryo", "exited-garbage", "garbage") else 0
            fd = os.open(f"{location}/lock", os.O_RDWR | creating | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        except FileNotFoundError:
            if os.path.isdir(location):
                raise PodError("the pod has lost its lock file", where=location, hint="remove the directory by hand") from None
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            here = os.stat(f"{location}/lock", follow_symlinks=False)
            same = os.path.samestat(here, os.fstat(fd))
        except (BlockingIOError, FileNotFoundError):
            same = False
        except BaseException:
            os.close(fd)
            raise
        if not same:
            os.close(fd)
            return False
        self._fd, self._directory = fd, directory
        own = Process.of(os.getpid())
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{own.pid} {own.start}\n".encode() if own else b"", 0)
        return True

    def holder(self) -> Process | None:
        """Return the live process that says it holds the lock, or None where none does."""
        location = self.location
        said = (*read_processes(f"{location}/supervisor")[:1], *read_processes(f"{location}/lock"))
        return next((process for process in said if process.alive), None)

    def processes(self) -> tuple[Process | None, Process | None]:
        """Return supervisor and init of the pod as they were written down, each None when unknown; alive or not."""
        found: tuple[Process | None, ...] = (*read_processes(f"{self.location}/supervisor"), None, None)
        return found[0], found[1]

    def unlock(self) -> None:
        """Give the lock up; no error when it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def wait(self, deadline: float | None = None) -> bool:
        """Wait until nobody holds the lock, which is the end of a running pod; False at `deadline` (time.monotonic).

        Raises:
            NotFound: there is no such pod.
        """
        step = _GLANCE
        while True:
            directory = self.directory(missing_ok=True)
            if not directory or self._glance(self.path(directory)) is False:
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(step)
            step = min(step * 1.5, 0.2)

    def move(self, state: str) -> None:
        """Rename the pod into the directory `state`; the lock stays.

        Only ``prepared`` has to last over a power loss, and is synced. Else a pod is found one step behind, and that its files
        were changed since is in the same journal as the step.

        Raises:
            PodError: the lock is not held, or a pod does not go that way.
        """
        fd = self.lock_fd
        here = self._directory
        if state not in MOVES[here]:
            raise PodError(f"a pod does not go from {here} to {state}", where=self.uuid)
        try:
            os.rename(self.path(here), self.path(state))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                raise
            os.close(fd)
            self._fd = None
            raise PodError(
                f"cannot move from {here} to {state}: {error.strerror}", where=self.uuid, hint="run the command again"
            ) from error
        self._directory = state
        if state == "prepared":
            fsync_directory(self.paths.pods(state))
            fsync_directory(self.paths.pods(here))

    def __enter__(self) -> PodDirectory:
        return self

    def __exit__(self, *_error: object) -> None:
        self.unlock()
