"""Few labels and a better teacher: err(s) = Pr[s ≠ t] + E D, D = 1[s ≠ y] − 1[s ≠ t] ∈ {−1, 0, 1}.

Prediction-powered inference (Angelopoulos et al., Science 2023) in finite samples, derived here. D is
non-zero only where the teacher errs: +1 where both say the same wrong class, −1 where s is right and t
wrong. So n labelled points need only show two rare cells of a multinomial, and N unlabelled ones show
Pr[s ≠ t] = θ. The limit is the supremum of e = θ + r that is not ruled out,

    sup{e : max over θ ∈ C₁, q ∈ C₂ of T(θ, r = e − θ, q) ≥ δ − β₁ − β₂},

C₁ and C₂ exact intervals of θ and of the nuisance parameter q = p₊ + p₋ at β₁ = β₂ = δ/200, T the chance of
a·b − c̃·c + w·⌊L/κ⌋ as low as it was (`signed_counts`), w/κ about ½(a + c̃)·n/N so that b − c and n·L/N
count alike.
Over a piece [θ₁, θ₂] of C₁ the chance is at most T(θ₁, e − θ₂, q), for T falls in θ and in r; the pieces
are a small part of the radius, and that much of it is lost.

Where n > 4N a count of L weighs as much as many points of b − c, and what joining the limits gains is little
beside the limit from the n points alone: there it is the sum of the two limits at δ/2 each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

from kdtheory.bounds.assumptions import BOTH_FIXED, DISJOINT, DRAWN, ONE_LAW
from kdtheory.bounds.holdout import zero_or_one
from kdtheory.bounds.paired import NUISANCE, difference_upper_limit, total_bins
from kdtheory.bounds.pieces import CLOSE, PIECE, Part, beside_weights, largest_open
from kdtheory.bounds.result import Bound
from kdtheory.bounds.signed_counts import BesideCounts, normal_radius, two_sided, weights
from kdtheory.doors import door
from kdtheory.inversion import binomial_upper_limit
from kdtheory.validate import check_at_least, check_flags, check_fraction, check_same_shape

__all__ = ["powered_bound", "powered_upper_limit"]

_PIECES = 150  # of θ, at most
_MOST_LABELLED = 4  # times N, for a joint limit


@dataclass(frozen=True)
class _Seen:
    """b and c of n labelled points; L of N unlabelled ones."""

    gains: int
    losses: int
    trials: int
    apart: int
    others: int
    delta: float

    @property
    def estimate(self) -> float:
        return self.apart / self.others + (self.gains - self.losses) / self.trials

    @property
    def spread(self) -> float:
        """Variance of n times the estimate."""
        rate = (self.apart + 1) / (self.others + 2)
        return self.gains + self.losses + self.trials**2 * rate * (1 - rate) / self.others

    @property
    def radius(self) -> float:
        return normal_radius(self.spread, delta=self.delta) / self.trials


@door
@lru_cache(maxsize=2**16)
def powered_upper_limit(
    gains: int, losses: int, trials: int, apart: int, others: int, /, *, delta: float
) -> float:
    """Exact joint upper limit of Pr[s ≠ t] + E D, rounded outward (module docstring).

    Args:
        gains: b, labelled points at which D = 1: s = t ≠ y.
        losses: c, those at which D = −1: s = y ≠ t.
        trials: n labelled points.
        apart: L, unlabelled points at which s ≠ t.
        others: N unlabelled points, none of which is among the n.
        delta: δ.

    Raises:
        ValueError: a count that does not fit its number of points, or δ outside (0, 1).

    >>> limit = powered_upper_limit(0, 0, 59, 0, 10**6, delta=0.05)  # 1 − 0.05^(1/59), and a little
    >>> 0.0495 < limit < 0.052
    True
    """
    for name, count, number in (("gains + losses", gains + losses, trials), ("apart", apart, others)):
        check_at_least("number of points", number, 1)
        if not 0 <= count <= number or min(gains, losses) < 0:
            raise ValueError(f"{name} = {count} of {number} points: a count lies between 0 and that")
    check_fraction("delta", delta, open_interval=True)
    if trials > _MOST_LABELLED * others:
        rate_limit = binomial_upper_limit(apart, others, delta=delta / 2)
        difference = difference_upper_limit(gains, losses, trials, delta=delta / 2)
        return min(1.0, max(0.0, (rate_limit + difference) * (1 + 4e-16)))
    seen = _Seen(gains, losses, trials, apart, others, delta)
    total = two_sided(gains + losses, trials, delta=NUISANCE * delta)
    rate = two_sided(apart, others, delta=NUISANCE * delta)
    return largest_open(
        _parts(seen, total, rate),
        lambda part, e: (e - part.last, e - part.first),
        (gains, losses, trials, apart),
        math.log(delta * (1 - 2 * NUISANCE)),
        low=max(0.0, rate[0] - total[1]),
        high=min(1.0, rate[1] + total[1]),
        guess=seen.estimate + seen.radius,
        step=seen.radius / 10,
        close=CLOSE * seen.radius,
    )


def _parts(seen: _Seen, total: tuple[float, float], rate: tuple[float, float]) -> list[Part]:
    """C₁ × C₂ in pieces, and the statistic of each."""
    parts = []
    both, weight, group = beside_weights(seen.trials / seen.others)
    piece = max(PIECE * seen.radius, (rate[1] - rate[0]) / _PIECES)
    for least, most, middle in total_bins(seen.others, *rate):
        edges = np.linspace(least, most, max(1, math.ceil((most - least) / piece)) + 1)
        beside = BesideCounts(weight, group, seen.others, edges[:-1])
        other = seen.trials**2 / seen.others * min(middle / seen.others, 0.5)
        for low, high, count in total_bins(seen.trials, *total):
            counted = weights(count + other, count, delta=seen.delta, both=both)
            parts.append(Part(edges[:-1], edges[1:], low, high, counted, beside))
    return parts


@door
def powered_bound(
    student_errors: Shaped[Tensor, "n"],
    apart: Shaped[Tensor, "n"],
    apart_unlabelled: Shaped[Tensor, "m"],
    /,
    *,
    delta: float,
    fixed_in_advance: bool,
    independent_draws: bool,
    same_law: bool,
    disjoint_samples: bool,
) -> Bound:
    """Pr[s ≠ y] ≤ the exact joint limit of Pr[s ≠ t] + E D, from few labelled and many unlabelled points.

    Args:
        student_errors: s ≠ y as 0 and 1 at each labelled point.
        apart: s ≠ t there.
        apart_unlabelled: s ≠ t at each unlabelled point.
        delta: δ.
        fixed_in_advance: whether student and teacher were fixed before the points were drawn.
        independent_draws: whether the labelled points are independent draws.
        same_law: whether the unlabelled points are independent draws from the same law.
        disjoint_samples: whether no point is in both samples.

    Raises:
        ValueError: no point, lengths differ, a value other than 0 and 1, δ outside (0, 1), or a flag
        neither True
            nor False.

    >>> import torch
    >>> none, some = torch.zeros(1000), torch.arange(50_000) < 2000
    >>> bound = powered_bound(none, none, some, delta=0.05, fixed_in_advance=True, independent_draws=True,
    ...                       same_law=True, disjoint_samples=True)
    >>> bound.terms["disagreement"], 0.042 < bound.value < 0.045
    (0.04, True)
    """
    check_flags(
        fixed_in_advance=fixed_in_advance,
        independent_draws=independent_draws,
        same_law=same_law,
        disjoint_samples=disjoint_samples,
    )
    wrong, differ = zero_or_one("student_errors", student_errors), zero_or_one("apart", apart)
    others = zero_or_one("apart_unlabelled", apart_unlabelled)
    check_same_shape("student_errors", wrong, "apart", differ)
    gains, losses = int((wrong > differ).sum()), int((wrong < differ).sum())
    n, m, far = len(wrong), len(others), int(others.sum())
    limit = powered_upper_limit(gains, losses, n, far, m, delta=delta)
    terms = {"disagreement": far / m, "difference": (gains - losses) / n}
    return Bound(
        "powered_bound",
        limit,
        {**terms, "joint radius": limit - sum(terms.values())},
        delta,
        {
            DRAWN: independent_draws,
            BOTH_FIXED: fixed_in_advance,
            ONE_LAW: same_law,
            DISJOINT: disjoint_samples,
        },
        over=f"the {n} labelled points and the {m} unlabelled ones",
        quantities={
            "points": n,
            "unlabelled points": m,
            "both wrong alike": gains,
            "student right alone": losses,
        },
        what="the student's error",
    )
