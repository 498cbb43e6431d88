# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""OCI and Docker images for tests, byte by byte, in the three forms that they lie on a disk in; honest unless told otherwise."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
MANIFEST, INDEX, CONFIG, LAYER = f"{OCI}manifest.v1+json", f"{OCI}index.v1+json", f"{OCI}config.v1+json", f"{OCI}layer.v1.tar+gzip"
DOCKER_MANIFEST = f"{DOCKER}distribution.manifest.v2+json"
DOCKER_INDEX = f"{DOCKER}distribution.manifest.list.v2+json"
DOCKER_CONFIG, DOCKER_LAYER = f"{DOCKER}container.image.v1+json", f"{DOCKER}image.rootfs.diff.tar.gzip"
REF_NAME = "org.opencontainers.image.ref.name"
END = bytes(1024)


def sha256(data):
    """Return the digest of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def packed(data):
    """Return bytes in gzip, the same each time."""
    return gzip.compress(data, 1, mtime=0)


class Image:
    """An image and its blobs.

    Args:
        layers: uncompressed tars, the lowest first.
        config: members of the configuration's member ``config``.
        docker: whether media types are those of Docker's schema 2.
        members: further members of the configuration, or others in their place.
        pack: how layers are compressed.
    """

    def __init__(self, *layers, config=None, docker=False, pack=packed, **members):
        self.blobs = {}
        self.layers = layers
        self.config = {
            "os": "linux",
            "architecture": "amd64",
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
            **members,
        }
        kinds = (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER) if docker else (MANIFEST, CONFIG, LAYER)
        self.manifest = {
            "schemaVersion": 2,
            "mediaType": kinds[0],
            "config": self.blob(json.dumps(self.config).encode(), kinds[1]),
            "layers": [self.blob(pack(layer), kinds[2]) for layer in layers],
        }
        self.seal()

    def seal(self):
        """Make the manifest a blob, after a change too."""
        self.descriptor = self.blob(json.dumps(self.manifest).encode(), self.manifest.get("mediaType", MANIFEST))
        self.digest = self.descriptor["digest"]

    def blob(self, data, media_type):
        """Keep a blob; return its descriptor."""
        self.blobs[sha256(data)] = data
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}


def index_of(*images, platforms=None, docker=False):
    """Return an image that is the index of others; `platforms` are (architecture, variant) pairs."""
    made = Image()
    made.blobs = {digest: data for image in images for digest, data in image.blobs.items()}
    descriptors = []
    for image, (architecture, variant) in zip(images, platforms or [("amd64", "")] * len(images)):
        platform = {"os": "linux", "architecture": architecture, **({"variant": variant} if variant else {})}
        descriptors.append({**image.descriptor, "platform": platform})
    made.manifest = {"schemaVersion": 2, "mediaType": DOCKER_INDEX if docker else INDEX, "manifests": descriptors}
    made.seal()
    return made


def layout(top, images):
    """Write a layout directory of images by their names and return its path."""
    top = Path(top)
    for name, data in layout_files(images).items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    return str(top)


def layout_files(images):
    """Return the files of a layout by their paths."""
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    manifests = []
    for name, image in images.items():
        manifests.append({**image.descriptor, **({"annotations": {REF_NAME: name}} if name else {})})
        files.update({f"blobs/{digest.replace(':', '/')}": data for digest, data in image.blobs.items()})
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
    return files


def docker_files(images):
    """Return the files of a docker-archive: names -> Image."""
    files, manifest = {}, []
    for name, image in images.items():
        config = json.dumps(image.config).encode()
        layers = [f"{sha256(layer)[7:]}/layer.tar" for layer in image.layers]
        files.update(zip(layers, image.layers))
        files[f"{sha256(config)[7:]}.json"] = config
        manifest.append({"Config": f"{sha256(config)[7:]}.json", "RepoTags": [name] if name else None, "Layers": layers})
    files["manifest.json"] = json.dumps(manifest).encode()
    return files


def archive(path, files, compression="", links=None):
    """Write files as a tar; return its path."""
    with tarfile.open(path, f"w:{compression}", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return os.fspath(path)
