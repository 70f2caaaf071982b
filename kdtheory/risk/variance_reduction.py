"""Distillation as a control variate: what a teacher takes off the variance of a stochastic gradient.

For a model linear in its parameters under squared loss, the gradient of (1−λ)·loss on the label plus λ·loss
on the teacher's output is exactly ∇f_ξ(θ) − λ∇f_ξ(θ_T) (Safaryan, Peste, Alistarh 2023; derived here). With
a = ∇f_ξ(θ), b = ∇f_ξ(θ_T), and traces of covariances over ξ,

    Var(a − λb) = Var a − 2λ Cov(a, b) + λ² Var b,   least at λ* = Cov(a, b)/Var b,
    where it is Var a − Cov(a, b)²/Var b: 0 at λ = 1 where the teacher is the student (derived here).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.types import promoted
from kdtheory.validate import check_finite, check_same_shape, check_weights

__all__ = ["VarianceReduction", "variance_reduction"]


@door
@dataclass(frozen=True)
class VarianceReduction:
    """The trace of the covariance of one example's distillation gradient, as a parabola in λ.

    Args:
        plain: Var a, with labels alone.
        covariance: Cov(a, b).
        teacher: Var b.
    """

    plain: Float[Tensor, ""]
    covariance: Float[Tensor, ""]
    teacher: Float[Tensor, ""]

    @property
    def weight(self) -> Float[Tensor, ""]:
        """λ* = Cov(a, b)/Var b; 0 where the teacher's gradient does not vary."""
        varies = self.teacher > 0
        return torch.where(varies, self.covariance / self.teacher.where(varies, 1), 0)

    def at(self, weight: float | Tensor, /) -> Float[Tensor, "..."]:
        """Var(a − λb)."""
        lam = torch.as_tensor(weight, dtype=self.plain.dtype)
        return self.plain - 2 * lam * self.covariance + lam.square() * self.teacher

    @property
    def least(self) -> Float[Tensor, ""]:
        """Var(a − λ*b) = Var a − Cov(a, b)²/Var b."""
        return self.at(self.weight).clamp_min(0)


@door
def variance_reduction(
    gradients: Float[Tensor, "s p"],
    teacher_gradients: Float[Tensor, "s p"],
    weights: Float[Tensor, "s"],
    /,
) -> VarianceReduction:
    """The three numbers of the parabola from every example's gradient at the student and at the teacher.

    Args:
        gradients: a = ∇f_ξ(θ) for each example ξ.
        teacher_gradients: b = ∇f_ξ(θ_T).
        weights: the probability of each example.

    Raises:
        ValueError: shapes differ, not finite, or weights that are no probabilities.

    >>> a = torch.tensor([[1.0], [-1.0]])
    >>> found = variance_reduction(a, 2 * a, torch.tensor([0.5, 0.5]))
    >>> found.weight, found.least
    (tensor(0.5000), tensor(0.))
    """
    check_finite("gradients", gradients)
    check_finite("teacher_gradients", teacher_gradients)
    check_same_shape("gradients", gradients, "teacher_gradients", teacher_gradients)
    check_weights("weights", weights)
    gradients, teacher_gradients, weights = promoted(gradients, teacher_gradients, weights)
    a, b = (some - weights @ some for some in (gradients, teacher_gradients))
    traces = [weights @ (one * other).sum(-1) for one, other in ((a, a), (a, b), (b, b))]
    return VarianceReduction(*traces)
