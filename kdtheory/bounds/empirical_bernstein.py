"""Empirical Bernstein bounds (Maurer & Pontil 2009): a risk's radius from the sample's own variance.

For a class H of functions with values in [0, 1], fixed before N independent points are drawn, with
probability at least 1 − δ every h ∈ H has E h ≤ mean h + radius(V̂), V̂ the unbiased sample variance of its N
values. With the values ℓ(f(x_n))_{y_n} this bounds R(f) by the one-hot risk, with p*(x_n)ᵀℓ(f(x_n)) by the
Bayes-distilled risk (Menon et al., 2021): there V̂ is smaller on average, and so is the radius.

N points, V̂ sample variance, |F| class size, M = 10·N_∞(1/N, H, 2N). Vacuous, at least 1, below N ≈ 7
ln(2|F|/δ)/3.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from kdtheory.bounds.assumptions import CLASS_FIXED, DRAWN
from kdtheory.bounds.result import Bound
from kdtheory.doors import door
from kdtheory.types import at_least_float32
from kdtheory.validate import check_at_least, check_finite, check_flags, check_fraction

__all__ = [
    "maurer09_covering",
    "maurer09_covering_radius",
    "maurer09_finite_class",
    "maurer09_finite_class_radius",
]


@door
def maurer09_finite_class_radius(
    variance: Float[Tensor, "*batch"], /, *, n: int, class_size: int, delta: float
) -> Float[Tensor, "*batch"]:
    """√(2V̂ ln(2|F|/δ)/N) + 7 ln(2|F|/δ)/(3(N−1)).

    Maurer & Pontil (2009), Theorem 4, with a union bound over the finite class. All of V̂'s entries may
    belong to the class: the bound holds for them at once.

    Args:
        variance: V̂, unbiased (divided by N−1), of values in [0, 1].
        n: N, at least 2.
        class_size: |F|, at least 1, counted before the sample was seen.
        delta: δ.

    Raises:
        ValueError: N < 2, |F| < 1, δ outside (0, 1), or V̂ negative or not finite.

    >>> import torch
    >>> maurer09_finite_class_radius(torch.zeros(()), n=8, class_size=1, delta=2 / math.e**3)  # 7 · 3/(3 · 7)
    tensor(1.)
    """
    check_at_least("n", n, 2)
    check_at_least("class_size", class_size, 1, most=math.inf)
    check_fraction("delta", delta, open_interval=True)
    _check_variance(variance)
    log = math.log(2) + math.log(class_size) - math.log(delta)
    (variance,) = at_least_float32(variance)
    return (variance * (2 * log / n)).sqrt() + 7 * log / (3 * (n - 1))


@door
def maurer09_covering_radius(
    variance: Float[Tensor, "*batch"], /, *, n: int, covering_number: int, delta: float
) -> Float[Tensor, "*batch"]:
    """√(18V̂ ln(M/δ)/N) + 15 ln(M/δ)/(N−1), M = 10·N_∞(1/N, H, 2N).

    Maurer & Pontil (2009), Theorem 6: for a class of any size, by its growth in the sup norm on 2N points.

    Args:
        variance: V̂, unbiased (divided by N−1), of values in [0, 1].
        n: N, at least 16.
        covering_number: N_∞(1/N, H, 2N), or an upper bound on it; at least 1.
        delta: δ.

    Raises:
        ValueError: N < 16, a covering number below 1, δ outside (0, 1), or V̂ negative or not finite.

    >>> import torch
    >>> maurer09_covering_radius(torch.zeros(()), n=16, covering_number=1, delta=10 / math.e**3)  # 15 · 3/15
    tensor(3.)
    """
    check_at_least("n", n, 16)
    check_at_least("covering_number", covering_number, 1)
    check_fraction("delta", delta, open_interval=True)
    _check_variance(variance)
    log = math.log(10) + math.log(covering_number) - math.log(delta)
    (variance,) = at_least_float32(variance)
    return (variance * (18 * log / n)).sqrt() + 15 * log / (n - 1)


@door
def maurer09_finite_class(
    values: Float[Tensor, "n"],
    /,
    *,
    class_size: int,
    delta: float,
    fixed_in_advance: bool,
    independent_draws: bool,
) -> Bound:
    """E h ≤ mean h + √(2V̂ ln(2|F|/δ)/N) + 7 ln(2|F|/δ)/(3(N−1)) for one h of a finite class.

    Maurer & Pontil (2009), Theorem 4, with a union bound. The same δ covers every member of the class.

    Args:
        values: h at each point of the sample, in [0, 1]: `one_hot_losses` or `distilled_losses`.
        class_size: |F|; 1 for a predictor fixed beforehand.
        delta: δ.
        fixed_in_advance: whether the class was fixed before the sample was seen; if not, the number is a
            heuristic.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: a value outside [0, 1], N < 2, |F| < 1, or δ outside (0, 1).

    >>> import torch
    >>> bound = maurer09_finite_class(torch.zeros(8), class_size=1, delta=0.05, fixed_in_advance=True,
    ...     independent_draws=True)
    >>> round(3 * bound.value, 3), bound.vacuous, list(bound.terms)  # ln 40 / 3
    (3.689, True, ['empirical risk', 'radius'])
    """
    check_at_least("n", values.shape[0], 2)
    _check_values(values)
    variance = values.detach().double().var()

    def radius(n: int) -> Tensor:
        return maurer09_finite_class_radius(variance, n=n, class_size=class_size, delta=delta)

    return _bound("maurer09_finite_class", values, radius, 2, delta, fixed_in_advance, independent_draws)


@door
def maurer09_covering(
    values: Float[Tensor, "n"],
    /,
    *,
    covering_number: int,
    delta: float,
    fixed_in_advance: bool,
    independent_draws: bool,
) -> Bound:
    """E h ≤ mean h + √(18V̂ ln(M/δ)/N) + 15 ln(M/δ)/(N−1) for one h of a class with a covering number.

    Maurer & Pontil (2009), Theorem 6, M = 10·N_∞(1/N, H, 2N). The same δ covers every member of the class.

    Args:
        values: h at each point of the sample, in [0, 1]: `one_hot_losses` or `distilled_losses`.
        covering_number: N_∞(1/N, H, 2N), or an upper bound on it.
        delta: δ.
        fixed_in_advance: whether the class was fixed before the sample was seen; if not, the number is a
            heuristic.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: a value outside [0, 1], N < 16, a covering number below 1, or δ outside (0, 1).

    >>> import torch
    >>> maurer09_covering(torch.zeros(16), covering_number=8, delta=0.05, fixed_in_advance=False,
    ...     independent_draws=True).kind
    'heuristic'
    """
    check_at_least("n", values.shape[0], 16)
    _check_values(values)
    variance = values.detach().double().var()

    def radius(n: int) -> Tensor:
        return maurer09_covering_radius(variance, n=n, covering_number=covering_number, delta=delta)

    return _bound("maurer09_covering", values, radius, 16, delta, fixed_in_advance, independent_draws)


def _bound(
    name: str,
    values: Tensor,
    radius: Callable[[int], Tensor],
    least: int,
    delta: float,
    fixed_in_advance: bool,
    independent_draws: bool,
) -> Bound:
    n, mean = values.shape[0], float(values.detach().double().mean())
    terms = {"empirical risk": mean, "radius": float(radius(n))}
    check_flags(fixed_in_advance=fixed_in_advance, independent_draws=independent_draws)
    assumptions = {
        DRAWN: independent_draws,
        "the values lie in [0, 1]": True,
        CLASS_FIXED: fixed_in_advance,
    }
    return Bound(
        name,
        sum(terms.values()),
        terms,
        delta,
        assumptions,
        value_at=lambda size: mean + float(radius(size)),
        least=least,
        quantities={"n": n},
    )


def _check_values(values: Tensor) -> None:
    check_finite("values", values)
    check_fraction("values", values)


def _check_variance(variance: Tensor) -> None:
    check_finite("variance", variance)
    if not bool((variance >= 0).all()):
        raise ValueError(f"variance has negative entries (least: {float(variance.min()):.3g}); give V̂ ≥ 0")
