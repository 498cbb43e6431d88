# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""References to OCI images and their sources. Literal imports, so that Ansible bundles what it needs."""

from __future__ import annotations

from ...spec.oci_reference import RegistryReference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...spec.oci_reference import OciReference
    from ...store.store import Store
    from ..options import FetchOptions
    from .base import LayeredSource


def open_source(reference: OciReference, store: Store, options: FetchOptions) -> LayeredSource:
    """Return the source of an image, for a ``with`` block.

    Args:
        reference: of the image.
        store: where unfinished work lies.
        options: what the operator said.

    Raises:
        FetchError, ArchiveError: what is on this host cannot be read.
    """
    if isinstance(reference, RegistryReference):
        from ..credentials import Credentials
        from ..transports.registry import Transports
        from .registry import RegistrySource

        return RegistrySource(reference, Transports(options), options, Credentials(options.layers))
    from .files import DirectoryFiles, TarFiles

    files = DirectoryFiles(reference.path) if reference.transport == "oci" else TarFiles(reference.path, store)
    if reference.transport == "docker-archive":
        from .docker_archive import DockerArchiveSource

        return DockerArchiveSource(reference, files, options.name)
    from .layout import LayoutSource

    return LayoutSource(reference, files, options.name)
