# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""One key file: read with every check, written so that it is complete or absent; the policy is written so too."""

from __future__ import annotations

import os

from ..errors import NotFound, RocketError, StoreError, TrustError
from ..record import Record
from ..store.files import fsync_directory, read_limited, write_atomic
from . import layout
from .openpgp.certificate import LIMIT, Certificate, read_certificate

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

_ADD_AGAIN = "remove it, and add the key with `rocket trust --prefix PREFIX KEYFILE`"


class TrustedKey(Record):
    """One key file of the keyring.

    Attributes:
        fingerprint: 40 lower-case hex digits; the file name.
        prefix: what it is trusted for; empty for root keys.
        layer: ``system`` or ``local``.
        path: the file.
        masked: whether it is an empty local file, which masks the vendor's key.
        certificate: the verified certificate; None when masked or damaged.
        problem: why a damaged one does not count, or None.
    """

    fingerprint: str
    prefix: str
    layer: str
    path: str
    masked: bool = False
    certificate: Certificate | None = None
    problem: TrustError | None = None


def _read(found: layout.Entry) -> bytes:
    try:
        return read_limited(found.path, LIMIT)
    except StoreError as error:
        raise TrustError(f"the key file {error.what}", where=found.path, code="key-malformed", hint=_ADD_AGAIN) from error
    except OSError as error:
        raise TrustError(
            f"the key file cannot be read: {error.strerror or error}", where=found.path, code="untrusted", hint="check its owner and mode"
        ) from error


def _mismatch(found: layout.Entry, certificate: Certificate) -> TrustError:
    return TrustError(
        f"the file holds key {certificate.fingerprint}, and its name says otherwise",
        where=found.path,
        code="key-mismatch",
        hint=_ADD_AGAIN,
        fingerprint=certificate.fingerprint,
    )


def load(found: layout.Entry) -> Certificate:
    """Return the certificate in a key file that is not masked.

    Raises:
        TrustError: ``key-malformed``, ``key-mismatch`` (another key than its name says, or several),
            ``algorithm-refused``, ``untrusted`` (cannot be read).
        MissingPackage: ``cryptography`` is not installed.
    """
    if found.problem:
        raise TrustError(f"the key file {found.problem}", where=found.path, code="key-malformed", hint=_ADD_AGAIN)
    certificate = read_certificate(_read(found), found.path)
    if certificate.fingerprint != found.name:
        raise _mismatch(found, certificate)
    if certificate.dropped:
        # In a stored key, what looks like another's certification may be the owner's with one damaged octet.
        raise TrustError(
            f"the file holds {certificate.dropped} certifications by others", where=found.path, code="key-malformed", hint=_ADD_AGAIN
        )
    return certificate


def trusted_key(found: layout.Entry) -> TrustedKey:
    """Return the key in a file, damaged ones with their problem.

    Raises:
        MissingPackage: ``cryptography`` is not installed.
    """
    key = TrustedKey(found.name, found.prefix, found.layer, found.path, found.masked)
    if found.masked:
        return key
    try:
        return TrustedKey(found.name, found.prefix, found.layer, found.path, False, load(found))
    except TrustError as error:
        return TrustedKey(found.name, found.prefix, found.layer, found.path, False, None, error)


def _disk(path: str, error: OSError) -> RocketError:
    return StoreError(
        f"what this host trusts cannot be changed: {error.strerror or error}",
        where=path,
        hint="run as root, and check the file system",
        code="store-io",
    )


def write(path: str, content: bytes) -> None:
    """Put a file in place, mode 0644, its directories 0755.

    Raises:
        StoreError: the file system refuses.
    """
    try:
        _make_directories(os.path.dirname(path))
        write_atomic(path, content, 0o644)
        # The umask of whoever runs this may be tighter, and every user may read whom the host trusts.
        os.chmod(path, 0o644)
    except OSError as error:
        raise _disk(path, error) from error


def _make_directories(path: str) -> None:
    """Create `path` with mode 0755 for each directory that is new."""
    if os.path.isdir(path):
        return
    if path != "/":
        _make_directories(os.path.dirname(path))
    os.mkdir(path, 0o755)
    os.chmod(path, 0o755)
    fsync_directory(os.path.dirname(path))


def remove(path: str) -> None:
    """Remove a file.

    Raises:
        NotFound: it is gone.
        StoreError: the file system refuses.
    """
    try:
        os.unlink(path)
    except FileNotFoundError as error:
        raise NotFound("it is gone since this was planned", where=path, hint="run it again") from error
    except OSError as error:
        raise _disk(path, error) from error
    fsync_directory(os.path.dirname(path))
