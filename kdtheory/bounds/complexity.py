"""Upper bounds on Rademacher complexities in closed form, given the points x_1, …, x_n.

H a class of real functions, F one of functions to R^k, Rad^vec_n(F) = (1/n) E sup_f Σ_ij ε_ij f_j(x_i). Each
function returns a number that is at least the complexity, which `rademacher` computes or samples.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.validate import check_at_least, check_finite, check_positive

__all__ = [
    "l1_linear_complexity",
    "l2_linear_complexity",
    "massart00_finite_class",
    "maurer16_vector_contraction",
    "talagrand_contraction",
    "vector_linear_complexity",
]


@door
def massart00_finite_class(values: Float[Tensor, "functions n"], /) -> float:
    """Rad_n(H) ≤ max_h ‖h‖₂·√(2 ln|H|)/n, ‖h‖₂ over the points (Massart, 2000).

    Tight up to a few per cent for many functions that are nearly orthogonal; 0 for a single function.

    Raises:
        ValueError: there is no function, or a value is not finite.

    >>> import torch
    >>> round(massart00_finite_class(torch.eye(2)) ** 2, 4)  # 2 ln 2 / 4
    0.3466
    """
    check_finite("values", values)
    largest = float(values.detach().double().norm(dim=-1).max())
    return largest * math.sqrt(2 * math.log(values.shape[0])) / values.shape[1]


@door
def l2_linear_complexity(inputs: Float[Tensor, "n d"], /, *, radius: float) -> float:
    """Rad_n{x ↦ w·x : ‖w‖₂ ≤ B} = (B/n)·E‖Σε_i x_i‖₂ ≤ (B/n)·(Σ‖x_i‖²)^½; within √2 of it (Khintchine).

    Raises:
        ValueError: B is not positive and finite, or an input is not finite.

    >>> import torch
    >>> l2_linear_complexity(torch.tensor([[3.0, 4.0], [0.0, 12.0]]), radius=2.0)  # 2·13/2
    13.0
    """
    return vector_linear_complexity(inputs, radius=radius, outputs=1)


@door
def vector_linear_complexity(inputs: Float[Tensor, "n d"], /, *, radius: float, outputs: int) -> float:
    """Rad^vec_n{x ↦ Wx : ‖W‖_F ≤ B, k rows} ≤ (B/n)·√k·(Σ‖x_i‖²)^½; k = 1 is the scalar ℓ2 class.

    Σ_ij ε_ij (Wx_i)_j = ⟨W, Σ_i ε_i x_iᵀ⟩, and E‖Σ_i ε_i x_iᵀ‖_F² = k·Σ‖x_i‖².

    Raises:
        ValueError: B is not positive and finite, k < 1, or an input is not finite.

    >>> import torch
    >>> vector_linear_complexity(torch.tensor([[3.0, 4.0]]), radius=1.0, outputs=4)
    10.0
    """
    check_finite("inputs", inputs)
    check_positive("radius", radius)
    check_at_least("outputs", outputs, 1)
    size = float(inputs.detach().double().norm())
    return radius * math.sqrt(outputs) * size / inputs.shape[0]


@door
def l1_linear_complexity(inputs: Float[Tensor, "n d"], /, *, radius: float) -> float:
    """Rad_n{x ↦ w·x : ‖w‖₁ ≤ B} = (B/n)·E‖Σε_i x_i‖_∞ ≤ (B/n)·max_j‖x_{·j}‖₂·√(2 ln(2d)).

    The ball's corners are ±B·e_j: a finite class of 2d functions (Massart, 2000).

    Raises:
        ValueError: B is not positive and finite, or an input is not finite.

    >>> import torch
    >>> round(l1_linear_complexity(torch.tensor([[3.0], [4.0]]), radius=2.0) ** 2, 4)  # 25·2 ln 2
    34.6574
    """
    check_finite("inputs", inputs)
    check_positive("radius", radius)
    n, dim = inputs.shape
    largest = float(inputs.detach().double().norm(dim=0).max())
    return radius * largest * math.sqrt(2 * math.log(2 * dim)) / n


@door
def talagrand_contraction(complexity: float, /, *, lipschitz: float) -> float:
    """Rad_n(ψ∘H) ≤ L·Rad_n(H) for ψ_i: R → R each L-Lipschitz (Ledoux & Talagrand, 1991); sup without |·|.

    Args:
        complexity: Rad_n(H).
        lipschitz: L.

    Raises:
        ValueError: the complexity is negative, or L is not positive and finite.

    >>> talagrand_contraction(0.5, lipschitz=0.25)
    0.125
    """
    _check_complexity(complexity)
    check_positive("lipschitz", lipschitz)
    return lipschitz * complexity


@door
def maurer16_vector_contraction(complexity: float, /, *, lipschitz: float) -> float:
    """Rad_n(h∘F) ≤ √2·L·Rad^vec_n(F) for h_i: R^k → R each L-Lipschitz in ‖·‖₂ (Maurer, 2016).

    Args:
        complexity: Rad^vec_n(F).
        lipschitz: L.

    Raises:
        ValueError: the complexity is negative, or L is not positive and finite.

    >>> round(maurer16_vector_contraction(0.5, lipschitz=1.0) ** 2, 6)
    0.5
    """
    _check_complexity(complexity)
    check_positive("lipschitz", lipschitz)
    return math.sqrt(2) * lipschitz * complexity


def _check_complexity(complexity: float) -> None:
    if not 0 <= complexity < math.inf:
        raise ValueError(f"complexity = {complexity} must be finite and at least 0")
