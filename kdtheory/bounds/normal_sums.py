"""The sum of two binomial risks by a normal bound, with constants: for samples too large to be summed over.

X = K/n + L/m with K ~ Bin(n, p), L ~ Bin(m, q) independent, seen s. For 0 < δ < 1 and e = p + q ≤ 1

    P[X ≤ s] ≤ Φ((s + 1/n + 1/m + τ_n + τ_m − e)/√(p(1−p)/n + q(1−q)/m)) + 4Φ(−G).

Proof. P[K ≤ k] ≤ Φ(c(k + 1)), c(x) = ±√(2n·kl(x/n‖p)) with the sign of x/n − p (Zubkov & Serov 2013): K/n is
x(g) − 1/n or more for some normal g and the x(g) with c(n·x(g)) = g. For |g| ≤ G

    x(g) ≥ p + g√(p(1−p)/n) − τ_n:

- p ≤ ½, with τ_n = G³/4n^{3/2}: for g < 0, kl(p − u‖p) ≥ u²/(2p(1−p)), as 1/(t(1−t)) falls up to ½; for g > 0
  kl(p + u‖p) ≤ u²/(2(p(1−p) − u²));
- p > ½, n(1−p) ≥ 4G², with τ_n = G²/3n: r = 1−p, kl(r + u‖r) ≥ u²/(2(r(1−r) + u/3)) (Bernstein), and
  kl(r − u‖r) ≤ u²(1 + u/2r)/(2r(1−r)) for u ≤ r/2.

The same for L, and one of p and q at most is above ½; the sum of two normals is one. Where n(1−p) < 4G², p
is set back to 1 − 4G²/n, at which the probability is the larger one, and e with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

__all__ = ["TwoSamples", "normal_sum_limit"]

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

    def variance(self, total: float, /) -> float:
        """max p(1−p)/n + q(1−q)/m over p + q = total, a concave parabola in p."""
        n, m = self.n, self.m
        p = (m - n + 2 * n * total) / (2 * (n + m))
        p = min(max(p, total - 1, 0.0), total, 1.0)
        return p * (1 - p) / n + (total - p) * (1 - total + p) / m


def normal_sum_limit(samples: TwoSamples, delta: float, /) -> tuple[float, float]:
    """A limit of p + q, and about how much of it is too much; by Hoeffding's inequality where that is above
    1.

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

    def allowance(total: float) -> float:
        low: float = largest**3 / 4 * sum(rate**1.5 for rate in rates)
        return steps + low + (0.0 if total <= 0.5 else largest**2 / 3 * max(rates))

    def ruled_out(total: float) -> bool:
        gap = total - seen - allowance(total)
        if gap < z * math.sqrt(samples.variance(total)) * (1 + 1e-12):
            return False
        near_one = [
            gap - edge >= z * math.sqrt(edge * sum(rates))  # p(1−p)/n + q(1−q)/m ≤ edge/n + edge/m
            for edge in edges
            if total > 1 - edge
        ]
        return all(near_one)

    bounded = seen + math.sqrt(-math.log(delta) * steps / 2)
    if max(edges) > 0.25 or not ruled_out(1.0):
        return min(2.0, bounded * (1 + 1e-15)), math.inf
    low, high = seen, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (low, middle) if ruled_out(middle) else (middle, high)
    skew = max(z * z - 1, 0) / 6 * steps
    return high * (1 + 1e-15), allowance(high) - steps / 2 + skew
