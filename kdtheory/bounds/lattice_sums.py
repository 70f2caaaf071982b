"""The sum of two binomial risks by summation over counts, for samples of which one at least is small.

T(p, q) = P[K/n + L/m ≤ s]. A line p + q = e is ruled out piece by piece, p ∈ [a, b], in one of two ways:

- T falls in p and in q, so that it is at most T(a, e − b) there;
- along the line every term of T has the form exp(K ln p + (n−K) ln(1−p) + L ln q + (m−L) ln(1−q)),
  whose exponent has a second derivative of at least −M for the K and L that matter: ln T + M·p²/2 is convex,
  and ln T at most its larger value at the two ends and M(b−a)²/8.

What is left out of a sum is counted in full.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from kdtheory.bounds.normal_sums import TwoSamples
from kdtheory.inversion import bernoulli_kl, kl_upper_inverse, log_binomial_pmf

__all__ = ["finest_radius", "summed_limit"]

_SHARE = 1e-4  # of δ, for the counts at either end that are left out
_FINEST = 0.002  # of the radius, for a piece
_CLOSE = 0.004  # of the radius, for a line that is not ruled out
_LEAST_SHARE = 0.1  # of Chernoff's radius, below which nothing is finer: towards δ = ½ the radius vanishes
_SMOOTH = 500  # events in a radius, from which one event more is no matter
_ROUNDING = 1 + 1e-9
_BATCH = 2_000_000
_TINY = 1e-300

Cells = Float[np.ndarray, " cells"]
Table = Float[np.ndarray, "cells values"]
Counts = Int[np.ndarray, "cells values"]


def summed_limit(samples: TwoSamples, delta: float, /, *, high: float = 2.0, loss: float = math.inf) -> float:
    """sup{p + q : T(p, q) ≥ δ}, rounded outward by 1 % of the radius.

    Args:
        samples: what was seen.
        delta: δ.
        high: a limit that is known to be large enough.
        loss: about how much of it is too much.

    >>> round(summed_limit(TwoSamples(0, 59, 0, 10**6), 0.05), 3)  # 1 − 0.05^(1/59)
    0.05
    """
    least = finest_radius(samples, delta)
    low, high = max(samples.seen, high - 1.5 * loss), min(high, 2.0)

    def radius(total: float) -> float:  # Chernoff's is several times too large where δ is
        return max(total - samples.seen, least)

    def impossible(total: float) -> bool:
        return _ruled_out(samples, total, delta, _FINEST * radius(total))

    middle, step = low, high - low
    # Down by steps that grow until a line is not ruled out, and then between the two.
    while middle > samples.seen and impossible(middle):
        high, step = middle, 2 * step
        middle = max(samples.seen, middle - step)
    low = middle
    while high - low > _CLOSE * radius(high):
        middle = (low + high) / 2
        low, high = (low, middle) if impossible(middle) else (middle, high)
    return min(2.0, high * (1 + 1e-15))


def finest_radius(samples: TwoSamples, delta: float, /) -> float:
    """A tenth of Chernoff's radius, of that sample whose own is the larger."""
    sides = (samples.k, samples.n), (samples.other, samples.m)
    return _LEAST_SHARE * max(
        float(kl_upper_inverse(events / size, -math.log(delta) / size)) - events / size
        for events, size in sides
    )


def _ruled_out(samples: TwoSamples, total: float, delta: float, width: float) -> bool:
    """Whether T < δ on all of the line p + q = total; no piece below `width`."""
    log_delta = math.log(delta)
    edges = np.linspace(max(0.0, total - 1), min(1.0, total), 17)
    lows, highs = edges[:-1], edges[1:]
    while True:
        ends = _log_tail(samples, np.stack([lows, highs]).ravel(), total, delta, width).reshape(2, -1)
        if not bool((ends < log_delta).all()):
            return False
        chord = ends.max(0) + _curvature(samples, lows, highs, total, delta) * (highs - lows) ** 2 / 8
        open_ = ~(chord < log_delta + math.log1p(-2 * _SHARE))
        wide = open_ & (highs - lows < 64 * width)
        if wide.any():
            corner = _log_tail(samples, lows[wide], total - highs[wide] + lows[wide], delta, width)
            open_[wide] = ~(corner < log_delta)
        lows, highs = lows[open_], highs[open_]
        if not len(lows):
            return True
        if highs[0] - lows[0] < width:
            return False
        cuts = np.linspace(lows, highs, 5)
        lows, highs = cuts[:-1].ravel(), cuts[1:].ravel()


