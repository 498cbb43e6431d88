# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The store: images by content, looked up by name or image ID.

Everything on disk is plain files, renames and flock (docs/store.md). Looking up an image with a good cache is two
stats and one read, and imports nothing: it is on the way of every launch. Not handled here: where images come from
(fetch/), whether a stored verdict still stands (trust/standing.py).
"""

from __future__ import annotations

import os

from ..errors import Ambiguous, Busy, NotFound, StoreError
from ..spec.identifier import check_image_id, is_lower_hex
from ..spec.image_manifest import ImageManifest, parse_image_manifest
from ..spec.image_name import ImageName
from . import staging
from .files import RECORD_LIMIT, fsync_directory, raise_disk_error, read_limited, unique_name, write_atomic
from .locks import Lock, exclusive, shared
from .record import ImageRecord, damaged, decode_cache, decode_record, encode_cache, encode_record, stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from typing import Any

    from ..image.check import Inspection
    from ..paths import Paths
    from .verdict import Verdict

VERSION = 1
ID_LENGTH = len("sha512-") + 128


def is_image_id(text: str) -> bool:
    """Return whether `text` is a whole image ID."""
    return len(text) == ID_LENGTH and text.startswith("sha512-") and is_lower_hex(text[7:])


class Store:
    """The images of one host.

    Raises:
        StoreError: the store is of a later version than this code, or lies where everyone may write.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._version = f"{paths.data}/version"
        self._check_place()
        self._check_version()

    def _check_place(self) -> None:
        """Refuse a store in a directory where everyone may put other trees and pods in the place of ours."""
        try:
            found = os.stat(self.paths.data or "/")
        except FileNotFoundError:
            return
        except OSError as error:
            raise_disk_error(error, self.paths.data)
        if found.st_mode & 0o002:
            raise StoreError(
                "everyone may write to the directory of images and pods",
                where=self.paths.data,
                hint="look at what is in it, then make it root's with mode 0755, or use another --dir",
                code="store-layout",
            )

    def _check_version(self) -> None:
        try:
            text = read_limited(self._version, 64)
        except FileNotFoundError:
            return
        except OSError as error:
            raise_disk_error(error, self._version)
        if not text.strip().isdigit():
            raise StoreError("not the version of a store", where=self._version, hint=f"it should hold {VERSION}", code="damaged")
        if int(text) > VERSION:
            raise StoreError(
                f"the store is of version {int(text)}, this rocket knows {VERSION}",
                where=self._version,
                hint="use the newer rocket that made it, or another --dir",
                code="version",
            )

    def open_for_writing(self) -> None:
        """Make the store's directories and version file where they are missing.

        Raises:
            StoreError: the disk refused.
        """
        staging.prepare_directories(self.paths)
        if not os.path.exists(self._version):
            write_atomic(self._version, b"%d\n" % VERSION, 0o644)

    # Looking up

    def ids(self) -> list[str]:
        """Return the image IDs of the store, sorted; what a crash left elsewhere is not among them."""
        try:
            names = os.listdir(self.paths.images)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise_disk_error(error, self.paths.images)
        return sorted(name for name in names if is_image_id(name))

    def _load(self, image_id: str) -> tuple[dict[str, Any], dict[str, Any], int]:
        """Return record, manifest (JSON values) and the time of import in nanoseconds, through the cache."""
        directory = f"{self.paths.images}/{image_id}"
        record_path, manifest_path = f"{directory}/record.json", f"{directory}/manifest"
        try:
            found = os.lstat(record_path)
            stamps = (*stamp(found), *stamp(os.lstat(manifest_path)))
        except FileNotFoundError as error:
            if not os.path.isdir(directory):
                raise NotFound(
                    f"image {image_id} is not in the store", where=self.paths.images, hint="fetch it first", image_id=image_id
                ) from error
            raise damaged(error.filename, image_id, "the file is missing") from error
        try:
            cached = decode_cache(read_limited(f"{directory}/cache"), stamps)
        except (OSError, StoreError):
            # A cache that cannot be read is as good as none: both files it stands for are read and checked instead.
            cached = None
        record, manifest = cached or self._read_whole(image_id, directory, stamps)
        return record, manifest, found.st_mtime_ns

    def _read_whole(self, image_id: str, directory: str, stamps: tuple[int, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
        try:
            manifest_bytes = read_limited(f"{directory}/manifest")
            data = read_limited(f"{directory}/record.json", RECORD_LIMIT)
        except OSError as error:
            raise damaged(directory, image_id, error.strerror or "unreadable") from error
        record = decode_record(data, manifest_bytes, f"{directory}/record.json", image_id)
        manifest = parse_image_manifest(manifest_bytes).to_json()
        try:
            write_atomic(f"{directory}/cache", encode_cache(stamps, record, manifest))
        except StoreError:
            # The cache only saves time: on a full or read-only disk the next reader parses again.
            pass
        return record, manifest

    def _record(self, image_id: str) -> ImageRecord:
        record, manifest = self._load(image_id)[:2]
        return ImageRecord.from_json(record, ImageManifest.from_json(manifest))

    def import_of(self, image_id: str) -> tuple[str, int]:
        """Return name and time of import (seconds since the epoch) of an image, without making its manifest.

        Raises:
            NotFound, StoreError: there is none, or it is damaged.
        """
        record = self._load(image_id)[0]
        return record["name"], record["imported_at"]

    def find(self, name: ImageName) -> ImageRecord:
        """Return the newest import of the name whose labels match those asked for.

        Raises:
            NotFound: there is none; names the damaged images, which might have been it.
        """
        candidates, broken = [], []
        for image_id in self.ids():
            try:
                record, manifest, imported = self._load(image_id)
            except NotFound:
                continue
            except StoreError:
                broken.append(image_id)
                continue
            if record["name"] == name.name:
                candidates.append((record["imported_at"], imported, image_id, record, manifest))
        for candidate in sorted(candidates, key=lambda candidate: candidate[:3], reverse=True):
            record, value = candidate[3:]
            found = ImageRecord.from_json(record, ImageManifest.from_json(value))
            if name.matches(found):
                return found
        hint = "fetch it first"
        if broken:
            hint += f"; {len(broken)} damaged images cannot be looked at: {', '.join(broken[:3])}"
        raise NotFound(f"no image {name} in the store", where=self.paths.images, hint=hint)

    def find_id(self, prefix: str) -> ImageRecord:
        """Return the image whose ID is `prefix` or begins with it.

        Raises:
            NotFound: there is none.
            Ambiguous: several begin with it.
            StoreError: it is damaged.
        """
        if is_image_id(prefix):
            return self._record(prefix)
        fitting = [image_id for image_id in self.ids() if image_id.startswith(prefix)] if prefix.startswith("sha512-") else []
        if len(fitting) > 1:
            raise Ambiguous(f"{prefix} begins the IDs of {len(fitting)} images", hint="give more digits", image_ids=fitting)
        if not fitting:
            raise NotFound(f"no image with ID {prefix}", where=self.paths.images, hint="fetch it first, or see `rocket image list`")
        return self._record(fitting[0])

    def resolve(self, text: str) -> ImageRecord:
        """Return the image that `text`, an image ID, a prefix of one, or a name with labels, means.

        Raises:
            NotFound, Ambiguous, StoreError: as find and find_id.
            SpecError: `text` is neither.
        """
        return self.find_id(text) if text.startswith("sha512-") else self.find(ImageName.parse(text))

    def _each(self) -> Iterator[ImageRecord | StoreError]:
        for image_id in self.ids():
            try:
                yield self._record(image_id)
            except NotFound:
                continue
            except StoreError as error:
                yield error

    def images(self) -> list[ImageRecord]:
        """Return all readable images, by name and time of import; one damaged image does not hide the others."""
        found = [record for record in self._each() if isinstance(record, ImageRecord)]
        return sorted(found, key=lambda record: (record.name, record.imported_at, record.id))

    def damaged(self) -> list[StoreError]:
        """Return an error for each image whose record or manifest is damaged; its fact ``image_id`` names it."""
        return [found for found in self._each() if isinstance(found, StoreError)]

    def manifest(self, image_id: str) -> ImageManifest:
        """Return the manifest of an image.

        Raises:
            NotFound, StoreError: there is none, or it is damaged.
        """
        return self._record(check_image_id(image_id, "image ID")).manifest

    # Changing

    def lock(self, key: str, common: bool = False, wait: bool = True) -> Lock:
        """Lock one key of the store: an image ID, or any text that several processes agree on.

        Whoever makes a pod from images holds ``prepare`` in common until the pod names them; whoever removes images
        holds it alone while looking which are in use.

        Raises:
            Busy: it is held and `wait` is false.
        """
        if not is_image_id(key) and not key.isalpha():
            from .record import bytes_digest

            key = bytes_digest(key.encode("utf-8", "surrogateescape")) + ".text"
        self.open_for_writing()
        path = f"{self.paths.locks}/{key}"
        return shared(path, wait) if common else exclusive(path, wait, transient=True)

    def staging_file(self) -> tuple[int, str]:
        """Return descriptor and path of a new file for a download; closing the descriptor gives it up.

        Raises:
            StoreError: it cannot be made.
        """
        self.open_for_writing()
        return staging.staging_file(self.paths)

    def discard(self, path: str) -> None:
        """Remove a staged file that will not be added."""
        staging.discard(path)

    def add(
        self, staged: str, inspection: Inspection, verdict: Verdict, source: str, signature: bytes | None = None, etag: str = ""
    ) -> ImageRecord:
        """Put a staged file that was verified and inspected into the store: wholly, or not at all (store/publish.py).

        Raises:
            StoreError: the disk refused; the store is as before and the staging is gone.
        """
        from .publish import add

        return add(self, staged, inspection, verdict, source, signature, etag)

    def confirm(self, image_id: str, verdict: Verdict) -> ImageRecord:
        """Replace the verdict of a stored image by a newer one about the same file.

        Raises:
            NotFound, StoreError: there is none, it is damaged, or the disk refused.
        """
        from ..record import replace

        with self.lock(image_id):
            record = replace(self._record(image_id), verdict=verdict)
            directory = f"{self.paths.images}/{image_id}"
            try:
                manifest = read_limited(f"{directory}/manifest")
            except OSError as error:
                raise damaged(directory, image_id, error.strerror or "unreadable") from error
            write_atomic(f"{directory}/record.json", encode_record(record, manifest))
            return record

    def verify(self, image_id: str) -> ImageRecord:
        """Read the whole blob of an image and compare it with its record.

        Raises:
            NotFound: there is no such image.
            StoreError: code ``damaged``; fetching the image again heals it.
        """
        from .render import verify_blob

        record = self.find_id(image_id)
        verify_blob(self, record)
        return record

    def tree(self, image_id: str) -> str:
        """Return the path of the rendered root file system of an image; rendered now where it is missing.

        Raises:
            NotFound: there is no such image.
            StoreError: the blob is damaged, the image has dependencies, or the disk refused.
        """
        from .render import tree

        return tree(self, image_id)

    @staticmethod
    def check_removable(image_id: str, in_use: Container[str]) -> None:
        """Refuse the removal of an image that a pod uses; what `remove` asks first, for those who only plan.

        Raises:
            Busy: a pod uses the image.
            SpecError: no image ID (T5).
        """
        check_image_id(image_id, "image ID")
        if image_id in in_use:
            raise Busy(f"image {image_id} is used by a pod", hint="remove the pod first (`rocket list`, `rocket rm`)", image_id=image_id)

    def remove(self, image_id: str, in_use: Container[str] = ()) -> None:
        """Remove an image and its tree.

        Args:
            image_id: a whole image ID.
            in_use: image IDs that pods use.

        Raises:
            Busy: a pod uses the image.
            NotFound: there is no such image.
            StoreError: the disk refused.
        """
        self.check_removable(image_id, in_use)
        with self.lock(image_id):
            gone = [self.give_up(f"{parent}/{image_id}") for parent in (self.paths.images, self.paths.trees)]
        if not any(gone):
            raise NotFound(f"image {image_id} is not in the store", where=self.paths.images, hint="see `rocket image list`")
        for path in filter(None, gone):
            staging.discard(path)

    def give_up(self, path: str) -> str | None:
        """Rename an object into ``garbage/`` and return its path there, or None if it was not there."""
        place = f"{self.paths.garbage}/{unique_name()}"
        try:
            os.rename(path, place)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise_disk_error(error, path)
        fsync_directory(os.path.dirname(path))
        return place
