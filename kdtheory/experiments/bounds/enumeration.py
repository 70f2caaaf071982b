"""Chances of a miss by enumeration, at levels so small that constants cannot hide behind each other.

At δ = 0.05 a term in ln(1/δ) is of the size of whatever else a proof gave away; at δ = e^{−600} it is all
there is, and P[miss] = δ^{1.01} says that the constant in front of it is off by half a per cent. n points, k
errors among them, limit(k) an upper limit of the risk that rises in k.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

__all__ = ["LOG_TINY", "exponent_left", "log_any", "log_misses", "needed_radius", "some_counts"]

LOG_TINY = -600.0
"""ln δ, small enough for constants to show, and a float still."""


def log_misses(limits: np.ndarray, counts: np.ndarray, n: int) -> np.ndarray:
    """ln P[Bin(n, q) ≤ k] at q a hair above limit(k): the chance that a risk just there is missed.

    −∞ where the limit is 1 or more, which no risk exceeds.
    """
    risk = np.minimum(limits * (1 + 1e-12), 1.0)
    with np.errstate(divide="ignore"):
        chance: np.ndarray = stats.binom.logcdf(counts, n, risk)
    return np.where(limits < 1, chance, -np.inf)


def log_any(log_chance: np.ndarray | float, log_members: float) -> np.ndarray:
    """ln P[any of M independent events of one chance], M = e^{log_members} of any size."""
    expected = np.asarray(log_chance) + log_members  # ln of the mean number; P = 1 − e^{−mean} for large M
    with np.errstate(divide="ignore"):
        none = -np.exp(np.minimum(expected, 50.0))  # ln P[none of many]
        if log_members < 20:
            none = math.exp(log_members) * np.log1p(-np.exp(log_chance))
        chance: np.ndarray = np.log(-np.expm1(none))
    return np.where(expected < -30, expected, chance)


def exponent_left(log_chance: np.ndarray, log_delta: float) -> float:
    """ln δ / ln P[miss] for the worst risk: at most 1 if the limit is valid, and near 1 if it is attained."""
    worst = float(np.max(log_chance))
    return log_delta / worst if worst < -1e-9 else 1e9


def needed_radius(n: int, log_delta: float) -> float:
    """The least r with P[Bin(n, ½)/n + r < ½] ≤ δ: what a deviation must be for fair coins."""
    half = n // 2
    counts = np.arange(max(0, half - int(math.sqrt(-n * log_delta)) - 2), half + 1)
    likely = stats.binom.logcdf(counts, n, 0.5) > log_delta
    return 0.5 - float(counts[likely][0]) / n


def some_counts(n: int, most: int = 200) -> np.ndarray:
    """Counts from 0 to n − 1: all of them, or `most` evenly spread and the smallest."""
    if n <= most:
        return np.arange(n)
    return np.unique(np.r_[np.arange(10), np.linspace(0, n - 1, most).astype(int)])
