"""Bias and variance of an imperfect teacher's risk (Menon et al., 2021), exact on a finite world."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.risk._doors import check_world
from kdtheory.risk.variance import distilled_variance
from kdtheory.types import at_least_float32

__all__ = ["TeacherBiasVariance", "teacher_bias_variance"]


@door
@dataclass(frozen=True)
class TeacherBiasVariance:
    """E(R̃ − R)² = variance + bias², and the upper bound variance + C²(E‖p^t − p*‖₂)².

    Args:
        variance: (1/N) Var_x[p^tᵀℓ].
        bias: E[(p^t − p*)ᵀℓ].
        loss_norm: C = max ‖ℓ(f(x))‖₂ over the atoms that have mass.
        distance: E‖p^t(x) − p*(x)‖₂.
    """

    variance: Float[Tensor, "*batch"]
    bias: Float[Tensor, "*batch"]
    loss_norm: Float[Tensor, "*batch"]
    distance: Float[Tensor, "*batch"]

    @property
    def squared_bias(self) -> Float[Tensor, "*batch"]:
        """(E[(p^t − p*)ᵀℓ])²."""
        return self.bias.square()

    @property
    def mean_squared_error(self) -> Float[Tensor, "*batch"]:
        """E(R̃ − R)², exact for a teacher and an f that are independent of the sample."""
        return self.variance + self.squared_bias

    @property
    def bound(self) -> Float[Tensor, "*batch"]:
        """variance + C²(E‖p^t − p*‖₂)² ≥ E(R̃ − R)²."""
        return self.variance + (self.loss_norm * self.distance).square()


@door
def teacher_bias_variance(
    losses: Float[Tensor, "*#batch s k"],
    teacher_probs: Float[Tensor, "*#batch s k"],
    probs: Float[Tensor, "*#batch s k"],
    weights: Float[Tensor, "*#batch s"],
    /,
    *,
    n: int,
) -> TeacherBiasVariance:
    """E(R̃−R)² = (1/N) Var[p^tᵀℓ] + (E[(p^t−p*)ᵀℓ])² ≤ (1/N) Var[p^tᵀℓ] + C²(E‖p^t−p*‖₂)².

    Menon et al. (2021); the inequality is Cauchy–Schwarz atom by atom, with C = max ‖ℓ(f(x))‖₂ over the atoms
    that have mass (the constant derived here). Valid for a teacher and a predictor independent of the sample.
    The bias does not fall with N: past N ≈ variance/bias² more points do not help such a teacher.

    Args:
        losses: ℓ(f(x))_y on the atoms.
        teacher_probs: p^t(x).
        probs: p*(x).
        weights: the mass of each atom.
        n: N, the size of the sample.

    Raises:
        ValueError: N < 1, a loss is not finite, or `teacher_probs`, `probs`, `weights` are no probabilities
            of fitting size.

    >>> losses, half = torch.tensor([[0.0, 2.0]]), torch.tensor([[0.5, 0.5]])
    >>> parts = teacher_bias_variance(losses, torch.tensor([[0.25, 0.75]]), half, torch.ones(1), n=4)
    >>> parts.mean_squared_error, parts.bound  # 0 + (0.25 · 2)², 0 + 2² · (0.25 · √2)²
    (tensor(0.2500), tensor(0.5000))
    """
    check_world(losses, probs, weights)
    variance = distilled_variance(losses, teacher_probs, weights, n=n)
    losses, teacher_probs, probs, weights = at_least_float32(losses, teacher_probs, probs, weights)
    error = teacher_probs - probs
    bias = (weights * (error * losses).sum(-1)).sum(-1)
    norms = losses.norm(dim=-1) * (weights > 0)
    distance = (weights * error.norm(dim=-1)).sum(-1)
    return TeacherBiasVariance(*torch.broadcast_tensors(variance, bias, norms.amax(-1), distance))
