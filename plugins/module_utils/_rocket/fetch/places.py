# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Where an image is looked for, in order: the operator's mirrors of its name, then what its site says; or the file or URL given."""

from __future__ import annotations

from ..errors import FetchError
from .discovery import Discovery, Endpoint, discover, endpoint
from .reference import file_url
from .transports.base import MemorySink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..spec.image_name import ImageName
    from .options import FetchOptions
    from .reference import FileReference, UrlReference
    from .transports.registry import Transports

PAGE_LIMIT = 1 << 20


def variables_of(name: ImageName, options: FetchOptions) -> dict[str, str]:
    """Return the variables of a template: the labels asked for, and version, os and arch where they were left to us (V10)."""
    return {"version": "latest", **dict(options.host_labels), **dict(name.labels)}


def places_of_name(name: ImageName, transports: Transports, options: FetchOptions) -> Iterator[Endpoint]:
    """Yield the places of a name; its site is asked when the mirrors have been tried, if it may be.

    Raises:
        FetchError: the site cannot be asked, or there is no place at all.
        HostError, SpecError: the configuration of this host is not as it should be.
    """
    mirror = transports.configured.mirror_of(name.name)
    found = None
    for template in mirror.templates if mirror is not None else ():
        found = endpoint(template, name.name, variables_of(name, options), options.schemes, own=True)
        if found is not None:
            yield found
    if mirror is None or mirror.discovery:
        yield from discovered(name, transports, options).endpoints
    elif found is None:
        hint = f"its mirrors are those of {mirror.prefix}, and discovery is off: look at fetch.json"
        raise FetchError("no mirror has a usable place of it", where=str(name), hint=hint, code="discovery-failed")


def place_of_file(wanted: FileReference | UrlReference, options: FetchOptions) -> Endpoint:
    """Return the one place of a file or URL; its signature lies beside it unless the operator says where."""
    path, question, query = wanted.url.partition("?")
    signature = options.signature or f"{path}.asc{question}{query}"
    return Endpoint(wanted.url, signature if "://" in signature else file_url(signature), own=True)


def discovered(name: ImageName, transports: Transports, options: FetchOptions, keys_only: bool = False) -> Discovery:
    """Return what the site of a name says.

    Raises:
        FetchError: nothing was discovered.
    """

    def get(url: str) -> bytes:
        sink = MemorySink()
        transports.of(url).get(url, sink, PAGE_LIMIT, "discovery page", own=True)
        return sink.content

    return discover(name.name, variables_of(name, options), get, options.schemes, keys_only)
