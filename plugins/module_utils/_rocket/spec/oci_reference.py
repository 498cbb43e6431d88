# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""References to OCI and Docker images, and the names that those images have here (docs/oci.md).

``docker://HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`` is in a registry; ``oci:``, ``oci-archive:`` and ``docker-archive:``
with ``PATH[:REFERENCE][@DIGEST]`` lie on this host. A registry is always named: there is no host that would be meant by none.

An AC Identifier (T1) takes most names of repositories as they are. ``~`` is in none of them and stands for what it cannot
take: ``~u~`` for ``__``, ``~N~`` for N dashes in a row, ``~PORT`` behind the host. No two repositories share a name.

Not handled here: what lies behind a reference (fetch/).
"""

from __future__ import annotations

from ..errors import SpecError, UsageError, printable
from ..record import Record
from .identifier import check_ac_identifier, is_lower_hex
from .image_name import ImageName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    OciReference = Union["RegistryReference", "LocalReference"]

REGISTRY = "docker"
LOCAL = ("oci", "oci-archive", "docker-archive")
# What a name is put under that names no host.
LOCALHOST = "localhost"
LATEST = "latest"
DIGESTS = {"sha256": 64, "sha512": 128}
_WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_TAG_START = _WORD | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_TAG = _TAG_START | frozenset(".-")
_LONGEST = 255
_LONGEST_TAG = 128
_FORM = "docker://HOST/REPOSITORY:TAG"


def is_digest(text: object) -> bool:
    """Return whether `text` is ``sha256:`` or ``sha512:`` and all its lower-case hex digits."""
    if not isinstance(text, str):
        return False
    algorithm, _colon, digits = text.partition(":")
    return DIGESTS.get(algorithm) == len(digits) and is_lower_hex(digits)


def check_digest(value: object, path: str) -> str:
    """Return `value`, a digest.

    Raises:
        SpecError: another algorithm, short, long, or not in lower case.
    """
    if isinstance(value, str) and is_digest(value):
        return value
    raise SpecError("sha256: and 64, or sha512: and 128 lower-case hex digits were expected", path=path, value=value)


class RegistryReference(Record):
    """An image in a registry.

    Attributes:
        host: in lower case, with the port where one is given.
        repository: with its path, as the registry knows it.
        tag: empty where a digest says which.
        digest: of the manifest or index, which decides where it is given; else empty.
    """

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        tag, digest = f":{self.tag}" if self.tag else "", f"@{self.digest}" if self.digest else ""
        return f"{REGISTRY}://{self.host}/{self.repository}{tag}{digest}"

    def image_name(self) -> ImageName:
        """Return the name and version that the image has here."""
        return ImageName(_name(self.host, self.repository), (("version", self.tag or version_of(self.digest)),))


class LocalReference(Record):
    """An image in a layout directory or an archive of this host.

    Attributes:
        transport: one of LOCAL.
        path: as given.
        name: which image of it, as it is called there; empty for the only one.
        digest: of its manifest or index, of a docker-archive of its configuration; may be empty.
    """

    transport: str
    path: str
    name: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.transport}:{self.path}{f':{self.name}' if self.name else ''}{f'@{self.digest}' if self.digest else ''}"


def version_of(digest: str) -> str:
    """Return the version of an image that has no tag: its digest, with a dash where a version can have no colon."""
    return digest.replace(":", "-")


def is_oci_reference(text: str) -> bool:
    """Return whether `text` is meant to be one of these references."""
    return text.startswith((f"{REGISTRY}:", *(f"{transport}:" for transport in LOCAL)))


def parse_oci_reference(text: str) -> OciReference:
    """Return the reference in `text`.

    Raises:
        UsageError: it is none, or could mean two things.
        SpecError: its digest is none, or its name cannot be one here (T1).
    """
    transport, _colon, rest = text.partition(":")
    rest, digest = _digest(transport, rest)
    if transport == REGISTRY:
        if not rest.startswith("//"):
            raise UsageError("a registry comes behind docker://", hint=f"write {_FORM}")
        return _registry(rest[2:], digest)
    if transport not in LOCAL or rest.startswith("//"):
        raise UsageError(f"{printable(transport)}: is no kind of OCI reference", hint=f"write {_FORM} or oci:PATH:NAME, without //")
    path, colon, name = rest.partition(":")
    if not path:
        raise UsageError("a path is missing", where=f"{transport}:", hint=f"write {transport}:/PATH; a path cannot hold a colon")
    if colon and not name:
        raise UsageError("a name is missing behind the colon", where=printable(f"{transport}:{rest}"), hint="a path cannot hold a colon")
    return LocalReference(transport, path, name, digest)


def parse_registry_reference(text: str) -> RegistryReference:
    """Return the reference to an image in a registry in `text`; raises UsageError and SpecError, as parse_oci_reference does."""
    reference = parse_oci_reference(text)
    if isinstance(reference, RegistryReference):
        return reference
    raise UsageError("names no registry", where=printable(text), hint=f"write {_FORM}")


def _digest(transport: str, rest: str) -> tuple[str, str]:
    head, at, digest = rest.rpartition("@")
    if not at:
        return rest, ""
    if not is_digest(digest) or "@" in head:
        # What stands before an @ may be a password.
        raise UsageError(
            f"{printable(transport)}: one digest was expected behind one @, not {printable(digest)}",
            hint="write @sha256: and 64 lower-case hex digits; user names and passwords have no place in a reference",
        )
    return head, digest


def _registry(text: str, digest: str) -> RegistryReference:
    host, slash, rest = text.partition("/")
    shown = printable(f"{REGISTRY}://{text}")
    if not slash or not _names_host(host):
        raise UsageError("names no registry, and none is meant by default", where=shown, hint=f"write {REGISTRY}://HOST/{printable(text)}")
    host = host.lower()
    if not _is_host(host):
        raise UsageError("the host of the registry is no host name with an optional port", where=shown, hint=f"write {_FORM}")
    repository, colon, tag = rest.partition(":")
    if not _is_repository(repository) or (colon and not is_tag(tag)):
        what = "repository" if not _is_repository(repository) else "tag"
        raise UsageError(f"the {what} is not one that a registry can have", where=shown, hint="see docs/oci.md, references")
    reference = RegistryReference(host, repository, tag if tag or digest else LATEST, digest)
    reference.image_name()
    return reference


def named(text: str) -> ImageName:
    """Return the name and version for an image that is called `text` in a layout or archive: ``[HOST/]REPOSITORY[:TAG]``.

    Without a host it is put under ``localhost``; without a tag its version is ``latest``.

    Raises:
        UsageError: that cannot be the name of an image.
        SpecError: T1.
    """
    head, slash, rest = text.partition("/")
    host, repository = (head.lower(), rest) if slash and _names_host(head) else (LOCALHOST, text)
    repository, colon, tag = repository.partition(":")
    if not _is_host(host) or not _is_repository(repository) or (colon and not is_tag(tag)):
        raise UsageError(f"{printable(text)} is no name for an image", hint="give one with --name")
    return ImageName(_name(host, repository), (("version", tag or LATEST),))


def is_tag(text: str) -> bool:
    """Return whether `text` is the tag of an image."""
    return 0 < len(text) <= _LONGEST_TAG and text[0] in _TAG_START and _TAG.issuperset(text)


def _names_host(text: str) -> bool:
    return text == LOCALHOST or "." in text or ":" in text


def _is_host(text: str) -> bool:
    host, colon, port = text.partition(":")
    if colon and not (port.isascii() and port.isdigit() and len(port) <= 5 and port[0] != "0" and int(port) < 65536):
        return False
    labels = host.split(".")
    return all(0 < len(label) < 64 and label[0] in _WORD and label[-1] in _WORD and (_WORD | {"-"}).issuperset(label) for label in labels)


def _is_repository(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and all(_escaped(part) for part in text.split("/"))


def _escaped(text: str) -> str:
    """Return words of a-z and 0-9 joined by ``.``, ``_``, ``__`` or dashes as an identifier can hold them; empty for anything else."""
    found, separator = "", ""
    for character in text:
        if character not in _WORD:
            separator += character
            continue
        if separator:
            joint = _joint(separator) if found else ""
            if not joint:
                return ""
            found, separator = found + joint, ""
        found += character
    return "" if separator else found


def _joint(separator: str) -> str:
    if separator in (".", "_", "-"):
        return separator
    if separator == "__":
        return "~u~"
    return "" if separator.strip("-") else f"~{len(separator)}~"


def _name(host: str, repository: str) -> str:
    """Return the AC Identifier of a repository; raises SpecError where it is too long (T1)."""
    host, _colon, port = host.partition(":")
    labels = ".".join(_escaped(label) for label in host.split("."))
    parts = [f"{labels}~{port}" if port else labels, *(_escaped(part) for part in repository.split("/"))]
    return check_ac_identifier("/".join(parts), "image name")
