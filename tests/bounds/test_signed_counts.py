"""The tail of signed counts: against sums over all outcomes, at its nodes and between them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from kdtheory.bounds._largest import largest_not_ruled_out
from kdtheory.bounds.signed_counts import BesideCounts, Weights, log_sup_over_total, weights


def outcomes(n: int) -> np.ndarray:
    return np.array([(b, c, n - b - c) for b in range(n + 1) for c in range(n + 1 - b)])


@pytest.mark.parametrize("counted", [Weights(1, 1), Weights(17, 7), Weights(2, 0)])
@pytest.mark.parametrize("r", [-0.6, -0.05, 0.0, 0.3, 0.9])
def test_supremum_over_the_total_is_above_every_chance_and_near_the_largest(
    counted: Weights, r: float
) -> None:
    n, (low, high) = 12, (0.1, 0.95)
    seen = outcomes(n)
    totals = np.linspace(max(low, abs(r)), high, 300)
    for b, c in ((0, 0), (2, 5), (6, 1)):
        reach = counted.gain * b - counted.loss * c
        inside = counted.gain * seen[:, 0] - counted.loss * seen[:, 1] <= reach
        chances = [
            stats.multinomial.pmf(seen, n, [(q + r) / 2, (q - r) / 2, 1 - q])[inside].sum() for q in totals
        ]
        found = float(np.exp(log_sup_over_total(n, np.array([r]), low, high, counted, reach)[0]))
        assert max(chances) <= found <= 1.03 * max(chances) + 2e-8


@pytest.mark.parametrize(("weight", "group"), [(1, 1), (3, 1), (1, 4), (2, 3)])
def test_a_binomial_beside_is_added_exactly(weight: int, group: int) -> None:
    n, others, counted, q, r = 6, 15, Weights(3, 2), 0.4, 0.1
    seen, rates = outcomes(n), np.array([0.02, 0.3, 0.9])
    beside = BesideCounts(weight, group, others, rates)
    mass = stats.multinomial.pmf(seen, n, [(q + r) / 2, (q - r) / 2, 1 - q])
    for reach in (-4, 0, 5, 11):
        found = np.exp(log_sup_over_total(n, np.full(3, r), q, q, counted, reach, beside))
        for theta, one in zip(rates, found, strict=True):
            count = np.arange(others + 1)
            value = 3 * seen[:, :1] - 2 * seen[:, 1:2] + weight * (count // group)
            both = mass[:, None] * stats.binom.pmf(count, others, theta)
            truth = both[value <= reach].sum()
            assert truth <= one <= 1.03 * truth + 3e-8


def test_what_is_impossible_has_no_chance() -> None:
    found = log_sup_over_total(10, np.array([0.9, -0.9, 0.2]), 0.1, 0.5, Weights(1, 1), 0)
    assert found[:2].tolist() == [-np.inf, -np.inf]
    assert found[2] > -3


def test_chances_fall_with_the_difference() -> None:
    r = np.linspace(-0.5, 0.5, 21)
    found = log_sup_over_total(200, r, 0.55, 0.6, Weights(3, 2), 10)
    assert (np.diff(found) <= 0.02).all()  # up to what lies between two nodes


def test_large_samples_by_the_normal_law() -> None:
    n, q, r = 10**7, 0.2, 0.05
    std = (n * (q - r * r)) ** 0.5
    found = log_sup_over_total(n, np.array([r]), q, q, Weights(1, 1), int(n * r - 2 * std))
    assert float(np.exp(found[0])) == pytest.approx(stats.norm.cdf(-2), rel=0.02)


def test_weights_lean_towards_the_limit_that_an_outcome_would_have() -> None:
    assert weights(0.0, 0.0, delta=0.05) == Weights(24, 0)  # λ = 1: a loss counts for nothing
    assert weights(1e6, 1e6, delta=0.05) == Weights(1, 1)
    assert weights(10.0, 10.0, delta=0.5) == Weights(1, 1)  # no quantile
    middle = weights(100.0, 100.0, delta=0.05)
    assert (middle.gain - middle.loss) / (2 * middle.unit) == pytest.approx(1.645 / 2 / 100.7**0.5, abs=0.02)


@pytest.mark.parametrize("root", [0.0, 0.013, 0.4, 0.999])
def test_the_search_ends_outside_and_close(root: float) -> None:
    for guess, step in itertools.product((0.0, 0.3, 1.0), (0.001, 0.2)):
        found = largest_not_ruled_out(
            lambda e: -5.0 - 30 * (e - root), -5.0, low=-0.5, high=1.0, guess=guess, step=step, close=1e-4
        )
        assert root <= found <= root + 1e-4


def test_the_search_stops_at_the_largest_value_there_is() -> None:
    assert (
        largest_not_ruled_out(lambda _: -0.1, -3.0, low=0, high=0.7, guess=0.1, step=0.1, close=1e-3) == 0.7
    )
