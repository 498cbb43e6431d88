# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""References to images by name: ``example.com/app:1.0,os=linux,arch=amd64`` (docs/spec-conformance.md V7, V10).

Not handled here: image IDs, files and URLs (see fetch/reference.py), the defaults of discovery for version, os and arch.
"""

from __future__ import annotations

from ..errors import SpecError
from ..record import Record
from .identifier import check_ac_identifier
from .values import NamedValue, check_labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    class Named(Protocol):
        """An image manifest, or the record of an image: has a name, and labels that unpack as name and value."""

        @property
        def name(self) -> str:
            """Name of the image."""

        @property
        def labels(self) -> Iterable[Iterable[str]]:
            """Labels of the image."""


class ImageName(Record):
    """The name of an image and the labels asked for.

    Attributes:
        name: an AC Identifier.
        labels: (name, value) pairs, sorted by name, each name once.
    """

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str, path: str = "image") -> ImageName:
        """Return the reference in `text`: ``name[:version][,label=value]...``; `path` is for messages.

        Raises:
            SpecError: V10 for the form, T1 for names, T9 and T10 for labels. An image ID is no name.
        """
        if not isinstance(text, str):
            raise SpecError("a string was expected", path=path, value=text, rule="V10")
        if text.startswith("sha512-"):
            raise SpecError("the name of an image was expected, this is an image ID", path=path, value=text, rule="V10")
        if "\0" in text:
            raise SpecError("a reference without NUL was expected", path=path, value=text, rule="V10")
        head, *parts = text.split(",")
        name, colon, version = head.partition(":")
        if ":" in version or any(":" in part for part in parts):
            raise SpecError("at most one : is allowed, between name and version, before the first ,", path=path, value=text, rule="V10")
        if colon and not version:
            raise SpecError("a version was expected behind :", path=path, value=text, rule="V10")
        check_ac_identifier(name, path)
        labels = [("version", version)] if colon else []
        for part in parts:
            label, equals, value = part.partition("=")
            if not equals:
                raise SpecError("label=value was expected behind ,", path=path, value=part, rule="V10")
            check_ac_identifier(label, path)
            if label in dict(labels):
                raise SpecError(f"the label {label} is given twice", path=path, value=text, rule="T9")
            labels.append((label, value))
        check_labels([NamedValue(*label) for label in labels], path)
        return cls(name, tuple(sorted(labels)))

    def matches(self, manifest: Named) -> bool:
        """Return whether `manifest` has this name and, for each label asked for, the same value; its other labels are free (V7)."""
        if manifest.name != self.name:
            return False
        given = [tuple(label) for label in manifest.labels]
        return all(label in given for label in self.labels)

    def label(self, name: str) -> str | None:
        """Return the value asked for the label `name`, or None."""
        return dict(self.labels).get(name)

    def __str__(self) -> str:
        version = self.label("version")
        head = f"{self.name}:{version}" if version else self.name
        return ",".join([head, *(f"{name}={value}" for name, value in self.labels if name != "version" or not version)])
