# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What an image of a layout or archive is called here: as it is called there, or as the operator says."""

from __future__ import annotations

import os

from ...errors import UsageError, printable
from ...spec.image_name import ImageName
from ...spec.oci_reference import LATEST, is_tag, named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...spec.oci_reference import LocalReference


def name_of(reference: LocalReference, found: str, wanted: str) -> ImageName:
    """Return name and version.

    Args:
        reference: of the image.
        found: what it is called in the layout or archive; may be empty.
        wanted: the name by the operator's will; empty for none.

    Raises:
        UsageError: there is no name that could be one here.
        SpecError: T1.
    """
    if wanted:
        version = found if is_tag(found) else named(found).label("version") if found else LATEST
        return ImageName(wanted, (("version", version or LATEST),))
    if found:
        return named(found)
    plain = os.path.basename(os.path.abspath(reference.path)).partition(".tar")[0]
    try:
        return named(plain)
    except UsageError as error:
        raise UsageError("the image has no name in it", where=printable(str(reference)), hint="give one with --name") from error
