"""Labels where student and teacher differ: coverage, against labels at random, plans that run short."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from scipy import stats

from kdtheory.bounds.paired import difference_upper_limit
from kdtheory.bounds.where_they_differ import planned_upper_limit, targeted_interval, targeted_upper_limit
from kdtheory.inversion import binomial_upper_limit

D, W, LOSS, OTHERS = 0.04, 0.6, 0.3, 50_000


def both_ways(draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Limits from 100 labels where they differ, and from 2,000 at random."""
    rng = np.random.default_rng(7)
    apart = rng.binomial(OTHERS, D, size=draws)
    few = rng.multinomial(100, [W, LOSS, 1 - W - LOSS], size=draws)
    many = rng.multinomial(2000, [D * W, D * LOSS, 1 - D * (W + LOSS)], size=draws)
    targeted = [
        targeted_upper_limit(int(b), int(c), 100, int(k), OTHERS, delta=0.05)
        for (b, c, _), k in zip(few, apart, strict=True)
    ]
    return np.array(targeted), np.array(
        [difference_upper_limit(int(b), int(c), 2000, delta=0.05) for b, c, _ in many]
    )


@pytest.mark.parametrize("draws", [15, pytest.param(60, marks=pytest.mark.slow)])
def test_a_hundred_labels_where_they_differ_are_worth_two_thousand_at_random(draws: int) -> None:
    targeted, random = both_ways(draws)
    assert targeted.mean() <= random.mean() + 3 * (targeted.std() + random.std()) / draws**0.5
    for found in (targeted, random):
        assert (found < D * (W - LOSS)).sum() <= stats.binom.isf(1e-4, draws, 0.05)


WORLDS = {
    "rare ties": (0.02, 0.5, 0.5, 60, 3),
    "the teacher is right": (0.02, 1.0, 0.0, 60, 3),
    "the student is right": (0.02, 0.0, 1.0, 60, 3),
    "both are wrong": (0.02, 0.0, 0.0, 60, 3),
    "the teacher is right more often": (0.2, 0.6, 0.3, 20, 2),
    "nearly always different": (0.9, 0.5, 0.4, 20, 2),
    "the teacher is rarely right": (0.05, 0.02, 0.0, 60, 3),
    "the student is rarely right": (0.05, 0.0, 0.02, 60, 3),
    "both are rarely right": (0.1, 0.1, 0.1, 30, 2),
    "the teacher is nearly always right": (0.3, 0.9, 0.05, 20, 2),
    "ties": (0.05, 0.4, 0.4, 60, 3),
    "always different": (1.0, 0.3, 0.2, 20, 2),
}
"""d, w, l, N, m: where limits are least sure; as large as leaves few counts in 1,000 draws."""


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_a_thousand_draws_of_a_plan_that_may_run_short(world: str) -> None:
    d, w, loss, others, wanted = WORLDS[world]
    rng, missed = np.random.default_rng(11), 0
    seen: dict[tuple[int, int, int], int] = {}
    for apart in rng.binomial(others, d, size=1000).tolist():
        b, c, _ = rng.multinomial(min(wanted, apart), [w, loss, max(0.0, 1 - w - loss)]).tolist()
        seen[b, c, apart] = seen.get((b, c, apart), 0) + 1
    for (b, c, apart), number in seen.items():
        limit = planned_upper_limit(b, c, min(wanted, apart), wanted, apart, others, delta=0.05)
        missed += number * (limit < d * (w - loss))
    assert missed <= stats.binom.isf(1e-4, 1000, 0.05)


