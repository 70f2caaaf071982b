"""Evidence from samples: means, equivalence and rates, each with its one-sided p-values."""

from __future__ import annotations

import abc
import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from kdtheory.claims.evidence.kind import Evidence, Notes, Values, as_numbers, check_declared, paired
from kdtheory.doors import gate
from kdtheory.stats import (
    MeanTest,
    OneSidedTest,
    bounded_test,
    log_log_slopes,
    mean_test,
)

__all__ = ["Equality", "MeanInequality", "Rate"]


@dataclass(frozen=True, kw_only=True)
class _Means(Evidence):
    """The common part of the two kinds about means: paired trials, and the test that their differences get.

    Student's t, unless the differences were declared `bounded`: then a test that holds for every law within
    the bounds. Without bounds, trials of which more than half are one value decide nothing.
    """

    sampled: ClassVar[bool] = True
    trials: int
    mean_difference: float
    standard_error: float
    tied: float = 0.0
    bounded: tuple[float, float] | None = None
    p_bounded: tuple[float, float] | None = None

    @abc.abstractmethod
    def _p_values(self, test: OneSidedTest, /) -> tuple[float, float]:
        """`p_against` and `p_in_favour` by a test of the mean difference."""

    @property
    def _student(self) -> MeanTest:
        return MeanTest(self.mean_difference, self.standard_error, self.trials - 1, self.tied)

    @property
    def p_against(self) -> float:
        return (self.p_bounded or self._p_values(self._student))[0]

    @property
    def p_in_favour(self) -> float:
        return (self.p_bounded or self._p_values(self._student))[1]

    @property
    def _remark(self) -> str:
        return ", no spread to test" if self.bounded is None and self._student.mute else ""


@gate
@dataclass(frozen=True, kw_only=True)
class MeanInequality(_Means):
    """E lhs ≤ E rhs over paired trials: Student's t on the differences, against a declared slack.

    Differences declared `bounded` are tested without Student's model: exactly, where each is at an end.
    """

    kind: ClassVar[str] = "mean inequality"
    lhs_mean: float
    rhs_mean: float
    slack: float

    @classmethod
    def of(
        cls,
        lhs: Values,
        rhs: Values,
        /,
        *,
        slack: float = 0.0,
        bounded: tuple[float, float] | None = None,
        notes: Notes | None = None,
    ) -> MeanInequality:
        """Compare the means of paired, independent trials (1-D arrays; slack in their unit, either sign).

        Args:
            lhs, rhs: the two sides, paired by trial.
            slack: the mean excess lhs − rhs that still counts as holding.
            bounded: the interval in which lhs − rhs lies by definition: (−b, 1 − b) for risks in [0, 1]
                against a fixed bound b. For rare events and for outcomes that may come out all alike.
            notes: further numbers to report.

        Raises:
            ValueError: shapes differ, fewer than two trials, not finite, or a difference out of its bounds.
        """
        check_declared(slack=slack)
        left, right = (side.reshape(-1) for side in paired(lhs, rhs))
        made = cls(
            lhs_mean=float(left.mean()),
            rhs_mean=float(right.mean()),
            slack=slack,
            notes=notes or {},
            **_measured(left, right),
        )
        return _within(made, bounded, left - right)

    def _p_values(self, test: OneSidedTest, /) -> tuple[float, float]:
        return test.p_above(self.slack), test.p_below(self.slack)

    @property
    def key_figure(self) -> str:
        return f"{self.lhs_mean:.3g} against {self.rhs_mean:.3g}, {self.trials} pairs{self._remark}"


