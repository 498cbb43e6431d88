# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What an operator may write to mean an image: a name with labels, an image ID, a file, or a URL.

Not handled here: names and labels themselves (spec/image_name.py).
"""

from __future__ import annotations

from ..errors import NotFound, SpecError, UsageError, printable
from ..record import Record
from ..spec.identifier import is_lower_hex
from ..spec.image_name import ImageName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    Reference = Union[ImageName, "ImageId", "FileReference", "UrlReference"]

_DIGITS = 128


class ImageId(Record):
    """An image ID or the beginning of one; says what, not where from.

    Attributes:
        text: ``sha512-`` and 1 to 128 lower-case hex digits.
    """

    text: str

    def __str__(self) -> str:
        return self.text


class FileReference(Record):
    """An image file of this host.

    Attributes:
        path: as given; relative ones begin with ``./`` or ``../``.
    """

    path: str

    @property
    def url(self) -> str:
        """The same as an absolute ``file:`` URL."""
        return file_url(self.path)

    def __str__(self) -> str:
        return self.path


class UrlReference(Record):
    """An image file behind a URL.

    Attributes:
        url: https or http, with a host.
    """

    url: str

    def __str__(self) -> str:
        return self.url


def file_url(path: str) -> str:
    """Return the ``file:`` URL of a path of this host."""
    import os
    from urllib.parse import quote

    return "file://" + quote(os.path.abspath(path), errors="surrogateescape")


def parse_reference(text: str) -> Reference:
    """Return what `text` refers to.

    ``sha512-…`` is an image ID; what begins with ``/``, ``./``, ``../`` or ``file://`` is a file; ``https://`` and
    ``http://`` URLs are URLs; anything else is a name with labels (V10).

    Raises:
        SpecError: none of these (T1, T5, T9, V10).
        UsageError: a scheme without a transport, or a URL that no fetch may use.
    """
    if not text:
        raise UsageError("an image reference is missing", hint="write a name such as example.com/app:1.0, an image ID, a path or a URL")
    if text.startswith("sha512-"):
        digits = text[7:]
        if not (0 < len(digits) <= _DIGITS and is_lower_hex(digits)):
            raise SpecError("an image ID is sha512- and up to 128 lower-case hex digits", path="image", value=text, rule="T5")
        return ImageId(text)
    if "\0" in text:
        raise UsageError(f"a reference has no NUL: {printable(text)}", hint="check what was quoted")
    if text.startswith(("/", "./", "../")):
        return FileReference(text)
    scheme, separator, _rest = text.partition("://")
    if not separator:
        return ImageName.parse(text)
    if scheme == "file":
        from .transports.file import path_of

        return FileReference(path_of(text))
    if scheme not in ("https", "http"):
        raise UsageError(
            f"{printable(text)}: no transport for {printable(scheme)}",
            hint="use a name, https://, or a file; other formats are imported first",
        )
    from .addresses import check_url

    check_url(text, ("https", "http"))
    return UrlReference(text)


def no_source(wanted: ImageId) -> NotFound:
    """Return the error for an image ID that is not in the store: it does not say where from."""
    return NotFound(f"no image with ID {wanted} in the store", hint="fetch it by name, URL or file, with this ID as the expected one")


def is_bundle_reference(text: str) -> bool:
    """Return whether `text` is meant to be a reference to a bundle."""
    return text.startswith("bundle:")
