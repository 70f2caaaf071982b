"""The statistics that verdicts stand on: exact limits, one-sided tests, slopes, and a shared error rate.

A thin layer over `scipy.special`; p-values are one-sided, and valid for the model named: Student's t where
means are normal (`mean_test`), any law on an interval where the values are bounded (`bounded_test`).
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special

from kdtheory.doors import door
from kdtheory.inversion import binomial_upper_limit

__all__ = [
    "BoundedTest",
    "MeanTest",
    "OneSidedTest",
    "binomial_tails",
    "binomial_upper_limit",
    "bounded_test",
    "holm_adjusted",
    "log_log_slopes",
    "mean_test",
]

_ROUNDING = 1e-12
"""Values that differ by less than this share of their size are one value."""
_FEWEST_APART = 50
"""Trials that differ from the commonest value, where that is the value of most."""
_STAKES = 0.5 ** np.arange(24.0)
"""Shares of the highest stake that a bet against a bounded mean is spread over."""


@door
class OneSidedTest(abc.ABC):
    """A test of a mean against any level, from either side, and what follows from the two sides."""

    @abc.abstractmethod
    def p_above(self, level: float) -> float:
        """p-value of "the true mean is ≤ level" (small: it lies above)."""

    @abc.abstractmethod
    def p_below(self, level: float) -> float:
        """p-value of "the true mean is ≥ level" (small: it lies below)."""

    def p_within(self, centre: float, margin: float) -> float:
        """p-value of "the mean is off `centre` by ≥ `margin`": two one-sided tests (Schuirmann 1987)."""
        return max(self.p_above(centre - margin), self.p_below(centre + margin))

    def p_outside(self, centre: float, margin: float) -> float:
        """p-value of "the true mean is within `margin` of `centre`": either side, doubled."""
        return min(1.0, 2 * min(self.p_above(centre + margin), self.p_below(centre - margin)))


@door
@dataclass(frozen=True)
class MeanTest(OneSidedTest):
    """A mean with its standard error and degrees of freedom, to be tested against any level by Student's t.

    Where all trials are one value, or most are and fewer than 50 are not, their spread says little of what
    was not drawn: 0 errors in n draws have standard error 0 under every error rate. (The mean of k rare
    events has skewness 1/√k, and Student's t is for a mean that is nearly normal.) The test is mute then:
    every p-value is 1. `bounded_test` has an answer where the values are bounded.

    Args:
        mean: the mean of the trials.
        standard_error: its standard error.
        dof: degrees of freedom, trials − 1.
        tied: share of the trials that are one value.

    >>> MeanTest(mean=2.0, standard_error=0.5, dof=4).p_above(2.0)
    0.5
    >>> MeanTest(mean=2.0, standard_error=0.0, dof=4).p_above(1.0)
    1.0
    """

    mean: float
    standard_error: float
    dof: int
    tied: float = 0.0

    @property
    def mute(self) -> bool:
        """Whether the spread is that of too few trials, so that no test is made."""
        apart = (1 - self.tied) * (self.dof + 1)
        return self.standard_error == 0.0 or (self.tied > 0.5 and round(apart) < _FEWEST_APART)

    def p_above(self, level: float) -> float:
        """p-value of "the true mean is ≤ level" (small: it lies above), Student's t; 1 where it is mute."""
        return 1.0 if self.mute else float(special.stdtr(self.dof, (level - self.mean) / self.standard_error))

    def p_below(self, level: float) -> float:
        """p-value of "the true mean is ≥ level" (small: it lies below), Student's t; 1 where it is mute."""
        return 1.0 if self.mute else float(special.stdtr(self.dof, (self.mean - level) / self.standard_error))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Two-sided Student interval of the mean; where the test is mute, it is too short to be one.

        Raises:
            ValueError: the confidence is outside (0, 1).
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence = {confidence} must lie in (0, 1)")
        half = float(special.stdtrit(self.dof, 0.5 + confidence / 2)) * self.standard_error
        return self.mean - half, self.mean + half


@door
def mean_test(values: Float[np.ndarray, " trials"], /, *, size: float | None = None) -> MeanTest:
    """The mean of independent trials, ready to be tested.

    Args:
        values: one number a trial.
        size: the size of the numbers that `values` are differences of, so that rounding is no spread;
            largest |value| where not given.

    Raises:
        ValueError: fewer than two trials, or one that is not finite.
    """
    _check_finite(values)
    if len(values) < 2:
        raise ValueError(f"{len(values)} trial is too few for an interval; give at least 2")
    rounding = _ROUNDING * (float(np.abs(values).max()) if size is None else size)
    return MeanTest(
        mean=float(np.mean(values)),
        standard_error=float(np.std(values, ddof=1) / np.sqrt(len(values))),
        dof=len(values) - 1,
        tied=float(np.mean(np.abs(values - np.median(values)) <= rounding)),
    )


@door
@dataclass(frozen=True)
class BoundedTest(OneSidedTest):
    """A test of the mean of independent values in [low, high], for every law on it and every n.

    Where every value is at an end (0 or 1, scaled) it is the exact binomial test, for outcomes that can be
    nowhere else; of a law that can, the two tests together err at most twice as often. Elsewhere it bets
    against the hypothesis μ ≥ level: stake λ multiplies the money by 1 + λ·(level − x) at each trial, which
    under the hypothesis is no gain on average; by Markov's inequality p = 1/money (Waudby-Smith and Ramdas
    2024, Section 4). Half of the money goes on the highest stake 1/(high − level), at which n equal values x
    give ((high − x)/(high − level))ⁿ. No test could give more: of all laws with mean ≥ level the one on
    {x, high} shows nothing but x most often, with the inverse of that as its probability. So n equal values
    have at most twice their exact p-value. The other half is spread over smaller stakes, for a spread.

    >>> round(BoundedTest(np.zeros(100), low=0.0, high=1.0).p_below(0.1) / 0.9**100, 3)
    1.0
    >>> round(BoundedTest(np.full(100, 0.5), low=0.0, high=1.0).p_below(0.6) / (0.4 / 0.5) ** 100, 3)
    2.0
    """

    values: Float[np.ndarray, " trials"]
    low: float
    high: float

    def p_above(self, level: float) -> float:
        """p-value of "the true mean is ≤ level" (small: it lies above)."""
        return BoundedTest(-self.values, -self.high, -self.low).p_below(-level)

    def p_below(self, level: float) -> float:
        """p-value of "the true mean is ≥ level" (small: it lies below)."""
        if level >= self.high:  # no mean lies above `high`, and none at it once a value lies below
            return float(level == self.high and self.values.min() >= self.high)
        scaled = (self.values - self.low) / (self.high - self.low)
        if np.minimum(scaled, 1 - scaled).max() <= _ROUNDING:
            share = max(0.0, (level - self.low) / (self.high - self.low))
            return binomial_tails(round(scaled.sum()), len(scaled), share)[0]
        gains = np.outer(_STAKES / (self.high - level), level - self.values)
        with np.errstate(divide="ignore"):  # the highest stake is lost whole on a value at the high end
            money = np.log1p(np.maximum(gains, -1.0)).sum(1)
        weights = np.full(len(_STAKES), 0.5 / (len(_STAKES) - 1))
        weights[0] = 0.5
        return float(np.exp(min(0.0, -special.logsumexp(money, b=weights))))


@door
def bounded_test(values: Float[np.ndarray, " trials"], low: float, high: float, /) -> BoundedTest:
    """Independent trials that lie in [low, high] by their definition, ready to be tested.

    Raises:
        ValueError: there is no trial, low ≥ high, or a value is not finite or lies outside [low, high].
    """
    if not low < high:
        raise ValueError(f"bounded = ({low}, {high}) is no interval; give (low, high) with low < high")
    if len(values) == 0:
        raise ValueError("there is no trial; give at least one")
    _check_finite(values)
    rounding = _ROUNDING * max(abs(low), abs(high))
    if values.min() < low - rounding or values.max() > high + rounding:
        raise ValueError(
            f"values from {values.min():g} to {values.max():g} are not within bounded = ({low:g}, {high:g}); "
            "declare the bounds that their definition gives"
        )
    return BoundedTest(np.clip(values, low, high), low, high)


@door
def binomial_tails(successes: int, trials: int, share: float, /) -> tuple[float, float]:
    """P[K ≤ k] and P[K ≥ k] for K ~ Bin(n, p).

    Args:
        successes: k, from 0 to n.
        trials: n.
        share: p in [0, 1].

    Raises:
        ValueError: a number is out of its range.

    >>> binomial_tails(1, 2, 0.5)
    (0.75, 0.75)
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes = {successes} must lie between 0 and the {trials} trials")
    if not 0 <= share <= 1:
        raise ValueError(f"share = {share} must lie in [0, 1]")
    k, n = successes, trials
    fewer = special.betaincc(k + 1.0, float(n - k), share) if k < n else 1.0
    more = special.betainc(float(k), n - k + 1.0, share) if k > 0 else 1.0
    return float(fewer), float(more)


@door
def log_log_slopes(
    horizons: Float[np.ndarray, " h"], values: Float[np.ndarray, "replicates h"], /
) -> Float[np.ndarray, " replicates"]:
    """Least-squares slope of ln value on ln horizon, one per replicate.

    Raises:
        ValueError: fewer than three different horizons, or a horizon or value not positive and finite.

    >>> log_log_slopes(np.array([1.0, 10.0, 100.0]), np.array([[5.0, 0.5, 0.05]])).round(6).tolist()
    [-1.0]
    """
    if (apart := len(np.unique(horizons))) < 3:
        raise ValueError(f"{apart} horizons show no rate; sweep over at least 3 that differ")
    if not all(((some > 0) & (some < np.inf)).all() for some in (horizons, values)):
        raise ValueError(
            "a horizon or value is not positive and finite, so it has no logarithm; drop it or floor it"
        )
    slope: Float[np.ndarray, " replicates"] = np.polyfit(np.log(horizons), np.log(values).T, 1)[0]
    return slope


@door
def holm_adjusted(p_values: Sequence[float], /) -> list[float]:
    """p-values adjusted for a family by Holm (1979): reject those ≤ α, family-wise error ≤ α.

    Raises:
        ValueError: a p-value is outside [0, 1].

    >>> [round(p, 6) for p in holm_adjusted([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    if not ((p >= 0) & (p <= 1 + _ROUNDING)).all():
        raise ValueError(f"p_values run from {p.min():g} to {p.max():g}; they must lie in [0, 1]")
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return [float(value) for value in adjusted]


def _check_finite(values: np.ndarray) -> None:
    if bad := int((~np.isfinite(values)).sum()):
        raise ValueError(f"values holds {bad} NaN or infinite entries; no test is made of such trials")
