"""The limit of a sum of two risks: coverage by enumeration, against the union bound, limits, bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from kdtheory.bounds import disagreement_limit, disagreement_transfer
from kdtheory.bounds.holdout import clopper34_holdout
from kdtheory.bounds.two_samples import joint_disagreement_transfer, sum_upper_limit
from kdtheory.inversion import binomial_upper_limit


@pytest.mark.parametrize(("n", "m"), [(8, 8), (7, 12), (25, 5)])
@pytest.mark.parametrize("delta", [0.05, 0.3])
def test_coverage_by_enumeration_of_both_samples(n: int, m: int, delta: float) -> None:
    limits = np.array(
        [[sum_upper_limit(k, n, other, m, delta=delta) for other in range(m + 1)] for k in range(n + 1)]
    )
    missed = []
    for p, q in itertools.product(np.linspace(0.02, 0.98, 25), repeat=2):
        chance = np.outer(stats.binom.pmf(range(n + 1), n, p), stats.binom.pmf(range(m + 1), m, q))
        missed.append(chance[limits < p + q].sum())
    assert max(missed) <= delta
    assert max(missed) > 0.6 * delta, "no hidden slack: the worst pair of risks comes near δ"


@pytest.mark.parametrize(("k", "n", "other", "m"), [(3, 30, 2, 40), (90, 1000, 30, 1000), (0, 60, 5, 50)])
def test_it_is_the_least_line_that_is_ruled_out(k: int, n: int, other: int, m: int) -> None:
    """Against a fine grid of risks, each with its exact probability of what was seen or less."""
    limit = sum_upper_limit(k, n, other, m, delta=0.05)
    grid = np.linspace(0, limit, 400)
    j = np.arange(m + 1)
    most = np.floor((k * m + other * n - j * n) / m)

    def likeliest(total: float) -> float:
        p = grid[grid <= total]
        return max(
            float((stats.binom.pmf(j, m, total - each) * stats.binom.cdf(most, n, each)).sum()) for each in p
        )

    assert likeliest(limit) <= 0.05
    radius = limit - k / n - other / m
    assert likeliest(limit - 0.1 * radius) > 0.05


def test_below_the_union_of_two_limits_by_what_independence_saves() -> None:
    wrong, apart = torch.arange(2000) < 200, torch.arange(2000) < 180
    joint = joint_disagreement_transfer(
        wrong,
        apart,
        delta=0.05,
        witness_fixed_in_advance=True,
        predictor_fixed_in_advance=True,
        disjoint_samples=True,
        independent_draws=True,
        same_law=True,
    )
    union = disagreement_transfer(
        clopper34_holdout(wrong, delta=0.025, fixed_in_advance=True, independent_draws=True),
        apart,
        delta=0.025,
        drawn_afterwards=True,
        same_law=True,
    )
    radius = joint.value - 0.19, union.value - 0.19
    assert 0.55 < radius[0] / radius[1] < 0.7  # 1.645·√2/(2·1.96) = 0.593
    assert joint.certificate
    assert sum(joint.terms.values()) == pytest.approx(joint.value, rel=1e-12)


def test_one_sample_without_chance_leaves_the_others_limit() -> None:
    for k, n in ((0, 50), (7, 200)):
        assert sum_upper_limit(k, n, 0, 10**7, delta=0.05) == pytest.approx(
            binomial_upper_limit(k, n, delta=0.05), rel=0.08
        )


def test_monotone_in_counts_and_delta() -> None:
    base = sum_upper_limit(20, 200, 9, 300, delta=0.05)
    assert sum_upper_limit(25, 200, 9, 300, delta=0.05) > base
    assert sum_upper_limit(20, 200, 15, 300, delta=0.05) > base
    assert sum_upper_limit(20, 200, 9, 300, delta=0.01) > base
    assert sum_upper_limit(200, 200, 300, 300, delta=0.05) == pytest.approx(2, abs=1e-3)


def test_what_was_not_fixed_in_advance_is_a_heuristic() -> None:
    zeros = torch.zeros(50)
    for fixed, drawn in ((False, True), (True, False)):
        bound = joint_disagreement_transfer(
            zeros,
            zeros,
            delta=0.05,
            witness_fixed_in_advance=fixed,
            predictor_fixed_in_advance=drawn,
            disjoint_samples=True,
            independent_draws=True,
            same_law=True,
        )
        assert bound.kind == "heuristic"
    assert bound.needed is not None
    assert disagreement_limit(zeros, delta=0.05) < bound.value


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((1, 0, 0, 5), "number of points"), ((6, 5, 0, 5), "6 of 5 points"), ((0, 5, -1, 5), "-1 of 5 points")],
)
def test_bad_counts_are_named(arguments: tuple[int, int, int, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        sum_upper_limit(*arguments, delta=0.05)
    with pytest.raises(ValueError, match="delta"):
        sum_upper_limit(0, 5, 0, 5, delta=0.0)
