"""The sum of two binomial risks by a normal bound, with constants: for samples too large to be summed over.

X = K/n + L/m with K ~ Bin(n, p), L ~ Bin(m, q) independent, seen s. For 0 < δ < 1 and e = p + q ≤ 1

    P[X ≤ s] ≤ Φ((s + 1/n + 1/m + τ_n(p) + τ_m(q) − e)/√(p(1−p)/n + q(1−q)/m)) + 4Φ(−G),
    τ_n(p) = G³/4n^{3/2} + max(2p−1, 0)·G²/3n.

Proof. P[K ≤ k] ≤ Φ(c(k + 1)), c(x) = ±√(2n·kl(x/n‖p)) with the sign of x/n − p (Zubkov & Serov 2013): K/n is
x(g) − 1/n or more for some normal g and the x(g) with c(n·x(g)) = g. For |g| ≤ G

    x(g) ≥ p + g√(p(1−p)/n) − τ_n(p):

- p ≤ ½: for g < 0, kl(p − u‖p) ≥ u²/(2p(1−p)), as 1/(t(1−t)) falls up to ½; for g > 0
  kl(p + u‖p) ≤ u²/(2(p(1−p) − u²));
- p > ½, n(1−p) ≥ 4G²: with r = 1−p, V = pr and b = 2p−1, kl(r ± u‖r) = ∫₀ᵘ (u−t)/(V ± bt − t²) dt. The upper
  one is u²/(2(V + bu/3)) or more (Bernstein), so that u ≤ |g|√(V/n) + bg²/3n. In the lower one u ≤ |g|√(V/n) ≤ r/2,
  bt + t² ≤ V/2 and the integral is u²(1 + 2bu/3V + u²/3V)/2V at most: u ≥ |g|√(V/n) − bg²/3n − |g|³/12n^{3/2}.

The same for L, and the sum of two normals is one. Where n(1−p) < 4G², p is set back to 1 − 4G²/n, at which the
probability is the larger one, and e with it.

One of p and q at most is above ½. The largest variance of the line, W, has both at ½ or below, and falls by
(1/n + 1/m)(p−½)² at least where p is above: by τ's second term z standard deviations grow by no more than

    max over p of (2p−1)G²/3n − z(1/n + 1/m)(p−½)²/2√W ≤ 2G⁴√W/(9zn²(1/n + 1/m)),

which is of the order of n^{−3/2}, as τ's first term is.
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

    cubic = largest**3 / 4 * sum(rate**1.5 for rate in rates)

    def skew(total: float) -> float:
        most = max(2 * total - 1, 0.0) * largest**2 / 3 * rates[0]
        paid = 2 * largest**4 * math.sqrt(samples.variance(total)) * rates[0] ** 2
        return min(most, paid / (9 * z * steps)) if z else most

    def ruled_out(total: float) -> bool:
        gap = total - seen - steps - cubic
        if gap - skew(total) < z * math.sqrt(samples.variance(total)) * (1 + 1e-12):
            return False
        near_one = [  # p(1−p)/n + q(1−q)/m ≤ edge/n + edge/m
            gap - edge - largest**2 / 3 * rates[0] >= z * math.sqrt(edge * steps)
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
    bent = max(z * z - 1, 0) / 6 * steps
    return high * (1 + 1e-15), steps / 2 + cubic + skew(high) + bent
