"""Numbers as a reader sees them keep their value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.report.numerals import numeral, rows

RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def read_back(text: str) -> float:
    plain = text.replace("−", "-").replace(",", "")
    if "10" in plain and any(sign in plain for sign in "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"):
        mantissa, _, power = plain.rpartition("10")
        factor = {"": 1.0, "-": -1.0}.get(mantissa) or float(mantissa.rstrip("×"))
        return factor * 10.0 ** int(power.translate(RAISED))
    return float(plain)


@given(st.floats(min_value=1e-300, max_value=1e300), st.sampled_from([1, -1]))
def test_four_significant_digits_survive(size: float, sign: int) -> None:
    assert read_back(numeral(sign * size)) == pytest.approx(sign * size, rel=5.01e-4)


@given(st.integers())
def test_integers_survive_whole(value: int) -> None:
    assert int(numeral(value).replace("−", "-").replace(",", "")) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.05, "0.05"),
        (999.96, "1,000"),
        (123456.0, "123,456"),
        (1234567.0, "1.235×10⁶"),
        (0.00012, "1.2×10⁻⁴"),
        (-1e-12, "−10⁻¹²"),
        (True, "yes"),
        (None, "—"),
        (float("inf"), "inf"),
        ("plain", "plain"),
        ((1, 0.5), "1, 0.5"),
    ],
)
def test_known_values(value: object, text: str) -> None:
    assert numeral(value) == text


def test_rows_spread_mappings_and_leave_out_nothing_but_none() -> None:
    assert rows({"a_b": {"c": {"d": 1}, "e": None}, "f": 0}) == [("a b · c · d", "1"), ("f", "0")]
