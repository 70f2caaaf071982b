"""Disagreement transfer in one piece: the sum of two risks from two independent samples, at one δ.

Pr[f ≠ y] ≤ Pr[g ≠ y] + Pr[f ≠ g]: a limit for each term at δ/2 adds two radii, each of which is hardly ever
needed in full. Where both terms are binomial, the sum has a limit of its own, whose radius is about the root
of the sum of their squares.
"""

from __future__ import annotations

import math

from jaxtyping import Shaped
from torch import Tensor

from kdtheory.bounds.assumptions import (
    DISJOINT,
    DRAWN,
    ONE_LAW,
    PREDICTOR_FIXED_FIRST,
    WITNESS_FIXED_FIRST,
)
from kdtheory.bounds.holdout import zero_or_one
from kdtheory.bounds.lattice_sums import finest_radius, summed_limit
from kdtheory.bounds.normal_sums import TwoSamples, normal_sum_limit
from kdtheory.bounds.result import Bound
from kdtheory.doors import door
from kdtheory.inversion import binomial_upper_limit, kl_upper_inverse
from kdtheory.validate import check_at_least, check_flags, check_fraction

__all__ = ["joint_disagreement_transfer", "sum_upper_limit"]

_LARGEST = 2**53  # whole numbers up to here are floats
_CLOSE = 0.009  # of the radius
_NEAR_HALF = 0.35
_MANY = 170  # events in a radius for each nat of ln(1/δ): more are not summed over


@door
def joint_disagreement_transfer(
    errors: Shaped[Tensor, "n"],
    disagreements: Shaped[Tensor, "m"],
    /,
    *,
    delta: float,
    witness_fixed_in_advance: bool,
    predictor_fixed_in_advance: bool,
    disjoint_samples: bool,
    independent_draws: bool,
    same_law: bool,
) -> Bound:
    """Pr[f ≠ y] ≤ sup{p + q : P[K/n + L/m ≤ k/n + l/m] ≥ δ}, K ~ Bin(n, p), L ~ Bin(m, q).

    k of n points are errors of g, at l of m points f ≠ g. The disagreement transfer for an f and a g that had
    both been fixed when the first of the n + m points was drawn, derived here: `sum_upper_limit`. Where f may
    depend on the labelled points, q does, K and L are no two binomials, and the limit fails:
    `product_disagreement_transfer` holds there. `needed` is a number of unlabelled points, by kl inversion of
    each term at δ/2, the errors being as they are.

    Args:
        errors: g ≠ y as 0 and 1 at each point of the hold-out.
        disagreements: f ≠ g as 0 and 1 at each unlabelled point.
        delta: δ.
        witness_fixed_in_advance: whether g was fixed before either sample was drawn.
        predictor_fixed_in_advance: whether f was.
        disjoint_samples: whether no point is in both samples.
        independent_draws: whether the labelled points are independent draws.
        same_law: whether the unlabelled points are independent draws from the distribution of labelled ones.

    Raises:
        ValueError: no point, values other than 0 and 1, δ outside (0, 1), or a flag neither True nor False.

    >>> import torch
    >>> wrong, apart = torch.arange(1000) < 100, torch.arange(1000) < 30
    >>> bound = joint_disagreement_transfer(
    ...     wrong, apart, delta=0.05, witness_fixed_in_advance=True, predictor_fixed_in_advance=True,
    ...     disjoint_samples=True, independent_draws=True, same_law=True)
    >>> [round(term, 2) for term in bound.terms.values()]  # 1.64·√(0.1·0.9 + 0.03·0.97)/√1000 and a little
    [0.1, 0.03, 0.02]
    """
    check_flags(
        witness_fixed_in_advance=witness_fixed_in_advance,
        predictor_fixed_in_advance=predictor_fixed_in_advance,
        disjoint_samples=disjoint_samples,
        independent_draws=independent_draws,
        same_law=same_law,
    )
    wrong, apart = zero_or_one("errors", errors), zero_or_one("disagreements", disagreements)
    n, m, k, differ = len(wrong), len(apart), int(wrong.sum()), int(apart.sum())
    limit = sum_upper_limit(k, n, differ, m, delta=delta)
    first = float(kl_upper_inverse(k / n, math.log(2 / delta) / n))

    def at_size(size: int) -> float:
        return first + float(kl_upper_inverse(differ / m, math.log(2 / delta) / size))

    return Bound(
        "joint_disagreement_transfer",
        limit,
        {"empirical risk": k / n, "disagreement": differ / m, "joint radius": limit - k / n - differ / m},
        delta,
        {
            DRAWN: independent_draws,
            WITNESS_FIXED_FIRST: witness_fixed_in_advance,
            PREDICTOR_FIXED_FIRST: predictor_fixed_in_advance,
            DISJOINT: disjoint_samples,
            ONE_LAW: same_law,
        },
        value_at=at_size,
        over=f"the {n} labelled points and the {m} unlabelled ones",
        quantities={"points": n, "errors": k, "unlabelled points": m, "witnesses": 1},
    )


@door
def sum_upper_limit(k: int, n: int, other: int, m: int, /, *, delta: float) -> float:
    """sup{p + q : P[K/n + L/m ≤ k/n + l/m] ≥ δ}, K ~ Bin(n, p) and L ~ Bin(m, q) independent, l = `other`.

    For n = m and k + l + 1 expected events or more, K + L has no heavier lower tail than at p = q (Hoeffding
    1956): it is twice the exact limit of k + l in 2n. Else by the normal bound of `normal_sum_limit` where it
    is close, and by summation, as in `summed_limit`, where it is not. Rounded outward, by 1 % of the radius
    at most for sums below 1 and δ ≤ 0.3; towards δ = ½ the radius vanishes, and it is a tenth of
    Chernoff's. Above 1, where it says nothing, up to 3 % where the samples are large, and close to 2 only
    bounded by Hoeffding's inequality.

    Args:
        k, n: events and trials of the first sample.
        other, m: of the second.
        delta: δ.

    Returns:
        The limit, at most 2.

    Raises:
        ValueError: no trial, more events than trials, or δ outside (0, 1).

    >>> round(sum_upper_limit(0, 59, 0, 59, delta=0.05), 5)  # 2·(1 − 0.05^(1/118)): likeliest at p = q
    0.05014
    >>> round(sum_upper_limit(0, 59, 0, 10**6, delta=0.05), 2)  # 1 − 0.05^(1/59)
    0.05
    """
    check_fraction("delta", delta, open_interval=True)
    for events, trials in ((k, n), (other, m)):
        check_at_least("number of points", trials, 1, most=1e300)
        if not 0 <= events <= trials:
            raise ValueError(f"{events} of {trials} points: a count lies between 0 and the number of points")
    if n == m and 2 * n <= _LARGEST:
        twice = 2 * binomial_upper_limit(k + other, 2 * n, delta=delta)
        if twice >= (k + other + 1) / n or k + other == 2 * n:
            return twice
    samples = TwoSamples(k, n, other, m) if n <= m else TwoSamples(other, m, k, n)
    limit, loss = normal_sum_limit(samples, delta)
    radius = limit - samples.seen
    if loss <= _CLOSE * radius or samples.n * radius > -_MANY * math.log(delta):
        return limit
    if delta > _NEAR_HALF and loss <= finest_radius(samples, min(delta, 0.5)):
        return limit  # there is no radius to be close to, and the sums would take minutes
    return summed_limit(samples, delta, high=limit, loss=min(loss, radius))
