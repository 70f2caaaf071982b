"""The statistics that verdicts stand on: exact limits, one-sided tests, slopes, and a shared error rate.

Everything is a thin layer over `scipy.stats`; p-values are one-sided and exact for the model named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from kdtheory.inversion import binomial_upper_limit

__all__ = ["MeanTest", "binomial_upper_limit", "holm_adjusted", "log_log_slopes", "mean_test"]


@dataclass(frozen=True)
class MeanTest:
    """A mean with its standard error and degrees of freedom, to be tested against any level.

    >>> MeanTest(mean=2.0, standard_error=0.0, dof=4).p_above(1.0)
    0.0
    """

    mean: float
    standard_error: float
    dof: int

    def p_above(self, level: float) -> float:
        """p-value of "the true mean is ≤ level" (small: it lies above), Student's t.

        Without spread (standard error 0) the comparison is exact: 0 where the mean lies above, else 1.
        """
        if self.standard_error == 0.0:
            return float(self.mean <= level)
        return float(stats.t.sf((self.mean - level) / self.standard_error, self.dof))

    def p_below(self, level: float) -> float:
        """p-value of "the true mean is ≥ level" (small: it lies below), Student's t."""
        return MeanTest(-self.mean, self.standard_error, self.dof).p_above(-level)

    def p_within(self, centre: float, margin: float) -> float:
        """p-value of "the mean is off `centre` by ≥ `margin`": two one-sided tests (Schuirmann 1987)."""
        return max(self.p_above(centre - margin), self.p_below(centre + margin))

    def p_outside(self, centre: float, margin: float) -> float:
        """p-value of "the true mean is within `margin` of `centre`": either side, doubled."""
        return min(1.0, 2 * min(self.p_above(centre + margin), self.p_below(centre - margin)))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Two-sided Student interval of the mean."""
        half = float(stats.t.ppf(0.5 + confidence / 2, self.dof)) * self.standard_error
        return self.mean - half, self.mean + half


def mean_test(values: Float[np.ndarray, " trials"], /) -> MeanTest:
    """The mean of independent trials, ready to be tested.

    Raises:
        ValueError: fewer than two trials.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} trial is too few for an interval; give at least 2")
    return MeanTest(
        mean=float(np.mean(values)),
        standard_error=float(np.std(values, ddof=1) / np.sqrt(len(values))),
        dof=len(values) - 1,
    )


def log_log_slopes(
    horizons: Float[np.ndarray, " h"], values: Float[np.ndarray, "replicates h"], /
) -> Float[np.ndarray, " replicates"]:
    """Least-squares slope of ln value on ln horizon, one per replicate.

    Raises:
        ValueError: fewer than three horizons, or a horizon or value that is not positive.

    >>> log_log_slopes(np.array([1.0, 10.0, 100.0]), np.array([[5.0, 0.5, 0.05]])).round(6).tolist()
    [-1.0]
    """
    if len(horizons) < 3:
        raise ValueError(f"{len(horizons)} horizons show no rate; sweep over at least 3")
    if not ((horizons > 0).all() and (values > 0).all()):
        raise ValueError("a horizon or value is not positive, so it has no logarithm; drop it or floor it")
    slope: Float[np.ndarray, " replicates"] = np.polyfit(np.log(horizons), np.log(values).T, 1)[0]
    return slope


def holm_adjusted(p_values: Sequence[float], /) -> list[float]:
    """p-values adjusted for a family by Holm (1979): reject those ≤ α, family-wise error ≤ α.

    >>> [round(p, 6) for p in holm_adjusted([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return [float(value) for value in adjusted]