@gate
@dataclass(frozen=True, kw_only=True)
class Equality(_Means):
    """E lhs = E rhs within a margin declared relative to the effect: two one-sided tests."""

    kind: ClassVar[str] = "equality"
    effect: float
    margin: float

    @classmethod
    def of(
        cls,
        lhs: Values,
        rhs: Values,
        /,
        *,
        margin: float,
        effect: float | None = None,
        bounded: tuple[float, float] | None = None,
        notes: Notes | None = None,
    ) -> Equality:
        """Test the mean of paired, independent differences against ± margin · effect.

        Args:
            lhs, rhs: the two sides, 1-D, paired by trial.
            margin: what counts as equal, relative to `effect`; fixed before the run.
            effect: the size the margin is relative to; |mean of rhs| where not given.
            bounded: the interval in which lhs − rhs lies by definition: (−1, 1) for two accuracies.
            notes: further numbers to report.

        Raises:
            ValueError: shapes differ, fewer than two trials, not finite, margin or effect ≤ 0, or a
                difference out of its bounds.
        """
        left, right = (side.reshape(-1) for side in paired(lhs, rhs))
        scale = abs(float(right.mean())) if effect is None else effect
        check_declared(margin=margin, effect=scale)
        if scale <= 0 or margin <= 0:
            raise ValueError(f"margin = {margin} and effect = {scale} must both be > 0")
        made = cls(effect=scale, margin=margin, notes=notes or {}, **_measured(left, right))
        return _within(made, bounded, left - right)

    def _p_values(self, test: OneSidedTest, /) -> tuple[float, float]:
        margin = self.margin * self.effect
        return test.p_outside(0.0, margin), test.p_within(0.0, margin)

    @property
    def key_figure(self) -> str:
        relative, error = self.mean_difference / self.effect, self.standard_error / self.effect
        found = f"off by {relative:+.2%} ± {error:.2%} of the effect (margin {self.margin:.0%})"
        return found + self._remark


def _measured(left: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """The fields of `_Means` that paired trials give."""
    test = mean_test(left - right, size=float(max(np.abs(left).max(), np.abs(right).max())))
    return {
        "trials": len(left),
        "mean_difference": test.mean,
        "standard_error": test.standard_error,
        "tied": test.tied,
    }


_M = TypeVar("_M", bound=_Means)


def _within(evidence: _M, bounded: tuple[float, float] | None, differences: np.ndarray) -> _M:
    """The evidence, tested as the bounds allow."""
    if bounded is None:
        return evidence
    p_values = evidence._p_values(bounded_test(differences, *bounded))
    return dataclasses.replace(evidence, bounded=bounded, p_bounded=p_values)


@gate
@dataclass(frozen=True, kw_only=True)
class Rate(Evidence):
    """A power law: the log–log slope over a sweep of horizons, one slope per independent replicate.

    `one_sided` asks for a slope of at most `expected` + margin (falls at least that fast) instead of a
    slope within ± margin of it.
    """

    kind: ClassVar[str] = "rate"
    sampled: ClassVar[bool] = True
    replicates: int
    horizons: tuple[float, ...]
    slope: float
    standard_error: float
    expected: float
    margin: float
    one_sided: bool = False
    tied: float = 0.0

    @classmethod
    def of(
        cls,
        horizons: Values,
        values: Values,
        /,
        *,
        expected: float,
        margin: float,
        one_sided: bool = False,
        notes: Notes | None = None,
    ) -> Rate:
        """Fit one slope per row of `values` [replicates, horizons] and test their mean.

        Raises:
            ValueError: fewer than 2 replicates or 3 horizons, a value that is not positive and finite,
                a setting that is infinite, or margin < 0.
        """
        sweep, table = as_numbers("horizons", horizons), as_numbers("values", values)
        if sweep.ndim != 1 or table.ndim != 2 or table.shape[1] != len(sweep):
            raise ValueError(
                f"values have shape {table.shape} and horizons {sweep.shape}; give replicates × horizons"
            )
        check_declared(expected=expected, margin=margin)
        if margin < 0:
            raise ValueError(f"margin = {margin} must be ≥ 0")
        test = mean_test(log_log_slopes(sweep, table), size=1.0)
        return cls(
            replicates=len(table),
            horizons=tuple(sweep.tolist()),
            slope=test.mean,
            standard_error=test.standard_error,
            expected=expected,
            margin=margin,
            one_sided=one_sided,
            tied=test.tied,
            notes=notes or {},
        )

    @property
    def _test(self) -> MeanTest:
        return MeanTest(self.slope, self.standard_error, self.replicates - 1, self.tied)

    @property
    def p_against(self) -> float:
        if self.one_sided:
            return self._test.p_above(self.expected + self.margin)
        return self._test.p_outside(self.expected, self.margin)

    @property
    def p_in_favour(self) -> float:
        if self.one_sided:
            return self._test.p_below(self.expected + self.margin)
        return self._test.p_within(self.expected, self.margin)

    @property
    def key_figure(self) -> str:
        low, high = self._test.interval()
        remark = ", no spread to test" if self._test.mute else ""
        return f"slope {self.slope:+.3f} [{low:+.3f}, {high:+.3f}], expected {self.expected:+g}{remark}"
