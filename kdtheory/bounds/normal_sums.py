"""The sum of two binomial risks by a normal bound, with constants: for samples too large to be summed over.

X = K/n + L/m with K ~ Bin(n, p), L ~ Bin(m, q) independent, seen s. For 0 < δ < 1 and e = p + q

    P[X ≤ s] ≤ Φ((s + 1/n + 1/m + τ_n(p) + τ_m(q) − e)/√(p(1−p)/n + q(1−q)/m)) + 4Φ(−G),
    τ_n(p) = G³/4n^{3/2} + max(2p−1, 0)·G²/3n.

Proof. P[K ≤ k] ≤ Φ(c(k + 1)), c(x) = ±√(2n·kl(x/n‖p)) with the sign of x/n − p (Zubkov & Serov 2013): K/n is
x(g) − 1/n or more for some normal g and the x(g) with c(n·x(g)) = g. For |g| ≤ G

    x(g) ≥ p + g√(p(1−p)/n) − τ_n(p):

- p ≤ ½: for g < 0, kl(p − u‖p) ≥ u²/(2p(1−p)), as 1/(t(1−t)) falls up to ½; for g > 0
  kl(p + u‖p) ≤ u²/(2(p(1−p) − u²));
- p > ½, n(1−p) ≥ 4G²: with r = 1−p, V = pr and b = 2p−1, kl(r ± u‖r) = ∫₀ᵘ (u−t)/(V ± bt − t²) dt. With +
  it is u²/(2(V + bu/3)) or more (Bernstein), so that u ≤ |g|√(V/n) + bg²/3n. With −, for u ≤ |g|√(V/n) ≤ r/2,
  bt + t² ≤ V/2 and it is u²(1 + 2bu/3V + u²/3V)/2V at most, so that u ≥ |g|√(V/n) − bg²/3n − |g|³/12n^{3/2}.

The same for L, and the sum of two normals is one. Where n(1−p) < 4G², p is set back to 1 − 4G²/n, at which
the probability is the larger one, and e with it.

The largest variance of the line, W at p = p*, falls by (1/n + 1/m)(p − p*)² at least: by τ's second term
z standard deviations grow, n ≤ m, by no more than its value at p*, which is 0 for e ≤ 1, and

    max over p of 2(p − p*)G²/3n − z(1/n + 1/m)(p − p*)²/2√W = 2G⁴√W/(9zn²(1/n + 1/m)),

which is of the order of n^{−3/2}, as τ's first term is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

__all__ = ["TwoSamples", "excess_above_half", "normal_sum_limit"]

_TAIL = 1e-3  # of δ, for normals beyond G


@dataclass(frozen=True)
class TwoSamples:
    """k of n and `other` of m, n ≤ m."""

    k: int
    n: int
    other: int
    m: int

    @property
    def seen(self) -> float:
        """k/n + l/m."""
        return self.k / self.n + self.other / self.m

    def likeliest(self, total: float, /) -> tuple[float, float]:
        """The p and q of the largest p(1−p)/n + q(1−q)/m over p + q = total, a concave parabola in p."""
        n, m = self.n, self.m
        p = (m - n + 2 * n * total) / (2 * (n + m))
        p = min(max(p, total - 1, 0.0), total, 1.0)
        return p, total - p

    def variance(self, total: float, /) -> float:
        """W = max p(1−p)/n + q(1−q)/m over p + q = total."""
        p, q = self.likeliest(total)
        return p * (1 - p) / self.n + q * (1 - q) / self.m

    def skew(self, total: float, /) -> float:
        """The third central moment of X over its variance, at the largest variance of the line."""
        (p, q), n, m = self.likeliest(total), self.n, self.m
        third = p * (1 - p) * (1 - 2 * p) / n**2 + q * (1 - q) * (1 - 2 * q) / m**2
        return third / self.variance(total)


def excess_above_half(samples: TwoSamples, total: float, /, *, largest: float, z: float) -> float:
    """max over p + q = e of b(p)/n + b(q)/m − z(√W − √(p(1−p)/n + q(1−q)/m)), b(p) = max(2p−1, 0)·G²/3.

    Args:
        samples: what was seen; n is the smaller one.
        total: e.
        largest: G.
        z: of how many standard deviations the gap is.

    >>> excess_above_half(TwoSamples(0, 100, 0, 100), 0.5, largest=4.0, z=2.0)  # neither is above ½
    0.0
    """
    rate, other, share = 1 / samples.n, 1 / samples.m, largest**2 / 3
    most = share * (max(2 * total - 1, 0.0) * rate if total <= 1 else rate + other)
    if most == 0 or z == 0:
        return most
    p, q = samples.likeliest(total)
    there = share * (max(2 * p - 1, 0.0) * rate + max(2 * q - 1, 0.0) * other)
    beside = 2 * (share * rate) ** 2 * math.sqrt(samples.variance(total)) / (z * (rate + other))
    return min(most, there + beside)


def normal_sum_limit(samples: TwoSamples, delta: float, /) -> tuple[float, float]:
    """A limit of p + q, and about how much of it is too much; near 2 by Hoeffding's inequality, unknown.

    Args:
        samples: what was seen.
        delta: δ.

    >>> limit, loss = normal_sum_limit(TwoSamples(10**5, 10**6, 10**5, 10**6), 0.05)
    >>> round(limit - 0.2, 5), loss < 1e-5  # 1.645·√(2·0.09/10⁶)
    (0.0007, True)
    """
    rates = [1 / samples.n, 1 / samples.m]
    steps, largest = sum(rates), -float(special.ndtri_exp(math.log(delta) + math.log(_TAIL / 4)))
    z = max(0.0, -float(special.ndtri_exp(math.log(delta) + math.log1p(-_TAIL))))
    seen, edges = samples.seen * (1 + 1e-15), [4 * largest**2 * rate for rate in rates]
    cubic: float = largest**3 / 4 * sum(rate**1.5 for rate in rates)

    def allowance(total: float) -> float:
        return steps + cubic + excess_above_half(samples, total, largest=largest, z=z)

    def ruled_out(total: float) -> bool:
        if total - seen - allowance(total) < z * math.sqrt(samples.variance(total)) * (1 + 1e-12):
            return False
        rest = total - seen - steps - cubic - largest**2 / 3 * (rates[0] if total <= 1 else steps)
        for edge, rate, other in zip(edges, rates, reversed(rates), strict=True):
            low, high = max(total - 1, 0.0), total - 1 + edge  # the other proportion, where one is near 1
            if high > 1 - max(edges):
                return False
            near_half = min(max(low, 0.5), high)
            if high > 0 and rest - edge < z * math.sqrt(edge * rate + near_half * (1 - near_half) * other):
                return False
        return True

    bounded = min(2.0, seen + math.sqrt(-math.log(delta) * steps / 2) * (1 + 1e-15))
    start = next((total for total in (min(1.0, bounded), bounded) if ruled_out(total)), None)
    if max(edges) > 0.25 or start is None:
        return bounded, math.inf
    low, high = seen, start
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (low, middle) if ruled_out(middle) else (middle, high)
    bent = max(z * z - 1, 0) / 6 * samples.skew(high)
    tails = delta * _TAIL * math.exp(z * z / 2) * math.sqrt(2 * math.pi * samples.variance(high))
    return high * (1 + 1e-15), allowance(high) + bent + tails
