# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Quantities: exact, rounded up, never out of range, and never a long calculation."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from _rocket.errors import SpecError
from _rocket.spec.quantity import parse_cpu, parse_quantity

# A slow machine is no defect of the code.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

FACTORS = {
    "": Fraction(1),
    "k": Fraction(1000),
    "K": Fraction(1000),
    "m": Fraction(1, 1000),
    "u": Fraction(1, 10**6),
    "n": Fraction(1, 10**9),
    **{letter: Fraction(1000 ** (power + 2)) for power, letter in enumerate("MGTPE")},
    **{letter + "i": Fraction(1024 ** (power + 1)) for power, letter in enumerate("KMGTPE")},
}


@pytest.mark.spec("I4")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("128974848", 128974848),
        ("125952Ki", 128974848),
        ("123Mi", 128974848),
        ("1K", 1000),
        ("1k", 1000),
        (".5", 1),
        ("+1", 1),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 10**18),
        ("1e+3", 1000),
        ("1500e-3", 2),
        ("1.5Gi", 1610612736),
        ("0.1", 1),
        ("1n", 1),
        ("0n", 0),
        ("0", 0),
        ("-0", 0),
        ("0e999999999", 0),
        ("1e-999999999", 1),
        ("7.9Ei", 9108079886394091111),
        ("9223372036854775807", 2**63 - 1),
        (0, 0),
        (4096, 4096),
    ],
)
def test_quantities(value, expected):
    assert parse_quantity(value, "") == expected


@pytest.mark.spec("I4")
@pytest.mark.parametrize(
    "value",
    [
        "",
        "1GB",
        "1ki",
        "1MI",
        "1_000",
        "5.",
        ".",
        "1.2.3",
        "-1",
        "-1n",
        "9Ei",
        "8Ei",
        "1000000000000E",
        "9223372036854775808",
        "1e19",
        "1e",
        "1e+",
        "1e3k",
        "1e3.5",
        "e3",
        "Ki",
        " 1",
        "1 ",
        "1\n",
        "٣",
        "1²",
        "++1",
        "+-1",
        "0x10",
        "1" * 65,
        "1e999999999",
        "1e" + "9" * 60,
        1.0,
        0.5,
        True,
        None,
        [],
        {},
        -1,
        2**63,
    ],
)
def test_what_is_no_quantity(value):
    for parse in (parse_quantity, parse_cpu):
        with pytest.raises(SpecError) as refused:
            parse(value, "apps[0].app.isolators[1].value.limit")
        assert refused.value.rule == "I4"
        assert str(refused.value).startswith("apps[0].app.isolators[1].value.limit: ")


@pytest.mark.spec("I4")
@pytest.mark.parametrize(
    ("value", "expected"), [("300m", 300), ("1", 1000), ("0.5", 500), (2, 2000), ("1u", 1), ("0.0001", 1), ("1.0001", 1001)]
)
def test_cores_are_millicores(value, expected):
    assert parse_cpu(value, "") == expected


@PATIENT
@given(st.integers(0, 10**6), st.integers(0, 999), st.sampled_from(sorted(FACTORS)), st.sampled_from(["", "+"]))
def test_every_quantity_is_the_exact_one_rounded_up(whole, thousandths, suffix, sign):
    exact = (whole + Fraction(thousandths, 1000)) * FACTORS[suffix]
    expected = -(-exact.numerator // exact.denominator)
    text = f"{sign}{whole}.{thousandths:03d}{suffix}"
    if expected > 2**63 - 1:
        with pytest.raises(SpecError, match="at most"):
            parse_quantity(text, "")
    else:
        assert parse_quantity(text, "") == expected


@PATIENT
@given(st.text(alphabet="0123456789.+-eEkKMGnumi ", max_size=12))
def test_anything_is_a_number_in_range_or_refused(text):
    try:
        value = parse_quantity(text, "")
    except SpecError:
        return
    assert 0 <= value < 2**63
    assert text.strip("+-")[0] in "0123456789."


def test_a_long_text_is_refused_before_it_is_a_number():
    with pytest.raises(SpecError, match="a quantity was expected"):
        parse_quantity("0" * 100_000 + "1", "")
