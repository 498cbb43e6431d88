# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Quantities: ``128Mi``, ``1.5G``, ``300m``, ``1e3`` (docs/spec-conformance.md I4).

Arithmetic is exact; fractions of a base unit are rounded up.

Not handled here: which quantities an isolator takes (see isolators.py).
"""

from __future__ import annotations

from ..errors import SpecError
from .reading import MAX_INTEGER

_SUFFIXES = {
    "n": (1, 10**9),
    "u": (1, 10**6),
    "m": (1, 10**3),
    "": (1, 1),
    "k": (10**3, 1),
    "K": (10**3, 1),
    "M": (10**6, 1),
    "G": (10**9, 1),
    "T": (10**12, 1),
    "P": (10**15, 1),
    "E": (10**18, 1),
    "Ki": (1 << 10, 1),
    "Mi": (1 << 20, 1),
    "Gi": (1 << 30, 1),
    "Ti": (1 << 40, 1),
    "Pi": (1 << 50, 1),
    "Ei": (1 << 60, 1),
}
_DIGITS = "0123456789"
_LENGTH = 64
_EXPONENT = 200


def _leading_digits(text: str) -> str:
    return text[: len(text) - len(text.lstrip(_DIGITS))]


def _scale(suffix: str) -> tuple[int, int] | None:
    """Numerator and denominator of a suffix or exponent; None where it is neither."""
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    sign, digits = "", suffix[1:]
    if digits[:1] in ("+", "-"):
        sign, digits = digits[0], digits[1:]
    if suffix[0] not in "eE" or not digits or digits.strip(_DIGITS):
        return None
    # Past the clamp the result is out of range or a rounded-up fraction anyway, and 10 ** 999999999 would never end.
    power: int = 10 ** min(int(digits), _EXPONENT)
    return (1, power) if sign == "-" else (power, 1)


def _fraction(text: str) -> tuple[int, int] | None:
    """Numerator and denominator of a written quantity; None where it breaks the grammar."""
    negative = text.startswith("-")
    text = text[1:] if text[:1] in ("+", "-") else text
    whole = _leading_digits(text)
    text = text[len(whole) :]
    decimals = ""
    if text.startswith("."):
        decimals = _leading_digits(text[1:])
        text = text[1 + len(decimals) :]
        if not decimals:
            return None
    scale = _scale(text) if whole or decimals else None
    if scale is None:
        return None
    number = int(whole + decimals)
    return (-number if negative else number) * scale[0], 10 ** len(decimals) * scale[1]


def _scaled(value: object, path: str, units: int) -> int:
    """The quantity times `units`, rounded up."""
    if isinstance(value, int) and not isinstance(value, bool):
        fraction: tuple[int, int] | None = (value, 1)
    elif isinstance(value, str):
        fraction = _fraction(value) if len(value) <= _LENGTH else None
    else:
        fraction = None
    if fraction is None:
        raise SpecError(
            "a quantity was expected",
            path=path,
            value=value,
            rule="I4",
            hint="write digits and one of n u m k M G T P E Ki Mi Gi Ti Pi Ei, such as 256Mi or 500m",
        )
    numerator, denominator = fraction
    if numerator < 0:
        raise SpecError("a quantity must not be negative", path=path, value=value, rule="I4")
    result = -(-numerator * units // denominator)
    if result > MAX_INTEGER:
        raise SpecError("a quantity is at most 9223372036854775807 base units", path=path, value=value, rule="I4")
    return result


def parse_quantity(value: object, path: str) -> int:
    """Return `value` in base units (bytes, bytes a second, operations a second), rounded up.

    Args:
        value: a string of the grammar ``[+-]? digits [. digits] suffix?``, or an integer.

    Raises:
        SpecError: I4; negative, above 2**63 - 1, a fraction of JSON, or against the grammar.
    """
    return _scaled(value, path, 1)


def parse_cpu(value: object, path: str) -> int:
    """Return `value`, a number of cores, in millicores, rounded up; raises as parse_quantity does."""
    return _scaled(value, path, 1000)
