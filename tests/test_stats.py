"""The statistics against scipy's and statsmodels' own routines, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from kdtheory.stats import MeanTest, binomial_upper_limit, holm_adjusted, log_log_slopes, mean_test
from kdtheory.streams import Stream

RNG = Stream(0).child("test_stats").numpy()


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_holm_is_statsmodels_holm(size: int) -> None:
    p_values = RNG.random(size) ** 3
    assert holm_adjusted(p_values.tolist()) == pytest.approx(
        multipletests(p_values, method="holm")[1], rel=1e-12
    )


def test_holm_of_an_empty_family_is_empty() -> None:
    assert holm_adjusted([]) == []


def test_one_sided_p_values_are_scipys() -> None:
    values = RNG.normal(0.3, 1.0, 25)
    test = mean_test(values)
    assert test.p_above(0.1) == pytest.approx(stats.ttest_1samp(values, 0.1, alternative="greater").pvalue)
    assert test.p_below(0.1) == pytest.approx(stats.ttest_1samp(values, 0.1, alternative="less").pvalue)
    assert test.interval() == pytest.approx(DescrStatsW(values).tconfint_mean())


def test_equivalence_is_statsmodels_two_one_sided_tests() -> None:
    values = RNG.normal(0.05, 1.0, 400)
    expected = DescrStatsW(values).ttost_mean(-0.25, 0.25)[0]
    assert mean_test(values).p_within(0.0, 0.25) == pytest.approx(expected)


def test_without_spread_the_comparison_is_exact() -> None:
    point = MeanTest(1.0, 0.0, 5)
    assert (point.p_above(0.5), point.p_above(1.0), point.p_below(2.0)) == (0.0, 1.0, 0.0)
    assert (point.p_within(1.0, 0.1), point.p_outside(1.0, 0.1)) == (0.0, 1.0)
    assert (point.p_within(2.0, 0.1), point.p_outside(2.0, 0.1)) == (1.0, 0.0)


@pytest.mark.parametrize(("successes", "trials"), [(0, 30), (3, 100), (100, 100)])
def test_the_upper_limit_is_clopper_pearsons(successes: int, trials: int) -> None:
    two_sided = proportion_confint(successes, trials, alpha=0.10, method="beta")[1]
    assert binomial_upper_limit(successes, trials, delta=0.05) == pytest.approx(two_sided)


def test_the_upper_limit_covers_as_often_as_it_says() -> None:
    # Exact coverage by enumeration, at a proportion where Clopper–Pearson is not conservative by much.
    trials, delta = 60, 0.1
    for p in (0.05, 0.3, 0.8):
        covered = sum(
            stats.binom.pmf(k, trials, p)
            for k in range(trials + 1)
            if binomial_upper_limit(k, trials, delta=delta) >= p
        )
        assert 1 - delta <= covered < 1


def test_slopes_are_linregress_slopes() -> None:
    horizons = np.array([1.0, 2.0, 5.0, 9.0])
    values = np.exp(RNG.normal(size=(6, 4)))
    expected = [stats.linregress(np.log(horizons), np.log(row)).slope for row in values]
    assert log_log_slopes(horizons, values) == pytest.approx(np.array(expected))


@pytest.mark.parametrize(
    ("horizons", "values", "message"),
    [
        ([1.0, 2.0], [[1.0, 1.0]], "at least 3"),
        ([1.0, 2.0, 3.0], [[1.0, 0.0, 1.0]], "not positive"),
        ([0.0, 2.0, 3.0], [[1.0, 1.0, 1.0]], "not positive"),
    ],
)
def test_a_rate_needs_a_sweep_of_positive_values(
    horizons: list[float], values: list[list[float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        log_log_slopes(np.array(horizons), np.array(values))


def test_one_trial_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        mean_test(np.array([1.0]))


@pytest.mark.parametrize("level", [-0.4, 0.0, 0.25, 0.3, 0.9])
def test_outside_a_point_is_the_two_sided_test(level: float) -> None:
    values = RNG.normal(0.3, 1.0, 25)
    expected = stats.ttest_1samp(values, level).pvalue
    assert mean_test(values).p_outside(level, 0.0) == pytest.approx(expected)


def test_outside_an_interval_either_side_pays_for_both() -> None:
    test = MeanTest(mean=1.0, standard_error=0.5, dof=9)
    above, below = stats.t.sf((1.0 - 0.3) / 0.5, 9), stats.t.sf((1.0 - 0.1) / 0.5, 9)
    assert test.p_outside(0.1, 0.2) == pytest.approx(2 * above)
    assert MeanTest(-1.0, 0.5, 9).p_outside(0.1, 0.2) == pytest.approx(2 * below)
    assert MeanTest(0.1, 0.5, 9).p_outside(0.1, 0.2) == 1.0  # never more than one
    assert test.p_above(0.7) + test.p_below(0.7) == pytest.approx(1.0)


def test_a_mean_on_the_edge_is_outside_no_oftener_than_alpha() -> None:
    # The true mean is on an edge of the interval; at width 0, p ≤ α comes as often as it says.
    rng = Stream(3).child("outside").numpy()
    means, errors = rng.normal(size=20_000), np.sqrt(rng.chisquare(9, size=20_000) / 9)
    for margin in (0.0, 0.5):
        small = [
            MeanTest(float(m + margin), float(e), 9).p_outside(0.0, margin) <= 0.1
            for m, e in zip(means, errors, strict=True)
        ]
        limit = stats.binomtest(sum(small), len(small), 0.1, alternative="greater").pvalue
        assert limit > 1e-4
        if margin == 0:
            assert stats.binomtest(sum(small), len(small), 0.1).pvalue > 1e-4


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
def test_intervals_of_any_confidence_are_statsmodels(confidence: float) -> None:
    values = RNG.normal(0.3, 1.0, 12)
    expected = DescrStatsW(values).tconfint_mean(alpha=1 - confidence)
    assert mean_test(values).interval(confidence) == pytest.approx(expected)
    assert mean_test(values[:2]).dof == 1
