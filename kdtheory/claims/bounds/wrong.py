"""Wrong versions of a bound that many claims must notice: a constant off by a tenth, a term left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.bounds.result import Bound
from kdtheory.inversion import kl_upper_inverse

__all__ = ["kl_inverse_at", "scaled", "with_term"]


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
