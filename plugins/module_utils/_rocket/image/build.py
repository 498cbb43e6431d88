# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Write an App Container Image: the same tree makes the same image ID, on every host, as a directory and as a tar.

The manifest comes first and in canonical form, names are sorted, owners are numbers, times are clamped, hard links stay
links, devices are written.

Not handled here: reading the tree (source_directory.py, source_tar.py), signing, and what the manifest says.
"""

from __future__ import annotations

import os

from ..errors import ArchiveError, RocketError, SpecError, UsageError, printable
from ..record import replace
from ..spec.canonical import dumps
from .check import inspect
from .compress import FORMATS, Nowhere, Output
from .fields import MAX_ID
from .findings import Findings
from .header import header, padding
from .limits import DEFAULT
from .source_directory import DirectorySource
from .source_tar import TarSource
from .tar import BLOCK, Entry, split_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Union

    from ..spec.image_manifest import ImageManifest
    from .check import Inspection

    Source = Union[DirectorySource, TarSource]
    Progress = Callable[[int, int], None]
    Review = Callable[[tuple[str, ...]], None]

_SECOND = 1_000_000_000


def open_source(path: str, progress: Progress | None = None) -> Source:
    """Return what an image is made from, a directory or a tar, for a ``with`` block; `progress` is told bytes done and of how many.

    Raises:
        ArchiveError: it cannot be read, or is neither.
    """
    return DirectorySource(path) if os.path.isdir(path) else TarSource(path, progress)


def build(
    source: Source | str,
    manifest: ImageManifest,
    output: str,
    compression: str = "gzip",
    overwrite: bool = False,
    mtime: int | None = None,
    owner: tuple[int, int] | None = None,
    *,
    expected_id: str = "",
    review: Review | None = None,
    progress: Progress | None = None,
) -> str:
    """Write the image of `source` to `output` and return its image ID.

    Args:
        source: what open_source() returned, or a path for it.
        manifest: the image manifest.
        output: path of the file, which ends in ``.aci`` (A1); appears complete or not at all.
        compression: one of FORMATS.
        overwrite: whether an existing file is replaced.
        mtime: seconds since the epoch; later times are set to it. None is ``SOURCE_DATE_EPOCH`` of the environment, or 0
            without one: a checkout from git has no times worth keeping. A time in the future keeps all (A4).
        owner: (uid, gid) of every entry; None keeps the numbers of the tree.
        expected_id: the image ID that it has to be; empty for any.
        review: is told what is probably not meant, before the file appears; raises to keep it from appearing.
        progress: told bytes written, uncompressed, and 0.

    Raises:
        SpecError: the name of the output (A1), the manifest.
        UsageError: an unknown compression, an output that exists or lies in the tree, a SOURCE_DATE_EPOCH that is no number.
        ArchiveError: the tree cannot be read, changes meanwhile, holds what an image cannot, or becomes another image than expected.
    """
    if isinstance(source, str):
        with open_source(source, progress) as opened:
            first = (opened, manifest, output, compression, overwrite, mtime, owner)
            return build(*first, expected_id=expected_id, review=review, progress=progress)
    check_output(output, compression, overwrite)
    if source.contains(output):
        raise UsageError("the output lies in the tree that goes into it", where=output, hint="write it elsewhere")
    try:
        with Output(output, compression, overwrite) as out:
            warnings = _write(source, manifest, out, _latest(mtime), owner, progress)
            image_id = out.image_id()
            if expected_id and image_id != expected_id:
                hint = "build from a tree that nobody writes to"
                raise ArchiveError(f"this became {image_id} and not {expected_id}", where=output, hint=hint)
            if review is not None:
                review((*warnings, *_replaced(output, manifest, image_id)))
            out.publish()
            return image_id
    except OSError as error:
        raise _unreadable(error, output) from error


def work_out(
    source: Source,
    manifest: ImageManifest,
    mtime: int | None = None,
    owner: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> tuple[str, tuple[str, ...]]:
    """Return the image ID that build() would make, and its warnings; nothing is written. Raises as build()."""
    try:
        with Nowhere() as out:
            warnings = _write(source, manifest, out, _latest(mtime), owner, progress)
            return out.image_id(), warnings
    except OSError as error:
        raise _unreadable(error, "the tree") from error


def check_output(output: str, compression: str, overwrite: bool) -> None:
    """Refuse an output before any work is done for it; raises SpecError or UsageError as build()."""
    check_form(output, compression)
    if not overwrite and os.path.lexists(output):
        raise UsageError(
            f"the output exists and holds {described(inspected(output))}",
            where=output,
            hint="a published version stays as it is (T9a): give the build another version and name, or allow overwriting",
        )


def check_file_name(path: str) -> None:
    """Refuse a name that no image file has; raises SpecError (A1)."""
    if not path.endswith(".aci") or os.path.basename(path) == ".aci":
        raise SpecError("the file name of an image ends in .aci", path="file", value=path, rule="A1", hint="whatever the compression")


def check_form(path: str, compression: str) -> None:
    """Refuse a file name or compression that no image has; raises SpecError (A1), UsageError."""
    check_file_name(path)
    if compression not in FORMATS:
        raise UsageError(f"{printable(compression)} is no compression of an image", hint=f"choose one of {', '.join(FORMATS)}")


def owner_of(text: str, where: str) -> tuple[int, int]:
    """Return the numbers of ``UID:GID``; raises UsageError for anything else."""
    parts = text.split(":")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) <= 10 and int(part) <= MAX_ID for part in parts):
        raise UsageError(f"expects UID:GID, two numbers up to {MAX_ID}, not {printable(text)}", where=where, hint="root is 0:0")
    return int(parts[0]), int(parts[1])


def described(found: Inspection | None) -> str:
    """Return what a file is, for a message: an image's name, version and image ID, or that it is none."""
    return "no image" if found is None else f"{shown(found.manifest)}, {found.image_id}"


