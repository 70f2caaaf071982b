"""Hold-out limits: exact coverage by enumeration, the order among them, laws, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from kdtheory.bounds.empirical_bernstein import maurer09_finite_class
from kdtheory.bounds.holdout import (
    blum99_progressive,
    clopper34_holdout,
    hoeffding63_holdout,
    hoeffding63_kl_holdout,
    maurer09_holdout,
    progressive_limit,
)
from kdtheory.inversion import binomial_upper_limit, kl_upper_inverse

FIXED = {"fixed_in_advance": True, "independent_draws": True}
DOORS = [clopper34_holdout, hoeffding63_kl_holdout, hoeffding63_holdout, maurer09_holdout]


def flips(wrong: int, n: int) -> torch.Tensor:
    return (torch.arange(n) < wrong).double()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("risk", [0.03, 0.3, 0.5, 0.9])
def test_coverage_is_exact_on_coin_flips(door, risk: float) -> None:
    n, delta = 25, 0.1
    missed = [door(flips(k, n), delta=delta, **FIXED).value < risk for k in range(n + 1)]
    assert stats.binom.pmf(np.arange(n + 1), n, risk)[missed].sum() <= delta


def test_exact_limit_is_the_smallest_and_misses_with_probability_delta() -> None:
    n, delta = 40, 0.05
    for wrong in (0, 3, 20, 39):
        exact, kl, hoeffding, bernstein = (
            door(flips(wrong, n), delta=delta, **FIXED).value for door in DOORS
        )
        assert exact <= kl * (1 + 1e-12)
        assert kl <= hoeffding
        assert exact < bernstein
        assert stats.binom.cdf(wrong, n, exact * (1 + 1e-12)) == pytest.approx(delta, rel=1e-6)


def test_bernstein_is_the_smallest_where_averaged_losses_vary_little() -> None:
    values = 0.3 + 0.01 * flips(1000, 2000)
    bernstein = maurer09_holdout(values, delta=0.05, **FIXED).value
    assert bernstein < hoeffding63_kl_holdout(values, delta=0.05, **FIXED).value


@pytest.mark.parametrize("door", DOORS)
def test_records_add_up_and_state_their_assumptions(door) -> None:
    bound = door(flips(3, 50), delta=0.1, fixed_in_advance=False, independent_draws=True)
    assert sum(bound.terms.values()) == pytest.approx(bound.value, rel=1e-14)
    assert bound.terms["empirical risk"] == 0.06
    assert bound.kind == "heuristic"
    assert bound.quantities["points"] == 50
    assert "50 hold-out points" in bound.coverage


@pytest.mark.parametrize("door", DOORS)
def test_limits_fall_with_n_and_with_delta(door) -> None:
    def limit(n: int, delta: float) -> float:
        return door(flips(n // 10, n), delta=delta, **FIXED).value

    assert limit(400, 0.05) < limit(100, 0.05) < limit(100, 0.01)


@pytest.mark.parametrize("door", DOORS)
def test_needed_size_is_where_the_bound_says_something(door) -> None:
    bound = door(flips(8, 10), delta=0.01, **FIXED)
    per = {clopper34_holdout: 5}.get(door, 1)
    assert bound.needed is not None
    size = bound.needed
    values = flips(-(-8 * size // 10), size) if per == 5 else None
    if values is not None:
        assert not door(values, delta=0.01, **FIXED).vacuous
    if door is hoeffding63_holdout:
        assert size == math.floor(math.log(100) / (2 * 0.2**2)) + 1
    assert door(torch.ones(10), delta=0.01, **FIXED).needed is None


def test_doors_are_their_formulas() -> None:
    values = torch.tensor([0.0, 0.5, 1.0, 0.25], dtype=torch.float64)
    assert clopper34_holdout(flips(2, 9) > 0, delta=0.2, **FIXED).value == binomial_upper_limit(
        2, 9, delta=0.2
    )
    expected = float(kl_upper_inverse(0.4375, math.log(5) / 4))
    assert hoeffding63_kl_holdout(values, delta=0.2, **FIXED).value == expected
    assert hoeffding63_holdout(values, delta=0.2, **FIXED).value == 0.4375 + math.sqrt(math.log(5) / 8)
    rival = maurer09_finite_class(values, class_size=1, delta=0.2, **FIXED)
    assert maurer09_holdout(values, delta=0.2, **FIXED).value == pytest.approx(rival.value, rel=1e-14)


def test_progressive_limit_is_the_kl_limit_at_the_guess_and_never_below_it() -> None:
    n, delta = 200, 0.05
    for mean in (0.0, 0.1, 0.35, 0.7):
        kl = float(kl_upper_inverse(mean, -math.log(delta) / n))
        assert progressive_limit(mean, mean, n, delta) == pytest.approx(kl, rel=1e-9)
        for guess in (0.05, 0.2, 0.5):
            assert progressive_limit(mean, guess, n, delta) >= kl * (1 - 1e-12)
    assert progressive_limit(0.12, 0.1, n, delta) < 1.01 * float(kl_upper_inverse(0.12, -math.log(delta) / n))


@pytest.mark.parametrize("guess", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("risks", [(0.2,) * 12, (0.05, 0.1, 0.6) * 4])
def test_progressive_coverage_is_exact_for_unequal_risks(guess: float, risks: tuple[float, ...]) -> None:
    law = np.ones(1)
    for risk in risks:
        law = np.convolve(law, [1 - risk, risk])
    n = len(risks)
    missed = [progressive_limit(k / n, guess, n, 0.1) < np.mean(risks) for k in range(n + 1)]
    assert law[missed].sum() <= 0.1


def test_progressive_record() -> None:
    bound = blum99_progressive(
        flips(20, 200),
        guess=0.1,
        delta=0.05,
        each_fixed_before_its_point=True,
        guess_made_without_the_points=True,
        independent_draws=True,
    )
    assert bound.certificate
    assert bound.value == progressive_limit(0.1, 0.1, 200, 0.05)
    assert blum99_progressive(
        flips(1, 9),
        guess=0.0,
        delta=0.1,
        each_fixed_before_its_point=True,
        guess_made_without_the_points=True,
        independent_draws=True,
    ).vacuous


@pytest.mark.parametrize("door", DOORS)
def test_bad_input_is_named(door) -> None:
    for delta in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="delta"):
            door(flips(1, 9), delta=delta, **FIXED)
    for values in (torch.tensor([0.5, 1.5]), torch.tensor([0.0, math.nan]), torch.zeros(0)):
        with pytest.raises(ValueError, match=r"values|errors"):
            door(values, delta=0.1, **FIXED)
    with pytest.raises(ValueError, match="other than 0 and 1"):
        clopper34_holdout(torch.tensor([0.5]), delta=0.1, **FIXED)
    with pytest.raises(ValueError, match="guess"):
        blum99_progressive(
            flips(1, 9),
            guess=1.5,
            delta=0.1,
            each_fixed_before_its_point=True,
            guess_made_without_the_points=True,
            independent_draws=True,
        )
