"""A stratified hold-out: two strata by the confidence of a witness, their weights from unlabelled points.

err = W·p₁ + (1 − W)·p₂, W the share of the first stratum (M of N unlabelled points), p₁ and p₂ the error
rates in
the two, from n₁ and n₂ labelled points that are random ones there. With the two exact p-values P₁, P₂

    err ≤ max over W ∈ C of sup{W·p₁ + (1 − W)·p₂ : P₁(p₁)·P₂(p₂) ≥ c},   c(1 − ln c) = δ − β,

C an exact interval of W at β = δ/200 (`product_upper_limit`; Fisher 1932). The supremum is convex in W, so
that
the ends of C are enough. A statistic that is linear in the counts would have the rates of both strata for
nuisance,
whose worst pair is far from what was seen; the product looks at each alone.
"""

from __future__ import annotations

import math

from kdtheory.bounds.paired import NUISANCE, check_counts
from kdtheory.bounds.product import fisher32_log_level, product_upper_limit
from kdtheory.bounds.signed_counts import two_sided
from kdtheory.bounds.tails import RiskTail
from kdtheory.doors import door
from kdtheory.validate import check_at_least, check_fraction

__all__ = ["neyman_allocation", "stratified_upper_limit"]


@door
def neyman_allocation(labels: int, share: float, rates: tuple[float, float], /) -> tuple[int, int]:
    """n_j ∝ W_j·√(p_j(1 − p_j)) (Neyman 1934): the labels of two strata, from guesses of their error rates.

    Args:
        labels: n₁ + n₂, at least 2.
        share: W of the first stratum.
        rates: guesses of p₁ and p₂.

    Raises:
        ValueError: fewer than two labels, or a share or rate outside [0, 1].

    >>> neyman_allocation(100, 0.5, (0.5, 0.1))  # 0.5 : 0.3
    (62, 38)
    """
    check_at_least("labels", labels, 2)
    for name, value in (("share", share), ("rates", rates[0]), ("rates", rates[1])):
        check_fraction(name, value)
    first, second = (math.sqrt(max(p * (1 - p), 1e-12)) for p in rates)
    part = share * first / (share * first + (1 - share) * second)
    one = min(max(round(labels * part), 1), labels - 1)
    return one, labels - one


@door
def stratified_upper_limit(
    wrong: tuple[int, int], labelled: tuple[int, int], first: int, others: int, /, *, delta: float
) -> float:
    """Upper limit of W·p₁ + (1 − W)·p₂, rounded outward (module docstring).

    Args:
        wrong: k₁ and k₂.
        labelled: n₁ and n₂; strata and rule of allocation were fixed before a label was seen.
        first: M, unlabelled points in the first stratum.
        others: N unlabelled points.
        delta: δ.

    Raises:
        ValueError: a count that does not fit its number of points, or δ outside (0, 1).

    >>> limit = stratified_upper_limit((0, 0), (59, 59), 10**6, 10**6, delta=0.05)  # one stratum is all
    >>> round(limit, 3), round(1 - 0.0087155 ** (1 / 59), 3)  # c = 0.0087155
    (0.077, 0.077)
    """
    for k, n in (*zip(wrong, labelled, strict=True), (first, others)):
        check_counts(k, 0, n)
    check_fraction("delta", delta, open_interval=True)
    one, two = (
        RiskTail("stratum", k / n, n, True, {"given": True}) for k, n in zip(wrong, labelled, strict=True)
    )
    level, found = fisher32_log_level(delta * (1 - NUISANCE)), []
    for share in two_sided(first, others, delta=NUISANCE * delta):
        large, small, rest = (one, two, 1 - share) if share >= 0.5 else (two, one, share)
        limit = product_upper_limit(large, small, log_level=level, scale=rest / (1 - rest))
        found.append((1 - rest) * limit)
    return min(1.0, max(found) * (1 + 1e-12))
