"""Hold-out bounds: the risk of a predictor that was fixed before n points were drawn, from its losses there.

Four ways from the same n losses to an upper limit, from the sharpest to the simplest: the exact binomial
(losses 0 or 1 only), kl inversion, Hoeffding's radius, and the empirical Bernstein radius, which is the one
that gains from losses of small variance. A mean over several predictors' losses, point by point, is a loss in
[0, 1] too: kl inversion and empirical Bernstein bound the mean of their risks from one shared hold-out.

n points, ℓ_i ∈ [0, 1] the losses, ê their mean, e the risk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

from kdtheory.bounds.assumptions import DRAWN, EACH_FIXED, FIXED, GUESSED
from kdtheory.bounds.deviation import hoeffding63_radius
from kdtheory.bounds.empirical_bernstein import maurer09_finite_class_radius
from kdtheory.bounds.result import Bound
from kdtheory.doors import door
from kdtheory.inversion import binomial_upper_limit, kl_upper_inverse
from kdtheory.validate import check_at_least, check_finite, check_flags, check_fraction

__all__ = [
    "blum99_progressive",
    "clopper34_holdout",
    "hoeffding63_holdout",
    "hoeffding63_kl_holdout",
    "maurer09_holdout",
]

IN_UNIT_INTERVAL = "the losses lie in [0, 1]"


@door
def clopper34_holdout(
    errors: Shaped[Tensor, "n"], /, *, delta: float, fixed_in_advance: bool, independent_draws: bool
) -> Bound:
    """e ≤ sup{q : P[Bin(n, q) ≤ k] ≥ δ}, k = Σ errors: the exact limit.

    Clopper & Pearson (1934), the upper limit alone at confidence 1 − δ. It is attained: for no δ and n is a
    smaller limit valid that is a function of k, rising in k. Vacuous only where every point is an error.

    Args:
        errors: 0 or 1 (or booleans) at each point.
        delta: δ.
        fixed_in_advance: whether the predictor was fixed before the points were drawn.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: no point, a value other than 0 and 1, or δ outside (0, 1).

    >>> import torch
    >>> bound = clopper34_holdout(torch.zeros(59), delta=0.05, fixed_in_advance=True, independent_draws=True)
    >>> round(bound.value, 4), bound.needed  # 1 − 0.05^(1/59)
    (0.0495, 1)
    """
    errors = zero_or_one("errors", errors)
    n, wrong = errors.shape[0], int(errors.sum())
    limit = binomial_upper_limit(wrong, n, delta=delta)

    def value_at(size: int) -> float:
        return binomial_upper_limit(_scaled(wrong, n, size), size, delta=delta)

    counts, flags = {"errors": wrong}, (fixed_in_advance, independent_draws)
    return _bound("clopper34_holdout", wrong / n, limit, n, delta, flags, value_at, counts=counts)


@door
def hoeffding63_kl_holdout(
    values: Shaped[Tensor, "n"], /, *, delta: float, fixed_in_advance: bool, independent_draws: bool
) -> Bound:
    """e ≤ kl⁻¹(ê, ln(1/δ)/n), for losses in [0, 1].

    Hoeffding (1963), Theorem 1 in its relative-entropy form; for losses of 0 and 1 it is Chernoff's bound,
    and there the exact limit is the smaller one. Losses need not be identically distributed: e is then the
    mean of their means.

    Args:
        values: the losses, or their means over several predictors.
        delta: δ.
        fixed_in_advance: whether the predictors were fixed before the points were drawn.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: no point, a loss outside [0, 1], or δ outside (0, 1).

    >>> import torch
    >>> bound = hoeffding63_kl_holdout(torch.zeros(10), delta=0.25, fixed_in_advance=True,
    ...     independent_draws=True)
    >>> round(bound.value, 6)  # 1 − δ^{1/n}
    0.129449
    """
    mean, n = unit_mean("values", values)
    check_fraction("delta", delta, open_interval=True)

    def limit(size: int) -> float:
        return float(kl_upper_inverse(mean, -math.log(delta) / size))

    return _bound(
        "hoeffding63_kl_holdout", mean, limit(n), n, delta, (fixed_in_advance, independent_draws), limit
    )


@door
def hoeffding63_holdout(
    values: Shaped[Tensor, "n"], /, *, delta: float, fixed_in_advance: bool, independent_draws: bool
) -> Bound:
    """e ≤ ê + √(ln(1/δ)/(2n)), for losses in [0, 1].

    Hoeffding (1963), Theorem 1. Vacuous where n ≤ ln(1/δ)/(2(1 − ê)²).

    Args:
        values: the losses, or their means over several predictors.
        delta: δ.
        fixed_in_advance: whether the predictors were fixed before the points were drawn.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: no point, a loss outside [0, 1], or δ outside (0, 1).

    >>> import torch
    >>> hoeffding63_holdout(torch.zeros(8), delta=math.exp(-4), fixed_in_advance=True,
    ...     independent_draws=True).value  # √(4/16)
    0.5
    """
    mean, n = unit_mean("values", values)
    check_fraction("delta", delta, open_interval=True)

    def limit(size: int) -> float:
        return mean + hoeffding63_radius(size, delta=delta)

    return _bound(
        "hoeffding63_holdout", mean, limit(n), n, delta, (fixed_in_advance, independent_draws), limit
    )


@door
def maurer09_holdout(
    values: Shaped[Tensor, "n"], /, *, delta: float, fixed_in_advance: bool, independent_draws: bool
) -> Bound:
    """e ≤ ê + √(2V̂ ln(2/δ)/n) + 7 ln(2/δ)/(3(n−1)), for losses in [0, 1], V̂ their sample variance.

    Maurer & Pontil (2009), Theorem 4.

    Args:
        values: the losses, or their means over several predictors.
        delta: δ.
        fixed_in_advance: whether the predictors were fixed before the points were drawn.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: n < 2, a loss outside [0, 1], or δ outside (0, 1).

    >>> import torch
    >>> bound = maurer09_holdout(torch.zeros(8), delta=0.05, fixed_in_advance=True, independent_draws=True)
    >>> round(3 * bound.value, 3)  # ln 40 / 3
    3.689
    """
    mean, n = unit_mean("values", values)
    check_at_least("n", n, 2)
    variance = values.double().var()

    def limit(size: int) -> float:
        return mean + float(maurer09_finite_class_radius(variance, n=size, class_size=1, delta=delta))

    return _bound(
        "maurer09_holdout", mean, limit(n), n, delta, (fixed_in_advance, independent_draws), limit, least=2
    )


@door
def blum99_progressive(
    values: Shaped[Tensor, "n"],
    /,
    *,
    guess: float,
    delta: float,
    each_fixed_before_its_point: bool,
    guess_made_without_the_points: bool,
    independent_draws: bool,
) -> Bound:
    """ē ≤ (1 − e^{−λê − ln(1/δ)/n})/(1 − e^{−λ}): mean risk of predictors each fixed before its own point.

    Progressive validation (Blum, Kalai & Langford 1999): point i tests a predictor made from other data and
    from points before it, so that most of a training set can test something. ē is the mean over the n points
    of the tested predictors' risks. Constants derived here: with c = e^{−λ} − 1 the factors
    e^{−λℓ_i}/(1 + c·e_i) have mean at most one, whatever went before, and ln(1 + c·e) is concave in e. λ
    comes from a guess of ê made without the n points: it costs second order where the guess is off, and the
    bound is that of the kl hold-out where it is right.

    Args:
        values: the loss in [0, 1] of each point's predictor there, in any order.
        guess: what ê will be, about; from data before the n points.
        delta: δ.
        each_fixed_before_its_point: whether each predictor is a function of other data and of points
            tested before its own.
        guess_made_without_the_points: whether the guess was made without any of the n points. One made of
            their mean breaks the bound, and the more so the more points there are.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: no point, a loss or the guess outside [0, 1], or δ outside (0, 1).

    >>> import torch
    >>> bound = blum99_progressive(torch.zeros(10), guess=0, delta=0.25, each_fixed_before_its_point=True,
    ...                            guess_made_without_the_points=True, independent_draws=True)
    >>> round(bound.value, 6)  # λ = ∞: 1 − δ^{1/n}
    0.129449
    """
    mean, n = unit_mean("values", values)
    check_fraction("guess", guess)
    check_fraction("delta", delta, open_interval=True)

    def limit(size: int) -> float:
        return progressive_limit(mean, guess, size, delta)

    check_flags(
        each_fixed_before_its_point=each_fixed_before_its_point,
        guess_made_without_the_points=guess_made_without_the_points,
        independent_draws=independent_draws,
    )
    assumptions = {
        DRAWN: independent_draws,
        IN_UNIT_INTERVAL: True,
        EACH_FIXED: each_fixed_before_its_point,
        GUESSED: guess_made_without_the_points,
    }
    quantities = {"points": n, "guess": guess}
    terms = _terms(mean, limit(n))
    over = "the points, in the order in which they were used"
    name = "blum99_progressive"
    return Bound(name, limit(n), terms, delta, assumptions, value_at=limit, over=over, quantities=quantities)


@door
def progressive_limit(mean: float, guess: float, n: int, delta: float) -> float:
    """(1 − e^{−λê − c}) / (1 − e^{−λ}), c = ln(1/δ)/n, at the λ that is best for ê = guess; at most 1.

    Raises:
        ValueError: the mean or the guess lies outside [0, 1], n < 1, or δ outside (0, 1).

    >>> round(progressive_limit(0.0, 0.0, 1, math.exp(-1)), 6)  # 1 − 1/e
    0.632121
    """
    check_fraction("mean", mean)
    check_fraction("guess", guess)
    check_at_least("n", n, 1)
    check_fraction("delta", delta, open_interval=True)
    level = -math.log(delta) / n
    sought = float(kl_upper_inverse(guess, level))
    if sought >= 1:
        return 1.0
    with np.errstate(divide="ignore"):
        tilt = float(np.log(sought) + np.log1p(-guess) - np.log(guess) - np.log1p(-sought))
    exponent = (tilt * mean if mean else 0.0) + level
    return min(1.0, math.expm1(-exponent) / math.expm1(-tilt) * (1 + 1e-14)) if tilt > 0 else 1.0


def zero_or_one(name: str, errors: Tensor) -> Tensor:
    """`errors` in float64, or a `ValueError` where one is neither 0 nor 1."""
    check_at_least(f"the number of {name}", errors.shape[0], 1)
    errors = errors.double()
    if not bool(((errors == 0) | (errors == 1)).all()):
        raise ValueError(f"{name} holds values other than 0 and 1; use a bound for losses in [0, 1]")
    return errors


def unit_mean(name: str, values: Tensor) -> tuple[float, int]:
    """Mean (correctly rounded) and number of values in [0, 1]."""
    values = values.double()
    check_finite(name, values)
    check_fraction(name, values)
    return math.fsum(values.tolist()) / values.shape[0], values.shape[0]


def _scaled(wrong: int, n: int, size: int) -> int:
    """The count that has the rate wrong/n among `size` points, rounded up."""
    return -(-wrong * size // n)


def _terms(mean: float, limit: float) -> Mapping[str, float]:
    return {"empirical risk": mean, "radius": limit - mean}


def _bound(
    name: str,
    mean: float,
    limit: float,
    n: int,
    delta: float,
    flags: tuple[bool, bool],
    value_at: Callable[[int], float],
    *,
    least: int = 1,
    counts: Mapping[str, float] | None = None,
) -> Bound:
    fixed, drawn = flags
    check_flags(fixed_in_advance=fixed, independent_draws=drawn)
    assumptions = {DRAWN: drawn, IN_UNIT_INTERVAL: True, FIXED: fixed}
    quantities = {"points": n, **(counts or {})}
    return Bound(
        name,
        limit,
        _terms(mean, limit),
        delta,
        assumptions,
        value_at=value_at,
        least=least,
        over=f"the {n} hold-out points",
        quantities=quantities,
    )
