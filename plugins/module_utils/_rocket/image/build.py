# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Write an App Container Image from a directory: the same tree makes the same image ID, on every host.

The manifest comes first and in canonical form, names are sorted, owners are numbers, times are clamped, hard links stay
links. Kept are the extended attributes that travel (xattrs.py); devices are written, sockets refuse the build.

Not handled here: signing, and what the manifest says.
"""

from __future__ import annotations

import os
import stat

from ..errors import ArchiveError, SpecError, UsageError, printable
from ..record import replace
from ..spec.canonical import dumps
from .compress import FORMATS, Output
from .header import header, padding
from .limits import DEFAULT
from .stream import CHUNK
from .tar import BLOCK, Entry, split_name
from .xattrs import travels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..spec.image_manifest import ImageManifest

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}
_SECOND = 1_000_000_000


def build(
    tree: str,
    manifest: ImageManifest,
    output: str,
    compression: str = "gzip",
    overwrite: bool = False,
    mtime: int | None = None,
    owner: tuple[int, int] | None = None,
) -> str:
    """Write the image of `tree` to `output` and return its image ID.

    Args:
        tree: a directory; what is in it becomes the root file system.
        manifest: the image manifest.
        output: path of the file, which ends in ``.aci`` (A1); appears complete or not at all.
        compression: one of FORMATS.
        overwrite: whether an existing file is replaced.
        mtime: seconds since the epoch; later times are set to it. None is ``SOURCE_DATE_EPOCH`` of the environment, or 0
            without one: a checkout from git has no times worth keeping. A time in the future keeps all (A4).
        owner: (uid, gid) of every entry; None keeps the numbers of the tree.

    Raises:
        SpecError: the name of the output (A1), the manifest.
        UsageError: an unknown compression, an output that exists or lies in the tree, a SOURCE_DATE_EPOCH that is no number.
        ArchiveError: the tree cannot be read, changes meanwhile, or holds what an image cannot.
    """
    _check_output(tree, output, compression, overwrite)
    clamp = _clamp(mtime)
    content = dumps(manifest.to_json())
    try:
        top = os.open(tree, _DIRECTORY)
    except OSError as error:
        raise ArchiveError(f"the tree cannot be read ({error.strerror})", where=tree, hint="name a directory") from error
    try:
        with Output(output, compression, overwrite) as out:
            out.write(header(Entry(name=b"manifest", kind="file", size=len(content))) + content + padding(len(content)))
            _Walk(out, clamp, owner).directory(top, b"rootfs/")
            out.write(bytes(2 * BLOCK))
            return out.publish()
    except OSError as error:
        where = printable(os.fsdecode(error.filename)) if error.filename is not None else output
        raise ArchiveError(
            f"the image cannot be written ({error.strerror})", where=where, hint="look at the tree and the output"
        ) from error
    finally:
        os.close(top)


def _check_output(tree: str, output: str, compression: str, overwrite: bool) -> None:
    if not output.endswith(".aci") or os.path.basename(output) == ".aci":
        raise SpecError("the file name of an image ends in .aci", path="output", value=output, rule="A1", hint="whatever the compression")
    if compression not in FORMATS:
        raise UsageError(f"{printable(compression)} is no compression of an image", hint=f"choose one of {', '.join(FORMATS)}")
    if not overwrite and os.path.lexists(output):
        raise UsageError("the output exists", where=output, hint="remove it or allow overwriting")
    inner, outer = os.path.realpath(os.path.dirname(os.path.abspath(output))), os.path.realpath(tree)
    if os.path.commonpath((inner, outer)) == outer:
        raise UsageError("the output lies in the tree that goes into it", where=output, hint="write it elsewhere")


def _clamp(mtime: int | None) -> int:
    """Return the latest time of an entry, in nanoseconds."""
    if mtime is None:
        text = os.environ.get("SOURCE_DATE_EPOCH", "0")
        if not (text.isascii() and text.isdigit() and len(text) <= 12):
            raise UsageError("SOURCE_DATE_EPOCH is no number of seconds", hint="unset it or give seconds since the epoch")
        mtime = int(text)
    return mtime * _SECOND


class _Walk:
    """Writes directories, depth first; knows which inodes were written, to link to them."""

    def __init__(self, out: Output, clamp: int, owner: tuple[int, int] | None) -> None:
        self._out = out
        self._clamp = clamp
        self._owner = owner
        self._links: dict[tuple[int, int], bytes] = {}

    def directory(self, fd: int, name: bytes) -> None:
        """Write the open directory `fd` as `name`, which ends in ``/``, and all below it."""
        _check_name(name)
        self._out.write(header(self._entry(name, os.fstat(fd), _xattrs(fd))))
        for child in sorted(map(os.fsencode, os.listdir(fd))):
            info = os.stat(child, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISDIR(info.st_mode):
                self._other(fd, child, name + child, info)
                continue
            below = os.open(child, _DIRECTORY, dir_fd=fd)
            try:
                self.directory(below, name + child + b"/")
            finally:
                os.close(below)

    def _other(self, directory: int, child: bytes, name: bytes, info: os.stat_result) -> None:
        _check_name(name)
        if stat.S_ISREG(info.st_mode):
            self._file(directory, child, name)
            return
        if stat.S_IFMT(info.st_mode) not in _KINDS:
            raise ArchiveError("a socket cannot be part of an image", where=_path(name), hint="remove it")
        entry = self._entry(name, info, ())
        if entry.kind == "symlink":
            entry = replace(entry, mode=0o777, link=os.readlink(child, dir_fd=directory))
        elif entry.kind != "fifo":
            entry = replace(entry, device=(os.major(info.st_rdev), os.minor(info.st_rdev)))
        self._out.write(header(entry))

    def _file(self, directory: int, child: bytes, name: bytes) -> None:
        fd = os.open(child, _FILE, dir_fd=directory)
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise _changed(name)
            key = (info.st_dev, info.st_ino)
            if key in self._links:
                self._out.write(header(replace(self._entry(name, info, ()), kind="hardlink", link=self._links[key])))
                return
            if info.st_nlink > 1:
                self._links[key] = name
            self._out.write(header(replace(self._entry(name, info, _xattrs(fd)), size=info.st_size)))
            for piece in _content(fd, info.st_size, name):
                self._out.write(piece)
            self._out.write(padding(info.st_size))
        finally:
            os.close(fd)

    def _entry(self, name: bytes, info: os.stat_result, xattrs: tuple[tuple[bytes, bytes], ...]) -> Entry:
        uid, gid = self._owner or (info.st_uid, info.st_gid)
        return Entry(
            name=name,
            kind=_KINDS[stat.S_IFMT(info.st_mode)],
            mode=stat.S_IMODE(info.st_mode),
            uid=uid,
            gid=gid,
            mtime_ns=min(info.st_mtime_ns, self._clamp),
            xattrs=xattrs,
        )


def _check_name(name: bytes) -> None:
    """Refuse what no reader would take."""
    try:
        split_name(name, DEFAULT)
    except ArchiveError as error:
        error.where = _path(name[:400])
        raise


def _content(fd: int, size: int, name: bytes) -> Iterator[bytes]:
    left = size
    while left:
        piece = os.read(fd, min(left, CHUNK))
        if not piece:
            raise _changed(name)
        left -= len(piece)
        yield piece
    if os.read(fd, 1):
        raise _changed(name)


def _changed(name: bytes) -> ArchiveError:
    return ArchiveError("this changed while it was read", where=_path(name), hint="build from a tree that nobody writes to")


def _xattrs(fd: int) -> tuple[tuple[bytes, bytes], ...]:
    kept = []
    for text in sorted(os.listxattr(fd)):
        name = os.fsencode(text)
        if travels(name, capabilities=True):
            if b"=" in name:
                raise ArchiveError(f"the extended attribute {printable(text)} has '=' in its name", hint="PAX cannot hold it: remove it")
            kept.append((name, os.getxattr(fd, text)))
    return tuple(kept)


def _path(name: bytes) -> str:
    return printable(name.decode("utf-8", "backslashreplace"))