def inspected(path: str) -> Inspection | None:
    """Return what the image at `path` is; None where there is no image."""
    try:
        return inspect(path)
    except RocketError:
        return None


def shown(manifest: ImageManifest) -> str:
    """Return name, version, os and arch of an image as one writes them to fetch it."""
    version = manifest.label("version")
    rest = [f",{name}={printable(manifest.label(name))}" for name in ("os", "arch") if manifest.label(name)]
    return f"{manifest.name}{f':{printable(version)}' if version else ''}{''.join(rest)}"


def same_version(one: ImageManifest, other: ImageManifest) -> bool:
    """Return whether two images would be fetched by the same words: name, version, os and arch (T9a)."""
    return one.name == other.name and all(one.label(label) == other.label(label) for label in ("version", "os", "arch"))


def _replaced(output: str, manifest: ImageManifest, image_id: str) -> tuple[str, ...]:
    """Return the warning that another build of the same version is there and will not be any more, or none."""
    former = inspected(output)
    if former is None or former.image_id == image_id or not same_version(former.manifest, manifest):
        return ()
    return (f"it takes the place of another build of {shown(manifest)}, {former.image_id} (T9a)",)


def _write(
    source: Source,
    manifest: ImageManifest,
    out: Nowhere,
    latest: int,
    owner: tuple[int, int] | None,
    progress: Progress | None,
) -> tuple[str, ...]:
    """Write the archive and return the warnings; `latest` is in nanoseconds."""
    content = dumps(manifest.to_json())
    findings = Findings(manifest)
    out.write(header(Entry(name=b"manifest", kind="file", size=len(content))) + content + padding(len(content)))
    for entry, pieces in source.entries():
        _check_name(entry.name)
        uid, gid = owner or (entry.uid, entry.gid)
        out.write(header(replace(entry, uid=uid, gid=gid, mtime_ns=min(entry.mtime_ns, latest))))
        for piece in findings.watch(entry, pieces):
            out.write(piece)
        out.write(padding(entry.size))
        if progress is not None:
            progress(out.size, 0)
    out.write(bytes(2 * BLOCK))
    return findings.warnings()


def _latest(mtime: int | None) -> int:
    """Return the latest time of an entry, in nanoseconds."""
    if mtime is None:
        text = os.environ.get("SOURCE_DATE_EPOCH", "0")
        if not (text.isascii() and text.isdigit() and len(text) <= 12):
            raise UsageError("SOURCE_DATE_EPOCH is no number of seconds", hint="unset it or give seconds since the epoch")
        mtime = int(text)
    return mtime * _SECOND


def _check_name(name: bytes) -> None:
    """Refuse what no reader would take."""
    try:
        split_name(name, DEFAULT)
    except ArchiveError as error:
        error.where = printable(name[:400].decode("utf-8", "backslashreplace"))
        raise


def _unreadable(error: OSError, place: str) -> ArchiveError:
    where = printable(os.fsdecode(error.filename)) if error.filename is not None else place
    return ArchiveError(f"the image cannot be written ({error.strerror})", where=where, hint="look at the tree and the output")
