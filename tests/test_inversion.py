"""Inversions against mpmath at 50 digits, from outside only: truth ≤ limit ≤ truth·(1 + 1e-12)."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import (
    precise_bernoulli_kl,
    precise_binomial_limit,
    precise_binomial_limit_near_one,
    precise_binomial_tail,
    precise_kl_inverse,
)
from scipy import stats

from kdtheory.inversion import bernoulli_kl, binomial_upper_limit, binomial_upper_limits, kl_upper_inverse

PROPORTIONS = [0.0, 1e-300, 1e-17, 1e-6, 0.01, 0.1, 0.3, 0.5, 0.9, 0.999, 1 - 1e-12, 1.0]
LEVELS = [1e-16, 1e-12, 1e-6, 1e-3, 0.1, 1.0, 5.0, 30.0, 1000.0]


def assert_just_outside(found: float, truth: mpmath.mpf) -> None:
    with mpmath.workdps(50):
        assert truth <= mpmath.mpf(found) <= min(truth * (1 + mpmath.mpf("1e-12")), 1)


@pytest.mark.parametrize("p", PROPORTIONS)
@pytest.mark.parametrize("level", LEVELS)
def test_kl_inverse_is_just_outside_the_truth(p: float, level: float) -> None:
    assert_just_outside(float(kl_upper_inverse(p, level)), precise_kl_inverse(p, level))


def tiny_kl_inverse(p: float, level: float) -> mpmath.mpf:
    """sup{q : kl(p‖q) ≤ c} by bisection on the exponent of q − p, 700 digits."""
    with mpmath.workdps(700):
        p, low, high = mpmath.mpf(p), mpmath.mpf(-400), mpmath.mpf(0)
        for _ in range(70):
            middle = (low + high) / 2
            q = p + mpmath.mpf(10) ** middle
            first = p * mpmath.log(p / q) if p else 0
            inside = q < 1 and first + (1 - p) * mpmath.log((1 - p) / (1 - q)) <= level
            low, high = (middle, high) if inside else (low, middle)
        return p + mpmath.mpf(10) ** low


TINY = [5e-324, 1e-310, 1e-307, 1e-300, 1e-290, 1e-200, 1e-155, 1e-100, 1e-30, 1e-10]


@pytest.mark.parametrize("p", [0.0, *TINY])
@pytest.mark.parametrize("level", TINY)
def test_kl_inverse_of_tiny_numbers(p: float, level: float) -> None:
    """Just outside the truth down to 1e-300, and outside it below."""
    found, truth = float(kl_upper_inverse(p, level)), tiny_kl_inverse(p, level)
    if level >= 1e-300 and (p >= 1e-300 or p == 0):
        assert_just_outside(found, truth)
    assert truth <= found <= float(truth) * (1 + 1e-4) + 4e-300


@pytest.mark.parametrize("trials", [10**12, 2**53])
@pytest.mark.parametrize("log_delta", [math.log(0.5), math.log(0.05), -690.0, -2000.0])
@pytest.mark.parametrize("few", [0, 1, 5])
def test_limits_up_to_the_largest_number_of_trials(trials: int, log_delta: float, few: int) -> None:
    found = binomial_upper_limit(few, trials, log_delta=log_delta)
    assert_just_outside(found, precise_binomial_limit(few, trials, log_delta))
    if few:
        found = binomial_upper_limit(trials - few, trials, log_delta=log_delta)
        assert_just_outside(found, precise_binomial_limit_near_one(few, trials, log_delta))


@pytest.mark.parametrize(("successes", "trials"), [(10**8, 10**9), (2**50, 2**53), (10**12, 10**13)])
@pytest.mark.parametrize("z", [0.3, 1.0, 1.645, 7.0])
def test_limits_of_many_among_very_many(successes: int, trials: int, z: float) -> None:
    """Against the normal limit, of which a hundredth of a standard deviation is thousands of events here."""
    log_delta = float(stats.norm.logsf(z))
    found = binomial_upper_limit(successes, trials, log_delta=log_delta)
    p = successes / trials
    std = math.sqrt(p * (1 - p) / trials)
    assert abs(found - p - z * std) <= 0.01 * std


SHARES = st.floats(1e-30, 1) | st.just(0.0)


@given(SHARES, SHARES)
@settings(deadline=None)
def test_divergence_by_mpmath(p: float, q: float) -> None:
    found, truth = float(bernoulli_kl(p, q)), precise_bernoulli_kl(p, q)
    assert (
        math.isinf(found)
        if mpmath.isinf(truth)
        else found == pytest.approx(float(truth), rel=1e-12, abs=1e-300)
    )


def test_closed_forms() -> None:
    level = np.array([1e-300, 1e-38, 0.01, 0.5, 3.0])
    assert kl_upper_inverse(0.0, level) == pytest.approx(-np.expm1(-level), rel=1e-13)
    assert kl_upper_inverse(1.0, level).tolist() == [1] * 5
    assert float(kl_upper_inverse(0.3, 0.0)) == pytest.approx(0.3, rel=1e-14)
    assert (kl_upper_inverse([0.0, 1e-320, 0.3, 1.0], math.inf) == 1).all()
    assert float(kl_upper_inverse(0.0, 1e308)) == 1
    assert binomial_upper_limits(0, [1, 7], log_delta=math.log(0.1)) == pytest.approx(
        [0.9, 1 - 0.1 ** (1 / 7)]
    )
    assert binomial_upper_limit(6, 7, delta=0.1) == pytest.approx(0.9 ** (1 / 7), rel=1e-12)


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 1), (0, 10**5), (1, 2), (3, 10), (5, 50), (299, 300), (150, 300)]
)
@pytest.mark.parametrize("log_delta", [math.log(0.5), math.log(0.05), -30.0, -700.0, -5000 * math.log(2)])
def test_binomial_limit_is_just_outside_the_truth(successes: int, trials: int, log_delta: float) -> None:
    found = binomial_upper_limit(successes, trials, log_delta=log_delta)
    assert_just_outside(found, precise_binomial_limit(successes, trials, log_delta))


@pytest.mark.parametrize("successes", [0, 1, 4])
@pytest.mark.parametrize("log_delta", [math.log(0.5), math.log(0.05), -30.0, -700.0, -5000 * math.log(2)])
def test_few_successes_in_a_billion(successes: int, log_delta: float) -> None:
    found = binomial_upper_limit(successes, 10**9, log_delta=log_delta)
    assert_just_outside(found, precise_binomial_limit(successes, 10**9, log_delta))


@pytest.mark.parametrize(("failures", "trials"), [(1, 2), (1, 300), (5, 300), (1, 10**9), (4, 10**9)])
@pytest.mark.parametrize("log_delta", [math.log(0.5), math.log(0.05), -30.0])
def test_few_failures_in_up_to_a_billion(failures: int, trials: int, log_delta: float) -> None:
    found = binomial_upper_limit(trials - failures, trials, log_delta=log_delta)
    assert_just_outside(found, precise_binomial_limit_near_one(failures, trials, log_delta))


@pytest.mark.parametrize("trials", [1, 7, 10**9])
@pytest.mark.parametrize("log_delta", [math.log(0.5), -5000 * math.log(2)])
def test_all_successes_exclude_nothing(trials: int, log_delta: float) -> None:
    assert binomial_upper_limit(trials, trials, log_delta=log_delta) == 1


@pytest.mark.parametrize(
    ("successes", "trials"), [(30, 100), (500_000, 10**6), (10**8, 10**9), (5 * 10**8, 10**9)]
)
@pytest.mark.parametrize("log_delta", [math.log(0.05), -700.0])
def test_limit_is_where_the_tail_is_delta(successes: int, trials: int, log_delta: float) -> None:
    found = binomial_upper_limit(successes, trials, log_delta=log_delta)
    below = precise_binomial_tail(successes, trials, found * (1 - 1e-12))
    assert precise_binomial_tail(successes, trials, found) <= mpmath.exp(log_delta) <= below


def test_continued_fraction_is_the_sum() -> None:
    for successes, trials, q in ((0, 5, 0.3), (7, 20, 0.4), (30, 100, 0.35)):
        terms = [
            mpmath.binomial(trials, j) * mpmath.mpf(q) ** j * (1 - mpmath.mpf(q)) ** (trials - j)
            for j in range(successes + 1)
        ]
        assert float(precise_binomial_tail(successes, trials, q) / mpmath.fsum(terms)) == pytest.approx(1)


@given(st.floats(0, 1), st.floats(-30, 3))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_kl_inverse_anywhere(p: float, exponent: float) -> None:
    level = 10**exponent
    assert_just_outside(float(kl_upper_inverse(p, level)), precise_kl_inverse(p, level))


@given(st.integers(1, 60), st.floats(0, 1), st.floats(-40, -0.7))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_binomial_limit_anywhere(trials: int, share: float, log_delta: float) -> None:
    successes = math.floor(share * trials)
    found = binomial_upper_limit(successes, trials, log_delta=log_delta)
    assert_just_outside(found, precise_binomial_limit(successes, trials, log_delta))


@pytest.mark.parametrize(
    ("successes", "trials"), [(6000, 60_000), (500_000, 10**6), (10**6 - 3, 10**6), (1, 10**9)]
)
def test_large_counts_agree_with_the_beta_quantile(successes: int, trials: int) -> None:
    expected = stats.beta.isf(0.05, successes + 1, trials - successes)
    assert binomial_upper_limit(successes, trials, delta=0.05) == pytest.approx(expected, rel=1e-11)


def test_limits_broadcast_and_keep_their_order() -> None:
    k, levels = np.arange(6)[:, None], np.log([0.1, 0.001])
    limits = binomial_upper_limits(k, 5, log_delta=levels)
    assert limits.shape == (6, 2)
    for i, j in np.ndindex(6, 2):
        assert limits[i, j] == pytest.approx(binomial_upper_limit(i, 5, log_delta=levels[j]), rel=1e-13)


@given(st.integers(1, 400), st.floats(0, 1), st.floats(-50, -0.7))
@settings(deadline=None)
def test_limits_are_monotone_and_chernoff_is_above(n: int, share: float, log_delta: float) -> None:
    k = math.floor(share * (n - 1))
    exact = binomial_upper_limit(k, n, log_delta=log_delta)
    assert k / n < exact <= kl_upper_inverse(k / n, -log_delta / n) * (1 + 1e-12)
    assert exact <= binomial_upper_limit(k + 1, n, log_delta=log_delta)
    assert exact <= binomial_upper_limit(k, n, log_delta=log_delta - 1)
    assert binomial_upper_limit(2 * k, 2 * n, log_delta=log_delta) <= exact


def test_lower_inverse_by_reflection() -> None:
    low = 1 - kl_upper_inverse(1 - 0.3, 0.02)
    assert float(bernoulli_kl(0.3, low)) == pytest.approx(0.02, rel=1e-10)
    assert low < 0.3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kl_upper_inverse(1.5, 0.1), "p = 1.5"),
        (lambda: kl_upper_inverse(0.5, -0.1), "level = -0.1"),
        (lambda: kl_upper_inverse(0.5, math.nan), "level = nan"),
        (lambda: bernoulli_kl([0.1, math.nan], 0.1), "p = nan"),
        (lambda: binomial_upper_limit(3, 2), "successes = 3"),
        (lambda: binomial_upper_limit(-1, 2), "successes = -1"),
        (lambda: binomial_upper_limit(0, 0), "trials = 0"),
        (lambda: binomial_upper_limit(0, 2**53 + 2), "between 1 and 2.53"),
        (lambda: binomial_upper_limit(1, 2, delta=0.0), "delta = 0"),
        (lambda: binomial_upper_limit(1, 2, delta=1.0), "delta = 1"),
        (lambda: binomial_upper_limit(1, 2, log_delta=0.0), "log_delta"),
        (lambda: binomial_upper_limits([0.5], 2, log_delta=-1.0), "whole"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
