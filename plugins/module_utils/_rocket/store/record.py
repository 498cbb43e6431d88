# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What the store knows of one image, and its two forms on disk.

``record.json`` is the truth: canonical JSON with a digest over itself and one over the manifest beside it, so that a
flipped bit is an error and not another verdict. ``cache`` holds the same and the manifest as ``marshal`` behind a
checksum, bound to size, time and inode of both files; it is only ever a shortcut.
"""

from __future__ import annotations

import time

from ..errors import StoreError
from ..record import Record
from ..spec.canonical import digest, dumps
from ..spec.image_manifest import ImageManifest
from .verdict import Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import Any

    from ..image.check import Inspection

FORMAT = 1
_MAGIC = b"rocket cache 1\n"
_CHECKSUM = 8


class ImageRecord(Record):
    """One image of the store.

    Attributes:
        id: the image ID, ``sha512-`` and 128 hex digits, of the uncompressed archive (A9).
        name: of the manifest.
        labels: (name, value) pairs of the manifest, in its order.
        manifest: the image manifest.
        verdict: why the image may be here.
        source: URL or path that the file came from.
        file_digest: ``sha512-`` and 128 hex digits of the file as distributed.
        file_size: its size in bytes.
        imported_at: seconds since the epoch of the last import.
        etag: strong or weak entity tag of the file at its source; empty when the source named none.
        max_age: seconds after `checked_at` for which the source need not be asked again.
        checked_at: seconds since the epoch of the last time that the source gave or confirmed the file.
        reference: what was asked for then.
        digests: of an image made of an OCI image, those that name it: of indexes and manifest, or of the configuration.
        layers: of such an image, the digests of its layers as they came: these blobs are kept for further images.
    """

    id: str
    name: str
    labels: tuple[tuple[str, str], ...]
    manifest: ImageManifest
    verdict: Verdict
    source: str
    file_digest: str
    file_size: int
    imported_at: int
    etag: str = ""
    max_age: int = 0
    checked_at: int = 0
    reference: str = ""
    digests: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON value, without the manifest, which is a document of its own."""
        value = {name: field for name, field in self.__dict__.items() if name != "manifest"}
        value["labels"] = [{"name": name, "value": text} for name, text in self.labels]
        value["verdict"] = self.verdict.to_json()
        return value

    def told(self) -> dict[str, Any]:
        """Return what the audit log says of the image."""
        verdict = self.verdict.to_json()
        return {
            "image_id": self.id,
            "labels": dict(self.labels),
            "source": self.source,
            "file_digest": self.file_digest,
            "verdict": {**verdict, "signers": [signer["fingerprint"] for signer in verdict["signers"]]},
        }

    @classmethod
    def from_json(cls, value: dict[str, Any], manifest: ImageManifest) -> ImageRecord:
        """Read what to_json wrote.

        Raises:
            KeyError, TypeError: not such a value.
        """
        fields = dict(value)
        fields["labels"] = tuple((label["name"], label["value"]) for label in value["labels"])
        fields["verdict"] = Verdict.from_json(value["verdict"])
        fields.update({name: tuple(value.get(name, ())) for name in ("digests", "layers")})
        return cls(manifest=manifest, **fields)


def new_record(inspection: Inspection, verdict: Verdict, source: str, etag: str = "", max_age: int = 0, reference: str = "") -> ImageRecord:
    """Return the record of a file that is to enter the store now.

    Args:
        inspection: what image/check.py found in this very file.
        verdict: why it may be here.
        source: URL or path it came from.
        etag: entity tag at the source.
        max_age: seconds for which the source need not be asked again.
        reference: what was asked for.
    """
    now = int(time.time())
    return ImageRecord(
        id=inspection.image_id,
        name=inspection.manifest.name,
        labels=tuple((label.name, label.value) for label in inspection.manifest.labels),
        manifest=inspection.manifest,
        verdict=verdict,
        source=source,
        file_digest=inspection.file_digest,
        file_size=inspection.file_size,
        imported_at=now,
        etag=etag,
        max_age=max_age,
        checked_at=now,
        reference=reference,
    )


def damaged(path: str, image_id: str, why: str) -> StoreError:
    """Return the error for a damaged object of the store."""
    return StoreError(f"damaged: {why}", where=path, hint="fetch the image again to heal it", code="damaged", image_id=image_id)


def encode_record(record: ImageRecord, manifest: bytes) -> bytes:
    """Return the content of ``record.json`` beside `manifest`, the manifest's bytes."""
    value = {"format": FORMAT, "manifest": bytes_digest(manifest), "record": record.to_json()}
    return dumps({**value, "digest": digest(value)})


def decode_record(data: bytes, manifest: bytes, path: str, image_id: str) -> dict[str, Any]:
    """Return the record's JSON value from the content of ``record.json``, checked against the manifest's bytes.

    Raises:
        StoreError: a bit of either file is not what was written, or the format is of a later version.
    """
    import json

    try:
        value = json.loads(data)
        claimed = value.pop("digest")
        intact = claimed == digest(value)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise damaged(path, image_id, "not a record") from error
    if not intact:
        raise damaged(path, image_id, "the digest of the record does not fit")
    if value.get("format") != FORMAT:
        raise StoreError(f"record of format {value.get('format')}", where=path, hint="use the rocket that wrote it", code="version")
    record = value["record"]
    if record["id"] != image_id:
        raise damaged(path, image_id, "the record is that of another image")
    if value["manifest"] != bytes_digest(manifest):
        raise damaged(path, image_id, "the digest of the manifest does not fit")
    return dict(record)


def bytes_digest(data: bytes) -> str:
    """Return ``sha512-`` and the hex SHA-512 of `data`."""
    import hashlib

    return "sha512-" + hashlib.sha512(data).hexdigest()


def stamp(found: os.stat_result) -> tuple[int, int, int]:
    """Return what changes whenever a file is replaced or written."""
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def encode_cache(stamps: tuple[Any, ...], record: dict[str, Any], manifest: dict[str, Any]) -> bytes:
    """Return the content of ``cache`` for files with these stamps."""
    import marshal
    from binascii import crc32

    body = marshal.dumps((stamps, record, manifest), 4)
    return _MAGIC + b"%08x" % crc32(body) + body


def decode_cache(data: bytes, stamps: tuple[Any, ...]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return record and manifest as JSON values, or None where the cache is not of these files, or not whole."""
    import marshal
    from binascii import crc32

    start = len(_MAGIC)
    body = data[start + _CHECKSUM :]
    if data[:start] != _MAGIC or data[start : start + _CHECKSUM] != b"%08x" % crc32(body):
        return None
    try:
        found, record, manifest = marshal.loads(body)
    except (EOFError, ValueError, TypeError):
        return None
    return (record, manifest) if found == stamps else None
