"""Upper limits of a proportion by inversion: of the Bernoulli divergence, and of the exact binomial.

Both are roots of a function that is concave (or minus a convex one) to the right of the root, so that
Newton's steps from a point outside stay outside: what is returned is never the inside end of an interval.
Rounding is bounded and added on the same side, so that truth ≤ limit ≤ truth·(1 + 1e-12); for the binomial
while δ ≤ 0.3: nearer ½ and beyond, a continued fraction may be cut short, which is outward too.

p a proportion seen, q the true one, gap = q − p, k successes in n trials. Confidence levels enter as
logarithms where they may be too small for a float: ln(δ·2^{−b}).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import ArrayLike
from scipy import special

from kdtheory.doors import door

__all__ = ["bernoulli_kl", "binomial_upper_limit", "binomial_upper_limits", "kl_upper_inverse"]

Number = TypeVar("Number", float, np.ndarray)
_EPS = float(np.finfo(float).eps)
_LEAST = 1e-300
_MOST = 1e4  # nats: the limit is 1 long before
_MOST_TRIALS = 2.0**53  # whole numbers up to here are floats
_MOST_STEPS = 100
_MOST_TERMS = 500


@door
def bernoulli_kl(p: ArrayLike, q: ArrayLike, /) -> np.ndarray:
    """kl(p‖q) = p ln(p/q) + (1−p) ln((1−p)/(1−q)), in nats; 0·ln 0 = 0, and ∞ where q rules p out.

    Args:
        p, q: proportions in [0, 1]; they broadcast.

    Raises:
        ValueError: a proportion outside [0, 1].

    >>> float(bernoulli_kl(0.0, 0.75) / np.log(2))  # −log₂(1 − 3/4)
    2.0
    """
    (p, q), shape = _rows(_proportions("p", p), _proportions("q", q))
    return _kl(p, q, q - p).reshape(shape)


@door
def kl_upper_inverse(p: ArrayLike, level: ArrayLike, /) -> np.ndarray:
    """kl⁻¹(p, c) = sup{q : kl(p‖q) ≤ c}, rounded outward; p and c between 0 and 1e-300 count as 1e-300.

    The lower inverse, inf{q : kl(p‖q) ≤ c}, is 1 − kl⁻¹(1−p, c).

    Args:
        p: the proportion seen, in [0, 1].
        level: c ≥ 0 in nats; they broadcast. ∞ gives 1.

    Raises:
        ValueError: p outside [0, 1], or c negative or NaN.

    >>> float(kl_upper_inverse(0.0, np.log(4)).round(12))  # 1 − e^{−c}
    0.75
    """
    (p, level), shape = _rows(_proportions("p", p), np.asarray(level, dtype=float))
    if not bool((level >= 0).all()):
        raise ValueError(f"level = {_first_bad(level, level >= 0)} must be a number of nats ≥ 0")
    p = np.where(p > 0, np.maximum(p, _LEAST), 0.0)
    outward = np.where(level > 0, np.clip(level, _LEAST, _MOST), 0.0) * (1 + 64 * _EPS)
    gap = _outer_gap(p, outward)
    open_ = (outward > 0) & (p + gap < 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_MOST_STEPS):
            q = p + gap
            step = (_kl(p, q, gap) - outward) * (q / gap) * (1 - q)  # in this order: nothing underflows
            step = np.where(open_ & (step > 4 * _EPS * gap), step, 0.0)
            gap = gap - step
            if not step.any():
                break
    limit: np.ndarray = np.minimum(1.0, (p + gap) * (1 + 4 * _EPS))
    return limit.reshape(shape)


@door
def binomial_upper_limit(
    successes: int, trials: int, /, *, delta: float = 0.05, log_delta: float | None = None
) -> float:
    """Upper limit of a proportion, exact at confidence 1 − δ (Clopper & Pearson 1934), one-sided.

    Args:
        successes, trials: k of n.
        delta: δ.
        log_delta: ln δ instead, where δ is too small for a float.

    Raises:
        ValueError: not 0 ≤ k ≤ n, n < 1 or above 2^53, or δ outside (0, 1).

    >>> round(binomial_upper_limit(0, 59), 4)  # 1 - 0.05^(1/59)
    0.0495
    """
    if log_delta is None:
        if not 0 < delta < 1:
            raise ValueError(f"delta = {delta} must lie in (0, 1)")
        log_delta = math.log(delta)
    return float(binomial_upper_limits(successes, trials, log_delta=log_delta))


@door
def binomial_upper_limits(successes: ArrayLike, trials: ArrayLike, /, *, log_delta: ArrayLike) -> np.ndarray:
    """sup{q : P[Bin(n, q) ≤ k] ≥ δ} (Clopper & Pearson 1934), rounded outward; 1 where k = n.

    Args:
        successes, trials: k of n, whole numbers.
        log_delta: ln δ < 0; all three broadcast.

    Raises:
        ValueError: not 0 ≤ k ≤ n, n < 1 or above 2^53, or ln δ ≥ 0 or not finite.

    >>> binomial_upper_limits([0, 3, 5], 5, log_delta=np.log(0.05)).round(4).tolist()  # 1 − 0.05^(1/5), …
    [0.4507, 0.9236, 1.0]
    """
    (k, n, log_delta), shape = _rows(*(np.asarray(a, dtype=float) for a in (successes, trials, log_delta)))
    _check_counts(k, n)
    if not bool((np.isfinite(log_delta) & (log_delta < 0)).all()):
        raise ValueError("log_delta must be finite and below 0, the logarithm of a δ in (0, 1)")
    distinct, place = np.unique(np.stack([k, n, log_delta]), axis=1, return_inverse=True)
    return _binomial_limits(*distinct)[place.reshape(-1)].reshape(shape)


def _binomial_limits(k: np.ndarray, n: np.ndarray, log_delta: np.ndarray) -> np.ndarray:
    """Newton on ln P[Bin(n, q) ≤ k] = ln δ, which is concave in q, from a limit that is too large inwards."""
    limit = outer_binomial_limits(k, n, log_delta)
    for _ in range(_MOST_STEPS):
        rows = np.flatnonzero((k < n) & (limit < 1) & (limit > 0))
        if not len(rows):
            break
        q = limit[rows]
        log_tail, descent = log_binomial_tail(k[rows], n[rows], q)
        step = (log_delta[rows] - log_tail) / descent
        step = np.where(step > 2 * _EPS * q, step, 0.0)
        limit[rows] = q - step
        if not step.any():
            break
    outward: np.ndarray = np.minimum(1.0, limit * (1 + 4 * _EPS))
    return outward


def outer_binomial_limits(successes: ArrayLike, trials: ArrayLike, log_delta: ArrayLike, /) -> np.ndarray:
    """Above sup{q : P[Bin(n, q) ≤ k] ≥ δ} by one event at most where that is small: no tail is summed.

    P ≤ Φ(c), c = ±√(2n·kl((k+1)/n‖q)) with the sign of (k+1)/n − q (Zubkov & Serov 2013), and Chernoff's
    bound.
    """
    k, n, log_delta = (np.asarray(a, dtype=float) for a in (successes, trials, log_delta))
    share = np.minimum((k + 1) / n, 1.0)
    normal = special.ndtri_exp(log_delta)
    nats = normal**2 / (2 * n) * (1 + 64 * _EPS)
    levels = np.where(normal <= 0, nats, 0.0), np.where(normal > 0, nats * (1 - 256 * _EPS), 0.0)
    both = np.broadcast_arrays(share, 1 - share, k / n, *levels, -log_delta / n)
    beyond, within, chernoff = kl_upper_inverse(np.stack(both[:3]), np.stack(both[3:]))
    within = 1 - within + 16 * _EPS
    close = np.where(normal <= 0, beyond, np.where(share < 1, within, 1.0))
    least: np.ndarray = np.minimum(chernoff, close)
    return least


def log_binomial_tail(k: np.ndarray, n: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln P[Bin(n, q) ≤ k] rounded up, and minus its derivative in q rounded up; k < n, 0 < q < 1.

    P = I_{1−q}(n−k, k+1), or one minus the other tail where that is the smaller one: each is B/f with B =
    (n−k)q·pmf(k) and f a continued fraction, and dP/dq = −B/(q(1−q)).
    """
    log_pmf, inside = log_binomial_pmf(k, n, q), np.maximum(k, 1)
    odds = np.abs(special.logit(q) - special.logit(inside / (n + 1)))
    rounding = _EPS * (256 + 8 * np.abs(log_pmf) + 2 * inside * odds + 16 * np.sqrt(n * q / (1 - q)))
    log_front = log_pmf + np.log(n - k) + np.log(q)
    lower = (n + 1) * q > k + 1
    sides = (n - k, k + 1, 1 - q, q), (k + 1, n - k, q, 1 - q)
    least, most = _beta_fraction(*(np.where(lower, *side) for side in zip(*sides, strict=True)))
    log_direct = log_front - np.log(least) + rounding
    other = np.where(lower, 0.0, np.minimum(np.exp(log_front - np.log(most) - rounding), 1.0))
    with np.errstate(divide="ignore"):
        log_tail = np.where(lower, log_direct, np.log1p(-other))
        descent = np.where(lower, most, np.exp(log_front + rounding - log_tail)) / (q * (1 - q))
    return log_tail, descent