@pytest.mark.parametrize(("none", "share"), [("the plan's", 0.86), ("at all of δ", 1.03)])
def test_costs_just_above_a_limit_are_missed_at_most_delta_with_no_point_to_differ_too(
    none: str, share: float
) -> None:
    """One label, N = 4: a limit of its own at all of δ, where the two differ nowhere, misses more than δ."""
    cells = {0: [(0, 0)], **{key: [(1, 0), (0, 1), (0, 0)] for key in range(1, 5)}}
    limits = {
        (b, c, apart): planned_upper_limit(b, c, min(1, apart), 1, apart, 4, delta=0.05)
        for apart, seen in cells.items()
        for b, c in seen
    }
    if none == "at all of δ":
        limits[0, 0, 0] = binomial_upper_limit(0, 4, delta=0.05)
    worst = 0.0
    for cost in np.unique([one for one in limits.values() if one < 1]) + 1e-9:
        for d, ties in itertools.product(np.linspace(cost, 1, 5), (0.0, 1.0)):
            w = cost / d + (1 - ties) * (1 - cost / d) / 2
            chances = [w, w - cost / d, 1 - 2 * w + cost / d]
            missed = stats.binom.pmf(0, 4, d) * (limits[0, 0, 0] < cost)
            for apart in range(1, 5):
                below = [limits[b, c, apart] < cost for b, c in cells[apart]]
                missed += stats.binom.pmf(apart, 4, d) * np.dot(chances, below)
            worst = max(worst, missed / 0.05)
    assert worst == pytest.approx(share, abs=0.005)


def test_a_plan_without_a_point_is_one_of_no_difference() -> None:
    none = planned_upper_limit(0, 0, 0, 5, 0, 300, delta=0.05)
    assert none == difference_upper_limit(0, 0, 300, delta=0.05 * (1 - 0.9))
    with pytest.raises(ValueError, match="trials"):
        planned_upper_limit(1, 0, 0, 5, 0, 300, delta=0.05)


def test_a_limit_of_a_product_lies_between_its_factors() -> None:
    ends = [stats.beta.ppf(level, 2000, 48_001) for level in (0.05, 0.95)]
    alone = difference_upper_limit(60, 30, 100, delta=0.05)
    limit = targeted_upper_limit(60, 30, 100, 2000, OTHERS, delta=0.05)
    assert alone * ends[0] < limit < alone * ends[1]
    assert targeted_upper_limit(30, 60, 100, 2000, OTHERS, delta=0.05) < 0


def test_two_sides_and_laws() -> None:
    low, high = targeted_interval(12, 5, 30, 100, 2000, delta=0.05)
    assert low < 0.05 * 7 / 30 < high
    base = targeted_upper_limit(12, 5, 30, 100, 2000, delta=0.05)
    assert targeted_upper_limit(13, 5, 30, 100, 2000, delta=0.05) > base
    assert targeted_upper_limit(12, 5, 30, 120, 2000, delta=0.05) > base


def test_a_plan_that_runs_short_is_a_sample_of_all_points() -> None:
    assert planned_upper_limit(3, 1, 4, 10, 4, 500, delta=0.05) == difference_upper_limit(
        3, 1, 500, delta=0.05 * (1 - 0.9)
    )
    with pytest.raises(ValueError, match="labelled = 5"):
        planned_upper_limit(3, 1, 5, 10, 4, 500, delta=0.05)


@pytest.mark.parametrize("counts", [(600, 300, 1000, 40_000, 10**6), (3000, 1500, 5000, 200_000, 10**6)])
def test_large_plans_in_two_seconds(counts: tuple[int, int, int, int, int]) -> None:
    b, c, m, apart, others = counts
    start = time.process_time()
    limit = targeted_upper_limit.__wrapped__(*counts, delta=0.05)
    assert time.process_time() - start < 2
    d, rho = apart / others, (b - c) / m
    variance = d**2 * ((b + c) / m - rho**2) / m + rho**2 * d * (1 - d) / others
    assert 0 < limit - d * rho - 1.645 * variance**0.5 < 0.1 * 1.645 * variance**0.5


def test_many_labels_beside_few_points_are_no_matter() -> None:
    start = time.process_time()
    limit = targeted_upper_limit.__wrapped__(50_000, 25_000, 10**5, 5, 10, delta=0.05)
    assert time.process_time() - start < 2
    assert 0.5 * 0.25 < limit < 0.9 * 0.27
    assert targeted_upper_limit(0, 50, 100, 5, 10, delta=0.05) < 0
