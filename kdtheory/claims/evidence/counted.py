"""Evidence from counts: how often a bound was violated, with its exact one-sided p-values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np

from kdtheory.claims.evidence.kind import Evidence, Notes, Values, as_numbers, paired
from kdtheory.doors import gate
from kdtheory.stats import binomial_tails, binomial_upper_limit

__all__ = ["Coverage"]


@gate
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

    @classmethod
    def rare(cls, violated: Values, /, *, delta: float, notes: Notes | None = None) -> Coverage:
        """Count independent events that must be rarer than δ.

        Where there is none to count, nothing is decided: both p-values are 1.

        Raises:
            ValueError: as `of`.
        """
        occurred = as_numbers("violated", violated).reshape(-1)
        if not len(occurred):
            return replace(cls.rare([0.0], delta=delta, notes=notes), draws=0)
        return cls.of(occurred, np.full_like(occurred, 0.5), delta=delta, notes=notes)

    @property
    def p_against(self) -> float:
        return binomial_tails(self.violations, self.draws, self.delta)[1]

    @property
    def p_in_favour(self) -> float:
        return binomial_tails(self.violations, self.draws, self.delta)[0]

    @property
    def says_nothing(self) -> bool:
        return self.share_trivial > 0.5

    @property
    def key_figure(self) -> str:
        limit = _rate(self.violations, self.draws) if self.draws else 1.0
        return f"{self.violations} of {self.draws} violate, rate ≤ {limit:.3g} (δ = {self.delta:g})"


_rate = cache(binomial_upper_limit)  # as it is printed, more than once
