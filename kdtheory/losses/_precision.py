"""In which numbers a loss is computed, and how a divergence is summed where student and teacher nearly agree.

Half precision is widened to float32 before anything is divided or summed, and temperatures so extreme that
T² or 1/T leaves float32 are met in float64. Near the teacher Σ p (ln p − ln q) is a difference of nearly
equal numbers. With u = z_s − z_t minus its mean under p, and φ(v) = e^v − 1 − v ≥ 0,

    KL(p‖q) = ln(1 + Σ p φ(u)),   ln(q/p) = u − KL(p‖q),

so that every divergence is a sum of positive terms, of full relative accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["CLOSE", "CLOSE_TERMS", "accurate", "at_least_zero", "close_jensen_shannon", "excess"]

Term = Callable[[Tensor, Tensor], Tensor]

CLOSE = 0.3
"""Rows whose logits differ by less than this, up to a constant, are summed by the series of φ."""
_SERIES = {
    dtype: [1 / math.factorial(power) for power in range(most, 1, -1)]
    for dtype, most in ((torch.float32, 7), (torch.float64, 11))
}
"""Coefficients of φ(v)/v², the highest power first; what is left out is below rounding for |v| ≤ 0.3."""


def at_least_zero(losses: Tensor, /) -> Tensor:
    """Divergences that rounding takes below zero as 0; their gradients as they are."""
    return losses + (-losses.detach()).clamp_min(0)


def accurate(plain: Term, close: Term) -> Term:
    """The term `plain`, with `close` for the rows in which student and teacher nearly agree."""

    def term(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        gap = student_logits - teacher_logits
        gap = gap.masked_fill(torch.isneginf(student_logits) & torch.isneginf(teacher_logits), 0)
        near = gap.detach().amax(-1) - gap.detach().amin(-1) < CLOSE  # NaN and ∞ are not near
        if bool(near.all()):
            return close(gap, teacher_logits)
        losses = plain(student_logits, teacher_logits)
        if not bool(near.any()):
            return losses
        return losses.masked_scatter(near, close(gap[near], teacher_logits[near]))

    return term


def _close_kl(gap: Tensor, teacher_logits: Tensor) -> Tensor:
    return _log_ratio(gap, teacher_logits.softmax(-1))[1]


def _close_reverse_kl(gap: Tensor, teacher_logits: Tensor) -> Tensor:
    probs = teacher_logits.softmax(-1)
    log_ratio, _ = _log_ratio(gap, probs)
    return (probs * log_ratio.exp() * excess(-log_ratio)).sum(-1)


def close_jensen_shannon(gap: Tensor, teacher_logits: Tensor, beta: float, weight: float) -> Tensor:
    """The terms of `jensen_shannon`, ln(m/p_t) = ln(1 + (1−β)(q/p − 1)) and the like."""
    probs = teacher_logits.softmax(-1)
    log_ratio, _ = _log_ratio(gap, probs)
    teacher = (probs * excess(torch.log1p((1 - beta) * torch.expm1(log_ratio)))).sum(-1)
    student = (probs * log_ratio.exp() * excess(torch.log1p(beta * torch.expm1(-log_ratio)))).sum(-1)
    return weight * teacher + (1 - weight) * student


def _close_squared_prob_distance(gap: Tensor, teacher_logits: Tensor) -> Tensor:
    probs = teacher_logits.softmax(-1)
    return (probs * torch.expm1(_log_ratio(gap, probs)[0])).square().sum(-1)


def _log_ratio(gap: Tensor, probs: Tensor) -> tuple[Tensor, Tensor]:
    """ln(q/p) of each class, and KL(p‖q)."""
    centred: Float[Tensor, "*batch k"] = gap - (probs * gap).sum(-1, keepdim=True)
    divergence = torch.log1p((probs * excess(centred)).sum(-1))
    return centred - divergence[..., None], divergence


def excess(value: Tensor) -> Tensor:
    """φ(v) = e^v − 1 − v for small v, by its series."""
    coefficients = _SERIES[value.dtype]
    series = torch.full_like(value, coefficients[0])
    for coefficient in coefficients[1:]:
        series = series * value + coefficient
    return value.square() * series


CLOSE_TERMS: dict[str, Term] = {
    "kl": _close_kl,
    "reverse_kl": _close_reverse_kl,
    "jsd": lambda gap, teacher: close_jensen_shannon(gap, teacher, 0.5, 0.5),
    "mse_probs": _close_squared_prob_distance,
}
"""Soft terms where student and teacher nearly agree: z_s − z_t, and z_t, to one loss per example."""
