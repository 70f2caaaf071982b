"""Wrong versions of limits that several claims must notice."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import stats
from torch import Tensor

from kdtheory.claims.wrong import Wrong, arguments
from kdtheory.inversion import bernoulli_kl

__all__ = ["bernstein_terms", "delta_times", "kl_level", "kl_swapped", "wald_limits"]


def wald_limits(successes: ArrayLike, trials: ArrayLike, /, *, log_delta: ArrayLike) -> np.ndarray:
    """The normal approximation of the exact limits."""
    rate = np.asarray(successes) / np.asarray(trials)
    spread = np.sqrt(rate * (1 - rate) / np.asarray(trials))
    limit: np.ndarray = rate + stats.norm.isf(np.exp(log_delta)) * spread
    return limit


def kl_swapped(p: ArrayLike, level: ArrayLike, /) -> np.ndarray:
    """sup{q : kl(q‖p) ≤ c}, by bisection."""
    seen, level = np.broadcast_arrays(np.asarray(p, float), np.asarray(level, float))
    low, high = seen.copy(), np.ones_like(seen)
    for _ in range(60):
        middle = (low + high) / 2
        inside = bernoulli_kl(middle, seen) <= level
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low


def kl_level(share: float, /) -> Wrong:
    """kl⁻¹(p, share·c) for kl⁻¹(p, c)."""
    return arguments(lambda p, level: (p, share * np.asarray(level)))


def delta_times(factor: float, /) -> Wrong:
    """A multiple of δ in its place; with 2 a share of δ, a factor of two within a logarithm, is forgotten."""

    def of(right: Callable[..., Any]) -> Callable[..., Any]:
        def wrong(*args: Any, **settings: Any) -> Any:
            given = inspect.signature(right).bind(*args, **settings)
            given.arguments["delta"] = min(factor * given.arguments["delta"], 0.999)
            return right(*given.args, **given.kwargs)

        return wrong

    return Wrong(of)


def bernstein_terms(first: float, second: float, /) -> Wrong:
    """The empirical Bernstein radius with its two terms multiplied."""

    def of(right: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def wrong(variance: Tensor, /, **settings: Any) -> Tensor:
            rest = right(torch.zeros_like(variance), **settings)
            return first * (right(variance, **settings) - rest) + second * rest

        return wrong

    return Wrong(of)