def _curvature(samples: TwoSamples, lows: Cells, highs: Cells, total: float, delta: float) -> Cells:
    """M, over the K and L that are not above the counts of which no more than a share of δ is."""
    found = np.zeros_like(lows)
    for size, low, high in ((samples.n, lows, highs), (samples.m, total - highs, total - lows)):
        low, high = np.clip(low, _TINY, 1.0), np.clip(high, _TINY, 1.0)
        share = np.minimum(_bounds(size, high, -(math.log(_SHARE) + math.log(delta)))[1] / size, samples.seen)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            rest = np.where(high < 1, 1 / (1 - high) ** 2, np.inf)
            found += size * (np.where(share > 0, share / low / low, 0.0) + rest)
    return found


def _log_tail(samples: TwoSamples, p: Cells, total: float | Cells, delta: float, width: float) -> Cells:
    """ln T(p, total − p), rounded up: a sum over the counts of the smaller sample."""
    q = np.clip(np.broadcast_to(total, p.shape) - p, _TINY, 1 - 1e-16)
    p = np.clip(p, _TINY, 1 - 1e-16)
    smooth = samples.m * width > _SMOOTH * _FINEST
    nats = -(math.log(_SHARE) + math.log(delta))
    found = np.empty_like(p)
    each = _window_width(samples.n, p, nats) + (0 if smooth else _window_width(samples.m, q, nats))
    for part in np.array_split(np.arange(len(p)), 1 + len(p) * each // _BATCH):
        values, mass = _window(samples.n, p[part], nats)
        reach = _reach(samples, values)
        tail = _normal_tail if smooth else _summed_tail
        found[part] = (mass * tail(samples.m, reach, q[part], nats)).sum(-1) + 2 * _SHARE * delta
    with np.errstate(divide="ignore"):
        logs: Cells = np.log(found * _ROUNDING)
    return logs


def _reach(samples: TwoSamples, values: Counts) -> Table:
    """The largest L with K/n + L/m ≤ s, for each K: exact in whole numbers, or one too many."""
    k, n, other, m = samples.k, samples.n, samples.other, samples.m
    if n * m < 2**61:
        exact: Table = np.minimum((k * m + other * n - values * m) // n, m).astype(float)
        return exact
    reach = other + (k - values) * (m / n) * (1 + np.sign(k - values) * 1e-15)
    above: Table = np.minimum(np.floor(reach) + 1, float(m))
    return above


def _normal_tail(size: int, values: Table, rate: Cells, _: float) -> Table:
    """P[Bin ≤ value] ≤ Φ(±√(2n·kl((value + 1)/n‖q))) (Zubkov & Serov 2013)."""
    share = np.clip((values + 1) / size, 0.0, 1.0)
    nats = size * bernoulli_kl(share, np.broadcast_to(rate[:, None], share.shape))
    tail = special.ndtr(np.sign(share - rate[:, None]) * np.sqrt(2 * nats))
    found: Table = np.where(values < 0, 0.0, np.where(values >= size, 1.0, tail))
    return found


def _summed_tail(size: int, values: Table, rate: Cells, nats: float) -> Table:
    """P[Bin ≤ value] over a window, e^{−nats} below it."""
    window, mass = _window(size, rate, nats)
    sums = np.minimum(mass.cumsum(-1) + math.exp(-nats), 1.0)
    place = np.clip(values - window[:, :1], 0, window.shape[1] - 1).astype(int)
    inside = np.take_along_axis(sums, place, 1)
    last = values >= np.minimum(window[:, -1:], size)
    inside = np.where(last, 1.0, np.where(values < window[:, :1], math.exp(-nats), inside))
    found: Table = np.where(values < 0, 0.0, inside)
    return found


def _bounds(size: int, rate: Cells, nats: float) -> tuple[Cells, Cells]:
    """Counts below and above which e^{−nats} of the probability lies at most (Bernstein)."""
    reach = nats / 3 + np.sqrt(nats**2 / 9 + 2 * nats * size * rate * (1 - rate))
    least = np.maximum(np.floor(size * rate - reach), 0.0)
    most = np.minimum(np.ceil(size * rate + reach), float(size))
    return least, most


def _window_width(size: int, rate: Cells, nats: float) -> int:
    least, most = _bounds(size, rate, nats)
    return int((most - least).max()) + 1


def _window(size: int, rate: Cells, nats: float) -> tuple[Counts, Table]:
    """Counts that matter and their probabilities; counts beyond `size` have none."""
    least, most = _bounds(size, rate, nats)
    values = least[:, None] + np.arange(int((most - least).max()) + 1)
    start = log_binomial_pmf(least, np.full_like(rate, size), rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.maximum(size - values[:, :-1], 0) / (values[:, :-1] + 1)
        steps = np.log(ratios) + special.logit(rate)[:, None]
    logs = start[:, None] + np.concatenate([np.zeros((len(rate), 1)), steps.cumsum(-1)], 1)
    return values.astype(int), np.exp(logs)
