"""Wrong versions of a bound's parts that many claims must notice: a constant off by a tenth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.inversion import kl_upper_inverse

__all__ = ["kl_inverse_at", "scaled"]


def scaled(function: Callable[..., Any], factor: float) -> Callable[..., Any]:
    """The function times a factor, whatever it is told."""

    def wrong(*inputs: Any, **settings: Any) -> Any:
        return factor * function(*inputs, **settings)

    return wrong


def kl_inverse_at(share: float) -> Callable[..., np.ndarray]:
    """kl⁻¹(p, share·c) for kl⁻¹(p, c)."""

    def wrong(p: ArrayLike, level: ArrayLike, /, *, _true: Callable[..., Any] = kl_upper_inverse) -> np.ndarray:
        limit: np.ndarray = _true(p, share * np.asarray(level))
        return limit

    return wrong