def log_binomial_pmf(k: np.ndarray, n: np.ndarray, q: np.ndarray) -> np.ndarray:
    """ln P[Bin(n, q) = k] = −n·kl(k/n‖q) + ½ ln(n/(2πk(n−k))) + Stirling's errors; 0 < q < 1."""
    inside = np.clip(k, 1, np.maximum(n - 1, 1))
    outside = np.maximum(n - inside, 1)
    of_all, of_inside, of_outside = _stirling_error(np.stack([n, inside, outside]))
    peak = 0.5 * np.log(n / (2 * np.pi * inside * outside)) + (of_all - of_inside - of_outside)
    ends = np.where(k == 0, n * np.log1p(-q), n * np.log(q))
    log_pmf: np.ndarray = np.where((k == 0) | (k == n), ends, peak - n * _kl(k / n, q, q - k / n))
    return log_pmf


def _beta_fraction(
    a: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Two sides of f in I_x(a, b) = x^a·y^b/(B(a, b)·f), y = 1 − x ≥ b/(a+b), b whole (DiDonato & Morris
    1992).

    f = b₀ + a₁/(b₁ + a₂/(b₂ + …)) with positive entries up to the last, so that one convergent in two is
    below f and the other above; by Lentz, for about (6/z)² steps where x is z standard deviations from the
    mean.
    """
    if len(a) == 1:  # the same sums and products of floats, without an array around each
        alone = _convergents(*(float(one[0]) for one in (a, b, x, y)), most=max, larger=operator.gt)
        return np.array([min(alone)]), np.array([max(alone)])
    before, value = _convergents(a, b, x, y, most=np.maximum, larger=lambda one, other: (one > other).any())
    return np.minimum(before, value), np.maximum(before, value)


def _convergents(
    a: Number, b: Number, x: Number, y: Number, *, most: Callable[..., Number], larger: Callable[..., Any]
) -> tuple[Number, Number]:
    """The last two convergents of the fraction."""
    drift = a * y - b * x + 1
    value = a * drift / (a + 1)
    before, ratio, inverse = value, value, 0.0 * value
    for m in range(1, _MOST_TERMS):
        odd, left = a + 2 * m - 1, most(b - m, 0.0)
        share = x / odd
        top = (a + m - 1) * (a + b + m - 1) * m * left * (share * share)
        bottom = m + m * left * x / odd + (a + m) * (drift + m * (2 - x)) / (odd + 2)
        inverse, ratio = 1 / (bottom + top * inverse), bottom + top / ratio
        before, value = value, value * ratio * inverse
        if not larger(abs(value - before), _EPS * value):
            break
    return before, value


def _stirling_error(n: np.ndarray) -> np.ndarray:
    """ln n! − ln(√(2πn)(n/e)^n) for n ≥ 1: its asymptotic series, or by the definition where n < 16."""
    square = 1 / n**2
    series = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))) / n
    small = np.minimum(n, 16)
    direct = special.gammaln(small + 1) - (small + 0.5) * np.log(small) + small - 0.5 * np.log(2 * np.pi)
    error: np.ndarray = np.where(n < 16, direct, series)
    return error


def _kl(p: np.ndarray, q: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """kl(p‖q) = p·D(gap/p) + (1−p)·D(−gap/(1−p)), D(x) = x − ln(1+x) ≥ 0: nothing cancels; gap = q − p."""
    divergence: np.ndarray = _scaled_excess(p, q, gap) + _scaled_excess(1 - p, 1 - q, -gap)
    return divergence


def _scaled_excess(scale: np.ndarray, end: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """s·D(gap/s), and its limit at s = 0; end = s + gap.

    For small x by r = x/(2+x): D = x·r − 2r³(1/3 + r²/5 + …).
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        floored = np.where(scale > 0, np.maximum(scale, _LEAST), 0.0)
        x = gap / floored
        small = np.abs(x) < 0.25
        excess: np.ndarray = gap - scale * np.log(end / floored)
        if small.any():
            r = np.where(small, x / (2 + x), 0.0)
            near = scale * (r * np.where(r == 0, 0.0, x) - 2 * r**3 * polyval(r * r, _ATANH_TAIL))
            excess = np.where(small, near, excess)
    nothing = scale == 0
    return np.where(nothing, np.maximum(gap, 0.0), excess) if nothing.any() else excess


_ATANH_TAIL = np.array([1 / (2 * j + 3) for j in range(10)])


def _outer_gap(p: np.ndarray, level: np.ndarray) -> np.ndarray:
    """A gap that is surely not too small: the least of three elementary lower bounds of kl, inverted.

    kl ≥ 2·gap², kl ≥ gap²/(2q), kl ≥ (1−p) ln(1/(1−q)) − H(p).
    """
    entropy = special.entr(p) + special.entr(1 - p)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rest = np.where(p < 1, (1 - p) - np.exp(-(level + entropy) / (1 - p)), 0.0) + 4 * _EPS
        others = np.minimum(np.sqrt(level / 2), np.sqrt(2 * p) * np.sqrt(level) + 2 * level)
    gap: np.ndarray = np.where(level > 0, np.minimum(rest, others) * (1 + 8 * _EPS), 0.0)
    return gap


def _rows(*arrays: np.ndarray) -> tuple[list[np.ndarray], tuple[int, ...]]:
    """The arrays broadcast and laid out in one row each, and the shape that they had together."""
    try:
        together = np.broadcast_arrays(*arrays)
    except ValueError:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(
            f"arrays of shapes {shapes} do not fit each other; give one shape, or numbers"
        ) from None
    return [array.reshape(-1) for array in together], together[0].shape


def _proportions(name: str, values: ArrayLike) -> np.ndarray:
    array = np.atleast_1d(np.asarray(values, dtype=float))
    inside = (array >= 0) & (array <= 1)
    if not bool(inside.all()):
        raise ValueError(f"{name} = {_first_bad(array, inside)} must lie in [0, 1]")
    return array.reshape(np.shape(values))


def _check_counts(k: np.ndarray, n: np.ndarray) -> None:
    whole = (k == np.floor(k)) & (n == np.floor(n)) & (n <= _MOST_TRIALS)
    if not bool((whole & (n >= 1)).all()):
        bad = _first_bad(n, whole & (n >= 1))
        raise ValueError(f"trials = {bad} and successes must be whole, and trials between 1 and 2^53")
    if not bool(((k >= 0) & (k <= n)).all()):
        raise ValueError(f"successes = {_first_bad(k, (k >= 0) & (k <= n))} must lie in 0 to trials")


def _first_bad(values: np.ndarray, good: np.ndarray) -> float:
    return float(values[~good].reshape(-1)[0])
