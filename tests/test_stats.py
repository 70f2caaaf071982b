"""The statistics against scipy's and statsmodels' own routines, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from kdtheory.stats import (
    MeanTest,
    binomial_tails,
    binomial_upper_limit,
    bounded_test,
    holm_adjusted,
    log_log_slopes,
    mean_test,
)
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


def test_outside_a_margin_counts_both_sides() -> None:
    values = np.linspace(-1.0, 2.5, 25)
    both = stats.ttest_1samp(values, 0.0).pvalue  # no margin: the two-sided test
    assert mean_test(values).p_outside(0.0, 0.0) == pytest.approx(both)
    assert mean_test(values).p_outside(0.0, 0.1) == pytest.approx(2 * mean_test(values).p_above(0.1))
    assert mean_test(-values).p_outside(0.0, 0.1) == pytest.approx(2 * mean_test(values).p_above(0.1))
    assert mean_test(values).p_outside(0.75, 0.5) == 1.0


@pytest.mark.parametrize(
    "values",
    [np.ones(6), np.array([1.0, 1.0, 1.0, 2.0]), 0.1 + 1e-17 * np.arange(5), np.array([0.3, 0.1 + 0.2, 0.3])],
)
def test_students_t_is_not_used_where_most_trials_are_one_value(values: np.ndarray) -> None:
    test = mean_test(values)
    assert test.mute
    for level in (-1.0, 0.5, 1.5, 9.0):
        assert (test.p_above(level), test.p_below(level)) == (1.0, 1.0)
    assert (test.p_within(1.0, 9.0), test.p_outside(9.0, 0.1)) == (1.0, 1.0)


def test_rounding_of_larger_numbers_is_no_spread() -> None:
    differences = np.array([1e-13, -1e-13, 3e-13, 2e-13])
    assert not mean_test(differences).mute
    assert mean_test(differences, size=1.0).mute
    assert not mean_test(np.array([0.0, 0.0, 1.0, 2.0])).mute  # half of them, not more
    assert mean_test(np.repeat([0.0, 1.0], [900, 49])).mute
    assert not mean_test(np.repeat([0.0, 1.0], [900, 50])).mute


@pytest.mark.parametrize(("ones", "level"), [(0, 0.02), (3, 0.04), (40, 0.2), (100, 0.5)])
def test_outcomes_at_the_ends_get_the_exact_binomial(ones: int, level: float) -> None:
    outcomes = np.repeat([0.0, 1.0], [100 - ones, ones])
    for values, low in ((outcomes, 0.0), (3 * outcomes - 1, -1.0)):
        test, at = bounded_test(values, low, low + (3 if low else 1)), 3 * level - 1 if low else level
        assert test.p_below(at) == pytest.approx(stats.binomtest(ones, 100, level, "less").pvalue)
        assert test.p_above(at) == pytest.approx(stats.binomtest(ones, 100, level, "greater").pvalue)


def test_equal_outcomes_get_at_most_twice_what_no_test_can_beat() -> None:
    # Of the laws on [0, 1] of mean 0.4, the one on {0.2, 1} shows nothing but 0.2 most often: 1 in 4 misses.
    test = bounded_test(np.full(30, 0.2), 0.0, 1.0)
    assert 1.99 * 0.75**30 < test.p_below(0.4) <= 2 * 0.75**30
    assert 1.99 * 0.5**30 < test.p_above(0.1) <= 2 * 0.5**30
    assert (test.p_below(0.2), test.p_above(0.2)) == (1.0, 1.0)
    assert (test.p_below(1.5), test.p_above(-0.5), test.p_below(1.0)) == (0.0, 0.0, 0.0)
    assert bounded_test(np.ones(3), 0.0, 1.0).p_below(1.0) == 1.0
    assert test.p_within(0.2, 0.2) == pytest.approx(max(test.p_above(0.0), test.p_below(0.4)))


def _rare_losses(rng: np.random.Generator) -> np.ndarray:
    return (rng.random(200) < 0.02) * rng.choice([0.5, 1.0], 200)  # mean 0.015


def _middling(rng: np.random.Generator) -> np.ndarray:
    return rng.beta(0.03, 1.0, 60)  # mean 0.03 / 1.03, most of it near 0


@pytest.mark.parametrize(("draw", "mean"), [(_rare_losses, 0.015), (_middling, 0.03 / 1.03)])
def test_a_bounded_mean_is_misjudged_no_oftener_than_alpha(draw, mean: float) -> None:
    """At the boundary, for laws whose rare large values Student's t does not see."""
    rng, runs, alpha = Stream(1).child("bounded", draw.__name__).numpy(), 400, 0.2
    found = [bounded_test(draw(rng), 0.0, 1.0) for _ in range(runs)]
    for wrong in (
        sum(test.p_below(mean) <= alpha for test in found),
        sum(t.p_above(mean) <= alpha for t in found),
    ):
        assert stats.binomtest(wrong, runs, alpha, alternative="greater").pvalue > 1e-4


def test_a_bounded_mean_is_found_where_there_is_much_to_see() -> None:
    test = bounded_test(RNG.beta(2.0, 6.0, 400), 0.0, 1.0)
    assert max(test.p_below(0.3), test.p_above(0.2)) < 1e-3


@pytest.mark.parametrize(
    ("values", "low", "high", "message"),
    [([0.5], 1.0, 0.0, "no interval"), ([], 0.0, 1.0, "no trial"), ([0.5, 1.2], 0.0, 1.0, "not within")],
)
def test_bounds_that_do_not_hold_are_refused(values: list, low: float, high: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bounded_test(np.array(values), low, high)


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


@pytest.mark.parametrize("share", [0.0, 1e-300, 1e-12, 0.03, 0.5, 1.0])
@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 0), (0, 1), (1, 1), (0, 50), (7, 50), (50, 50), (40, 10**6)]
)
def test_binomial_tails_are_scipys(successes: int, trials: int, share: float) -> None:
    law = stats.binom(trials, share)
    expected = law.cdf(successes), law.sf(successes - 1)
    assert binomial_tails(successes, trials, share) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("successes", "share"), [(-1, 0.5), (3, 0.5), (1, -0.1), (1, 1.1)])
def test_counts_and_shares_that_are_none_are_refused(successes: int, share: float) -> None:
    with pytest.raises(ValueError, match="must lie"):
        binomial_tails(successes, 2, share)


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


def test_what_is_no_trial_and_no_p_value_is_refused() -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="values holds 1 NaN or infinite"):
            mean_test(np.array([0.1, bad, 0.3]))
        with pytest.raises(ValueError, match="values holds 1 NaN or infinite"):
            bounded_test(np.array([0.1, bad, 0.3]), 0.0, 1.0)
    for p_values in ([0.1, 1.5], [-0.1], [np.nan]):
        with pytest.raises(ValueError, match="p_values"):
            holm_adjusted(p_values)


@pytest.mark.parametrize("horizons", [[10.0, 10.0, 10.0], [10.0, 10.0, 100.0], [1.0, 10.0, np.inf]])
def test_a_rate_needs_three_horizons_that_differ(horizons: list[float]) -> None:
    with pytest.raises(ValueError, match=r"horizons show no rate|finite"):
        log_log_slopes(np.array(horizons), np.ones((2, 3)))
    with pytest.raises(ValueError, match="finite"):
        log_log_slopes(np.array([1.0, 10.0, 100.0]), np.array([[1.0, 2.0, np.inf]]))
