# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Which images there are: looked up by name or image ID, changing nothing.

Looking up an image with a good cache is two stats and one read, and imports nothing: it is on the way of every launch.
"""

from __future__ import annotations

import os

from ..errors import Ambiguous, NotFound, StoreError
from ..platform import fits, labels_of
from ..platform import host as this_host
from ..spec.identifier import check_image_id, is_lower_hex
from ..spec.image_manifest import ImageManifest, parse_image_manifest
from ..spec.image_name import ImageName
from .files import RECORD_LIMIT, raise_disk_error, read_limited, write_atomic
from .record import ImageRecord, damaged, decode_cache, decode_record, encode_cache, stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..paths import Paths

ID_LENGTH = len("sha512-") + 128


def is_image_id(text: str) -> bool:
    """Return whether `text` is a whole image ID."""
    return len(text) == ID_LENGTH and text.startswith("sha512-") and is_lower_hex(text[7:])


class Catalogue:
    """The images in the directory `paths.images`; what a crash left elsewhere is not among them."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths

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
        return self._made(*self._load(image_id)[:2])

    def _made(self, record: dict[str, Any], manifest: dict[str, Any]) -> ImageRecord:
        try:
            return ImageRecord.from_json(record, ImageManifest.from_json(manifest))
        except (KeyError, TypeError) as error:
            where, image_id = f"{self.paths.images}/{record['id']}/record.json", record["id"]
            raise damaged(where, image_id, "the record is not one that this rocket knows") from error

    def import_of(self, image_id: str) -> tuple[str, int]:
        """Return name and time of import (seconds since the epoch) of an image, without making its manifest.

        Raises:
            NotFound, StoreError: there is none, or it is damaged.
        """
        record = self._load(image_id)[0]
        return record["name"], record["imported_at"]

    def last_use(self, image_id: str) -> float:
        """Return when an image was last of use, in seconds since the epoch.

        That is its last import, the last time that its source confirmed it, or the last time that a pod had it
        (run/last_had.py), which is the time of its blob. 0 where it is damaged or gone.
        """
        try:
            record = self._load(image_id)[0]
            known = max(record["imported_at"], record.get("checked_at", 0))
            return float(max(known, os.lstat(f"{self.paths.images}/{image_id}/aci").st_mtime))
        except FileNotFoundError:
            return float(known)
        except (NotFound, StoreError, OSError):
            return 0.0

    def find(self, name: ImageName, platform: str = "") -> ImageRecord:
        """Return the newest import of the name whose labels match those asked for.

        Args:
            name: with the labels that are asked for.
            platform: ``os/arch``; where the labels leave that open, an image for it is better than a newer one; by default this host's.

        Raises:
            NotFound: there is none; names the damaged images, which might have been it.
        """
        candidates, broken = [], []
        host = tuple(label for label in labels_of(platform or this_host()) if name.label(label[0]) is None)
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
        other = None
        for candidate in sorted(candidates, key=lambda candidate: candidate[:3], reverse=True):
            try:
                found = self._made(*candidate[3:])
            except StoreError:
                broken.append(candidate[2])
                continue
            if name.matches(found):
                if fits(found.labels, host):
                    return found
                other = other or found
        if other is not None:
            return other
        hint = "fetch it first"
        if broken:
            hint += f"; {len(broken)} damaged images cannot be looked at: {', '.join(broken[:3])}"
        raise NotFound(f"no image {name} in the store", where=self.paths.images, hint=hint)

    def converted(self, name: ImageName, digest: str = "") -> list[ImageRecord]:
        """Return the images of this name that were made of OCI images, the newest import first; damaged ones are left out.

        Args:
            name: with the labels that they have to have.
            digest: one that has to name the OCI image; empty for any.
        """
        found = []
        for image_id in self.ids():
            try:
                record, manifest, imported = self._load(image_id)
                if record["name"] == name.name and record.get("digests") and digest in ("", *record["digests"]):
                    found.append((record["imported_at"], imported, self._made(record, manifest)))
            except (NotFound, StoreError):
                continue
        found.sort(key=lambda item: item[:2], reverse=True)
        return [item[2] for item in found if name.matches(item[2])]

    def layers(self) -> frozenset[str]:
        """Return the digests of the layers of all images; a damaged image names none."""
        return frozenset(digest for image_id in self.ids() for digest in self.layers_of(image_id))

    def layers_of(self, image_id: str) -> tuple[str, ...]:
        """Return the digests of the layers of an image; none where it is damaged or gone."""
        try:
            return tuple(self._load(image_id)[0].get("layers", ()))
        except (NotFound, StoreError):
            return ()

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
        """Return the image that `text`, an image ID, a prefix of one, a name with labels, or a ``docker://`` reference, means.

        Raises:
            NotFound, Ambiguous, StoreError: as find and find_id.
            SpecError, UsageError: `text` is none of these.
        """
        if text.startswith("docker:"):
            return self._find_registry_image(text)
        return self.find_id(text) if text.startswith("sha512-") else self.find(ImageName.parse(text))

    def _find_registry_image(self, text: str) -> ImageRecord:
        from ..spec.oci_reference import parse_registry_reference

        reference = parse_registry_reference(text)
        for record in self.converted(reference.image_name(), reference.digest):
            return record
        raise NotFound(f"no image {reference} in the store", where=self.paths.images, hint="fetch it first")

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
