"""Occam bounds: a classifier that a prefix code, fixed before the data, describes in b bits.

By Kraft's inequality the probabilities δ·2^{−b} of all code words sum to at most δ, so that a hold-out bound
at δ·2^{−b} holds for all coded classifiers at once: for the one that was trained, and quantised, on the very
points that test it. `kdtheory.coding` is such a code for networks.

n points, ê the mean loss on them, e the risk, b bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxtyping import Shaped
from torch import Tensor

from kdtheory.bounds.assumptions import CODED, DRAWN
from kdtheory.bounds.holdout import IN_UNIT_INTERVAL, unit_mean, zero_or_one
from kdtheory.bounds.result import Bound
from kdtheory.doors import door
from kdtheory.inversion import binomial_upper_limit, kl_upper_inverse
from kdtheory.validate import check_flags, check_fraction

__all__ = ["langford05_occam", "langford05_occam_kl", "occam_log_delta"]


def occam_log_delta(bits: float, /, *, delta: float) -> float:
    """ln(δ·2^{−b}) = ln δ − b ln 2: the share of δ that a classifier of b bits has.

    Args:
        bits: b ≥ 0; −log₂ of a prior probability need not be whole.
        delta: δ.

    Raises:
        ValueError: b negative or not finite, or δ outside (0, 1).

    >>> occam_log_delta(3, delta=0.5) / math.log(2)
    -4.0
    """
    check_fraction("delta", delta, open_interval=True)
    if not (math.isfinite(bits) and bits >= 0):
        raise ValueError(f"bits = {bits} must be finite and at least 0")
    return math.log(delta) - bits * math.log(2)


@door
def langford05_occam(
    errors: Shaped[Tensor, "n"],
    /,
    *,
    bits: float,
    delta: float,
    coded_beforehand: bool,
    independent_draws: bool,
) -> Bound:
    """e ≤ sup{q : P[Bin(n, q) ≤ k] ≥ δ·2^{−b}}, k = Σ errors: the exact limit, at the code word's share of δ.

    Occam's razor (Blumer et al. 1987) by the binomial tail, as in Langford (2005).

    Args:
        errors: 0 or 1 (or booleans) at each point.
        bits: b, all that has to be sent counted.
        delta: δ.
        coded_beforehand: whether the code was fixed before the points were drawn; the classifier need not be.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: no point, a value other than 0 and 1, b negative, or δ outside (0, 1).

    >>> import torch
    >>> bound = langford05_occam(torch.zeros(10), bits=8, delta=0.25, coded_beforehand=True,
    ...     independent_draws=True)
    >>> round(bound.value, 6), round(bound.terms["radius"], 6)  # 1 − 2^{−10/10}, 1 − 2^{−2/10}
    (0.5, 0.129449)
    """
    errors = zero_or_one("errors", errors)
    log_delta = occam_log_delta(bits, delta=delta)
    n, wrong = errors.shape[0], int(errors.sum())

    def limit(size: int, log_level: float = log_delta) -> float:
        return binomial_upper_limit(-(-wrong * size // n), size, log_delta=log_level)

    parts = wrong / n, limit(n, math.log(delta)), limit(n)
    quantities = {"points": n, "errors": wrong, "bits": bits}
    return _bound("langford05_occam", parts, delta, (coded_beforehand, independent_draws), limit, quantities)


@door
def langford05_occam_kl(
    values: Shaped[Tensor, "n"],
    /,
    *,
    bits: float,
    delta: float,
    coded_beforehand: bool,
    independent_draws: bool,
) -> Bound:
    """e ≤ kl⁻¹(ê, (b ln 2 + ln(1/δ))/n), for losses in [0, 1].

    Occam's razor with Chernoff's tail (Langford 2005); for losses of 0 and 1 `langford05_occam` is smaller.

    Args:
        values: the losses.
        bits: b, all that has to be sent counted.
        delta: δ.
        coded_beforehand: whether the code was fixed before the points were drawn; the classifier need not be.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: no point, a loss outside [0, 1], b negative, or δ outside (0, 1).

    >>> import torch
    >>> bound = langford05_occam_kl(torch.zeros(10), bits=8, delta=0.25, coded_beforehand=True,
    ...     independent_draws=True)
    >>> round(bound.value, 6)  # 1 − 2^{−(8 + 2)/10}
    0.5
    """
    mean, n = unit_mean("values", values)
    log_delta = occam_log_delta(bits, delta=delta)

    def limit(size: int, log_level: float = log_delta) -> float:
        return float(kl_upper_inverse(mean, -log_level / size))

    parts = mean, limit(n, math.log(delta)), limit(n)
    quantities = {"points": n, "bits": bits}
    return _bound(
        "langford05_occam_kl", parts, delta, (coded_beforehand, independent_draws), limit, quantities
    )


def _bound(
    name: str,
    parts: tuple[float, float, float],
    delta: float,
    flags: tuple[bool, bool],
    value_at: Callable[[int], float],
    quantities: dict[str, float],
) -> Bound:
    """`parts`: the mean, the limit were the code length zero, the limit."""
    mean, without_code, limit = parts
    terms = {"empirical risk": mean, "radius": without_code - mean, "code length": limit - without_code}
    coded, drawn = flags
    check_flags(coded_beforehand=coded, independent_draws=drawn)
    assumptions = {DRAWN: drawn, IN_UNIT_INTERVAL: True, CODED: coded}
    over = f"the {quantities['points']:.0f} labelled points"
    return Bound(name, limit, terms, delta, assumptions, value_at=value_at, over=over, quantities=quantities)
