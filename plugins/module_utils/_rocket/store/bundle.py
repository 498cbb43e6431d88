# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Images of the store and all that they depend on as one file, each as it was published, with its signature (docs/air-gap.md).

Not handled here: the form of the file (image/bundle.py), getting images out of it (fetch/bundled.py).
"""

from __future__ import annotations

import os

from ..spec.bundle import Bundle, Bundled, check_size, file_name, signature_name
from .dependencies import find, visits
from .files import raise_disk_error
from .verify import blob_pieces, signature_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .catalogue import Catalogue
    from .dependencies import Visit
    from .record import ImageRecord


class Gathered:
    """What goes into a bundle.

    Args:
        catalogue: where the images are.
        named: those that the operator named.

    Attributes:
        records: all images, each after what it depends on.
        bundle: what the bundle says of them.

    Raises:
        NotFound: a dependency is missing; names it and who needs it.
        StoreError: a dependency is not what the manifest says, or a signature cannot be read.
        UsageError: they are more than a bundle holds.
    """

    def __init__(self, catalogue: Catalogue, named: Iterable[ImageRecord]) -> None:
        self._catalogue = catalogue
        wanted = {record.id: record for record in named}
        self.records = _ordered(catalogue, list(wanted.values()))
        self._signatures = [signature_of(catalogue, record.id) or b"" for record in self.records]
        pairs = zip(self.records, self._signatures)
        self.bundle = Bundle(tuple(_bundled(record, signature, record.id in wanted) for record, signature in pairs))
        self._index = check_size(self.bundle)

    @property
    def size(self) -> int:
        """Bytes of all images together."""
        return sum(record.file_size for record in self.records)

    def write(self, path: str, overwrite: bool, progress: Callable[[int, int], None] | None = None) -> int:
        """Write the bundle and return its size; it appears when it is complete, and every image was compared with its record.

        Args:
            path: of the file.
            overwrite: whether it may replace another one.
            progress: is told (bytes of images done, bytes in all).

        Raises:
            UsageError: the file exists or cannot be made.
            StoreError: an image is damaged, or the disk refused.
        """
        from ..image.compress import Output

        with Output(path, "none", overwrite) as file:
            try:
                for piece in self._pieces(progress):
                    file.write(piece)
                file.publish()
            except OSError as error:
                raise_disk_error(error, path, self.size)
            return file.size

    def _pieces(self, progress: Callable[[int, int], None] | None) -> Iterator[bytes]:
        from ..image.bundle import END, INDEX, heading
        from ..image.header import padding

        def member(name: str, content: bytes) -> Iterator[bytes]:
            yield from (heading(name, len(content)), content, padding(len(content)))

        yield from member(INDEX, self._index)
        done, total = 0, self.size
        for index, (record, signature) in enumerate(zip(self.records, self._signatures)):
            if signature:
                yield from member(signature_name(index), signature)
            yield heading(file_name(index), record.file_size)
            for piece in blob_pieces(self._catalogue, record):
                yield piece
                done += len(piece)
                if progress is not None:
                    progress(done, total)
            yield padding(record.file_size)
        yield END


def _bundled(record: ImageRecord, signature: bytes, named: bool) -> Bundled:
    return Bundled(record.id, record.name, tuple(sorted(record.labels)), record.file_size, len(signature), named)


def _ordered(catalogue: Catalogue, named: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Return the images and all that they depend on: each after what it depends on, else as they came into the store.

    So whoever takes them in this order has the same one as the newest of a name, and dependencies by name lead where they lead here.
    """
    left: dict[str, tuple[ImageRecord, set[str]]] = {}
    for top in named:
        for visit in _visits(catalogue, top):
            left.setdefault(visit.image.id, (visit.image, set()))
            if len(visit.chain) > 1:
                needs = left.setdefault(visit.chain[-2].id, (visit.chain[-2], set()))[1]
                needs.add(visit.image.id)
    ages = {image_id: (record.imported_at, _written(catalogue, image_id), image_id) for image_id, (record, _needs) in left.items()}
    found: list[ImageRecord] = []
    while left:
        # There is one, as visits() refuses circles.
        image_id = min((image_id for image_id, (_record, needs) in left.items() if not needs & left.keys()), key=ages.__getitem__)
        found.append(left.pop(image_id)[0])
    return found


def _visits(catalogue: Catalogue, top: ImageRecord) -> tuple[Visit, ...]:
    """Return what an image is made of, for the hosts that it is for: they may be others than this one."""
    labels = dict(top.labels)
    platform = f"{labels['os']}/{labels['arch']}" if "os" in labels and "arch" in labels else ""
    return visits(catalogue, top, lambda dependency, where: find(catalogue, dependency, where, platform))


def _written(catalogue: Catalogue, image_id: str) -> int:
    """Return what tells apart images of the same second, as for who looks them up by name."""
    path = f"{catalogue.paths.images}/{image_id}/record.json"
    try:
        return os.stat(path).st_mtime_ns
    except OSError as error:
        raise_disk_error(error, path)
