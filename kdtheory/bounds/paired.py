"""The cost of compression: R = Pr[s ≠ y] − Pr[t ≠ y] = p₊ − p₋ from points where student and teacher are
paired.

McNemar's question (1947) as an interval: of n labelled points b were lost (s ≠ y, t = y: chance p₊) and c won
(s = y, t ≠ y: p₋). The upper limit is a supremum of what is not ruled out,

    sup{r : max over q ∈ C of T(r, q) ≥ δ − β},

where q = p₊ + p₋ is the nuisance parameter, C its exact interval from b + c at β = δ/200 (Berger & Boos
1994),
and T(r, q) the chance that a·b − c̃·c is as low as it was. The weights a, c̃ depend on the hypothetical q
alone,
by bins that are fixed (`signed_counts.weights`). If the true r is missed, then q ∉ C, or a statistic was as
low as
happens with probability below δ − β: at most δ in all, whatever p₊ and p₋. T falls with r at fixed q, so that
what lies beyond a value that is ruled out is ruled out too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from jaxtyping import Shaped
from scipy import special
from torch import Tensor

from kdtheory.bounds._largest import largest_not_ruled_out
from kdtheory.bounds.assumptions import BOTH_FIXED, DRAWN
from kdtheory.bounds.holdout import zero_or_one
from kdtheory.bounds.result import Bound
from kdtheory.bounds.signed_counts import log_sup_over_total, normal_radius, two_sided, weights
from kdtheory.doors import door
from kdtheory.validate import check_at_least, check_flags, check_fraction, check_same_shape

__all__ = [
    "NUISANCE",
    "check_counts",
    "difference_interval",
    "difference_upper_limit",
    "normal_upper_limit",
    "paired_difference",
    "total_bins",
]

NUISANCE = 1 / 200
"""The share of δ that the interval of a nuisance parameter takes."""
_CLOSE = 0.004  # of the radius


@door
def total_bins(trials: int, low: float, high: float, /) -> Iterator[tuple[float, float, float]]:
    """(q₁, q₂, n·q in the middle) of the fixed bins n·q ∈ [0, 1], [1, 2], [2, 4], … that meet [low, high]."""
    edge = 0.0
    while edge < high * trials:
        beyond = 2 * edge if edge else 1.0
        if beyond >= low * trials:
            yield max(low, edge / trials), min(high, beyond / trials), beyond / math.sqrt(2)
        edge = beyond


@door
@lru_cache(maxsize=2**16)
def difference_upper_limit(gains: int, losses: int, trials: int, /, *, delta: float) -> float:
    """sup{r : max_{q∈C} P[a·b − c̃·c as low as seen] ≥ δ − β}: exact upper limit of p₊ − p₋, rounded outward.

    Derived here (module docstring); Buehler (1957) and Berger & Boos (1994) for its two ideas.

    Args:
        gains: b, the points that count +1.
        losses: c, those that count −1.
        trials: n.
        delta: δ.

    Returns:
        The limit, in [−1, 1].

    Raises:
        ValueError: a count below 0, b + c > n, n < 1, or δ outside (0, 1).

    >>> limit = difference_upper_limit(0, 0, 59, delta=0.05)
    >>> 0.0495 < limit < 0.0515  # one cell alone could do no better: 1 − 0.05^(1/59)
    True
    """
    check_counts(gains, losses, trials)
    check_fraction("delta", delta, open_interval=True)
    low, high = two_sided(gains + losses, trials, delta=NUISANCE * delta)
    chance = _log_chance(gains, losses, trials, low, high, delta)
    seen, radius = (gains - losses) / trials, normal_radius(gains + losses, delta=delta) / trials
    return largest_not_ruled_out(
        chance,
        math.log(delta * (1 - NUISANCE)),
        low=-high,
        high=high,
        guess=seen + radius,
        step=radius / 10,
        close=_CLOSE * min(radius, high - seen),
    )


def _log_chance(
    gains: int, losses: int, trials: int, low: float, high: float, delta: float
) -> Callable[[float], float]:
    """ln of the largest chance, over q ∈ [low, high], of a statistic as low as it was, for each r."""

    def log_chance(r: float) -> float:
        found = -math.inf
        for least, most, middle in total_bins(trials, low, high):
            counted = weights(middle, middle, delta=delta)
            reach = counted.gain * gains - counted.loss * losses
            one = log_sup_over_total(trials, np.array([r]), least, most, counted, reach)
            found = max(found, float(one[0]))
        return found

    return log_chance


@door
def difference_interval(gains: int, losses: int, trials: int, /, *, delta: float) -> tuple[float, float]:
    """Exact two-sided interval of p₊ − p₋: the upper limit at δ/2, and minus that of the exchanged counts.

    Args:
        gains, losses, trials: as in `difference_upper_limit`.
        delta: δ of both sides together.

    >>> low, high = difference_interval(7, 7, 300, delta=0.05)
    >>> low == -high
    True
    """
    upper = difference_upper_limit(gains, losses, trials, delta=delta / 2)
    return -difference_upper_limit(losses, gains, trials, delta=delta / 2), upper


@door
def normal_upper_limit(gains: int, losses: int, trials: int, /, *, delta: float) -> float:
    """r̂ + z_δ·√(v̂/n), r̂ = (b − c)/n and v̂ = (b + c)/n − r̂²: the limit of the central limit theorem, no bound.

    It lies below the truth far more often than δ where b and c are small; it stands here to be compared with.

    Args:
        gains, losses, trials, delta: as in `difference_upper_limit`.

    >>> round(normal_upper_limit(16, 0, 100, delta=0.5), 9)  # z = 0
    0.16
    """
    check_counts(gains, losses, trials)
    check_fraction("delta", delta, open_interval=True)
    difference = (gains - losses) / trials
    variance = max((gains + losses) / trials - difference**2, 0.0)
    return difference - float(special.ndtri(delta)) * math.sqrt(variance / trials)


@door
def check_counts(gains: int, losses: int, trials: int, /) -> None:
    """Two counts of exclusive events of one number of points, or a `ValueError`."""
    check_at_least("trials", trials, 1)
    for name, count in (("gains", gains), ("losses", losses)):
        check_at_least(name, count, 0)
    if gains + losses > trials:
        raise ValueError(
            f"gains + losses = {gains + losses} exceed the {trials} trials; each point counts once"
        )


@door
def paired_difference(
    student_errors: Shaped[Tensor, "n"],
    teacher_errors: Shaped[Tensor, "n"],
    /,
    *,
    delta: float,
    fixed_in_advance: bool,
    independent_draws: bool,
) -> Bound:
    """err(s) − err(t) ≤ the exact upper limit of p₊ − p₋: what compression costs.

    For the other side exchange the two. Vacuous at 1.

    Args:
        student_errors, teacher_errors: 0 or 1 (or booleans) at each labelled point, the same points for both.
        delta: δ, of this side alone.
        fixed_in_advance: whether student and teacher were fixed before the points were drawn.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: no point, lengths differ, a value other than 0 and 1, δ outside (0, 1), or a flag
        neither True
            nor False.

    >>> import torch
    >>> wrong = torch.zeros(59)
    >>> bound = paired_difference(wrong, wrong, delta=0.05, fixed_in_advance=True, independent_draws=True)
    >>> bound.terms["difference"], round(bound.value, 2)
    (0.0, 0.05)
    """
    check_flags(fixed_in_advance=fixed_in_advance, independent_draws=independent_draws)
    student, teacher = (
        zero_or_one("student_errors", student_errors),
        zero_or_one("teacher_errors", teacher_errors),
    )
    check_same_shape("student_errors", student, "teacher_errors", teacher)
    gains, losses, n = int((student > teacher).sum()), int((student < teacher).sum()), len(student)
    limit = difference_upper_limit(gains, losses, n, delta=delta)
    return Bound(
        "paired_difference",
        limit,
        {"difference": (gains - losses) / n, "radius": limit - (gains - losses) / n},
        delta,
        {DRAWN: independent_draws, BOTH_FIXED: fixed_in_advance},
        over=f"the {n} labelled points",
        quantities={"points": n, "lost": gains, "won": losses},
        what="the student's error minus the teacher's",
    )
