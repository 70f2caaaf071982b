"""Wrong versions of limits that several claims must notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import stats
from torch import Tensor

from kdtheory.bounds.result import Bound
from kdtheory.claims.wrong import Wrong, arguments
from kdtheory.inversion import bernoulli_kl, kl_upper_inverse

__all__ = ["bernstein_terms", "kl_inverse_at", "kl_level", "kl_swapped", "scaled", "wald_limits", "with_term"]


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


def bernstein_terms(first: float, second: float, /) -> Wrong:
    """The empirical Bernstein radius with its two terms multiplied."""

    def of(right: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def wrong(variance: Tensor, /, **settings: Any) -> Tensor:
            rest = right(torch.zeros_like(variance), **settings)
            return first * (right(variance, **settings) - rest) + second * rest

        return wrong

    return Wrong(of)


def with_term(form: Callable[..., Bound], name: str, factor: float) -> Callable[..., Bound]:
    """The bound with one of its terms multiplied."""

    def wrong(*inputs: Any, **settings: Any) -> Bound:
        bound = form(*inputs, **settings)
        more = (factor - 1) * bound.terms[name]
        return replace(bound, value=bound.value + more, terms={**bound.terms, name: bound.terms[name] + more})

    return wrong


def scaled(function: Callable[..., Any], factor: float) -> Callable[..., Any]:
    """The function times a factor, whatever it is told."""

    def wrong(*inputs: Any, **settings: Any) -> Any:
        return factor * function(*inputs, **settings)

    return wrong


def kl_inverse_at(share: float) -> Callable[..., np.ndarray]:
    """kl⁻¹(p, share·c) for kl⁻¹(p, c)."""

    def wrong(
        p: ArrayLike, level: ArrayLike, /, *, _true: Callable[..., Any] = kl_upper_inverse
    ) -> np.ndarray:
        limit: np.ndarray = _true(p, share * np.asarray(level))
        return limit

    return wrong
