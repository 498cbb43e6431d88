# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Layers made into an App Container Image, as a fetch does it, without a network and a store."""

from __future__ import annotations

import json

from image_archives import ZEROS
from oci_images import Image, sha256

from _rocket.image.check import inspect
from _rocket.image.limits import Limits
from _rocket.image.oci_config import parse_config
from _rocket.image.oci_convert import Layer, convert
from _rocket.spec.oci_reference import named

FORMATS = {"tar+gzip": "gzip", "tar+zstd": "zstd", "tar": "none", "diff.tar.gzip": "gzip"}


def layer(*members):
    """Return a layer of members."""
    return b"".join(members) + ZEROS


def files_of(directory, image):
    """Write the layers of an image to files; return where they lie, for the conversion."""
    found = []
    for number, descriptor in enumerate(image.manifest["layers"]):
        path = directory / f"layer{number}"
        path.write_bytes(image.blobs[descriptor["digest"]])
        kind = next(name for end, name in FORMATS.items() if descriptor["mediaType"].endswith(end))
        found.append(Layer(str(path), descriptor["size"], 0, descriptor["digest"], kind))
    return found


def made_of(directory, image, name="example.com/app:1.0", limits=None, layers=None):
    """Return the image that is made of an OCI image, and what became of it."""
    config = json.dumps(image.config).encode()
    with open(directory / "made", "w+b") as output, open(directory / "spool", "w+b") as spool:
        where = files_of(directory, image) if layers is None else layers
        told = convert(where, parse_config(config, sha256(config)), named(name), output.fileno(), spool.fileno(), limits or Limits())
    found = inspect(str(directory / "made"))
    # What the child tells of the image is what looking at it finds.
    assert told.inspection == found
    return (directory / "made").read_bytes(), told


def converted(directory, *layers, **options):
    """Return the image that is made of layers, each a whole tar."""
    return made_of(directory, Image(*layers), **options)
