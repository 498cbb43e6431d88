# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The keys of a host as they are told: for which names each may sign, whether it counts today, and which images of the store it signed."""

from __future__ import annotations

import time

from ..record import Record
from ..spec.identifier import prefix_covers
from .layout import prefixes_of
from .usability import check_clock, key_problem, subkey_problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ..store.record import ImageRecord
    from .key_file import TrustedKey
    from .keyring import Keyring
    from .openpgp.certificate import Certificate

TRUSTED, MASKED, DAMAGED, UNUSABLE = "trusted", "masked", "damaged", "unusable"
# What the class of a problem means for a key as a whole; every other one makes it unusable.
_STATES = {"key-expired": "expired", "key-revoked": "revoked"}


class ListedKey(Record):
    """One key file that counts, and what came of it.

    Attributes:
        prefix: the names that it may sign; empty for every name.
        fingerprint: 40 lower-case hex digits; the file name, whatever it is, where the file is damaged.
        identities: user IDs, escaped for display.
        algorithm: ``Ed25519``, ``RSA 4096``; empty where it cannot be read.
        expires: when the primary key ends, seconds since the epoch; 0 for never, or where it cannot be read.
        layer: ``system`` or ``local``.
        path: the file.
        state: ``trusted``, ``masked``, ``damaged``, ``expired``, ``revoked``, or ``unusable`` (nothing in it may sign now).
        problem: why it does not count; empty where it is trusted or masked.
        images: (image ID, name) of each image of the store that it signed, below its prefix.
    """

    prefix: str
    fingerprint: str
    identities: tuple[str, ...]
    algorithm: str
    expires: int
    layer: str
    path: str
    state: str
    problem: str
    images: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the key for results; no prefix and no expiry are null."""
        value = dict(self.__dict__)
        value.update(prefix=self.prefix or None, expires=self.expires or None, identities=list(self.identities))
        value["images"] = [{"id": image_id, "name": name} for image_id, name in self.images]
        return value


def listing(keyring: Keyring, images: Iterable[ImageRecord], name: str = "", clock: Callable[[], float] = time.time) -> list[ListedKey]:
    """Return every key file that counts, masked, damaged and ended ones included, by prefix and fingerprint.

    Args:
        keyring: of the host.
        images: those of its store.
        name: only the keys whose prefix covers this image name; empty for all. Their states say which of them count.
        clock: returns seconds since the epoch.

    Raises:
        SpecError: `name` is not an AC identifier (T1).
        TrustError: a directory of keys cannot be read, or ``clock-wrong``.
        MissingPackage: ``cryptography`` is not installed.
    """
    now = check_clock(int(clock()), "rocket trust --list")
    covering = prefixes_of(name) if name else None
    signed = _signed(images)
    keys = [key for key in keyring.list() if covering is None or key.prefix in covering]
    return [_listed(key, now, signed.get(key.fingerprint, ())) for key in keys]


def _signed(images: Iterable[ImageRecord]) -> dict[str, list[tuple[str, str]]]:
    """Return by fingerprint the images that carry a valid signature of the key."""
    found: dict[str, list[tuple[str, str]]] = {}
    for image in images:
        for fingerprint in dict.fromkeys(signer.fingerprint for signer in image.verdict.signers):
            found.setdefault(fingerprint, []).append((image.id, image.name))
    return found


def _listed(key: TrustedKey, now: int, signed: Iterable[tuple[str, str]]) -> ListedKey:
    certificate = key.certificate
    state, problem = _state(key, now)
    return ListedKey(
        key.prefix,
        key.fingerprint,
        certificate.identities if certificate else (),
        certificate.primary.label if certificate else "",
        certificate.expires if certificate else 0,
        key.layer,
        key.path,
        state,
        problem,
        tuple(image for image in signed if not key.prefix or prefix_covers(key.prefix, image[1])),
    )


def _state(key: TrustedKey, now: int) -> tuple[str, str]:
    """Return the state of a key, and why it does not count."""
    if key.masked:
        return MASKED, ""
    if key.problem or key.certificate is None:
        return DAMAGED, key.problem.what if key.problem else "it cannot be read"
    problem = key_problem(key.certificate, now, key.path)
    if problem:
        return _STATES.get(problem.code, UNUSABLE), problem.what
    return _signing_state(key.certificate, now)


def _signing_state(certificate: Certificate, now: int) -> tuple[str, str]:
    """Return whether anything in a certificate that is good itself may sign: its subkeys can end before it does."""
    if certificate.may_sign:
        return TRUSTED, ""
    problems = [subkey_problem(certificate, subkey, now, "") for subkey in certificate.subkeys]
    if None in problems:
        return TRUSTED, ""
    for problem in problems:
        if problem and problem.code in _STATES:
            return _STATES[problem.code], problem.what
    return UNUSABLE, "no key in it is for signing data"
