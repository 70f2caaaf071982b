"""A stratified hold-out: two strata by the confidence of a witness, their weights from unlabelled points.

err = W·p₁ + (1 − W)·p₂, W the share of the first stratum (M of N unlabelled points), p₁ and p₂ the error rates in
the two, from n₁ and n₂ labelled points that were drawn there at random. The limit is a supremum over products of
binomials,

    max over W ∈ C of sup{W·p₁ + (1 − W)·p₂ : T(p₁, p₂) ≥ δ − β},   T = P[α₁K₁ + α₂K₂ ≤ α₁k₁ + α₂k₂],

C an exact interval of W at β = δ/200, and whole weights α₁ : α₂ near M/n₁ : (N − M)/n₂ that hang on no label. The
supremum is linear in W: its ends are enough. T falls in both rates, so that on a piece of p₁ it is at most what it
is at the lower end, beside the p₂ that belongs to the upper one.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special, stats

from kdtheory.bounds.paired import NUISANCE, check_counts
from kdtheory.bounds.signed_counts import largest_not_ruled_out, two_sided
from kdtheory.validate import check_fraction

__all__ = ["neyman_allocation", "stratified_upper_limit"]

_CLOSE, _PIECE = 0.004, 0.004  # of the radius
_WHOLE = 60


def neyman_allocation(labels: int, share: float, rates: tuple[float, float], /) -> tuple[int, int]:
    """n_j ∝ W_j·√(p_j(1 − p_j)) (Neyman 1934): the labels of two strata, from guesses of their error rates.

    Args:
        labels: n₁ + n₂, at least 2.
        share: W of the first stratum.
        rates: guesses of p₁ and p₂.

    >>> neyman_allocation(100, 0.5, (0.5, 0.1))  # 0.5 : 0.3
    (62, 38)
    """
    check_fraction("share", share)
    first, second = (math.sqrt(max(p * (1 - p), 1e-12)) for p in rates)
    part = share * first / (share * first + (1 - share) * second)
    one = min(max(round(labels * part), 1), labels - 1)
    return one, labels - one


def stratified_upper_limit(
    wrong: tuple[int, int], labelled: tuple[int, int], first: int, others: int, /, *, delta: float
) -> float:
    """Upper limit of W·p₁ + (1 − W)·p₂, rounded outward (module docstring).

    Args:
        wrong: k₁ and k₂.
        labelled: n₁ and n₂, fixed before a label was seen.
        first: M, unlabelled points in the first stratum.
        others: N unlabelled points.
        delta: δ.

    Raises:
        ValueError: a count that does not fit its number of points, or δ outside (0, 1).

    >>> limit = stratified_upper_limit((0, 0), (59, 59), 500, 1000, delta=0.05)
    >>> 0.025 < limit < 0.032  # half of either rate: about as one sample of 118, and W is not known
    True
    """
    for k, n in (*zip(wrong, labelled, strict=True), (first, others)):
        check_counts(k, 0, n)
    check_fraction("delta", delta, open_interval=True)
    shares = (first + 0.5) / (others + 1), (others - first + 0.5) / (others + 1)
    worth = [share / n for share, n in zip(shares, labelled, strict=True)]
    alpha = tuple(max(1, round(_WHOLE * value / max(worth))) for value in worth)
    z = max(1.0, float(stats.norm.isf(delta)))
    spread = sum(value**2 * (k + z * z / 4) for value, k in zip(worth, wrong, strict=True))
    radius = z * z / 2 * max(worth) + z * math.sqrt(spread)
    seen = sum(value * k for value, k in zip(worth, wrong, strict=True))
    level = math.log(delta * (1 - NUISANCE))

    def limit(share: float) -> float:
        return largest_not_ruled_out(
            lambda e: _log_chance(e, share, wrong, labelled, alpha, _PIECE * radius),
            level,
            low=0.0,
            high=1.0,
            guess=seen + radius,
            step=radius / 5,
            close=_CLOSE * radius,
        )

    return max(limit(share) for share in two_sided(first, others, delta=NUISANCE * delta))


def _log_chance(
    e: float,
    share: float,
    wrong: tuple[int, int],
    labelled: tuple[int, int],
    alpha: tuple[int, ...],
    piece: float,
) -> float:
    """ln max T on the line W·p₁ + (1 − W)·p₂ = e, rounded up."""
    if share in (0.0, 1.0):
        return _log_tail(np.array([e if share else 0.0]), np.array([0.0 if share else e]), wrong, labelled, alpha)
    low, high = max(0.0, (e - (1 - share)) / share), min(1.0, e / share)
    edges = np.linspace(low, high, 1 + max(1, math.ceil((high - low) * share / piece)))
    second = np.clip((e - share * edges[1:]) / (1 - share), 0.0, 1.0)
    return _log_tail(edges[:-1], second, wrong, labelled, alpha)


def _log_tail(
    p: np.ndarray, q: np.ndarray, wrong: tuple[int, int], labelled: tuple[int, int], alpha: tuple[int, ...]
) -> float:
    """ln max P[α₁K₁ + α₂K₂ ≤ α₁k₁ + α₂k₂] over pairs of rates."""
    reach = alpha[0] * wrong[0] + alpha[1] * wrong[1]
    counts = np.arange(min(labelled[0], reach // alpha[0]) + 1)
    most = np.minimum((reach - alpha[0] * counts) // alpha[1], labelled[1]).astype(float)
    best = 0.0
    for part in np.array_split(np.arange(len(p)), 1 + len(p) * len(counts) // 10**6):
        mass = stats.binom.pmf(counts, labelled[0], p[part, None])
        best = max(best, float((mass * special.bdtr(most, labelled[1], q[part, None])).sum(1).max()))
    return math.log(max(best, 1e-300)) + 1e-9
