"""The softened terms as T → ∞: distances of centred logits (Hinton, Vinyals, Dean 2015, §2.1).

With d = z_s − z_t, φ_T(z) = 1/k + (z − z̄)/(kT) + O(1/T²), so a softened difference is of order 1/T and a
divergence of order 1/T². That is the reason for the factor T² in the loss: it keeps the soft term of order
one.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.types import at_least_float32
from kdtheory.validate import check_logits

__all__ = ["high_temperature_divergence", "high_temperature_gradient"]


@door
def high_temperature_gradient(
    student_logits: Float[Tensor, "*batch k"], teacher_logits: Float[Tensor, "*batch k"], /
) -> Float[Tensor, "*batch k"]:
    """lim_{T→∞} T (φ_T(z_s) − φ_T(z_t)) = (d − d̄)/k, d = z_s − z_t; the error falls like 1/T.

    The paper centres the logits beforehand and so writes (z_s − z_t)/k; here they need not be centred.

    Raises:
        ValueError: the shapes differ, or the logits hold NaN or an infinity.

    >>> high_temperature_gradient(torch.tensor([3.0, 1.0]), torch.zeros(2))
    tensor([ 0.5000, -0.5000])
    """
    return _centred_gap(student_logits, teacher_logits) / student_logits.shape[-1]


@door
def high_temperature_divergence(
    student_logits: Float[Tensor, "*batch k"], teacher_logits: Float[Tensor, "*batch k"], /
) -> Float[Tensor, "*batch"]:
    """lim_{T→∞} T² KL(φ_T(z_t)‖φ_T(z_s)) = Σ_j (d_j − d̄)²/(2k), d = z_s − z_t; the error falls like 1/T.

    Raises:
        ValueError: the shapes differ, or the logits hold NaN or an infinity.

    >>> high_temperature_divergence(torch.tensor([3.0, 1.0]), torch.zeros(2))
    tensor(0.5000)
    """
    return _centred_gap(student_logits, teacher_logits).square().mean(-1) / 2


def _centred_gap(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    check_logits("student_logits", student_logits)
    check_logits("teacher_logits", teacher_logits)
    student_logits, teacher_logits = at_least_float32(student_logits, teacher_logits)
    gap = student_logits - teacher_logits
    if not bool(torch.isfinite(gap).all()):
        raise ValueError("logits hold -inf, which no temperature softens; give finite logits")
    return gap - gap.mean(-1, keepdim=True)
