# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What is valid in an image and probably not meant: found while its entries pass, told when all have.

Programs, users and groups are looked up as at a launch: links are followed inside the tree, ``etc/passwd`` counts only as a
plain file. An image with dependencies may get them from there, so nothing is said about it.
"""

from __future__ import annotations

from ..errors import printable
from ..spec.values import value_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..spec.image_manifest import App, ImageManifest
    from .tar import Entry

# What an app has without a PATH of its own (E2); tests/unit/image/test_image_findings.py holds it against the launcher's.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DIRECTORY, _PROGRAM, _OTHER, _LINK = b"directory", b"program", b"other", b"->"
_TABLES = {b"rootfs/etc/passwd": "user", b"rootfs/etc/group": "group"}
_TABLE_LIMIT = 1 << 20
_MAX_LINKS = 40


class Findings:
    """Watches the entries of one image.

    Args:
        manifest: of the image.
    """

    def __init__(self, manifest: ImageManifest) -> None:
        self._manifest = manifest
        self._listed = {path[1:].encode("utf-8") for path in manifest.path_whitelist}
        self._above = {path[:at] for path in self._listed for at in range(len(path)) if path[at : at + 1] == b"/"} | {b""}
        self._kinds: dict[bytes, bytes] = {}
        self._tables: dict[str, bytes] = {}

    def watch(self, entry: Entry, content: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the content of `entry` on, remembering what is asked for later."""
        kept = self._survives(entry)
        if kept:
            self._kinds[_path(entry)] = _kind(entry)
        table = _TABLES.get(entry.name) if kept and entry.kind == "file" and entry.size <= _TABLE_LIMIT else None
        for piece in content:
            if table:
                self._tables[table] = self._tables.get(table, b"") + piece
            yield piece

    def warnings(self) -> tuple[str, ...]:
        """Return what deserves a word to whoever builds this image, one clause each (T4, T9, T9a, M6, M7)."""
        manifest = self._manifest
        found = list(manifest.warnings())
        if not manifest.label("version"):
            found.append("the image has no label version: nothing tells one build of its name from another (T9a)")
        app = manifest.app
        if app is not None and not manifest.dependencies:
            for what, name in (("user", app.user), ("group", app.group)):
                if not self._knows(what, name):
                    found.append(f"the tree knows no {what} {printable(name)} (M7)")
            programs = [("app.exec", app.exec), *((handler.name, handler.exec) for handler in app.event_handlers)]
            found += [
                f"{where}: {printable(words[0])} is no program in the tree (M6)"
                for where, words in programs
                if words and not any(self._resolve(path) == _PROGRAM for path in _candidates(words[0], app))
            ]
        return tuple(found)

    def _survives(self, entry: Entry) -> bool:
        """Return whether the path whitelist leaves the entry there (D5)."""
        path = _path(entry)
        return not self._listed or path in self._listed or (entry.kind == "directory" and path in self._above)

    def _knows(self, what: str, name: str) -> bool:
        """Return whether a user or group is one: digits, a path of the tree, or a name in the tree's table."""
        if name.startswith("/"):
            return self._resolve(name) is not None
        names = [line.partition(b":")[0] for line in self._tables.get(what, b"").split(b"\n")]
        return (name.isascii() and name.isdigit()) or name.encode("utf-8", "surrogateescape") in names

    def _resolve(self, path: str) -> bytes | None:
        """Return the kind of what `path` leads to inside the tree, None where it leads to nothing."""
        todo = path.encode("utf-8", "surrogateescape").split(b"/")[::-1]
        at: list[bytes] = []
        links = 0
        while todo:
            part = todo.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                at = at[:-1]
                continue
            kind = self._kinds.get(b"/".join((*at, part)))
            if kind is None or (todo and kind in (_PROGRAM, _OTHER)):
                return None
            if not kind.startswith(_LINK):
                at.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                return None
            target = kind[len(_LINK) :]
            at = [] if target.startswith(b"/") else at
            todo += target.split(b"/")[::-1]
        return self._kinds.get(b"/".join(at))


def _path(entry: Entry) -> bytes:
    return entry.name[len("rootfs/") :].rstrip(b"/")


def _kind(entry: Entry) -> bytes:
    if entry.kind == "symlink":
        return _LINK + entry.link
    if entry.kind == "directory":
        return _DIRECTORY
    return _PROGRAM if entry.kind in ("file", "hardlink") and entry.mode & 0o111 else _OTHER


def _candidates(program: str, app: App) -> list[str]:
    """Return the paths at which a program is looked for (M6)."""
    if "/" in program:
        return [f"{app.working_directory}/{program}" if not program.startswith("/") else program]
    path = value_of(app.environment, "PATH", PATH)
    return [
        f"{directory if directory.startswith('/') else f'{app.working_directory}/{directory}'}/{program}" for directory in path.split(":")
    ]
