# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Names: AC Identifier, AC Name, pod UUID, image ID (docs/spec-conformance.md T1, T2, T5, T8).

Checked by hand: importing ``re`` costs a tenth of a launch, and ``str.isalnum`` would let other alphabets in.

Not handled here: references with a version and labels (see image_name.py).
"""

from __future__ import annotations

from ..errors import SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_HEX = frozenset("0123456789abcdef")

IDENTIFIER_LIMIT = 255
# Of an AC Name: of apps and pods, whose names become host names; of volumes, mount points and ports, which become file names.
HOST_NAME_LIMIT = 63
NAME_LIMIT = 255
IMAGE_ID_DIGITS = 128


def is_lower_hex(text: str) -> bool:
    """Return whether `text` is one or more lower-case hexadecimal digits."""
    return bool(text) and _HEX.issuperset(text)


def _words_joined_by(text: str, separators: str) -> bool:
    """Whether `text` is words of a-z and 0-9 with exactly one separator between two words."""
    previous = ""
    for character in text:
        if character not in _ALPHANUMERIC and (character not in separators or previous in separators):
            return False
        previous = character
    return previous in _ALPHANUMERIC


def _check(value: object, path: str, rule: str, limit: int, separators: str, what: str) -> str:
    """Return `value`: words of a-z and 0-9 joined by one of `separators`, of which a slash may have a tilde behind it."""
    if not isinstance(value, str):
        raise SpecError("a string was expected", path=path, value=value, rule=rule)
    if not value:
        raise SpecError("must not be empty", path=path, rule=rule)
    if len(value) > limit:
        raise SpecError(f"at most {limit} characters are allowed", path=path, value=value, rule=rule)
    if not _words_joined_by(value.replace("/~", "/"), separators):
        joined = " ".join(["one of", *separators]) if len(separators) > 1 else separators
        text = f"{what} was expected: words of a-z and 0-9 joined by a single {joined}"
        raise SpecError(text, path=path, value=value, rule=rule)
    return value


def check_ac_identifier(value: object, path: str, rule: str = "T1") -> str:
    """Return `value`, an AC Identifier: words of a-z and 0-9 joined by one of ``-._~/``, at most 255 characters.

    ``/~`` counts as one separator: the specification's own ``example.com/~user/app_v1`` style needs it.

    Raises:
        SpecError: T1, or `rule` where another rule asks for the identifier.
    """
    return _check(value, path, rule, IDENTIFIER_LIMIT, "-._~/", "an AC Identifier")


def check_ac_name(value: object, path: str, limit: int = HOST_NAME_LIMIT, rule: str = "T2") -> str:
    """Return `value`, an AC Name: words of a-z and 0-9 joined by a single dash, at most `limit` characters.

    Raises:
        SpecError: T2, or `rule` where another rule asks for the name.
    """
    return _check(value, path, rule, limit, "-", "an AC Name")


def check_uuid(value: object, path: str) -> str:
    """Return `value`, a pod UUID in canonical form: lower case, 8-4-4-4-12, version 4 of RFC 4122 (never nil).

    Raises:
        SpecError: T8.
    """
    if isinstance(value, str) and len(value) == 36:
        groups = value.split("-")
        if (
            [len(group) for group in groups] == [8, 4, 4, 4, 12]
            and all(is_lower_hex(group) for group in groups)
            and groups[2][0] == "4"
            and groups[3][0] in "89ab"
        ):
            return value
    raise SpecError("a version 4 UUID in lower case, 8-4-4-4-12 digits, was expected", path=path, value=value, rule="T8")


def check_image_id(value: object, path: str) -> str:
    """Return `value`, an image ID: ``sha512-`` and exactly 128 lower-case hexadecimal digits.

    Raises:
        SpecError: T5.
    """
    if isinstance(value, str) and value.startswith("sha512-"):
        digits = value[7:]
        if len(digits) == IMAGE_ID_DIGITS and is_lower_hex(digits):
            return value
    raise SpecError("an image ID was expected: sha512- and 128 lower-case hex digits", path=path, value=value, rule="T5")


def prefix_covers(prefix: str, name: str) -> bool:
    """Return whether `prefix` is `name` or one of its parents, compared by path parts.

    ``example.com/app`` covers ``example.com/app/web``, not ``example.com/app2``. An empty prefix covers nothing, nor
    does one that ends in ``/``: who trusts every name has to say so in another way.
    """
    return bool(prefix) and (name == prefix or name.startswith(prefix + "/")) and not prefix.endswith("/")


def _distance(left: str, right: str) -> int:
    """Changes from one word to the other: insert, delete, replace, or swap two neighbours."""
    before: list[int] = []
    above = list(range(len(right) + 1))
    for row, a in enumerate(left):
        current = [row + 1]
        for column, b in enumerate(right):
            cost = min(above[column] + (a != b), above[column + 1] + 1, current[column] + 1)
            if row and column and a == right[column - 1] and left[row - 1] == b:
                cost = min(cost, before[column - 1] + 1)
            current.append(cost)
        before, above = above, current
    return above[-1]


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the one of `words` that `word` was probably meant to be, or None when none is near.

    Near is a third of the longer word's characters changed, case and ``_`` against ``-`` apart. The first of equals wins.
    """
    if len(word) > 64:
        return None
    plain = word.lower().replace("_", "-")
    best, best_distance = None, 65
    for candidate in words:
        other = candidate.lower().replace("_", "-")
        if abs(len(other) - len(plain)) >= best_distance or len(other) > 64:
            continue
        distance = _distance(plain, other)
        if distance < best_distance and distance <= max(len(plain), len(other)) // 3:
            best, best_distance = candidate, distance
    return best
