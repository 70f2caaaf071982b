"""Label where they differ: R = err(s) − err(t) = d·(w − l), which no label outside of s ≠ t can change.

d = Pr[s ≠ t] = θ from N unlabelled points, w = Pr[t = y | s ≠ t] and l = Pr[s = y | s ≠ t] from m labelled
points
drawn at random among those where the two differ; ρ = w − l. Of a plan whose m was fixed without the points
the counts b (t = y) and c (s = y) are two cells of a multinomial of m. The limit is the supremum of R that is
not ruled out,

    sup{R : max over θ ∈ C₁, q ∈ C₂ of T(θ, ρ = R/θ, q) ≥ δ − β₁ − β₂ − β₃},

q = w + l the nuisance parameter, C₁ and C₂ exact intervals at β₁ = β₂ = δ/200, and T the chance of
a·b − c̃·c + w̃·⌊L/κ⌋ as low as it was (`signed_counts`). A count L is worth about ρ/θ·m/N points of b − c:
the weights depend on the hypothetical R and θ by bins that are fixed. In a bin of R the chance falls with R;
so one end of each bin above the limit is seen to be ruled out, up to the limit of ρ at β₃ = δ/200 times the
end of C₁. Where m > 4N, which no plan has, it is the product of two limits at δ/2 each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from kdtheory.bounds.paired import NUISANCE, check_counts, difference_upper_limit, total_bins
from kdtheory.bounds.pieces import CLOSE, PIECE, Part, beside_weights, largest_chance, largest_open
from kdtheory.bounds.signed_counts import BesideCounts, normal_radius, two_sided, weights
from kdtheory.doors import door
from kdtheory.validate import check_fraction

__all__ = ["planned_upper_limit", "targeted_interval", "targeted_upper_limit"]

_PIECES = 100  # of θ, at most
_MOST_LABELLED = 4  # times N, for a joint limit
_USUAL = 0.9  # of δ, for a plan whose points there are
_RATIO = 1.25  # of the bins of R
_RATE_RATIO = 1.1  # of the bins of θ
_BINS = 52  # of R above 1e-5; below there is one more


@door
@lru_cache(maxsize=2**16)
def targeted_upper_limit(
    gains: int, losses: int, labelled: int, apart: int, others: int, /, *, delta: float
) -> float:
    """Exact upper limit of d·(w − l), rounded outward (module docstring).

    Args:
        gains: b, of the labelled points those where t = y.
        losses: c, those where s = y.
        labelled: m points, drawn at random among those where s ≠ t.
        apart: L, unlabelled points at which s ≠ t.
        others: N unlabelled points.
        delta: δ.

    Returns:
        The limit, in [−1, 1].

    Raises:
        ValueError: a count that does not fit its number of points, or δ outside (0, 1).

    >>> limit = targeted_upper_limit(60, 30, 100, 2000, 50_000, delta=0.05)
    >>> 0.04 * 0.3 < limit < 0.04 * 0.46  # d̂·(ŵ − l̂ + 1.645·√(0.9 − 0.09)/10) and a little
    True
    """
    check_counts(gains, losses, labelled)
    check_counts(apart, 0, others)
    check_fraction("delta", delta, open_interval=True)
    if labelled > _MOST_LABELLED * others:
        return _product_of_two((gains, losses, labelled, apart, others), delta)
    total = two_sided(gains + losses, labelled, delta=NUISANCE * delta)
    rate = two_sided(apart, others, delta=NUISANCE * delta)
    level = math.log(delta * (1 - 3 * NUISANCE))
    cap = difference_upper_limit(gains, losses, labelled, delta=NUISANCE * delta)
    most = cap * (rate[1] if cap > 0 else rate[0])
    seen, radius = (gains - losses) / labelled, normal_radius(gains + losses, delta=delta) / labelled
    rough = (apart + 1) / (others + 2)
    counts = gains, losses, labelled, apart
    for low, high in _bins(most):
        parts = _parts((*counts, others), total, rate, (low, high), radius, delta)
        if low > 0 and largest_chance(parts, _differences, counts, level)(low) < level:
            continue
        step = rough * radius
        return largest_open(
            parts,
            _differences,
            counts,
            level,
            low=low,
            high=high,
            guess=rough * min(1.0, seen + radius),
            step=step / 10,
            close=CLOSE * step,
        )
    raise AssertionError("the last bin always returns")


def _product_of_two(seen: tuple[int, int, int, int, int], delta: float) -> float:
    """The limit of w − l at δ/2 times that end of an interval of d at δ/2 which makes it the larger."""
    gains, losses, labelled, apart, others = seen
    most = difference_upper_limit(gains, losses, labelled, delta=delta / 2)
    low, high = two_sided(apart, others, delta=delta / 2)
    return most * (high if most > 0 else low)


@door
def planned_upper_limit(
    gains: int, losses: int, labelled: int, wanted: int, apart: int, others: int, /, *, delta: float
) -> float:
    """The limit for a plan of m labels, of which there are fewer where the two differ at L < m points only.

    Where L < m every point at which they differ is labelled, and the N points show p₊ and p₋ as if all
    were. Which
    of the two it will be is chance: the limit from m labels has 0.9·δ, the other one 0.1·δ.

    Args:
        gains, losses, labelled, apart, others, delta: as in `targeted_upper_limit`.
        wanted: m, fixed without the points: neither by L nor by labels.

    Raises:
        ValueError: as there, or labelled points that are not min(m, L).

    >>> planned_upper_limit(3, 2, 5, 100, 5, 1000, delta=0.05) > 0.001  # all five are labelled
    True
    """
    if labelled != min(wanted, apart):
        raise ValueError(f"labelled = {labelled} must be the lesser of wanted = {wanted} and apart = {apart}")
    if apart < wanted:
        if labelled or gains or losses:
            check_counts(gains, losses, labelled)
        return difference_upper_limit(gains, losses, others, delta=(1 - _USUAL) * delta)
    return targeted_upper_limit(gains, losses, labelled, apart, others, delta=_USUAL * delta)


@door
def targeted_interval(
    gains: int, losses: int, labelled: int, apart: int, others: int, /, *, delta: float
) -> tuple[float, float]:
    """Exact two-sided interval of d·(w − l): the upper limit at δ/2, and minus that of the exchanged counts.

    >>> low, high = targeted_interval(5, 5, 30, 100, 2000, delta=0.05)
    >>> low == -high
    True
    """
    upper = targeted_upper_limit(gains, losses, labelled, apart, others, delta=delta / 2)
    return -targeted_upper_limit(losses, gains, labelled, apart, others, delta=delta / 2), upper


def _bins(most: float) -> Iterator[tuple[float, float]]:
    """The fixed bins of R from the highest down: 1.25^{−j−1} to 1.25^{−j}, and all below the last."""
    for j in range(_BINS):
        low, high = _RATIO ** -(j + 1), _RATIO**-j
        if low < most:
            yield low, min(high, most)
    yield -1.0, min(_RATIO**-_BINS, most)


def _rate_bins(low: float, high: float) -> Iterator[tuple[float, float]]:
    """The fixed bins 1.1^{−j−1} to 1.1^{−j} of θ that meet [low, high], and one for all below 1e-9."""
    top = math.floor(-math.log(high) / math.log(_RATE_RATIO))
    for j in range(max(0, top - 1), 220):
        least, most = _RATE_RATIO ** -(j + 1), _RATE_RATIO**-j
        if least < high and most > low:
            yield max(least, low), min(most, high)
    if low < _RATE_RATIO**-220:
        yield low, min(high, _RATE_RATIO**-220)


def _parts(
    seen: tuple[int, int, int, int, int],
    total: tuple[float, float],
    rate: tuple[float, float],
    values: tuple[float, float],
    radius: float,
    delta: float,
) -> list[Part]:
    """C₁ × C₂ in pieces, and the statistic of each for the R of a bin."""
    _, _, labelled, _, others = seen
    parts = []
    middle = math.sqrt(values[0] * values[1]) if values[0] > 0 else 0.0
    for least, most in _rate_bins(*rate):
        ratio = min(1.0, middle / math.sqrt(most * most / _RATE_RATIO))
        both, weight, group = beside_weights(ratio * labelled / (most * others)) if ratio else (None, 0, 1)
        worth = ratio**2 * labelled**2 * (1 - most) / (most * others)
        piece = max(PIECE * radius * least / max(ratio, 1e-9), (rate[1] - rate[0]) / _PIECES)
        edges = np.linspace(least, most, 1 + max(1, math.ceil((most - least) / piece)))
        beside = BesideCounts(weight, group, others, edges[:-1]) if weight else None
        for low, high, count in total_bins(labelled, *total):
            counted = weights(count + worth, count, delta=delta, both=both)
            parts.append(Part(edges[:-1], edges[1:], low, high, counted, beside))
    return parts


def _differences(part: Part, value: float) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest ρ = R/θ of each piece."""
    if value == 0:
        return np.zeros(len(part.first)), np.zeros(len(part.first))
    with np.errstate(divide="ignore"):
        ends = value / part.last, value / part.first
    return ends if value > 0 else ends[::-1]
