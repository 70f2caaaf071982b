"""How rarely signed counts fall so low: b gains and c losses of n points, and an independent binomial beside.

b and c are two cells of a multinomial with chances p₊ and p₋, L ~ Bin(N, θ). For whole a, c̃, w ≥ 0, κ ≥ 1

    T = P[a·b − c̃·c + w·⌊L/κ⌋ ≤ x],   r = p₊ − p₋,  q = p₊ + p₋.

- T falls in r at any q and θ: mass moves from the cell of c to that of b, and the sum rises with b and falls
  with c; and it falls in θ. So a test of "r at least r₁" is one at r₁.
- Along any segment of the simplex, chances (A + e^u·B)/(1 + e^u), the chance of every outcome is the
  exponential of Σ counts·ln(A + e^u·B) − n·ln(1 + e^u), and sums of exponentials of convex functions are
  log-convex: so ln P[event] + n·ln(1 + e^u) is convex in u, whatever the event. Between two nodes ln T is at
  most the larger of its two values and n·τ(1−τ)·Δu²/8, τ = e^u/(1 + e^u); before the first node it is at
  most ln T − n·ln(1 − τ) there, and likewise beyond the last. That makes a supremum over q, at fixed r, a
  maximum over finitely many nodes: the segment runs from q = |r| to q = 1.

T itself is a finite Fourier sum, for n and N of any size: what is left out of it, and its rounding, is added.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Complex, Float, Int
from scipy import fft, special

from kdtheory.inversion import binomial_upper_limit

__all__ = ["BesideCounts", "Weights", "log_sup_over_total", "normal_radius", "two_sided", "weights"]

_EPS = float(np.finfo(float).eps)
_SPACING = 0.3  # of nodes, in standard deviations of b + c: costs 0.011 in ln T
_LEFT_OUT = 1e-9  # of one, for each part of the sum that is left out
_NATS = -math.log(_LEFT_OUT)
_MOST_WEIGHT = 129
_BATCH = 4_000_000

Cells = Float[np.ndarray, " cells"]
Nodes = Float[np.ndarray, "cells nodes"]
Waves = Complex[np.ndarray, "cells waves"]


@dataclass(frozen=True)
class Weights:
    """The weights of a gain and a loss: a·b − c̃·c = ½(a + c̃)·(b − c + λ(b + c)).

    Args:
        gain: a.
        loss: c̃.
    """

    gain: int
    loss: int

    @property
    def unit(self) -> float:
        """½(a + c̃), what b − c is multiplied by."""
        return (self.gain + self.loss) / 2


def normal_radius(spread: float, /, *, delta: float) -> float:
    """How far above what was seen a sum of this variance may be, by the normal law; a deviation at least."""
    z = max(1.0, -float(special.ndtri(delta)))
    return z * z / 2 + z * math.sqrt(spread + z * z / 4)


def weights(spread: float, total: float, /, *, delta: float, both: int | None = None) -> Weights:
    """Whole weights in the ratio (1 + λ) to (1 − λ), λ = z/(2√(v + z²/4)) ≤ 1, z the normal quantile of δ.

    b − c + z√(b + c + …) is about the limit of n·r; its derivative in b + c is λ. So an outcome counts as low
    by the limit that it would have, and the chance of one as low hardly depends on q.

    Args:
        spread: v, the variance of b − c and what is beside it.
        total: n·q alone.
        delta: δ.
        both: a + c̃; None takes as much as λ needs, and 2 where λ is so small that it may be zero.
    """
    z = max(0.0, -float(special.ndtri(delta)))
    tilt = z / (2 * math.sqrt(spread + z * z / 4)) if z else 0.0
    if both is None:
        sought = max(24, math.ceil(min(1 / max(tilt, 1e-9), 1 + 0.1 * total)))
        both = sought if sought <= _MOST_WEIGHT and tilt > 0 else 2
    gain = round(both * (1 + tilt) / 2)
    return Weights(gain, both - gain)


@dataclass(frozen=True)
class BesideCounts:
    """w·⌊L/κ⌋, L ~ Bin(N, θ), for several θ.

    Args:
        weight: w, a whole number ≥ 0.
        group: κ, a whole number ≥ 1.
        trials: N.
        rates: θ.
    """

    weight: int
    group: int
    trials: int
    rates: Cells

    def value(self, count: int, /) -> int:
        """w·⌊L/κ⌋."""
        return self.weight * (count // self.group)

    @property
    def mean(self) -> Cells:
        """The mean of wL/κ."""
        found: Cells = self.weight / self.group * self.trials * self.rates
        return found

    @property
    def variance(self) -> Cells:
        """The variance of wL/κ."""
        found: Cells = (self.weight / self.group) ** 2 * self.trials * self.rates * (1 - self.rates)
        return found

    def waves(self, period: int, kept: Bool[np.ndarray, " all"], /) -> Waves:
        """E e^{iωw⌊L/κ⌋} at ω = 2πj/period, those of j = 0 … period/2 that are kept; for κ > 1 up to the mass
        that lies beyond `_reach`.
        """
        if self.group == 1:
            omega = 2 * np.pi * np.flatnonzero(kept) / period
            each = self.rates[:, None] * _from_one(self.weight * omega)
            power: Waves = np.exp(_log_power(each, self.trials))
            return power
        return np.concatenate([found[:, kept] for found in self._transforms(period)])

    @cached_property
    def _law(self) -> tuple[Int[np.ndarray, " values"], Float[np.ndarray, "cells values"]]:
        """The values of ⌊L/κ⌋ within `_reach`, and the chance of each by θ."""
        mean, variance = self.trials * self.rates, self.trials * self.rates * (1 - self.rates)
        far = _reach(variance, 1.0, _NATS)
        low = max(0, math.floor(float((mean - far).min()) / self.group))
        high = min(self.trials, math.ceil(float((mean + far).max()))) // self.group
        values = np.arange(low, high + 1)
        most = np.minimum((values + 1) * self.group - 1, self.trials)
        below = special.bdtr(most, self.trials, self.rates[:, None])
        below[:, -1] = 1.0
        return values, np.diff(below, axis=1, prepend=0.0)

    def _transforms(self, period: int) -> Iterator[Waves]:
        """All waves of the period for κ > 1, a few θ at a time: the transform of the law of w⌊L/κ⌋."""
        values, mass = self._law
        for some in np.array_split(mass, 1 + len(mass) * period // _BATCH):
            placed = np.zeros((len(some), period))
            np.add.at(placed.T, self.weight * values % period, some.T)
            found: Waves = fft.rfft(placed).conj()
            yield found

    def log_size(self, period: int, /) -> Float[np.ndarray, " waves"]:
        """Above ln|E e^{iωw⌊L/κ⌋}| for every θ; for κ = 1 by |E|² = 1 − 2θ(1 − θ)(1 − cos ωw)."""
        if self.group > 1:
            largest = np.zeros(period // 2 + 1)
            for found in self._transforms(period):
                largest = np.maximum(largest, np.abs(found).max(0))
            return np.log(largest + _LEFT_OUT)  # type: ignore[no-any-return]
        spread = float((self.rates * (1 - self.rates)).min())
        omega = 2 * np.pi * np.arange(period // 2 + 1) / period
        size: Float[np.ndarray, " waves"] = self.trials * spread * _from_one(self.weight * omega).real
        return size


def log_sup_over_total(
    trials: int,
    differences: Cells,
    low: float,
    high: float,
    counted: Weights,
    reach: int,
    beside: BesideCounts | None = None,
    /,
) -> Cells:
    """ln sup T over q ∈ [low, high] for each r (and θ, in step), rounded up; −∞ where no such q has |r| ≤ q.

    Args:
        trials: n.
        differences: r of each cell.
        low, high: of q.
        counted: a and c̃.
        reach: x.
        beside: w·⌊L/κ⌋, with one θ for each cell.
    """
    found = np.full(len(differences), -np.inf)
    open_ = np.abs(differences) <= high
    if not open_.any():
        return found
    r = differences[open_]
    gap = np.abs(r)[:, None]
    rest = 1 - gap
    step = _SPACING / (2 * math.sqrt(trials))
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = [np.where(rest > 0, (max(end, 0.0) - gap) / rest, 0.0) for end in (low, high)]
    first, last = (np.arcsin(np.sqrt(np.clip(end, 0.0, 1.0))) for end in ends)
    start = np.clip(first, step, np.pi / 2 - step)
    stop = np.clip(last, start, np.pi / 2 - step)
    number = max(2, math.ceil(float((stop - start).max()) / step) + 1)
    share = np.sin(start + (stop - start) * np.linspace(0, 1, number)) ** 2
    lesser = rest * share / 2
    larger = lesser + gap
    plus, minus = np.where(r[:, None] >= 0, larger, lesser), np.where(r[:, None] >= 0, lesser, larger)
    part = None if beside is None else replace(beside, rates=beside.rates[open_])
    logs = np.log(_tails(trials, plus, minus, counted, reach, part))
    tilt, spread = special.logit(share), share * (1 - share)
    widest = np.where(
        (share[:, :-1] < 0.5) & (share[:, 1:] > 0.5), 0.25, np.maximum(spread[:, :-1], spread[:, 1:])
    )
    between = np.maximum(logs[:, :-1], logs[:, 1:]) + trials * widest * np.diff(tilt, axis=1) ** 2 / 8
    before = np.where(first < start, logs[:, :1] - trials * np.log1p(-share[:, :1]), -np.inf)
    beyond = np.where(last > stop, logs[:, -1:] - trials * np.log(share[:, -1:]), -np.inf)
    found[open_] = np.concatenate([between, before, beyond], 1).max(1)
    least: Cells = np.minimum(found, 0.0)
    return least


def _reach(variance: Float[np.ndarray, "*any"], largest: float, nats: float) -> Float[np.ndarray, "*any"]:
    """How far from its mean a sum lies but with probability e^{−nats} on either side (Bernstein)."""
    linear = nats * largest / 3
    found: Float[np.ndarray, "*any"] = linear + np.sqrt(linear**2 + 2 * nats * variance)
    return found


def _tails(
    trials: int, plus: Nodes, minus: Nodes, counted: Weights, reach: int, beside: BesideCounts | None
) -> Nodes:
    """P[a·b − c̃·c + w·⌊L/κ⌋ ≤ reach] at each node, rounded up; never zero."""
    a, c = counted.gain, counted.loss
    mean = trials * (a * plus - c * minus)
    variance = trials * (a * a * plus + c * c * minus)
    if beside is not None:
        mean, variance = mean + beside.mean[:, None], variance + beside.variance[:, None]
    far = _reach(variance, max(a + c, 0.0 if beside is None else beside.weight / beside.group), _NATS)
    far = far + 2 + (0 if beside is None else beside.weight)
    most = a * trials + (0 if beside is None else beside.value(beside.trials))
    low = max(-c * trials, math.floor(float((mean - far).min())))
    high = min(most, math.ceil(float((mean + far).max())))
    if reach < low:
        return np.full_like(plus, _LEFT_OUT)
    period = fft.next_fast_len(max(high, reach) - low + 1, real=True)
    omega = 2 * np.pi * np.arange(period // 2 + 1) / period
    kernel = _kernel(omega, reach - low + 1, period)
    up, down = _from_one(a * omega), _from_one(-c * omega)
    none = np.clip(1 - plus - minus, 0.0, 1.0)
    log_size = (none * plus).min() * up.real + (none * minus).min() * down.real
    log_size = trials * (log_size + (plus * minus).min() * _from_one((a + c) * omega).real)
    if beside is not None:
        log_size = log_size + beside.log_size(period)
    weight = np.exp(log_size) * np.abs(kernel)  # |E e^{iωX}|² = 1 − 2Σpᵢpⱼ(1 − cos ω(xᵢ − xⱼ))
    kept = weight > _LEFT_OUT / len(omega)
    extra = 3 * _LEFT_OUT + float(weight[~kept].sum())
    extra += _EPS * (100 + 8 * float(np.abs(mean).max() + abs(low) + abs(reach))) * (2 + math.log(period))
    omega, up, down, kernel = omega[kept], up[kept], down[kept], kernel[kept]
    turn = -1j * ((omega * (low + reach) / 2) % (2 * np.pi))
    if beside is not None:
        with np.errstate(divide="ignore"):
            turn = turn + np.log(beside.waves(period, kept))
    found = np.empty_like(plus)
    for part in np.array_split(np.arange(len(plus)), 1 + plus.size * len(omega) // _BATCH):
        logs = _log_power(plus[part, :, None] * up + minus[part, :, None] * down, trials)
        logs += turn if beside is None else turn[part, None, :]
        found[part] = (np.exp(logs) @ kernel).real
    above: Nodes = np.clip(found, 0.0, 1.0) + extra
    return above


def _log_power(z: Complex[np.ndarray, "*any"], trials: int) -> Complex[np.ndarray, "*any"]:
    """ln (1 + z)^n, without loss where z is small; −∞ where it is zero."""
    with np.errstate(divide="ignore"):
        size = np.log1p(np.maximum(2 * z.real + z.real**2 + z.imag**2, -1.0))
    power: Complex[np.ndarray, "*any"] = np.empty(z.shape, dtype=complex)
    power.real = trials / 2 * size
    power.imag = trials * np.arctan2(z.imag, 1 + z.real)
    return power


def _from_one(angle: Float[np.ndarray, " waves"]) -> Complex[np.ndarray, " waves"]:
    """e^{ix} − 1, without loss where x is small."""
    found: Complex[np.ndarray, " waves"] = -2 * np.sin(angle / 2) ** 2 + 1j * np.sin(angle)
    return found


def _kernel(omega: Float[np.ndarray, " waves"], number: int, period: int) -> Float[np.ndarray, " waves"]:
    """The contribution of the wave ω to a sum over `number` values in a row, its conjugate included, over the
    period."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(omega > 0, np.sin(omega * number / 2) / np.sin(omega / 2), float(number))
    twice = np.full(len(omega), 2.0)
    twice[0] = 1.0
    if period % 2 == 0:
        twice[-1] = 1.0
    kernel: Float[np.ndarray, " waves"] = twice * found / period
    return kernel


def two_sided(successes: int, trials: int, /, *, delta: float) -> tuple[float, float]:
    """Lower and upper exact limit of a proportion, each missed with probability δ/2 at most."""
    upper = binomial_upper_limit(successes, trials, delta=delta / 2)
    return max(0.0, 1 - binomial_upper_limit(trials - successes, trials, delta=delta / 2)), upper
