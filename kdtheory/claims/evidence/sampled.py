"""Evidence from samples: means, equivalence, rates and coverage, each with its one-sided p-values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import stats

from kdtheory.claims.evidence.kind import Evidence, Notes, Values, paired
from kdtheory.stats import MeanTest, binomial_upper_limit, log_log_slopes, mean_test

__all__ = ["Coverage", "Equality", "MeanInequality", "Rate"]


@dataclass(frozen=True, kw_only=True)
class MeanInequality(Evidence):
    """E lhs ≤ E rhs over paired trials: Student's t on the differences, against a declared slack."""

    kind: ClassVar[str] = "mean inequality"
    sampled: ClassVar[bool] = True
    trials: int
    lhs_mean: float
    rhs_mean: float
    mean_difference: float
    standard_error: float
    slack: float

    @classmethod
    def of(
        cls, lhs: Values, rhs: Values, /, *, slack: float = 0.0, notes: Notes | None = None
    ) -> MeanInequality:
        """Compare the means of paired, independent trials (1-D arrays; slack in their unit, either sign).

        Raises:
            ValueError: shapes differ, fewer than two trials, or a value that is not finite.
        """
        left, right = (side.reshape(-1) for side in paired(lhs, rhs))
        test = mean_test(left - right)
        return cls(
            trials=len(left),
            lhs_mean=float(left.mean()),
            rhs_mean=float(right.mean()),
            mean_difference=test.mean,
            standard_error=test.standard_error,
            slack=slack,
            notes=notes or {},
        )

    @property
    def _test(self) -> MeanTest:
        return MeanTest(self.mean_difference, self.standard_error, self.trials - 1)

    @property
    def p_fails(self) -> float:
        return self._test.p_above(self.slack)

    @property
    def p_holds(self) -> float:
        return self._test.p_below(self.slack)

    @property
    def key_figure(self) -> str:
        return f"{self.lhs_mean:.3g} against {self.rhs_mean:.3g}, {self.trials} pairs"


@dataclass(frozen=True, kw_only=True)
class Equality(Evidence):
    """E lhs = E rhs within a margin declared relative to the effect: two one-sided tests."""

    kind: ClassVar[str] = "equality"
    sampled: ClassVar[bool] = True
    trials: int
    mean_difference: float
    standard_error: float
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
        notes: Notes | None = None,
    ) -> Equality:
        """Test the mean of paired, independent differences against ± margin · effect.

        Args:
            lhs, rhs: the two sides, 1-D, paired by trial.
            margin: what counts as equal, relative to `effect`; fixed before the run.
            effect: the size the margin is relative to; |mean of rhs| where not given.
            notes: further numbers to report.

        Raises:
            ValueError: shapes differ, fewer than two trials, not finite, or margin or effect ≤ 0.
        """
        left, right = (side.reshape(-1) for side in paired(lhs, rhs))
        scale = abs(float(right.mean())) if effect is None else effect
        if scale <= 0 or margin <= 0:
            raise ValueError(f"margin = {margin} and effect = {scale} must both be > 0")
        test = mean_test(left - right)
        return cls(
            trials=len(left),
            mean_difference=test.mean,
            standard_error=test.standard_error,
            effect=scale,
            margin=margin,
            notes=notes or {},
        )

    @property
    def _test(self) -> MeanTest:
        return MeanTest(self.mean_difference, self.standard_error, self.trials - 1)

    @property
    def p_fails(self) -> float:
        return self._test.p_outside(0.0, self.margin * self.effect)

    @property
    def p_holds(self) -> float:
        return self._test.p_within(0.0, self.margin * self.effect)

    @property
    def key_figure(self) -> str:
        relative, error = self.mean_difference / self.effect, self.standard_error / self.effect
        return f"off by {relative:+.2%} ± {error:.2%} of the effect (margin {self.margin:.0%})"


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
            ValueError: fewer than 2 replicates or 3 horizons, or a value that is not positive.
        """
        sweep, table = np.asarray(horizons, dtype=float), np.asarray(values, dtype=float)
        test = mean_test(log_log_slopes(sweep, table))
        return cls(
            replicates=len(table),
            horizons=tuple(sweep.tolist()),
            slope=test.mean,
            standard_error=test.standard_error,
            expected=expected,
            margin=margin,
            one_sided=one_sided,
            notes=notes or {},
        )

    @property
    def _test(self) -> MeanTest:
        return MeanTest(self.slope, self.standard_error, self.replicates - 1)

    @property
    def p_fails(self) -> float:
        if self.one_sided:
            return self._test.p_above(self.expected + self.margin)
        return self._test.p_outside(self.expected, self.margin)

    @property
    def p_holds(self) -> float:
        if self.one_sided:
            return self._test.p_below(self.expected + self.margin)
        return self._test.p_within(self.expected, self.margin)

    @property
    def key_figure(self) -> str:
        low, high = self._test.interval()
        return f"slope {self.slope:+.3f} [{low:+.3f}, {high:+.3f}], expected {self.expected:+g}"


@dataclass(frozen=True, kw_only=True)
class Coverage(Evidence):
    """A bound that may fail with probability ≤ δ: violations are counted, exactly (binomial)."""

    kind: ClassVar[str] = "coverage"
    sampled: ClassVar[bool] = True
    draws: int
    violations: int
    delta: float
    share_trivial: float = 0.0

    @classmethod
    def of(
        cls,
        truth: Values,
        bound: Values,
        /,
        *,
        delta: float,
        trivial: float | None = None,
        notes: Notes | None = None,
    ) -> Coverage:
        """Count the independent draws in which the truth exceeds the bound.

        Raises:
            ValueError: shapes differ, a side is empty or not finite, or δ outside (0, 1).
        """
        if not 0 < delta < 1:
            raise ValueError(f"delta = {delta} must lie in (0, 1)")
        left, right = (side.reshape(-1) for side in paired(truth, bound))
        return cls(
            draws=len(left),
            violations=int((left > right).sum()),
            delta=delta,
            share_trivial=0.0 if trivial is None else float((right >= trivial).mean()),
            notes=notes or {},
        )

    @property
    def p_fails(self) -> float:
        return float(stats.binomtest(self.violations, self.draws, self.delta, "greater").pvalue)

    @property
    def p_holds(self) -> float:
        return float(stats.binomtest(self.violations, self.draws, self.delta, "less").pvalue)

    @property
    def says_nothing(self) -> bool:
        return self.share_trivial > 0.5

    @property
    def key_figure(self) -> str:
        limit = binomial_upper_limit(self.violations, self.draws)
        return f"{self.violations} of {self.draws} violate, rate ≤ {limit:.3g} (δ = {self.delta:g})"
