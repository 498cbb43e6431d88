# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The store: images by content, looked up by name or image ID (catalogue.py), added, verified, rendered and removed.

Everything on disk is plain files, renames and flock (docs/store.md). Not handled here: where images come from (fetch/), whether a
stored verdict still stands (trust/standing.py).
"""

from __future__ import annotations

import os

from ..audit.log import record as write_down
from ..errors import Busy, NotFound, StoreError
from ..spec.identifier import check_image_id
from . import staging
from .catalogue import Catalogue, is_image_id
from .files import fsync_directory, raise_disk_error, read_limited, unique_name, write_atomic
from .locks import Lock, exclusive, shared
from .record import ImageRecord, damaged, encode_record
from .trees import complete, read_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..paths import Paths
    from .partial import Partial
    from .verdict import Verdict

VERSION = 1


class Store(Catalogue):
    """The images of one host.

    Raises:
        StoreError: the store is of a later version than this code, or lies where everyone may write.
    """

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        self._version = f"{paths.data}/version"
        self._check_place()
        self._check_version()

    def _check_place(self) -> None:
        """Refuse a store in a directory where others may put other trees and pods in the place of ours."""
        try:
            found = os.stat(self.paths.data or "/")
        except FileNotFoundError:
            return
        except OSError as error:
            raise_disk_error(error, self.paths.data)
        if found.st_uid not in (0, os.geteuid()):
            raise StoreError(
                f"the directory of images and pods belongs to user {found.st_uid}",
                where=self.paths.data,
                hint="look at what is in it, then make it yours, or use another --dir",
                code="store-layout",
            )
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

    def partial(self, url: str) -> Partial:
        """Return the download of a URL: what a dead process left of it, or a new one (store/partial.py).

        Raises:
            StoreError: it cannot be made.
        """
        from .partial import take_up

        self.open_for_writing()
        return take_up(self.paths, url)

    def add(self, staged: str, record: ImageRecord, manifest: bytes, signature: bytes | None = None) -> ImageRecord:
        """Put a staged file that was verified and inspected into the store: wholly, or not at all (store/publish.py).

        Raises:
            StoreError: the disk refused; the store is as before and the staging is gone.
        """
        from .publish import add

        return add(self, staged, record, manifest, signature)

    def confirm(
        self, image_id: str, verdict: Verdict, digests: tuple[str, ...] = (), signature: bytes | None = None, **changes: int | str
    ) -> ImageRecord:
        """Replace the verdict of a stored image by a newer one about the same file.

        Args:
            image_id: of the image.
            verdict: the new one.
            digests: further names of the OCI image that it was made of.
            signature: that the new verdict rests on, where it is another one than is stored.
            changes: further fields of its record.

        Raises:
            NotFound, StoreError: there is none, it is damaged, or the disk refused.
        """
        from ..record import replace

        with self.lock(image_id):
            record = self._record(image_id)
            before = record.verdict
            record = replace(record, verdict=verdict, digests=tuple(dict.fromkeys((*record.digests, *digests))), **changes)
            directory = f"{self.paths.images}/{image_id}"
            try:
                manifest = read_limited(f"{directory}/manifest")
            except OSError as error:
                raise damaged(directory, image_id, error.strerror or "unreadable") from error
            if verdict != before:
                write_down(self.paths, "verdict", record.name, **record.told())
            if signature is not None:
                # First: a verdict without its signature would be worth less than a signature without its verdict.
                write_atomic(f"{directory}/aci.asc", signature, 0o644)
            write_atomic(f"{directory}/record.json", encode_record(record, manifest))
            return record

    def verify(self, image_id: str) -> ImageRecord:
        """Read the whole blob of an image and compare it with its record.

        Raises:
            NotFound: there is no such image.
            StoreError: code ``damaged``; fetching the image again heals it.
        """
        from .verify import verify_blob

        record = self.find_id(image_id)
        verify_blob(self, record)
        return record

    def made_of(self, record: ImageRecord) -> tuple[str, ...]:
        """Return the IDs of the image and of what it depends on, in the order in which a tree is written of them.

        Raises:
            NotFound: a dependency is missing.
            StoreError: a dependency is not what the manifest says.
        """
        if not record.manifest.dependencies:
            return (record.id,)
        from .dependencies import visits

        return tuple(visit.image.id for visit in visits(self, record))

    def stands_on(self, tree: str) -> tuple[ImageRecord, ...]:
        """Return the images that a rendered tree was made of, by the name of the tree: for one archive that is its image ID.

        Raises:
            NotFound: one of them is not in the store any more.
            StoreError: code ``damaged``.
        """
        if os.path.isdir(f"{self.paths.images}/{tree}"):
            return (self.find_id(tree),)
        record = read_tree(f"{self.paths.trees}/{tree}")
        if record is None:
            raise NotFound("the tree of the pod is not in the store", where=f"{self.paths.trees}/{tree}", hint="prepare the pod again")
        return tuple(map(self.find_id, record.images))

    def tree(self, image_id: str, made_of: Sequence[str] = ()) -> str:
        """Return the path of the rendered root file system of an image; rendered now where it is missing.

        Args:
            image_id: the image.
            made_of: what `made_of` returned when it was decided what to render; empty decides now.

        Raises:
            NotFound: there is no such image, or a dependency is missing.
            StoreError: the blob is damaged, a dependency is not what the manifest says, or the disk refused.
        """
        record = self.find_id(image_id)
        place = f"{self.paths.trees}/{record.id}"
        manifest = record.manifest
        if not (manifest.dependencies or manifest.path_whitelist) and complete(place):
            return f"{place}/rootfs"
        from .dependencies import recorded, visits
        from .render import tree

        return tree(self, recorded(self, made_of) if made_of else visits(self, record))

    def check_removable(self, image_id: str, in_use: Iterable[str]) -> None:
        """Refuse the removal of an image that is needed; what `remove` asks first, for those who only plan.

        Args:
            image_id: a whole image ID.
            in_use: image IDs that pods use; what those depend on is needed too.

        Raises:
            Busy: a pod uses the image, or an image that depends on it.
            SpecError: no image ID (T5).
        """
        from .dependencies import with_dependencies

        check_image_id(image_id, "image ID")
        if image_id in with_dependencies(self, in_use):
            raise Busy(f"image {image_id} is used by a pod", hint="remove the pod first (`rocket list`, `rocket rm`)", image_id=image_id)

    def remove(self, image_id: str, in_use: Iterable[str] = (), imported: int | None = None) -> bool:
        """Remove an image and the tree of what it holds; trees of images that depend on it go by garbage collection.

        Args:
            image_id: a whole image ID.
            in_use: image IDs that pods use.
            imported: when it was imported as far as the caller knows; what came again since then stays.

        Returns:
            Whether it was removed.

        Raises:
            Busy: a pod uses the image, or an image that depends on it.
            NotFound: there is no such image.
            StoreError: the disk refused.
        """
        self.check_removable(image_id, in_use)
        with self.lock(image_id):
            if imported is not None and self._came_again(image_id, imported):
                return False
            if os.path.lexists(f"{self.paths.images}/{image_id}"):
                write_down(self.paths, "image-rm", image_id)
            gone = [self.give_up(f"{parent}/{image_id}") for parent in (self.paths.images, self.paths.trees)]
        if not any(gone):
            raise NotFound(f"image {image_id} is not in the store", where=self.paths.images, hint="see `rocket image list`")
        for path in filter(None, gone):
            staging.discard(path)
        return True

    def _came_again(self, image_id: str, imported: int) -> bool:
        try:
            return self.import_of(image_id)[1] != imported
        except (NotFound, StoreError):
            return False  # Nobody can use one that is damaged; one that is gone is found out about next.

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
