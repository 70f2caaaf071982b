"""Empirical Bernstein radii: constants by mpmath, exact coverage, tightness, laws, bad input."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats

from kdtheory.bounds.covering import segment_covering_number
from kdtheory.bounds.empirical_bernstein import (
    maurer09_covering,
    maurer09_covering_radius,
    maurer09_finite_class,
    maurer09_finite_class_radius,
)


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("n", [2, 40, 10**6])
@pytest.mark.parametrize("variance", [0.0, 0.03, 0.25])
def test_constants_by_mpmath(n: int, variance: float) -> None:
    with mpmath.workdps(50):
        log = mpmath.log(2 * 12 / mpmath.mpf(0.05))
        finite = mpmath.sqrt(2 * mpmath.mpf(variance) * log / n) + 7 * log / (3 * (n - 1))
    radius = maurer09_finite_class_radius(number(variance), n=n, class_size=12, delta=0.05)
    assert float(radius) == pytest.approx(float(finite), rel=1e-14)
    if n >= 16:
        with mpmath.workdps(50):
            log = mpmath.log(10 * 12 / mpmath.mpf(0.05))
            cover = mpmath.sqrt(18 * mpmath.mpf(variance) * log / n) + 15 * log / (n - 1)
        radius = maurer09_covering_radius(number(variance), n=n, covering_number=12, delta=0.05)
        assert float(radius) == pytest.approx(float(cover), rel=1e-14)


@pytest.mark.parametrize("p", [0.02, 0.3, 0.5])
@pytest.mark.parametrize("n", [20, 400])
def test_coverage_is_exact_on_coin_flips(p: float, n: int) -> None:
    delta = 0.1
    heads = np.arange(n + 1)
    mean = torch.as_tensor(heads / n)
    variance = mean * (1 - mean) * n / (n - 1)
    radius = maurer09_finite_class_radius(variance, n=n, class_size=1, delta=delta)
    missed = (mean + radius < p).numpy()
    assert stats.binom.pmf(heads, n, p)[missed].sum() <= delta


def test_radius_is_close_to_the_exact_quantile_at_small_delta() -> None:
    # Two-sided: never below the quantile of a coin's mean, and within 15 per cent above it.
    n, delta = 10**6, 1e-9
    quantile = 0.5 - stats.binom.ppf(delta, n, 0.5) / n
    radius = float(maurer09_finite_class_radius(number(0.25), n=n, class_size=1, delta=delta))
    assert quantile < radius < 1.15 * quantile


def test_radius_is_monotone() -> None:
    def finite(**changes) -> float:
        settings = {"n": 100, "class_size": 5, "delta": 0.1, **changes}
        return float(maurer09_finite_class_radius(number(0.1), **settings))

    assert finite(n=200) < finite() < finite(n=50)
    assert finite(delta=0.2) < finite() < finite(delta=0.01)
    assert finite(class_size=1) < finite() < finite(class_size=10**300)
    many = maurer09_finite_class_radius(torch.linspace(0, 0.25, 9), n=100, class_size=5, delta=0.1)
    assert bool((many.diff() > 0).all())


def test_zero_variance_gives_the_fast_rate() -> None:
    slow, fast = (
        maurer09_finite_class_radius(number(0.0), n=n, class_size=1, delta=0.1) for n in (101, 1001)
    )
    assert float(slow / fast) == pytest.approx(10, rel=1e-12)


def test_covering_form_is_the_looser_one_for_a_single_function() -> None:
    finite = maurer09_finite_class_radius(number(0.1), n=100, class_size=1, delta=0.1)
    assert float(maurer09_covering_radius(number(0.1), n=100, covering_number=1, delta=0.1)) > float(finite)


def test_bounds_add_up_and_use_the_unbiased_variance() -> None:
    values = torch.tensor([0.0, 1.0] * 10, dtype=torch.float64)
    bound = maurer09_finite_class(
        values, class_size=3, delta=0.1, fixed_in_advance=True, independent_draws=True
    )
    variance = number(np.var(values.numpy(), ddof=1).item())
    radius = maurer09_finite_class_radius(variance, n=20, class_size=3, delta=0.1)
    assert bound.terms["empirical risk"] == 0.5
    assert bound.terms["radius"] == pytest.approx(float(radius), rel=1e-14)
    assert bound.value == pytest.approx(0.5 + float(radius), rel=1e-14)
    assert bound.certificate
    cover = maurer09_covering(
        values, covering_number=10, delta=0.1, fixed_in_advance=False, independent_draws=True
    )
    assert cover.kind == "heuristic"
    assert cover.vacuous


@pytest.mark.parametrize("epsilon", [0.01, 0.07, 0.25, 0.5, 2.0])
def test_segment_is_covered_and_not_with_one_ball_less(epsilon: float) -> None:
    balls = segment_covering_number(epsilon)
    centres = (np.arange(balls) + 0.5) / balls
    points = np.linspace(0, 1, 10_001)
    assert np.abs(points[:, None] - centres).min(1).max() <= epsilon + 1e-12
    assert (balls - 1) * 2 * epsilon < 1  # fewer intervals of length 2ε cannot reach across [0, 1]


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="n = 1"):
        maurer09_finite_class_radius(number(0.1), n=1, class_size=1, delta=0.1)
    with pytest.raises(ValueError, match="n = 15"):
        maurer09_covering_radius(number(0.1), n=15, covering_number=1, delta=0.1)
    with pytest.raises(ValueError, match="class_size = 0"):
        maurer09_finite_class_radius(number(0.1), n=10, class_size=0, delta=0.1)
    with pytest.raises(ValueError, match="covering_number"):
        maurer09_covering_radius(number(0.1), n=20, covering_number=0, delta=0.1)
    for delta in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="delta"):
            maurer09_finite_class_radius(number(0.1), n=10, class_size=1, delta=delta)
    with pytest.raises(ValueError, match="variance has negative"):
        maurer09_finite_class_radius(number(-0.1), n=10, class_size=1, delta=0.1)
    with pytest.raises(ValueError, match="values"):
        maurer09_finite_class(
            torch.tensor([0.0, 1.5]), class_size=1, delta=0.1, fixed_in_advance=True, independent_draws=True
        )
    with pytest.raises(ValueError, match="values holds 1 NaN"):
        maurer09_finite_class(
            torch.tensor([0.0, math.nan]),
            class_size=1,
            delta=0.1,
            fixed_in_advance=True,
            independent_draws=True,
        )
    with pytest.raises(ValueError, match="n = 1"):
        maurer09_finite_class(
            torch.tensor([0.5]), class_size=1, delta=0.1, fixed_in_advance=True, independent_draws=True
        )
    with pytest.raises(ValueError, match="epsilon"):
        segment_covering_number(0.0)
