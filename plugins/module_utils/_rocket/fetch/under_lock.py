# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What a lock file makes of a fetch: the image that it names and no other one (docs/adr/0007-lock-file.md).

A lock narrows what is accepted. It takes the place of a signature only for images that had none when they were locked.
"""

from __future__ import annotations

from contextlib import contextmanager

from ..errors import FetchError, NotFound, UsageError
from ..record import replace
from ..spec.oci_reference import RegistryReference, is_oci_reference, parse_oci_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..spec.lock import Locked
    from .options import FetchOptions


@contextmanager
def under_lock(reference: str, options: FetchOptions, key: str = "") -> Iterator[tuple[str, FetchOptions]]:
    """Give what is asked for and how: under a lock the very image that it names; errors of the block say what drifted.

    Args:
        reference: what is asked for.
        options: what the operator said.
        key: what the lock has it under, where that is not the reference.

    Raises:
        NotFound: code ``not-locked``.
        UsageError: another image ID is expected at the same time.
    """
    locked = locked_as(key or reference, options)
    if locked is None:
        yield reference, options
        return
    try:
        yield fixed(reference, locked), narrowed(options, locked)
    except FetchError as error:
        told(error, locked)
        raise


def locked_as(reference: str, options: FetchOptions) -> Locked | None:
    """Return what a reference is locked to; None without a lock.

    Raises:
        NotFound: code ``not-locked``.
        SpecError: the reference cannot be understood.
    """
    return options.lock.find(reference, options.host) if options.lock is not None else None


def locked_image(image_id: str, shown: str, options: FetchOptions) -> Locked | None:
    """Return what the lock says about an image that came without a reference; None without a lock.

    Of several references that mean it one that asks for a signature counts.

    Args:
        image_id: of the image.
        shown: its name, for messages.
        options: of the fetch.

    Raises:
        NotFound: code ``not-locked``.
    """
    if options.lock is None:
        return None
    found = [locked for locked in options.lock.images if locked.image_id == image_id and locked.platform in ("", options.host)]
    if not found:
        what = f"image {image_id} is not in the lock for {options.host}, and nothing else is taken"
        raise NotFound(what, where=shown, hint="write the lock again: rocket lock", code="not-locked")
    return next((locked for locked in found if locked.signed_by), found[0])


def narrowed(options: FetchOptions, locked: Locked) -> FetchOptions:
    """Return the options of a fetch of a locked image.

    Raises:
        UsageError: another image ID is expected at the same time.
    """
    if options.expected_id not in ("", locked.image_id):
        raise UsageError(
            f"the lock says {locked.image_id}", where=f"{locked.reference}: {options.expected_id}", hint="leave the image ID to the lock"
        )
    return replace(options, expected_id=locked.image_id, signed=bool(locked.signed_by))


def fixed(reference: str, locked: Locked) -> str:
    """Return what is asked for: of a registry's image the digest that was locked, so that a tag may have moved."""
    if not locked.digest or not is_oci_reference(reference):
        return reference
    parsed = parse_oci_reference(reference)
    if not isinstance(parsed, RegistryReference) or parsed.digest:
        return reference
    return str(replace(parsed, digest=locked.digest))


def told(error: FetchError, locked: Locked) -> None:
    """Say of an image that is not the locked one which reference drifted."""
    if error.code == "digest-mismatch":
        error.where = f"{locked.reference}: {error.where}" if error.where else locked.reference
        error.what = f"it drifted from the lock: {error.what}"
        error.hint = "find out why; if it is meant, write the lock again: rocket lock --update"
