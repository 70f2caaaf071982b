"""The chances that the bounds of chapters 4 and 5 are judged by, against plain sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from kdtheory.experiments.bounds.enumeration import (
    LOG_TINY,
    exponent_left,
    log_any,
    log_misses,
    needed_radius,
    some_counts,
)
from kdtheory.inversion import binomial_upper_limits


def test_a_miss_is_the_lower_tail_at_a_risk_just_above_the_limit() -> None:
    counts, limits = np.array([0, 2, 5]), np.array([0.3, 0.6, 1.2])
    by_hand = [0.7**5, sum(math.comb(5, k) * 0.6**k * 0.4 ** (5 - k) for k in range(3))]
    found = np.exp(log_misses(limits, counts, 5))
    assert found[:2] == pytest.approx(by_hand, rel=1e-9)
    assert found[2] == 0.0  # no risk exceeds a limit above one


@pytest.mark.parametrize("members", [1, 7, 1000, 10**7])
@pytest.mark.parametrize("chance", [0.4, 1e-3, 1e-9])
def test_chance_of_any_of_many(members: int, chance: float) -> None:
    exact = -math.expm1(members * math.log1p(-chance))
    assert math.exp(float(log_any(math.log(chance), math.log(members)))) == pytest.approx(exact, rel=1e-6)


def test_chance_of_any_of_more_than_can_be_counted() -> None:
    assert float(log_any(-900.0, 300.0)) == pytest.approx(-600.0)
    assert float(log_any(-200.0, 300.0)) == pytest.approx(0.0)
    assert float(log_any(0.0, 5.0)) == 0.0


def test_the_exact_limit_leaves_all_of_delta_and_a_smaller_one_more() -> None:
    counts, log_delta = some_counts(50), math.log(0.05)
    limits = binomial_upper_limits(counts, 50, log_delta=log_delta)
    assert exponent_left(log_misses(limits, counts, 50), log_delta) == pytest.approx(1.0, abs=1e-9)
    assert exponent_left(log_misses(0.9 * limits, counts, 50), log_delta) > 1.1
    assert exponent_left(np.zeros(1), log_delta) > 1e6  # a sure miss


@pytest.mark.parametrize(("n", "log_delta"), [(100, math.log(0.05)), (1000, -50.0), (40_000, LOG_TINY)])
def test_needed_radius_is_the_least_that_a_fair_coin_allows(n: int, log_delta: float) -> None:
    radius = needed_radius(n, log_delta)
    missed = math.ceil(n * (0.5 - radius) - 1e-6) - 1  # the largest count that a radius like this misses
    assert stats.binom.logcdf(missed, n, 0.5) <= log_delta
    assert stats.binom.logcdf(missed + 1, n, 0.5) > log_delta
    assert radius < math.sqrt(-log_delta / (2 * n))  # Hoeffding's
