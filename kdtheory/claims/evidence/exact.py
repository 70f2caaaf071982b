"""Evidence that no chance decides: identities, inequalities on every trial, the worst ratio of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kdtheory.claims.evidence.kind import Evidence, Notes, Values, check_declared, pair_at, paired
from kdtheory.doors import gate

__all__ = ["Identity", "Inequality", "WorstRatio"]


@gate
@dataclass(frozen=True, kw_only=True)
class Identity(Evidence):
    """Two sides equal on every trial, up to `tolerance` relative to the size of the effect (no sampling)."""

    kind: ClassVar[str] = "identity"
    trials: int
    worst_error: float
    effect: float
    tolerance: float
    counterexample: Mapping[str, float] | None = None

    @classmethod
    def of(
        cls,
        lhs: Values,
        rhs: Values,
        /,
        *,
        tolerance: float,
        effect: float | None = None,
        notes: Notes | None = None,
    ) -> Identity:
        """Compare two arrays of one shape entry by entry.

        Args:
            lhs, rhs: the two sides; the first axis counts trials.
            tolerance: largest |lhs − rhs| that counts as equal, relative to `effect`.
            effect: the size that errors are measured against; largest |rhs| where not given.
            notes: further numbers to report.

        Raises:
            ValueError: shapes differ, a side is empty or not finite, a setting is infinite, or the effect
                is zero.
        """
        left, right = paired(lhs, rhs)
        scale = float(np.abs(right).max()) if effect is None else effect
        check_declared(tolerance=tolerance, effect=scale)
        if scale <= 0:
            raise ValueError("the effect is 0, so no error is relative to it; declare an effect > 0")
        errors = np.abs(left - right) / scale
        worst = int(errors.argmax())
        return cls(
            trials=errors.shape[0] if errors.ndim else 1,
            worst_error=float(errors.max()),
            effect=scale,
            tolerance=tolerance,
            counterexample=pair_at(left, right, worst) if errors.max() > tolerance else None,
            notes=notes or {},
        )

    @property
    def p_against(self) -> float:
        return float(self.worst_error <= self.tolerance)

    @property
    def p_in_favour(self) -> float:
        return 1.0 - self.p_against

    @property
    def key_figure(self) -> str:
        return f"worst error {self.worst_error:.1e} of the effect, {self.trials} trials".replace(
            "0.0e+00", "0"
        )


@gate
@dataclass(frozen=True, kw_only=True)
class Inequality(Evidence):
    """lhs ≤ rhs on every paired trial, up to a declared slack.

    Says nothing where the right side reaches the trivial level in more than half of the trials.
    """

    kind: ClassVar[str] = "inequality"
    trials: int
    violations: int
    worst_excess: float
    tightness: float
    slack: float
    trivial: float | None
    share_trivial: float
    counterexample: Mapping[str, float] | None = None

    @classmethod
    def of(
        cls,
        lhs: Values,
        rhs: Values,
        /,
        *,
        slack: float = 0.0,
        trivial: float | None = None,
        notes: Notes | None = None,
    ) -> Inequality:
        """Compare paired trials.

        Args:
            lhs, rhs: the two sides, of one shape; every entry is a trial.
            slack: the excess lhs − rhs that still counts as holding (rounding), in the unit of the sides.
            trivial: the level at which the right side says nothing (1 for a probability).
            notes: further numbers to report.

        Raises:
            ValueError: shapes differ, a side is empty or not finite, or the slack is infinite or below 0.
        """
        check_declared(slack=slack)
        if slack < 0:
            raise ValueError(f"slack = {slack} must be ≥ 0")
        left, right = (side.reshape(-1) for side in paired(lhs, rhs))
        excess = left - right
        violations = int((excess > slack).sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(right > 0, left / right, -np.inf)
        return cls(
            trials=len(left),
            violations=violations,
            worst_excess=float(excess.max()),
            tightness=float(max(ratios.max(), 0.0)),
            slack=slack,
            trivial=trivial,
            share_trivial=0.0 if trivial is None else float((right >= trivial).mean()),
            counterexample=pair_at(left, right, int(excess.argmax())) if violations else None,
            notes=notes or {},
        )

    @property
    def p_against(self) -> float:
        return float(self.violations == 0)

    @property
    def p_in_favour(self) -> float:
        return 1.0 - self.p_against

    @property
    def says_nothing(self) -> bool:
        return self.share_trivial > 0.5

    @property
    def key_figure(self) -> str:
        return f"{self.violations} of {self.trials} violate, tightness {self.tightness:.3g}"


@gate
@dataclass(frozen=True, kw_only=True)
class WorstRatio(Evidence):
    """The largest ratio lhs/rhs that an optimiser found while it tried to break lhs ≤ limit · rhs.

    A constant that is said to be attained must also be reached: `must_reach` is the share of the limit that
    the search has to find, otherwise the evidence decides nothing.
    """

    kind: ClassVar[str] = "worst ratio"
    attempts: int
    ratio: float
    limit: float = 1.0
    slack: float = 1e-9
    must_reach: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_declared(limit=self.limit, slack=self.slack)
        if not np.isfinite(self.ratio):
            raise ValueError(f"ratio = {self.ratio} is not finite; the search went astray")

    @property
    def p_against(self) -> float:
        return float(self.ratio <= self.limit * (1 + self.slack))

    @property
    def p_in_favour(self) -> float:
        reached = self.ratio >= self.must_reach * self.limit
        return float(not (reached and self.p_against == 1.0))

    @property
    def key_figure(self) -> str:
        return f"worst ratio {self.ratio:.6g}, not above {self.limit:g} in {self.attempts} attempts"
