# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Keys that are offered, and the one among them whose fingerprint was reviewed. Nothing is trusted by being offered (A11, V5)."""

from __future__ import annotations

import time

from ..errors import FetchError, NotFound, TrustError, UsageError, printable
from ..fetch.keys import Keys
from ..plan import Plan
from ..trust.describe import KeyDescription, describe
from ..trust.keyring import check_fingerprint, check_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..fetch.options import FetchOptions
    from ..trust.keyring import Keyring

# A page may name a thousand; whoever looks through them has each one fetched.
MOST = 32


def described(armored: bytes, where: str) -> KeyDescription:
    """Return what an armored key says now; raises as trust/describe.py."""
    return describe(armored, printable(where), int(time.time()))


def discovered(prefix: str, options: FetchOptions) -> Iterator[tuple[str, bytes]]:
    """Yield (URL, armored key) of each key that the prefix's own site names, each fetched when it is asked for.

    Raises:
        NotFound: the site names none.
        FetchError: nothing was discovered, too many were, or a key could not be had.
    """
    keys = Keys(options)
    for url in _urls(keys, prefix):
        yield url, keys.get(url)


def _urls(keys: Keys, prefix: str) -> tuple[str, ...]:
    found = keys.discover(prefix)
    if not found.pubkeys:
        raise NotFound("the site names no keys", where=found.page, hint="get the key file from the owner: rocket trust --prefix=PREFIX KEY")
    if len(found.pubkeys) > MOST:
        raise FetchError(
            f"the site names {len(found.pubkeys)} keys, more than {MOST}",
            where=found.page,
            hint="get the key file from the owner: rocket trust --prefix=PREFIX KEY",
        )
    return found.pubkeys


def pick(offered: Iterable[tuple[str, bytes]], fingerprint: str) -> tuple[str, bytes]:
    """Return the first key that has the fingerprint; what is no key does not keep the others from being looked at.

    Raises:
        UsageError: the fingerprint is not complete.
        TrustError: ``key-mismatch``: none has it; names what was offered.
        MissingPackage: ``cryptography`` is not installed.
    """
    wanted = check_fingerprint(fingerprint)
    others = []
    for where, armored in offered:
        try:
            found = described(armored, where).fingerprint
        except TrustError as error:
            others.append(f"{printable(where)} ({error.code})")
            continue
        if found == wanted:
            return where, armored
        others.append(f"{found} ({printable(where)})")
    raise TrustError(
        f"none of {len(others)} keys has the fingerprint {wanted}; offered: {', '.join(others) or 'nothing'}",
        where="fingerprint",
        hint="ask the owner over another channel which one is right",
        code="key-mismatch",
    )


def pick_discovered(prefix: str, options: FetchOptions, fingerprint: str) -> tuple[str, bytes]:
    """Return the key with this fingerprint among those that the prefix's own site names; one that cannot be had is passed over.

    Raises:
        UsageError, SpecError: the fingerprint or prefix is none.
        NotFound, FetchError: as discovered(), and where no key could be had.
        TrustError, MissingPackage: as pick().
    """
    keys = Keys(options)
    urls = _urls(keys, prefix)
    failures: list[FetchError] = []

    def fetched() -> Iterator[tuple[str, bytes]]:
        for url in urls:
            try:
                yield url, keys.get(url)
            except FetchError as error:
                failures.append(error)

    try:
        return pick(fetched(), fingerprint)
    except TrustError as error:
        if not failures:
            raise
        raise TrustError(
            f"{error.what}; {len(failures)} more could not be had: {failures[0]}", where=error.where, hint=error.hint, code=error.code
        ) from error


def plan_discovered(keyring: Keyring, fingerprint: str, prefix: str | None, options: FetchOptions) -> Plan:
    """Plan to trust the key with this fingerprint that the prefix's own site offers.

    One that is trusted already and has not ended needs no site: what it offers then is not looked at.

    Raises:
        UsageError: without a prefix there is no site; the fingerprint is not complete.
        RocketError: as pick_discovered() and Keyring.plan_add().
    """
    if prefix is None:
        raise UsageError("only a prefix has a site that can be asked", where="prefix", hint="give a prefix, or the key itself")
    kept = keyring.plan_keep(fingerprint, prefix)
    if kept is not None:
        return kept
    _where, armored = pick_discovered(check_prefix(prefix), options, fingerprint)
    return keyring.plan_add(armored, fingerprint, prefix)
