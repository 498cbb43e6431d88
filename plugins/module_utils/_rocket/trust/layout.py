# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Where trusted keys lie (rkt's layout), as names and sizes; no packet is read here.

``trustedkeys/root.d/<fingerprint>`` is trusted for every name, ``trustedkeys/prefix.d/<prefix>/<fingerprint>`` for the
names that the prefix covers by path parts. The local layer stands over the vendor's: a file there replaces the
vendor's of the same place, and an empty one masks it. ``run`` imports this file.
"""

from __future__ import annotations

import os

from ..errors import TrustError
from ..record import Record
from ..spec.identifier import check_ac_identifier, prefix_covers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..paths import Paths

SYSTEM, LOCAL = "system", "local"
ROOT = ""
_HEX = frozenset("0123456789abcdef")


class Entry(Record):
    """One file of the keyring.

    Attributes:
        name: its file name: the fingerprint, where the file is in order.
        prefix: the prefix it is trusted for; empty for root keys.
        layer: ``system`` or ``local``.
        path: where it is.
        masked: whether it is an empty local file: the vendor's key of this place does not count.
        problem: why the file is not taken; empty when it may be read.
    """

    name: str
    prefix: str
    layer: str
    path: str
    masked: bool = False
    problem: str = ""


def is_fingerprint(text: str) -> bool:
    """Tell whether `text` is 40 lower-case hex digits."""
    return len(text) == 40 and _HEX.issuperset(text)


def plain_fingerprint(text: str) -> str:
    """Return a fingerprint as people write it (spaces, colons, upper case, ``0x``) in the form of file names, if it is one."""
    plain = text.replace(" ", "").replace(":", "").lower()
    return plain[2:] if plain.startswith("0x") else plain


def directory(base: str, prefix: str) -> str:
    """Return the directory of the keys for `prefix` under a trustedkeys directory; the prefix has been checked."""
    return f"{base}/prefix.d/{prefix}" if prefix else f"{base}/root.d"


def prefixes_of(name: str) -> list[str]:
    """Return the prefixes that cover `name`: the root, then from the shortest to the name itself.

    Raises:
        SpecError: `name` is not an AC identifier (T1).
    """
    parts = check_ac_identifier(name, "name").split("/")
    candidates = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return [ROOT, *(prefix for prefix in candidates if prefix_covers(prefix, name))]


def layers(paths: Paths) -> tuple[tuple[str, str], ...]:
    """Return (layer, trustedkeys directory), the local one first because it wins."""
    system, local = paths.trusted_keys()
    return ((LOCAL, local), (SYSTEM, system))


def _refuse(path: str, error: OSError) -> TrustError:
    return TrustError(
        f"trusted keys cannot be read: {error.strerror or error}",
        where=path,
        code="untrusted",
        hint="check its owner, mode and file system",
    )


def entry(paths: Paths, prefix: str, name: str) -> Entry | None:
    """Return the file that counts for `name` (a fingerprint) under exactly `prefix`, or None.

    Raises:
        TrustError: a directory or file cannot be looked at.
    """
    for layer, base in layers(paths):
        path = f"{directory(base, prefix)}/{name}"
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _refuse(path, error) from error
        kind = found.st_mode & 0o170000
        if kind == 0o040000:
            continue
        if kind != 0o100000:
            return Entry(name, prefix, layer, path, problem="is not a regular file")
        if found.st_mode & 0o002:
            return Entry(name, prefix, layer, path, problem="may be written by everyone")
        if layer == LOCAL and not found.st_size:
            return Entry(name, prefix, layer, path, masked=True)
        return Entry(name, prefix, layer, path)
    return None


def _names(path: str) -> tuple[list[str], list[str]]:
    """Return the names of files and of directories in `path`; unfinished writes of ours are left out."""
    try:
        found = os.lstat(path)
        with os.scandir(path) as listing:
            items = [(item.name, item.is_dir(follow_symlinks=False)) for item in listing]
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        raise _refuse(path, error) from error
    if found.st_mode & 0o170000 != 0o040000 or found.st_mode & 0o002:
        raise TrustError(
            "a directory of trusted keys is a link or may be written by everyone",
            where=path,
            code="untrusted",
            hint="make it a directory of root with mode 0755, and check every key in it",
        )
    files = [name for name, is_directory in items if not is_directory and not _unfinished(name)]
    return sorted(files), sorted(name for name, is_directory in items if is_directory)


def _unfinished(name: str) -> bool:
    return is_fingerprint(name[:40]) and name[40:41] == "." and name.endswith(".new")


def entries(paths: Paths, prefix: str) -> list[Entry]:
    """Return the files that count under exactly `prefix`, sorted by name.

    Raises:
        TrustError: a directory cannot be read, is a link, or may be written by everyone.
    """
    names = sorted({name for _layer, base in layers(paths) for name in _names(directory(base, prefix))[0]})
    return [found for found in (entry(paths, prefix, name) for name in names) if found]


def all_prefixes(paths: Paths) -> list[str]:
    """Return every prefix that has a directory in a layer, the root first.

    Raises:
        TrustError: as entries.
    """
    found = {ROOT}
    for _layer, base in layers(paths):
        waiting = [""]
        while waiting:
            parent = waiting.pop()
            for name in _names(f"{base}/prefix.d/{parent}".rstrip("/"))[1]:
                prefix = f"{parent}/{name}" if parent else name
                waiting.append(prefix)
                found.add(prefix)
    return sorted(found)
