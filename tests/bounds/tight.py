"""Cases of bounds on instances where they should be tight, and what they share.

A case returns what is known of the truth by other means (an exact quantile, all sign vectors, arithmetic on
the instance) and what the bound says of it: all of it, its radius, or the term that the case is about. The
factor is what the bound's proof gives away there.

2^b independent coins are the worst class of their size: the least of their means misses ½ by the exact limit
of one coin at 1 − (1 − δ)^{2^−b}.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy import stats

from kdtheory.bounds import Bound

Case = Callable[[], tuple[float, float]]
CASES: dict[str, tuple[float, Case]] = {}
BITS, POINTS = 40, 100_000
ZEROS = torch.zeros(12, dtype=torch.long)
FIXED = {"fixed_in_advance": True, "independent_draws": True}


def within(name: str, factor: float) -> Callable[[Case], Case]:
    """Register a case as that of a bound and, after a colon, of its part; with its factor."""

    def register(case: Case) -> Case:
        CASES[name] = factor, case
        return case

    return register


def flips(wrong: int, n: int) -> torch.Tensor:
    return (torch.arange(n) < wrong).double()


COIN = flips(POINTS // 2, POINTS)


def coin_radius(delta: float, *, n: int = POINTS, bits: int = 0) -> float:
    """How far above ½ the exact limit is where half of n are seen, for the least of 2^bits coins."""
    level = -math.expm1(math.log1p(-delta) / 2**bits)
    return float(stats.beta.isf(level, n // 2 + 1, n - n // 2)) - 0.5


def radius(bound: Bound) -> float:
    return bound.value - bound.terms["empirical risk"]
