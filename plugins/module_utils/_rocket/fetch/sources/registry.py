# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Registries by the distribution protocol, version 2: ``docker://HOST/REPOSITORY[:TAG][@DIGEST]``.

A tag is asked for once and everything below it by digest, so that one image is what one answer said. Nothing that the
registry says about itself is believed: digests are worked out, lengths are those of the manifest.

Not handled here: connections, redirects and time (transports/https.py), where credentials come from.
"""

from __future__ import annotations

import hashlib

from ...errors import FetchError, SpecError, printable
from ...image.oci_convert import Layer
from ...spec.oci_manifest import DOCUMENT_LIMIT, INDEXES, MANIFESTS
from ..download import may_go_on
from ..stored import file_digest
from ..transports.base import FileSink, MemorySink
from .base import Document, DocumentSource, compression_of, digest_of, mismatch
from .token import challenges, check_realm, get_token, token_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...spec.image_name import ImageName
    from ...spec.oci_manifest import Descriptor
    from ...spec.oci_reference import RegistryReference
    from ...store.blobs import Blob, Blobs
    from ...store.partial import Partial
    from ..credentials import Credentials
    from ..options import FetchOptions
    from ..transports.base import Response, Sink
    from ..transports.registry import Transports
    from .base import Count

_WITHOUT_TLS = ("network-unreachable", "tls-failed", "http-malformed")


class LayerSink(FileSink):
    """The download of a layer, hashed while it comes from its beginning.

    Args:
        partial: where to.
        algorithm: of the digest.
        count: is told how many bytes more, or less, there are.
    """

    def __init__(self, partial: Partial, algorithm: str, count: Count) -> None:
        self._algorithm = algorithm
        self._count = count
        self._counted = 0
        self._hash = hashlib.new(algorithm)
        self._hashed = 0
        super().__init__(partial.fd, partial.path, self._tell, partial)

    def _tell(self, done: int, _total: int) -> None:
        self._count(done - self._counted)
        self._counted = done

    def restart(self) -> None:
        """Forget what was written."""
        super().restart()
        self._hash, self._hashed = hashlib.new(self._algorithm), 0
        self._tell(self.done, 0)

    def write(self, data: bytes) -> None:
        """Take further bytes."""
        self._hash.update(data)
        self._hashed += len(data)
        super().write(data)

    @property
    def digest(self) -> str:
        """The digest of all bytes so far; of what was gone on with the file is read."""
        if self._hashed != self.done:
            return f"{self._algorithm}:{file_digest(self._path, self._algorithm)}"
        return f"{self._algorithm}:{self._hash.hexdigest()}"


class RegistrySource(DocumentSource):
    """One image of a registry.

    Args:
        reference: which one.
        transports: of this fetch; closed with the source.
        options: what the operator said.
        credentials: of the operator; those for the registry go to it and to its token server.
    """

    stays = True

    def __init__(self, reference: RegistryReference, transports: Transports, options: FetchOptions, credentials: Credentials) -> None:
        self._reference = reference
        self._transports = transports
        self._options = options
        self._credentials = credentials
        self._scheme = "https"
        self._authorization = ""
        self._kept: list[Blob] = []

    def close(self) -> None:
        """Let go of the layers, which may be collected then unless an image names them, and of the connections."""
        self._transports.close()
        for blob in self._kept:
            blob.close()
        self._kept = []

    @property
    def received(self) -> int:
        """Bytes of content that came over the network so far."""
        return self._transports.received

    def name(self) -> ImageName:
        return self._reference.image_name()

    def top(self) -> Document:
        reference, sink = self._reference, MemorySink()
        response = self._first(sink)
        digest = digest_of(sink.content, reference.digest or "sha256:")
        if reference.digest and digest != reference.digest:
            raise mismatch("manifest", digest, reference.digest)
        return Document(sink.content, digest, response.media_type)

    def document(self, descriptor: Descriptor, what: str) -> bytes:
        sink = MemorySink()
        if descriptor.media_type not in (*MANIFESTS, *INDEXES):
            self._get(f"blobs/{descriptor.digest}", sink, descriptor.size, what, "*/*")
            return sink.content
        response = self._get(f"manifests/{descriptor.digest}", sink, descriptor.size, what, descriptor.media_type)
        if response.media_type != descriptor.media_type:
            raise SpecError(f"{descriptor.media_type} was expected", path=f"the {what} {descriptor.digest}", value=response.media_type)
        return sink.content

    def layer(self, layer: Descriptor, blobs: Blobs, count: Count) -> Layer:
        """Return where a layer lies; one that the store has is not asked for."""

        path = f"blobs/{layer.digest}"

        def get(partial: Partial) -> None:
            sink = LayerSink(partial, layer.digest.partition(":")[0], count)
            for again in (False, True):
                try:
                    response = self._get(path, sink, layer.size, "layer", "*/*")
                except FetchError as error:
                    if not may_go_on(error):
                        partial.remember(None)
                    raise
                found = sink.digest
                if sink.done == layer.size and found == layer.digest:
                    return
                # Or what an earlier fetch had brought and the rest do not fit.
                sink.restart()
                if again or not response.resumed:
                    raise mismatch("layer", found, layer.digest)

        blob = blobs.obtain(layer.digest, layer.size, get, self._url(path))
        self._kept.append(blob)
        # One that was compared with its digest just now is only compared with that of its content once more.
        return Layer(blob.path, layer.size, 0, "" if blob.new else layer.digest, compression_of(layer))

    def _first(self, sink: MemorySink) -> Response:
        """Ask for what the reference names; by http where the operator allowed it and https is not to be had."""
        name = self._reference.digest or self._reference.tag
        accept = ", ".join((*MANIFESTS, *INDEXES))
        try:
            return self._get(f"manifests/{name}", sink, DOCUMENT_LIMIT, "manifest", accept)
        except FetchError as error:
            if "http" not in self._options.schemes or error.code not in _WITHOUT_TLS:
                raise
        self._scheme = "http"
        sink.restart()
        return self._get(f"manifests/{name}", sink, DOCUMENT_LIMIT, "manifest", accept)

    def _url(self, path: str) -> str:
        return f"{self._scheme}://{self._reference.host}/v2/{self._reference.repository}/{path}"

    def _get(self, path: str, sink: Sink, limit: int, what: str, accept: str) -> Response:
        url = self._url(path)
        transport = self._transports.of(url)
        for again in (False, True):
            headers = {"Accept": accept, **({"Authorization": self._authorization} if self._authorization else {})}
            try:
                return transport.get(url, sink, limit, what, own=True, headers=headers)
            except FetchError as error:
                if error.facts.get("status") != 401:
                    raise
                if again:
                    error.hint = "the registry does not take what it asked for: check that the credentials may read this repository"
                    raise
                self._authorize(str(error.facts.get("challenge", "")), error)
            if sink.origin is None:
                sink.restart()
        raise FetchError("a request was asked twice and answered by nothing", where=printable(url), code="http-malformed")

    def _authorize(self, challenge: str, refusal: FetchError) -> None:
        """Have what the registry asks for: a token, or the operator's credential for itself."""
        reference = self._reference
        if self._scheme != "https":
            refusal.hint = "credentials and tokens go by https alone"
            raise refusal
        host, _colon, number = reference.host.partition(":")
        port = int(number or 443)
        credential = self._credentials.find("dockerAuth", host, port)
        own = credential.header if credential is not None else ""
        found = dict(reversed(challenges(challenge)))
        if "bearer" in found:
            realm = found["bearer"].get("realm", "")
            check_realm(realm, reference.host, self._options.token_servers)
            url = token_url(realm, found["bearer"].get("service", ""), reference.repository)
            self._authorization = f"Bearer {get_token(self._transports.of(url), url, own)}"
        elif "basic" in found and own:
            self._authorization = own
        else:
            advice = self._credentials.advice("dockerAuth", host, port)
            refusal.hint = advice if "basic" in found else "the registry asks for what is not known here"
            raise refusal
