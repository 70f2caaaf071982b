"""Disagreement transfer in one piece: the sum of two risks from two independent samples, at one δ.

Pr[f ≠ y] ≤ Pr[g ≠ y] + Pr[f ≠ g]: a limit for each term at δ/2 adds two radii, each of which is hardly ever
needed in full. Where both terms are binomial, the sum has a limit of its own, whose radius is about the root
of the sum of their squares.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Shaped
from scipy import special
from torch import Tensor

from kdtheory.bounds.disagreement import UNSEEN
from kdtheory.bounds.holdout import DRAWN, FIXED, zero_or_one
from kdtheory.bounds.result import Bound
from kdtheory.inversion import kl_upper_inverse
from kdtheory.validate import check_at_least, check_fraction

__all__ = ["joint_disagreement_transfer", "sum_upper_limit"]

_RESOLUTION = 0.05


def joint_disagreement_transfer(
    errors: Shaped[Tensor, "n"],
    disagreements: Shaped[Tensor, "m"],
    /,
    *,
    delta: float,
    fixed_in_advance: bool,
    drawn_afterwards: bool,
) -> Bound:
    """Pr[f ≠ y] ≤ sup{p + q : P[K/n + L/m ≤ k/n + l/m] ≥ δ}, K ~ Bin(n, p), L ~ Bin(m, q).

    k of n points are errors of g, at l of m points f ≠ g. The disagreement transfer for a witness with a
    hold-out, derived here: `sum_upper_limit`. `needed` is a
    number of unlabelled points, by kl inversion of each term at δ/2, the errors being as they are.

    Args:
        errors: g ≠ y as 0 and 1 at each point of the hold-out.
        disagreements: f ≠ g as 0 and 1 at each unlabelled point.
        delta: δ.
        fixed_in_advance: whether g was fixed before the hold-out was drawn.
        drawn_afterwards: whether the unlabelled points were drawn after f and g were fixed.

    Raises:
        ValueError: no point, values other than 0 and 1, or δ outside (0, 1).

    >>> import torch
    >>> wrong, apart = torch.arange(1000) < 100, torch.arange(1000) < 30
    >>> bound = joint_disagreement_transfer(wrong, apart, delta=0.05, fixed_in_advance=True,
    ...                                     drawn_afterwards=True)
    >>> [round(term, 2) for term in bound.terms.values()]  # 1.64·√(0.1·0.9 + 0.03·0.97)/√1000 and a little
    [0.1, 0.03, 0.02]
    """
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
        {DRAWN: True, FIXED: fixed_in_advance, UNSEEN: drawn_afterwards},
        value_at=at_size,
        over=f"the {n} labelled points and the {m} unlabelled ones",
        quantities={"points": n, "errors": k, "unlabelled points": m, "witnesses": 1},
    )


def sum_upper_limit(k: int, n: int, other: int, m: int, /, *, delta: float) -> float:
    """sup{p + q : P[K/n + L/m ≤ k/n + l/m] ≥ δ}, K ~ Bin(n, p) and L ~ Bin(m, q) independent, l = `other`.

    The probability falls in p and in q, so that over a piece p ∈ [a, b] of the line p + q = e it is at most
    its value at (a, e − b): a line is ruled out piece by piece, and the limit is the least line that was.
    Rounded outward, by 5 % of the radius of the wider sample.

    Args:
        k, n: events and trials of the first sample.
        other, m: of the second.
        delta: δ.

    Returns:
        The limit, at most 2.

    Raises:
        ValueError: no trial, more events than trials, or δ outside (0, 1).

    >>> round(sum_upper_limit(0, 59, 0, 59, delta=0.05), 2)  # 2·(1 − 0.05^(1/118)): likeliest at p = q
    0.05
    >>> round(sum_upper_limit(0, 59, 0, 10**6, delta=0.05), 2)  # 1 − 0.05^(1/59)
    0.05
    """
    check_fraction("delta", delta, open_interval=True)
    for events, trials in ((k, n), (other, m)):
        check_at_least("number of points", trials, 1)
        if not 0 <= events <= trials:
            raise ValueError(f"{events} of {trials} points: a count lies between 0 and the number of points")
    seen = k / n, other / m
    radius = max(
        float(kl_upper_inverse(p, -math.log(delta) / size)) - p for p, size in zip(seen, (n, m), strict=True)
    )
    least, low, high = _RESOLUTION * radius, sum(seen), 2.0
    while high - low > least:
        middle = (low + high) / 2
        out = _ruled_out(middle, (k, n, other, m), delta, least / 2)
        low, high = (low, middle) if out else (middle, high)
    return high


def _ruled_out(total: float, counts: tuple[int, int, int, int], delta: float, width: float) -> bool:
    """Whether every p + q = total makes what was seen less likely than δ; no piece below `width`."""
    lows, highs = np.array([max(0.0, total - 1)]), np.array([min(1.0, total)])
    while len(lows):
        likely = _tail(lows, np.maximum(total - highs, 0.0), counts) >= delta
        lows, highs = lows[likely], highs[likely]
        if not len(lows):
            return True
        middles = (lows + highs) / 2
        if highs[0] - lows[0] < width or bool((_tail(middles, total - middles, counts) >= delta).any()):
            return False
        lows, highs = np.concatenate([lows, middles]), np.concatenate([middles, highs])
    return True


def _tail(
    p: Float[np.ndarray, " cells"], q: Float[np.ndarray, " cells"], counts: tuple[int, int, int, int]
) -> Float[np.ndarray, " cells"]:
    """P[K·m + L·n ≤ k·m + l·n], summed over the L that matter; what is left out counts in full."""
    k, n, other, m = counts
    level = k * m + other * n
    spread = 6 * np.sqrt(m * q * (1 - q)) + 20
    start = max(0, math.floor((m * q - spread).min()))
    stop = min(m, level // n, math.ceil((m * q + spread).max()))
    values = np.arange(start, stop + 1)
    mass = np.exp(
        special.gammaln(m + 1) - special.gammaln(values + 1) - special.gammaln(m - values + 1)
        + special.xlogy(values, q[:, None]) + special.xlog1py(m - values, -q[:, None])
    )  # fmt: skip
    below = special.bdtr(np.minimum((level - values * n) // m, n), n, p[:, None])
    tail: Float[np.ndarray, " cells"] = (mass * below).sum(-1)
    if start > 0:
        tail = tail + special.bdtr(min(start, stop + 1) - 1, m, q)
    if stop < min(m, level // n):
        tail = tail + special.bdtrc(stop, m, q)
    return tail
