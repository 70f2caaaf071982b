"""Disagreement transfer in one piece: the sum of two risks from two independent samples, at one δ.

Pr[f ≠ y] ≤ Pr[g ≠ y] + Pr[f ≠ g]: a limit for each term at δ/2 adds two radii, each of which is hardly ever
needed in full. Where both terms are binomial, the sum has a limit of its own, whose radius is about the root
of the sum of their squares.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy import special
from torch import Tensor

from kdtheory.bounds.assumptions import (
    DISJOINT,
    DRAWN,
    ONE_LAW,
    PREDICTOR_FIXED_FIRST,
    WITNESS_FIXED_FIRST,
)
from kdtheory.bounds.holdout import zero_or_one
from kdtheory.bounds.result import Bound
from kdtheory.inversion import kl_upper_inverse
from kdtheory.validate import check_at_least, check_flags, check_fraction

__all__ = ["joint_disagreement_transfer", "sum_upper_limit"]

_RESOLUTION = 0.05
_CELLS = 16
_SHORT = 1000  # fewer points are summed sooner than bounded
_OUTWARD = 1 + 1e-8  # logarithms of factorials of 10⁸ lose as much
_TINY = np.finfo(float).tiny

Cells = Float[np.ndarray, " cells"]
Counts = tuple[int, int, int, int]


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
        same_law: whether the unlabelled points are independent draws from the law of the labelled ones.

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


def _ruled_out(total: float, counts: Counts, delta: float, width: float) -> bool:
    """Whether every p + q = total makes what was seen less likely than δ; no piece below `width`."""
    lows, highs = np.array([max(0.0, total - 1)]), np.array([min(1.0, total)])
    while len(lows):
        likely = _may_reach(delta, lows, np.maximum(total - highs, 0.0), counts)
        lows, highs = lows[likely], highs[likely]
        if not len(lows):
            return True
        middles = (lows + highs) / 2
        if highs[0] - lows[0] < width or _may_reach(delta, middles, total - middles, counts).any():
            return False
        lows, highs = np.concatenate([lows, middles]), np.concatenate([middles, highs])
    return True


def _may_reach(delta: float, p: Cells, q: Cells, counts: Counts) -> Bool[np.ndarray, " cells"]:
    """Whether P[K/n + L/m ≤ k/n + l/m] ≥ δ; not summed where Chernoff's bound says that it is less."""
    short = counts[1] + counts[3] < _SHORT
    likely = np.ones(len(p), bool) if short else _chernoff(p, q, counts) >= (1 - 1e-9) * delta
    for part in np.array_split(np.flatnonzero(likely), 1 + likely.sum() // _CELLS):
        if len(part):
            likely[part] = ~(_tail(p[part], q[part], counts) < delta)
    return likely


def _chernoff(p: Cells, q: Cells, counts: Counts) -> Cells:
    """min_θ e^{θs}·E e^{−θK/n}·E e^{−θL/m} ≥ P[K/n + L/m ≤ s], over some θ ≥ 0."""
    k, n, other, m = counts
    theta = np.concatenate([[0.0], np.geomspace(1.0, 50.0 * max(n, m), 64)])
    logs = [
        size * np.log1p(rate[:, None] * np.expm1(-theta / size)) for rate, size in ((p, n), (q, m))
    ]  # log E e^{−θK/n} = n log(1 − p(1 − e^{−θ/n}))
    least: Cells = np.exp((theta * (k / n + other / m) + logs[0] + logs[1]).min(-1))
    return least


def _tail(p: Cells, q: Cells, counts: Counts) -> Cells:
    """P[K·m + L·n ≤ k·m + l·n], summed over the L that matter; what is left out counts in full."""
    k, n, other, m = counts
    level = k * m + other * n
    last = min(m, level // n)  # L beyond has no share in the event
    values, mass = _window(m, q, last)
    below = _at_most(np.minimum((level - values * n) // m, n), n, p)
    tail: Cells = (mass * below).sum(-1)
    tail += _below(values[:, 0], m, q)
    tail += np.where(values[:, -1] < last, special.bdtrc(values[:, -1], m, q), 0.0)
    return tail * _OUTWARD


def _at_most(
    values: Int[np.ndarray, " cells values"], n: int, p: Cells
) -> Float[np.ndarray, " cells values"]:
    """P[K ≤ value] of K ~ Bin(n, p), by sums over a window; what lies below it counts everywhere."""
    window, mass = _window(n, p, n)
    sums = mass.cumsum(-1) + _below(window[:, 0], n, p)[:, None]
    sums = np.minimum(sums * (1 + n * np.finfo(float).eps), 1.0)
    sums[:, -1] = np.where(window[:, -1] < n, 1.0, sums[:, -1])
    place = np.clip(values - window[:, :1], 0, window.shape[1] - 1)
    return np.take_along_axis(sums, place, 1)


def _below(values: Int[np.ndarray, " cells"], size: int, rate: Cells) -> Cells:
    """P[Bin(size, rate) < value]."""
    found: Cells = np.where(values > 0, special.bdtr(np.maximum(values - 1, 0), size, rate), 0.0)
    return found


def _window(
    size: int, rate: Cells, last: int
) -> tuple[Int[np.ndarray, " cells values"], Float[np.ndarray, " cells values"]]:
    """Counts within 6 standard deviations (and 20) of size·rate, at most `last`, and their probabilities."""
    spread = 6 * np.sqrt(size * rate * (1 - rate)) + 20
    width = min(last, math.ceil(2 * spread.max())) + 1
    start = np.clip(np.floor(size * rate - spread), 0, last + 1 - width).astype(int)
    values = start[:, None] + np.arange(width)
    chance, other = np.log(np.maximum(rate, _TINY)), np.log(np.maximum(1 - rate, _TINY))
    logs = _log_choices(size)[values] + values * chance[:, None] + (size - values) * other[:, None]
    return values, np.exp(logs)


@lru_cache(maxsize=2)
def _log_choices(size: int) -> Float[np.ndarray, " counts"]:
    """log C(size, v) for v = 0 to size."""
    values = np.arange(size + 1)
    logs: Float[np.ndarray, " counts"] = (
        special.gammaln(size + 1) - special.gammaln(values + 1) - special.gammaln(size - values + 1)
    )
    return logs
