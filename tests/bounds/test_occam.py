"""Occam limits: closed forms, constants by mpmath at tiny δ, exact coverage of a small class, laws."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from naive import precise_binomial_limit, precise_kl_inverse
from scipy import stats

from kdtheory.bounds.holdout import clopper34_holdout, hoeffding63_kl_holdout
from kdtheory.bounds.occam import langford05_occam, langford05_occam_kl, occam_log_delta

CODED = {"coded_beforehand": True, "independent_draws": True}
DOORS = [langford05_occam, langford05_occam_kl]


def flips(wrong: int, n: int) -> torch.Tensor:
    return (torch.arange(n) < wrong).double()


@pytest.mark.parametrize("bits", [0, 13, 5000])
def test_constants_by_mpmath(bits: int) -> None:
    with mpmath.workdps(50):
        log_delta = mpmath.log(mpmath.mpf(0.05)) - bits * mpmath.log(2)
    exact = langford05_occam(flips(30, 200), bits=bits, delta=0.05, **CODED).value
    assert exact == pytest.approx(float(precise_binomial_limit(30, 200, log_delta)), rel=1e-12)
    kl = langford05_occam_kl(flips(30, 200), bits=bits, delta=0.05, **CODED).value
    assert kl == pytest.approx(float(precise_kl_inverse(0.15, -log_delta / 200)), rel=1e-12)


def test_without_bits_it_is_the_hold_out_bound() -> None:
    values, settings = flips(7, 90), {"delta": 0.05}
    assert langford05_occam(values, bits=0, **settings, **CODED).value == (
        clopper34_holdout(values, **settings, fixed_in_advance=True, independent_draws=True).value
    )
    assert langford05_occam_kl(values, bits=0, **settings, **CODED).value == (
        hoeffding63_kl_holdout(values, **settings, fixed_in_advance=True, independent_draws=True).value
    )


@pytest.mark.parametrize("door", DOORS)
def test_union_over_a_code_covers_and_one_bit_less_does_not(door) -> None:
    # 2^b independent classifiers of one risk, just above a limit: missed with chance 1 − (1 − δ2^{−b})^{2^b}.
    n, bits, delta, wrong = 60, 8, 0.05, 6
    limit = door(flips(wrong, n), bits=bits, delta=delta, **CODED).value
    one = stats.binom.cdf(wrong, n, limit * (1 + 1e-12))
    missed = -math.expm1(2**bits * math.log1p(-one))
    assert missed <= delta
    cheaper = door(flips(wrong, n), bits=bits - 1, delta=delta, **CODED).value
    if door is langford05_occam:
        assert missed > 0.95 * delta
        assert -math.expm1(2**bits * math.log1p(-stats.binom.cdf(wrong, n, cheaper))) > delta


@pytest.mark.parametrize("door", DOORS)
def test_limits_are_monotone(door) -> None:
    def limit(n: int = 200, bits: float = 20, delta: float = 0.05) -> float:
        return door(flips(n // 10, n), bits=bits, delta=delta, **CODED).value

    assert limit(n=400) < limit() < limit(n=100)
    assert limit(bits=10) < limit() < limit(bits=20.5)
    assert limit(delta=0.1) < limit() < limit(delta=0.01)


@pytest.mark.parametrize("door", DOORS)
def test_records_add_up(door) -> None:
    bound = door(flips(10, 100), bits=30, delta=0.05, coded_beforehand=False, independent_draws=True)
    assert list(bound.terms) == ["empirical risk", "radius", "code length"]
    assert sum(bound.terms.values()) == pytest.approx(bound.value, rel=1e-14)
    assert bound.kind == "heuristic"
    assert bound.quantities["bits"] == 30


@pytest.mark.parametrize("door", DOORS)
def test_needed_size_of_a_vacuous_code(door) -> None:
    bound = door(flips(0, 10), bits=10_000, delta=0.05, **CODED)
    assert bound.vacuous
    assert bound.needed is not None
    assert not door(flips(0, bound.needed), bits=10_000, delta=0.05, **CODED).vacuous
    assert door(flips(0, bound.needed - 1), bits=10_000, delta=0.05, **CODED).vacuous


def test_share_of_delta() -> None:
    levels = np.exp([occam_log_delta(bits, delta=0.1) for bits in (1, 2, 3, 3)])
    assert levels.sum() == pytest.approx(0.1)  # Kraft's sum of a complete code is one


@pytest.mark.parametrize("door", DOORS)
def test_bad_input_is_named(door) -> None:
    for bits in (-1, math.inf, math.nan):
        with pytest.raises(ValueError, match="bits"):
            door(flips(1, 9), bits=bits, delta=0.1, **CODED)
    with pytest.raises(ValueError, match="delta"):
        door(flips(1, 9), bits=3, delta=0.0, **CODED)
