"""The limit of a sum of two risks: coverage by enumeration, against the union bound, limits, bad input."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch
from scipy import special, stats

from kdtheory.bounds import disagreement_limit, disagreement_transfer
from kdtheory.bounds.holdout import clopper34_holdout
from kdtheory.bounds.lattice_sums import summed_limit
from kdtheory.bounds.normal_sums import TwoSamples, excess_above_half, normal_sum_limit
from kdtheory.bounds.two_samples import joint_disagreement_transfer, sum_upper_limit
from kdtheory.inversion import bernoulli_kl, binomial_upper_limit


@pytest.mark.parametrize(("n", "m"), [(8, 8), (4, 6)])
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


def exact_sup(k: int, n: int, other: int, m: int, delta: float) -> float:
    """sup{p + q : P[K/n + L/m ≤ k/n + l/m] ≥ δ} by a fine grid of each line, and a finer one at its best."""
    j = np.arange(m + 1)
    most = (k * m + other * n - j * n) // m

    def likeliest(total: float) -> float:
        best = 0.0
        p = np.linspace(max(0.0, total - 1), min(1.0, total), 201)
        for _ in range(2):
            q = np.clip(total - p, 0, 1)[:, None]
            chance = (stats.binom.pmf(j, m, q) * stats.binom.cdf(most, n, p[:, None])).sum(-1)
            at = int(chance.argmax())
            best = max(best, float(chance[at]))
            p = np.linspace(p[max(at - 1, 0)], p[min(at + 1, 200)], 201)
        return best

    low, high = 0.0, 2.0
    if likeliest(2.0) >= delta:
        return 2.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if likeliest(middle) >= delta else (low, middle)
    return low


@pytest.mark.parametrize(("n", "m"), [(1, 3), (5, 5), (3, 4)])
@pytest.mark.parametrize("delta", [1e-12, 0.05, 0.3])
def test_never_below_the_largest_sum_and_within_one_percent(n: int, m: int, delta: float) -> None:
    for k, other in itertools.product(range(n + 1), range(m + 1)):
        if (k + 2 * other) % 3:
            continue
        truth, found = exact_sup(k, n, other, m, delta), sum_upper_limit(k, n, other, m, delta=delta)
        assert truth * (1 - 1e-8) <= found <= truth + 0.01 * (truth - k / n - other / m)


@pytest.mark.parametrize(
    "counts",
    [(20, 200, 9, 150), (0, 100, 0, 300), (0, 500, 3, 40), (50, 50, 3, 200)],
)
@pytest.mark.parametrize("delta", [1e-12, 0.05])
def test_medium_samples_within_one_percent(counts: tuple[int, int, int, int], delta: float) -> None:
    k, n, other, m = counts
    truth, found = exact_sup(*counts, delta), sum_upper_limit(*counts, delta=delta)
    assert truth * (1 - 1e-8) <= found <= truth + 0.01 * (truth - k / n - other / m)


@pytest.mark.parametrize(
    "counts",
    [(0, 200, 27, 90), (2, 160, 45, 110), (67, 77, 209, 210)],
)
def test_within_one_percent_where_chernoffs_radius_is_thrice_the_true_one(counts) -> None:
    truth, found = exact_sup(*counts, 0.3), sum_upper_limit(*counts, delta=0.3)
    k, n, other, m = counts
    assert truth * (1 - 1e-8) <= found <= truth + 0.01 * (truth - k / n - other / m)


@pytest.mark.parametrize("counts", [(6000, 20_000, 400, 20_001), (8000, 20_000, 6000, 20_001)])
def test_small_levels_of_large_samples_within_one_percent(counts: tuple[int, int, int, int]) -> None:
    """The normal bound is 2 % and 7 % of the radius away there; one line that is not to be ruled out does."""
    k, n, other, m = counts
    seen = k / n + other / m
    found = sum_upper_limit(*counts, delta=1e-12)
    total, j = seen + (found - seen) / 1.01, np.arange((k * m + other * n) // n + 1)
    most = np.minimum((k * m + other * n - j * n) // m, n).astype(float)
    p = np.linspace(total / 2 - 0.3 * total, total / 2 + 0.3 * total, 25)[:, None]
    chance = (stats.binom.pmf(j, m, total - p) * special.bdtr(most, n, p)).sum(-1)
    assert chance.max() >= 1e-12


def test_the_rounding_of_the_normal_bound() -> None:
    """x ≥ p + g√(p(1−p)/n) − τ_n: the signed root of 2n·kl at the right side is at most g."""
    rng = np.random.default_rng(0)
    largest = rng.uniform(0.5, 12, 20_000)
    g = largest * np.where(rng.random(20_000) < 0.5, rng.uniform(-1, 1, 20_000), rng.choice([-1, 1], 20_000))
    n = np.ceil(16 * largest**2 * np.exp(rng.exponential(1.5, 20_000)))
    p = np.minimum(rng.beta(0.5, 0.5, 20_000), 1 - 4 * largest**2 / n)
    tau = largest**3 / 4 / n**1.5 + np.maximum(2 * p - 1, 0) * largest**2 / 3 / n
    x = p + g * np.sqrt(p * (1 - p) / n) - tau
    inside = (x > 0) & (x < 1)
    assert inside.mean() > 0.5
    signed = np.sign(x - p) * np.sqrt(2 * n * bernoulli_kl(np.clip(x, 0, 1), p))
    assert (signed <= g + 1e-9)[inside].all()
    assert (x[~inside] <= 0).all()


def test_what_lies_above_one_half_costs_less_than_its_variance_gains() -> None:
    """Against all of the line, and attained somewhere."""
    rng, ratios = np.random.default_rng(1), []
    for _ in range(500):
        n, total, z = int(10 ** rng.uniform(2, 7)), rng.uniform(0.5, 1.9), rng.uniform(0.01, 7)
        samples, largest = TwoSamples(0, n, 0, int(n * 10 ** rng.uniform(0, 3))), z + rng.uniform(1, 5)
        p = np.linspace(max(0, total - 1), min(total, 1), 20_001)
        v = p * (1 - p) / n + (total - p) * (1 - total + p) / samples.m
        above = np.maximum(2 * p - 1, 0) / n + np.maximum(2 * (total - p) - 1, 0) / samples.m
        cost = (z * np.sqrt(v) + above * largest**2 / 3).max() - z * samples.variance(total) ** 0.5
        found = excess_above_half(samples, total, largest=largest, z=z)
        assert cost <= found * (1 + 1e-9)
        ratios.append(cost / found)
    assert max(ratios) > 0.9


@pytest.mark.parametrize(("n", "m"), [(3000, 3000), (20_000, 20_000)])
@pytest.mark.parametrize(("p", "q"), [(0.1, 0.03), (0.4, 0.3)])
def test_three_ways_to_one_limit(n: int, m: int, p: float, q: float) -> None:
    """In closed form for equal samples, by the normal bound, and summed: outward by what they say."""
    counts = int(n * p), n, int(m * q), m
    exact = sum_upper_limit(*counts, delta=0.05)
    radius = exact - counts[0] / n - counts[2] / m
    normal, loss = normal_sum_limit(TwoSamples(*counts), 0.05)
    assert exact <= normal <= exact + 2 * loss
    if n < 5000:
        summed = summed_limit(TwoSamples(*counts), 0.05, high=normal, loss=loss)
        assert exact <= summed <= exact + 0.01 * radius


def test_the_normal_bound_is_above_every_chance() -> None:
    """The bound with its constants, over all p and q of a line, where samples are large enough."""
    below_one = (0.2, 0.04), (0.01, 0.5), (0.7, 0.04), (0.04, 0.7), (0.4, 0.4)
    cases = [*itertools.product([(1500, 1600), (1500, 6000)], below_one)]
    for (n, m), (first, second) in [*cases, ((20_000, 20_001), (0.7, 0.6)), ((20_000, 60_000), (0.2, 0.9))]:
        k, other = int(first * n), int(second * m)
        limit, loss = normal_sum_limit(TwoSamples(k, n, other, m), 0.05)
        assert loss < 1
        j = np.arange(m + 1)
        most = (k * m + other * n - j * n) // m
        for p in np.linspace(max(0, limit - 1), min(limit, 1), 31):
            chance = stats.binom.pmf(j, m, limit - p) @ stats.binom.cdf(most, n, p)
            assert chance < 0.05


@pytest.mark.parametrize("size", [10**7, 10**9])
@pytest.mark.parametrize("other_size", [1, 3])
def test_large_samples_at_once(size: int, other_size: int) -> None:
    counts = size // 10, size, other_size * size // 50, other_size * size
    start = time.process_time()
    found = sum_upper_limit(*counts, delta=0.05)
    assert time.process_time() - start < 0.2
    # The worst p + q = 0.12 has the largest variance on its line.
    variance = TwoSamples(*counts).variance(0.12)
    assert found - 0.12 == pytest.approx(1.645 * variance**0.5, rel=0.01)


@pytest.mark.parametrize("counts", [(10**4, 10**5, 10**4, 10**6), (10**5, 10**7, 3 * 10**7, 10**9)])
@pytest.mark.parametrize("delta", [0.4, 0.45, 0.5, 0.9, 0.99])
def test_levels_about_one_half_at_once(counts: tuple[int, int, int, int], delta: float) -> None:
    k, n, other, m = counts
    seen, began = k / n + other / m, time.process_time()
    limit = sum_upper_limit(*counts, delta=delta)
    assert time.process_time() - began < 5, "sums over all counts take minutes"
    p, q = TwoSamples(*counts).likeliest(limit)
    spread = np.sqrt(p * (1 - p) / n + q * (1 - q) / m)
    assert stats.norm.cdf((seen - limit) / spread) <= delta * (1 + 1e-9)
    assert limit - seen < np.sqrt(np.log(1 / delta) * (1 / n + 1 / m) / 2)


@pytest.mark.parametrize(("n", "m"), [(2**63, 2**63), (10, 2**63), (2**62, 2**63), (2**63, 1)])
def test_no_size_is_too_large(n: int, m: int) -> None:
    found = sum_upper_limit(n // 10, n, m // 50, m, delta=0.05)
    seen = (n // 10) / n + (m // 50) / m
    assert seen < found <= seen + 1.645 * (0.25 / n + 0.25 / m) ** 0.5 + 1.5 / n + 1.5 / m


@pytest.mark.parametrize("size", [10**5, 10**7, 10**9])
@pytest.mark.parametrize("delta", [1e-12, 0.05, 0.3])
def test_limits_above_one_half_by_one_percent_and_at_once(size: int, delta: float) -> None:
    """Against the closed form of equal samples; one point more in the second one is next to nothing."""
    for first, second in ((0.3, 0.25), (0.75, 0.04), (0.02, 0.6), (0.45, 0.5), (0.7, 0.6), (0.9, 0.8)):
        k, other = int(first * size), int(second * size)
        exact = sum_upper_limit(k, size, other, size, delta=delta)
        radius = exact - (k + other) / size
        assert exact <= normal_sum_limit(TwoSamples(k, size, other, size), delta)[0]
        if size >= 10**7 or delta <= 0.05:
            start = time.process_time()
            found = sum_upper_limit(k, size, other, size + 1, delta=delta)
            assert time.process_time() - start < 0.2 or exact > 1
            assert exact - 2 / size < found <= exact + (0.01 if exact < 1 else 0.03) * radius


@pytest.mark.parametrize(
    "counts",
    [
        (120_000, 200_000, 30_000, 600_000),
        (10_000, 200_000, 400_000, 600_000),
        (60_000, 200_000, 10**6, 10**7),
    ],
)
@pytest.mark.parametrize("delta", [1e-6, 0.05])
def test_one_percent_less_is_not_ruled_out(counts: tuple[int, int, int, int], delta: float) -> None:
    """At the p and q of the largest variance of a line that is one percent of the radius lower."""
    k, n, other, m = counts
    seen = k / n + other / m
    total = seen + (sum_upper_limit(*counts, delta=delta) - seen) * 0.99
    p, q = TwoSamples(*counts).likeliest(total)
    j = np.arange(*(int(k + n * (p - k / n) + sign * 9 * (n * p) ** 0.5) for sign in (-1, 1)))
    most = np.floor(other + (k - j) * (m / n))
    assert stats.binom.pmf(j, n, p) @ stats.binom.cdf(most, m, q) >= delta


def test_sums_close_to_two_are_bounded_too() -> None:
    found = sum_upper_limit(10**7 - 3, 10**7, 3 * 10**7 - 1, 3 * 10**7, delta=0.05)
    assert 2 - 4e-7 < found <= 2


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
