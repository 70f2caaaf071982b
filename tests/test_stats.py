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
