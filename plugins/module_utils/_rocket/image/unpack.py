# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Write the entries of an archive below one directory, and nowhere else.

Parents are opened by descriptor inside the root; what is in the way of an entry is unlinked and never opened; attributes
are set on the descriptor of what was made. Directories get theirs at the end, because a mode of 000 or a time set early
would not survive their children.

Not handled here: which names an archive may contain (layout.py), the process around it (extract.py).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat

from ..errors import RocketError, StoreError
from .attributes import dress
from .listing import take
from .pax import refused
from .resolve import Resolver, kernel_openat2
from .space import LOOK_EVERY, LOOK_EVERY_FILES, look
from .stream import over_limit
from .tar import Entry, shown, split_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .limits import Limits

_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# These say that the archive contradicts itself; all others say something about the host.
_CONTRADICTIONS = (
    *(errno.ELOOP, errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.EISDIR),
    *(errno.ENAMETOOLONG, errno.EXDEV, errno.EINVAL, errno.E2BIG),
)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NAMED = 100
# A directory that things lie in and no entry names: the same on every host.
_IMPLIED = Entry(name=b"implied directory", kind="directory", mode=0o755)


class Tree:
    """The directory that is written to.

    Args:
        root: descriptor of an existing, empty directory that nobody else writes to; borrowed.
        limits: the reserve of the file system.
        owners: whether owners are set, which takes privileges; without, setuid and setgid bits are dropped.
        capabilities: whether ``security.capability`` is kept.
        openat2: False walks part by part although the kernel could do better.
        listed: whether contents are hashed on the way, for `listing`.
    """

    def __init__(self, root: int, limits: Limits, owners: bool, capabilities: bool, openat2: bool = True, listed: bool = False) -> None:
        self._root = root
        self._limits = limits
        self._owners = owners
        self._capabilities = capabilities
        self._resolver = Resolver(root, kernel_openat2() if openat2 else None)
        self._parent: tuple[tuple[bytes, ...], int] | None = None
        self._directories: dict[tuple[int, int], tuple[tuple[bytes, ...], Entry]] = {}
        self._contents: dict[int, bytes] | None = {} if listed else None
        self._stale = False
        self._written = 0
        self._made = 0
        self.files = 0
        self.skipped_count = 0
        self.skipped: list[str] = []
        self.dropped_xattrs = 0
        look(self._root, limits)

    def place(self, parts: tuple[bytes, ...], entry: Entry, content: Iterable[memoryview]) -> None:
        """Make `entry` at `parts` below the root; the empty tuple is the root itself.

        Raises:
            ArchiveError: the entry contradicts what is there, or exceeds a limit; names the entry.
            StoreError: the host cannot hold it: no space, no extended attributes, no permission.
        """
        try:
            self._place(parts, entry, content)
        except RocketError as error:
            error.where = error.where or shown(entry.name)
            raise
        except OSError as error:
            raise _explained(error, shown(entry.name)) from error

    def finish(self) -> None:
        """Give the directories their owners, modes, attributes and times, deepest first; nothing can be placed after."""
        self._forget_parent()
        for key, (parts, entry) in sorted(self._directories.items(), key=lambda item: -len(item[1][0])):
            try:
                self._finish_directory(key, parts, entry)
            except OSError as error:
                raise _explained(error, shown(b"/".join(parts))) from error

    def listing(self) -> Iterator[bytes]:
        """Yield the lines of the finished tree (listing.py), contents as they were written.

        Raises:
            ArchiveError: links of the archive made it deeper than the limit, or a path too long.
            OSError: it cannot be read.
        """
        contents = self._contents or {}
        implied = {key for key, (_parts, entry) in self._directories.items() if entry is _IMPLIED}
        return take(self._root, lambda _fd, _name, info: contents[info.st_ino].hex().encode("ascii"), self._limits, implied)

    def _place(self, parts: tuple[bytes, ...], entry: Entry, content: Iterable[memoryview]) -> None:
        if entry.kind in ("char", "block"):
            self.skipped_count += 1
            if len(self.skipped) < _NAMED:
                self.skipped.append(f"{entry.kind} {shown(entry.name)[6:]}")
            return
        if not parts:
            self._remember(parts, entry, os.fstat(self._root))
            return
        self.files += 1
        self._count()
        parent, name = self._open_parent(parts[:-1]), parts[-1]
        if entry.kind == "directory":
            self._make_directory(parent, name, parts, entry)
        elif entry.kind == "hardlink":
            self._make_hard_link(parent, name, entry)
        elif entry.kind == "file":
            self._make_file(parent, name, entry, content)
        else:
            self._make_node(parent, name, entry)

    def _open_parent(self, parts: tuple[bytes, ...]) -> int:
        """Return the descriptor of a directory, made with its parents where missing; valid until the next call."""
        if self._parent is not None and self._parent[0] == parts and not self._stale:
            return self._parent[1]
        self._forget_parent()
        fd = self._open_or_make(parts)
        self._parent = (parts, fd)
        return fd

    def _open_or_make(self, parts: tuple[bytes, ...]) -> int:
        missing: list[bytes] = []
        while True:
            try:
                fd = self._resolver.directory(parts[: len(parts) - len(missing)])
                break
            except FileNotFoundError:
                missing.insert(0, parts[len(parts) - len(missing) - 1])
        for at in range(len(parts) - len(missing), len(parts)):
            name = parts[at]
            try:
                # A dangling link has the name already: it is not followed, and nothing is made behind it.
                os.mkdir(name, 0o700, dir_fd=fd)
                made = os.open(name, _DIRECTORY, dir_fd=fd)
            finally:
                os.close(fd)
            fd = made
            path = parts[: at + 1]
            self._count()
            self._remember(path, _IMPLIED, os.fstat(fd))
        return fd

    def _forget_parent(self) -> None:
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None
        self._stale = False

    def _remember(self, parts: tuple[bytes, ...], entry: Entry, info: os.stat_result) -> None:
        self._directories[info.st_dev, info.st_ino] = (parts, entry)

    def _make_directory(self, parent: int, name: bytes, parts: tuple[bytes, ...], entry: Entry) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                self._clear(parent, name)
                os.mkdir(name, 0o700, dir_fd=parent)
        self._remember(parts, entry, os.stat(name, dir_fd=parent, follow_symlinks=False))

    def _make_file(self, parent: int, name: bytes, entry: Entry, content: Iterable[memoryview]) -> None:
        fd = self._create(parent, name)
        try:
            if self._contents is None:
                for piece in content:
                    self._write(fd, piece)
            else:
                found = hashlib.sha256()
                for piece in content:
                    self._write(fd, piece)
                    found.update(piece)
                # A number that was an unlinked file's before is the newest one's.
                self._contents[os.fstat(fd).st_ino] = found.digest()
            self._dress(fd, entry)
        finally:
            os.close(fd)

    def _create(self, parent: int, name: bytes) -> int:
        try:
            return os.open(name, _FILE, 0o600, dir_fd=parent)
        except FileExistsError:
            self._clear(parent, name)
            return os.open(name, _FILE, 0o600, dir_fd=parent)

    def _write(self, fd: int, piece: memoryview) -> None:
        before = self._written
        while piece:
            done = os.write(fd, piece)
            self._written += done
            piece = piece[done:]
        if before // LOOK_EVERY != self._written // LOOK_EVERY:
            look(self._root, self._limits)

    def _make_hard_link(self, parent: int, name: bytes, entry: Entry) -> None:
        target = split_name(entry.link, self._limits)[1:]
        if not target:
            raise refused("a hard link leads to the root")
        source = self._resolver.directory(target[:-1])
        try:
            info = os.stat(target[-1], dir_fd=source, follow_symlinks=False)
            if not (stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode)):
                raise refused("a hard link leads to neither a file nor a symbolic link")
            if os.path.samestat(info, self._existing(parent, name) or os.fstat(self._root)):
                raise refused("a hard link leads to itself")
            self._clear(parent, name)
            os.link(target[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _make_node(self, parent: int, name: bytes, entry: Entry) -> None:
        self._clear(parent, name)
        if entry.kind == "symlink":
            os.symlink(entry.link, name, dir_fd=parent)
        else:
            os.mkfifo(name, entry.mode & 0o777, dir_fd=parent)
        if self._owners:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        # Neither kind can hold attributes of a user, and the others do not travel.
        self.dropped_xattrs += len(entry.xattrs)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _existing(self, parent: int, name: bytes) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _clear(self, parent: int, name: bytes) -> None:
        if self._existing(parent, name) is not None:
            os.unlink(name, dir_fd=parent)
            # The directory that is kept open may have been reached through what is gone now.
            self._stale = True

    def _dress(self, fd: int, entry: Entry) -> None:
        self.dropped_xattrs += dress(fd, entry, self._owners, self._capabilities)

    def _finish_directory(self, key: tuple[int, int], parts: tuple[bytes, ...], entry: Entry) -> None:
        fd = self._reopen(parts)
        if fd is None:
            return
        try:
            info = os.fstat(fd)
            if (info.st_dev, info.st_ino) == key:
                self._dress(fd, entry)
        finally:
            os.close(fd)

    def _reopen(self, parts: tuple[bytes, ...]) -> int | None:
        """Return the directory again, or None where a link or file has taken its place or that of a parent."""
        if not parts:
            return os.open(b".", _DIRECTORY, dir_fd=self._root)
        try:
            parent = self._resolver.directory(parts[:-1])
        except OSError as error:
            if error.errno in _CONTRADICTIONS:
                return None
            raise
        try:
            return os.open(parts[-1], _DIRECTORY, dir_fd=parent)
        except OSError as error:
            if error.errno in _CONTRADICTIONS:
                return None
            raise
        finally:
            os.close(parent)

    def _count(self) -> None:
        self._made += 1
        if self._made % LOOK_EVERY_FILES == 0:
            look(self._root, self._limits)


def _explained(error: OSError, where: str) -> RocketError:
    if error.errno in _CONTRADICTIONS:
        failure: RocketError = refused(f"the entry cannot be placed in the tree ({error.strerror})")
        failure.where = where
        return failure
    if error.errno in _FULL:
        return StoreError(
            "there is no space left for the image", where=where, code="no-space", hint="free space, or collect garbage: rocket gc"
        )
    if error.errno == errno.EFBIG:
        return over_limit(f"{where} is larger than a file may be")
    if error.errno == errno.ENOTSUP:
        return StoreError("the file system has no extended attributes", where=where, hint="put the store on another file system")
    return StoreError(f"the entry cannot be written ({error.strerror})", where=where, hint="look at the file system of the store")
