"""Agreement of a student with its teacher: Pr[s ≠ t] from points without labels, and what a gate allows.

Whatever the labels are, |err(s) − err(t)| ≤ Pr[s ≠ t]: where the two say the same, both are right or both
wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped
from scipy import stats
from torch import Tensor

from kdtheory.bounds.assumptions import BOTH_FIXED, DRAWN
from kdtheory.bounds.holdout import zero_or_one
from kdtheory.bounds.result import Bound
from kdtheory.doors import door
from kdtheory.inversion import binomial_upper_limit, binomial_upper_limits
from kdtheory.stats import holm_adjusted
from kdtheory.validate import check_at_least, check_flags, check_fraction

__all__ = [
    "ClassAgreement",
    "agreement_certificate",
    "agreement_of_classes",
    "gate_allows",
    "points_needed",
]

_MOST_POINTS = 2**53


@door
def agreement_certificate(
    disagreements: Shaped[Tensor, "n"], /, *, delta: float, fixed_in_advance: bool, independent_draws: bool
) -> Bound:
    """Pr[s ≠ t] ≤ sup{d : P[Bin(N, d) ≤ k] ≥ δ}, k the points of N at which the two differ.

    Clopper & Pearson (1934); no label is needed. |err(s) − err(t)| is at most as large.

    Args:
        disagreements: s ≠ t as 0 and 1 (or booleans) at each point.
        delta: δ.
        fixed_in_advance: whether student and teacher were fixed before the points were drawn.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: no point, a value other than 0 and 1, or δ outside (0, 1).

    >>> import torch
    >>> flags = dict(fixed_in_advance=True, independent_draws=True)
    >>> bound = agreement_certificate(torch.zeros(59), delta=0.05, **flags)
    >>> round(bound.value, 4)  # 1 − 0.05^(1/59)
    0.0495
    """
    apart = zero_or_one("disagreements", disagreements)
    check_flags(fixed_in_advance=fixed_in_advance, independent_draws=independent_draws)
    n, k = len(apart), int(apart.sum())
    limit = binomial_upper_limit(k, n, delta=delta)
    return Bound(
        "agreement_certificate",
        limit,
        {"disagreement": k / n, "radius": limit - k / n},
        delta,
        {DRAWN: independent_draws, BOTH_FIXED: fixed_in_advance},
        value_at=lambda size: binomial_upper_limit(-(-k * size // n), size, delta=delta),
        over=f"the {n} points",
        quantities={"points": n, "disagreements": k},
        what="the probability that student and teacher differ",
    )


@door
def points_needed(most: float, /, *, delta: float, flips: int = 0) -> int:
    """The least N at which `flips` disagreements certify Pr[s ≠ t] ≤ ε: P[Bin(N, ε) ≤ k] ≤ δ.

    Args:
        most: ε.
        delta: δ.
        flips: k.

    Raises:
        ValueError: ε or δ outside (0, 1), k below 0, or an ε so small that 2^53 points would not do.

    >>> points_needed(0.05, delta=0.05), points_needed(0.05, delta=0.05, flips=1)  # 0.95⁵⁹ < 0.05 < 0.95⁵⁸
    (59, 93)
    """
    check_fraction("most", most, open_interval=True)
    check_fraction("delta", delta, open_interval=True)
    check_at_least("flips", flips, 0)
    low, high = flips, max(2 * flips, math.ceil(math.log(delta) / math.log1p(-most)), 1)
    while high > _MOST_POINTS or binomial_upper_limit(flips, high, delta=delta) > most:
        if high > _MOST_POINTS:
            raise ValueError(f"most = {most} with flips = {flips} needs more than 2^53 points; give a larger")
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = binomial_upper_limit(flips, middle, delta=delta) <= most
        low, high = (low, middle) if enough else (middle, high)
    return high


@door
def gate_allows(agreeing: int, points: int, /, *, delta: float) -> float:
    """The largest Pr[s ≠ t] that "k of N agree" does not rule out at 1 − δ.

    Args:
        agreeing: k.
        points: N.
        delta: δ.

    Raises:
        ValueError: not 0 ≤ k ≤ N, N < 1, or δ outside (0, 1).

    >>> round(gate_allows(19, 20, delta=0.05), 3)  # a gate at 95 % agreement
    0.216
    """
    if not 0 <= agreeing <= points:
        raise ValueError(f"agreeing = {agreeing} must lie between 0 and the {points} points")
    return binomial_upper_limit(points - agreeing, points, delta=delta)


@door
@dataclass(frozen=True)
class ClassAgreement:
    """Agreement on the points that the teacher puts in one class.

    Args:
        points: how many there are.
        disagreements: at how many of them s ≠ t.
        limit: of Pr[s ≠ t | t's class]: all k limits hold at once (Bonferroni).
        shown: whether Pr[s ≠ t | t's class] ≤ the wanted level is shown, by Holm's steps over all classes;
            None where no level was given.
    """

    points: int
    disagreements: int
    limit: float
    shown: bool | None = None


@door
def agreement_of_classes(
    student: Int[np.ndarray, "n"],
    teacher: Int[np.ndarray, "n"],
    /,
    *,
    classes: int,
    delta: float,
    most: float | None = None,
) -> Mapping[int, ClassAgreement]:
    """Pr[s ≠ t | t = j] ≤ exact limit at δ/k, for each class j of the teacher: no label is needed.

    Given how many points the teacher puts in each class, the disagreements there are independent binomials.
    Where a level is to be shown, Holm's steps have one half of δ and the limits the other: each of the two
    families can fail where the other does not.

    Args:
        student, teacher: class numbers at each point.
        classes: k, fixed beforehand; a class without a point has the limit 1.
        delta: δ of all of them together.
        most: a level to be shown for as many classes as can be (Holm 1979).

    Raises:
        ValueError: lengths differ, no point, a class outside 0 to k − 1, or δ outside (0, 1).

    >>> said = np.array([0] * 74 + [1] * 74)
    >>> found = agreement_of_classes(said, said, classes=2, delta=0.05)
    >>> round(found[0].limit, 4)  # 1 − 0.025^(1/74)
    0.0486
    """
    check_fraction("delta", delta, open_interval=True)
    if student.shape != teacher.shape or teacher.ndim != 1 or not len(teacher):
        raise ValueError(
            f"student has shape {student.shape} and teacher {teacher.shape}; give one class a point"
        )
    if min(student.min(), teacher.min()) < 0 or max(student.max(), teacher.max()) >= classes:
        raise ValueError(
            f"a class number lies outside 0 to {classes - 1}; classes = {classes} must cover all"
        )
    number = np.bincount(teacher, minlength=classes)
    apart = np.bincount(teacher[student != teacher], minlength=classes)
    share = delta if most is None else delta / 2
    limits, there = np.ones(classes), number > 0
    log_delta = math.log(share) - math.log(classes)
    limits[there] = binomial_upper_limits(apart[there], number[there], log_delta=log_delta)
    shown: list[bool | None] = [None] * classes
    if most is not None:
        check_fraction("most", most, open_interval=True)
        shown = [bool(p <= share) for p in holm_adjusted(stats.binom.cdf(apart, number, most).tolist())]
    rows = zip(number.tolist(), apart.tolist(), limits.tolist(), shown, strict=True)
    return {j: ClassAgreement(*row) for j, row in enumerate(rows)}
